"""The columns of groups of rows that hold most energy for their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from embcompress.tables.rows import Tile


def column_energies(tile: Tile) -> NDArray[np.float64]:
    """Weighted sums of squares of a tile's columns, float64 [D]."""
    wide = tile.rows.astype(np.float64)
    wide *= wide
    energies: NDArray[np.float64] = (
        wide.sum(axis=0) if tile.weights is None else tile.weights @ wide
    )
    return energies


def ranked_columns(
    energies: Mapping[str, NDArray[np.float64]], rows: Mapping[str, int]
) -> list[tuple[str, int]]:
    """Columns of all groups, those with most energy a value first.

    Args:
        energies: float64 [D] of every group, weighted.
        rows: How many rows each has, which is how many values a column costs.
    """
    gains = [
        (-float(energy) / max(rows[key], 1), number, column, key)
        for number, (key, own) in enumerate(energies.items())
        for column, energy in enumerate(own)
        if rows[key]
    ]
    return [(key, column) for _, _, column, key in sorted(gains)]


def within(
    ranked: list[tuple[str, int]], rows: Mapping[str, int], values: int
) -> list[tuple[str, int]]:
    """The first columns that hold no more than some values, and later ones that still fit."""
    taken = []
    for key, column in ranked:
        if rows[key] <= values:
            taken.append((key, column))
            values -= rows[key]
    return taken


def by_group(
    taken: list[tuple[str, int]], keys: Mapping[str, object]
) -> dict[str, NDArray[np.int64]]:
    """Ascending columns of each group."""
    return {
        key: np.array(sorted(column for own, column in taken if own == key), np.int64)
        for key in keys
    }


Fits = Callable[[list[tuple[str, int]]], bool]


def longest(ranked: list[tuple[str, int]], fits: Fits) -> list[tuple[str, int]]:
    """The most of the first columns that fit; none when even they do not."""
    good, bad = 0, len(ranked) + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(ranked[:middle]):
            good = middle
        else:
            bad = middle
    return ranked[:good]
