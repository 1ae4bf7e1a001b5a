"""Rows read by the remainders of their numbers, so that rows which share one come together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from embcompress.progress import Progress
from embcompress.tables.rows import Rows, Tile
from embcompress.threads import one_blas_thread, ordered

R = TypeVar("R")

_MOST_BYTES = 2**26  # that one block of remainders works on
_MOST_SLOTS = 16_384
_NEVER_USED = 1e-9  # what such rows weigh, of the largest weight


@dataclass(frozen=True, eq=False)
class Numbering:
    """Numbers i of rows: original row numbers, counted from that of the first row.

    Args:
        first: Original number of the first row.
        span: Numbers up to that of the last row; at least 1.
        starts: int64 [tiles], the first number of each tile.
        stops: int64 [tiles], the number after its last.
        gaps: Whether some numbers have no row.
    """

    first: int
    span: int
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    gaps: bool

    @classmethod
    def of(cls, rows: Rows) -> Numbering:
        """The numbers of some rows."""
        ends = np.zeros((rows.tiles, 2), np.int64)
        for index in range(rows.tiles):
            ids = rows.ids(index)
            ends[index] = ids[0], ids[-1] + 1
        if not len(ends):
            return cls(0, 1, ends[:, 0], ends[:, 1], False)
        first = int(ends[0, 0])
        ends -= first
        span = int(ends[-1, 1])
        return cls(first, span, ends[:, 0], ends[:, 1], span != rows.shape[0])


@dataclass(frozen=True, eq=False)
class Laps:
    """Rows whose number i has remainder i mod m, in blocks of neighbouring remainders.

    A block reads the tiles that hold its rows, and no other; blocks are independent of one
    another. Numbers run through all remainders once a lap: row i is of lap i div m.

    Args:
        rows: The rows.
        numbering: Their numbers.
        size: m.
    """

    rows: Rows
    numbering: Numbering
    size: int

    @property
    def count(self) -> int:
        """Laps there are."""
        return -(-self.numbering.span // self.size)

    def blocks(self, bytes_each: int) -> list[tuple[int, int]]:
        """Cut the remainders into blocks; they depend on sizes alone.

        Args:
            bytes_each: Memory that one remainder takes.
        """
        most = max(1, min(_MOST_SLOTS, _MOST_BYTES // max(1, bytes_each)))
        count = -(-self.size // most)
        count += count % 2 if count > 1 else 0  # an even number shares out well
        edges = [self.size * i // count for i in range(count + 1)]
        return [(a, b) for a, b in pairwise(edges) if a < b]

    def tiles(self, low: int, high: int) -> Iterator[Tile]:
        """Tiles that may hold rows of remainders ``low … high - 1``, in order."""
        starts, stops = self.numbering.starts, self.numbering.stops
        to_low = (low - starts) % self.size
        inside = starts % self.size
        held = ((inside >= low) & (inside < high)) | (starts + to_low < stops)
        for index in np.flatnonzero(held):
            yield self.rows.tile(int(index))

    def each(
        self,
        work: Callable[[int, int], R],
        bytes_each: int,
        stage: str,
        threads: int,
        progress: Progress,
    ) -> Iterator[R]:
        """Apply a function to every block over the threads; results in order.

        Args:
            work: Takes the first remainder of a block and the one after its last.
            bytes_each: Memory that one remainder takes.
            stage: What the progress says.
            threads: Cores to use.
            progress: Told of rows.
        """
        n = self.rows.shape[0]

        def one(block: tuple[int, int]) -> tuple[int, R]:
            return n * block[1] // self.size - n * block[0] // self.size, work(*block)

        with progress.stage(stage, n) as told, one_blas_thread():
            for done, result in ordered(one, self.blocks(bytes_each), threads):
                told.advance(done)
                yield result


def counted(weights: NDArray[np.float64] | None, rows: Rows) -> NDArray[np.float64]:
    """Weights for kernels: [0] for none; rows that are never used count where nothing else does.

    Args:
        weights: float64 [b], those of a tile, or None.
        rows: All rows of the segment.
    """
    if weights is None or rows.weights is None:
        return np.empty(0)
    floored: NDArray[np.float64] = np.maximum(weights, _NEVER_USED * rows.weights.max())
    return floored
