"""The nearest row of a codebook, for many rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.solvers.product import power_of_two
from embcompress.threads import ordered

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

TILE: Final = 4096
_ROWS: Final = 512
_COLUMNS: Final = 1024  # a block of scores takes 2 MB
_TOP: Final = 2.0**56
_LARGEST_SCALE: Final = 2.0**126


@dataclass(frozen=True, eq=False)
class Frame:
    """Where distances are computed: rows less an offset, times a power of two.

    The offset keeps float32 from cancelling; the power of two brings the largest values near 2^56,
    where squares stay in its range and those of values 2^100 times smaller do not vanish.

    Args:
        offset: float32 [D], scaled.
        scale: The power of two.
    """

    offset: Float32
    scale: np.float32

    @classmethod
    def around(cls, rows: Float32, largest: float) -> Frame:
        """The frame of rows: around the median of some 4,096 of them.

        Args:
            rows: float32 [m, D], m at least 1.
            largest: Largest magnitude of a value that will be seen.
        """
        scale = min(power_of_two(largest) * _TOP, _LARGEST_SCALE)
        some = rows[:: -(-len(rows) // TILE)].astype(np.float64) * scale
        return cls(np.median(some, axis=0).astype(np.float32), np.float32(scale))

    def lift(self, rows: Float32) -> Float32:
        """Rows in the frame, and a column of ones: float32 [b, D + 1]."""
        b, d = rows.shape
        lifted = np.empty((b, d + 1), np.float32)
        np.multiply(rows, self.scale, out=lifted[:, :d])
        lifted[:, :d] -= self.offset
        lifted[:, d] = 1
        return lifted

    def table(self, book: Float32) -> Float32:
        """Codewords c in the frame over −‖c‖²/2, so that lifted rows times it are scores.

        A row's squared distance is ‖x‖² − 2·score.

        Args:
            book: float32 [K, D].

        Returns:
            float32 [D + 1, K].
        """
        table = np.ascontiguousarray(self.lift(book).T)
        inside = table[:-1].astype(np.float64)
        table[-1] = -0.5 * np.einsum("dk,dk->k", inside, inside)
        return table


def squared_lengths(lifted: Float32) -> Float32:
    """‖x‖² of lifted rows, float32 [b]."""
    inside = lifted[:, :-1]
    lengths: Float32 = np.einsum("bd,bd->b", inside, inside)
    return lengths


class Nearest:
    """Assigns rows to the nearest codeword; of equally near ones, to the first.

    A row's code depends on the rows given with it only by the last bits of matrix products, so
    the same tile gives the same codes whatever the thread.
    """

    def __init__(self, frame: Frame, book: Float32) -> None:
        table = frame.table(book)
        self._frame = frame
        self._blocks = [
            np.ascontiguousarray(table[:, k : k + _COLUMNS]) for k in range(0, len(book), _COLUMNS)
        ]

    def assign(self, rows: Float32) -> tuple[Int64, Float32]:
        """Assign rows.

        Args:
            rows: float32 [b, D].

        Returns:
            int64 [b] codes, and float32 [b] squared distances in the frame.
        """
        codes = np.zeros(len(rows), np.int64)
        distances = np.empty(len(rows), np.float32)
        scores = np.empty((min(_ROWS, len(rows)), _COLUMNS), np.float32)
        for start in range(0, len(rows), _ROWS):
            lifted = self._frame.lift(rows[start : start + _ROWS])
            some = slice(start, start + len(lifted))
            best = np.full(len(lifted), -np.inf, np.float32)
            for number, block in enumerate(self._blocks):
                out = scores.reshape(-1)[: len(lifted) * block.shape[1]]
                found = np.matmul(lifted, block, out=out.reshape(len(lifted), -1))
                take_best(found, number * _COLUMNS, best, codes[some])
            distances[some] = np.maximum(squared_lengths(lifted) - 2 * best, 0)
        return codes, distances


def take_best(scores: Float32, first: int, best: Float32, codes: Int64) -> None:
    """Keep the best score of each row, and which codeword has it.

    Args:
        scores: float32 [b, k], of codewords from number ``first`` on.
        first: Number of the first.
        best: float32 [b], best so far; written.
        codes: int64 [b], whose it is; written.
    """
    own = scores.argmax(axis=1)
    values = np.take_along_axis(scores, own[:, None], axis=1)[:, 0]
    better = values > best
    best[better] = values[better]
    codes[better] = own[better] + first


def assign_all(frame: Frame, book: Float32, rows: Float32, threads: int) -> tuple[Int64, Float32]:
    """Assign rows in tiles of 4,096 over the threads; see `Nearest.assign`."""
    nearest = Nearest(frame, book)
    codes = np.empty(len(rows), np.int64)
    distances = np.empty(len(rows), np.float32)

    def one(start: int) -> None:
        some = slice(start, start + TILE)
        codes[some], distances[some] = nearest.assign(rows[some])

    for _ in ordered(one, range(0, len(rows), TILE), threads):
        pass
    return codes, distances
