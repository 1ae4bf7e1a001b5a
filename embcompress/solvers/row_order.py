"""An order of rows in which neighbours are alike: balanced recursive 2-means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.tables.rows import Rows, Tile
from embcompress.threads import one_blas_thread

Each = Callable[[Rows, Callable[[Tile], Any], str], Iterator[Any]]

_ROUNDS = 4
_LEAF = 8


def held(rows: Rows, each: Each) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All rows in memory, float32 [n, D], and their original row numbers, int64 [n]."""
    values, ids = np.empty(rows.shape, np.float32), np.empty(rows.shape[0], np.int64)

    def keep(tile: Tile) -> None:
        span = slice(tile.position, tile.position + len(tile.rows))
        values[span], ids[span] = tile.rows, tile.ids

    for _ in each(rows, keep, "reading"):
        pass
    return values, ids


def clustered_order(
    rows: NDArray[np.float32], digits: tuple[int, ...], advance: Callable[[int], object]
) -> NDArray[np.int64]:
    """Put like rows side by side.

    Rows are split in two of equal number, again and again: each half takes the rows that lie
    nearer to its mean than to the other's, compared with the rest. Halves are cut where blocks of
    slots with the same leading digits end, and the half that lies lower along the table's own
    strongest axis comes first, so that places within a block mean the same in all blocks.

    Args:
        rows: float32 [n, D].
        digits: Sizes of a slot's digits; the last one changes fastest.
        advance: Told of rows whose place is settled.

    Returns:
        int64 [n], the row of every slot.
    """
    n = len(rows)
    order = np.arange(n, dtype=np.int64)
    units = np.cumprod(digits[::-1])[::-1][1:].tolist()
    exponent = int(np.frexp(np.abs(rows).max(initial=0))[1])
    scaled = rows * np.float32(2.0 ** max(-126, min(-exponent, 126)))
    with one_blas_thread():
        axis = _strongest(scaled)
        waiting = [(0, n)]
        while waiting:
            start, stop = waiting.pop()
            own = order[start:stop]
            if stop - start <= _LEAF:
                order[start:stop] = own[np.argsort(scaled[own] @ axis, kind="stable")]
                advance(stop - start)
                continue
            middle = _middle(stop - start, units)
            order[start:stop] = own[_halves(scaled[own], middle, axis)]
            waiting += [(start + middle, stop), (start, start + middle)]
    return order


def _middle(count: int, units: list[int]) -> int:
    """Where to split, at the end of a block if there are two or more."""
    for unit in (*units, 1):
        if count > unit:
            return max(1, min(round(count / 2 / unit), (count - 1) // unit)) * unit
    return 1


def _strongest(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The strongest axis of rows about their mean, float32 [D]."""
    wide = rows[:: max(1, len(rows) // 65_536)].astype(np.float64)
    wide -= wide.mean(axis=0)
    axis: NDArray[np.float64] = np.linalg.eigh(wide.T @ wide)[1][:, -1]
    return (axis * (1 if axis[np.abs(axis).argmax()] >= 0 else -1)).astype(np.float32)


def _halves(rows: NDArray[np.float32], first: int, axis: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rows of the first half, then of the second."""
    along = rows @ axis
    place = np.argpartition(along, first)
    for _ in range(_ROUNDS):
        one, other = rows[place[:first]].mean(axis=0), rows[place[first:]].mean(axis=0)
        direction = other - one
        if not direction.any():
            break
        moved = np.argpartition(rows @ direction, first)
        same = len(np.intersect1d(moved[:first], place[:first], assume_unique=True)) == first
        place = moved
        if same:
            break
    return place
