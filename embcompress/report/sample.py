"""Rows kept aside while a table streams by, for the figures that compare rows with each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2**20


def spread(rows: int, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """A stratified random sample: one row out of each of ``count`` equal ranges.

    The ranges begin at a random row and wrap around, so every row is as likely as any other.

    Args:
        rows: Rows to choose from.
        count: Rows to choose, at least 1; all when there are no more.
        random: Makes the choice.

    Returns:
        int64 [min(count, rows)], ascending, distinct.
    """
    if count >= rows:
        return np.arange(rows, dtype=np.int64)
    edges = np.arange(count + 1, dtype=np.int64) * rows // count
    return np.sort((random.integers(edges[:-1], edges[1:]) + random.integers(rows)) % rows)


def proportional(
    frequencies: NDArray[np.float64], count: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows drawn in proportion to their frequency: their plain mean is the weighted mean.

    Args:
        frequencies: float64 [n], not negative, not all zero.
        count: How many to draw. When no more rows have a frequency, each is taken once instead,
            with its frequency as its weight.
        random: Makes the choice.

    Returns:
        int64 [m] rows, ascending, distinct; float64 [m], their weights, which sum to 1.
    """
    top = frequencies.max()
    if np.count_nonzero(frequencies) <= count:
        rows = np.flatnonzero(frequencies)
        weights = frequencies[rows] / top
        return rows.astype(np.int64), weights / weights.sum()
    starts = range(0, len(frequencies), _BLOCK)
    ends = np.cumsum([(frequencies[s : s + _BLOCK] / top).sum() for s in starts])
    aims = (np.arange(count) + random.random(count)) / count * ends[-1]
    blocks = np.minimum(np.searchsorted(ends, aims, side="right"), len(ends) - 1)
    rows = np.empty(count, np.int64)
    for block in np.unique(blocks):
        start = int(block) * _BLOCK
        inside = np.cumsum(frequencies[start : start + _BLOCK] / top)
        mine = blocks == block
        rest = aims[mine] - (ends[block - 1] if block else 0.0)
        last = np.searchsorted(inside, inside[-1], side="left")
        rows[mine] = start + np.minimum(np.searchsorted(inside, rest, side="right"), last)
    found, counts = np.unique(rows, return_counts=True)
    return found, counts / count


class Kept:
    """Some rows of a table and of its reconstruction.

    Args:
        ids: int64 [m], ascending, distinct: the rows to keep.
        dim: D.
    """

    def __init__(self, ids: NDArray[np.int64], dim: int) -> None:
        self.ids = ids
        self.original = np.zeros((len(ids), dim), np.float32)
        self.decoded = np.zeros((len(ids), dim), np.float32)

    def put(self, start: int, original: NDArray[np.float32], decoded: NDArray[np.float32]) -> None:
        """Take what is wanted of some rows; safe from several threads when rows differ.

        Args:
            start: Their first row.
            original: float32 [b, D].
            decoded: float32 [b, D].
        """
        low, high = np.searchsorted(self.ids, [start, start + len(original)])
        at = self.ids[low:high] - start
        np.take(original, at, axis=0, out=self.original[low:high], mode="clip")
        np.take(decoded, at, axis=0, out=self.decoded[low:high], mode="clip")

    def part(self, positions: NDArray[np.int64]) -> Kept:
        """A copy of some of these rows.

        Args:
            positions: int64 [m], ascending, distinct, among the rows that are kept.
        """
        own = Kept(self.ids[positions], self.original.shape[1])
        np.take(self.original, positions, axis=0, out=own.original, mode="clip")
        np.take(self.decoded, positions, axis=0, out=own.decoded, mode="clip")
        return own
