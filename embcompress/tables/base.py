"""What a table is: a named matrix of float weights that is read in row tiles."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from embcompress.tables.weights import ITEM_BYTES

TILE = 4096
"""Rows in a tile of a table of ordinary dimension."""

_TILE_WEIGHTS = 1 << 24
_SMALLEST_TILE = 16


def tile_rows(d: int) -> int:
    """Give the number of rows in a tile, which depends on the dimension and on nothing else.

    Args:
        d: Weights in a row.

    Returns:
        ``TILE`` for d up to 4,096; above, the largest power of two that keeps a tile within 2^24
        weights, but at least 16.
    """
    if d <= TILE:
        return TILE
    fitting = _TILE_WEIGHTS // d
    return max(_SMALLEST_TILE, 1 << fitting.bit_length() >> 1)


class Table(ABC):
    """A matrix of n rows and d weights a row, never assumed to fit in memory.

    Attributes:
        name: The tensor's name; for an .npy file the file's name without its suffix.
        path: Where it lives, for messages.
        shape: (n, d).
        dtype: "F16", "BF16", "F32" or "F64": how its source stores a weight.
    """

    def __init__(self, name: str, path: str, shape: tuple[int, int], dtype: str) -> None:
        self.name = name
        self.path = path
        self.shape = shape
        self.dtype = dtype

    @property
    def source_bytes(self) -> int:
        """Bytes its weights take in the source, headers not counted."""
        return self.shape[0] * self.shape[1] * ITEM_BYTES[self.dtype]

    def read(
        self, start: int, stop: int, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Read the rows from ``start`` up to, not including, ``stop``; any thread may.

        Args:
            start: First row, from 0.
            stop: One past the last row, at most n.
            out: A buffer to reuse: float32 [at least stop - start, d], C-contiguous.

        Returns:
            float32 [stop - start, d], C-contiguous: the first rows of ``out`` when it is given.
            Values of a float64 source beyond float32 come out infinite.

        Raises:
            IndexError: The rows are not within the table.
            ValueError: ``out`` does not fit.
            IOFailure: The file ends early or cannot be read.
        """
        n, d = self.shape
        if not 0 <= start <= stop <= n:
            raise IndexError(f"rows {start} to {stop} of a table of {n}")
        b = stop - start
        if out is None:
            out = np.empty((b, d), np.float32)
        elif (
            out.dtype != np.float32
            or out.ndim != 2
            or out.shape[0] < b
            or out.shape[1] != d
            or not out.flags.c_contiguous
            or not out.flags.writeable
        ):
            raise ValueError(f"out must be writable C-contiguous float32 [{b} or more, {d}]")
        rows = out[:b]
        if rows.size:
            self._read_rows(start, rows)
        return rows

    @abstractmethod
    def _read_rows(self, start: int, rows: NDArray[np.float32]) -> None:
        """Fill ``rows``, C-contiguous and not empty, from row ``start`` on."""

    @abstractmethod
    def unchanged(self) -> None:
        """Check that the source is still what was opened.

        Raises:
            IOFailure: The file's size, modification time or identity changed.
        """
