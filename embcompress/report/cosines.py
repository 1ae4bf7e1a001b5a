"""The distribution of the cosines of all rows, kept in a few megabytes."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

_EXACT_ROWS = 4_000_000
_SHIFT = 9  # keeps 14 bits of the mantissa of 1 - cos: a bin is 6e-5 of its value wide
_FLOOR = np.float32(2.0**-30)


class Cosines:
    """Cosines of all rows: as they are up to 4,000,000 rows, else a histogram of log(1 - cos).

    Args:
        rows: N.
    """

    def __init__(self, rows: int) -> None:
        self._first = int(_FLOOR.view(np.uint32)) >> _SHIFT
        bins = (int(np.float32(2).view(np.uint32)) >> _SHIFT) - self._first + 1
        exact = rows <= _EXACT_ROWS
        self._values = np.full(rows if exact else 0, np.nan, np.float32)
        self._counts = np.zeros(0 if exact else bins, np.int64)
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Memory in use, in bytes."""
        return self._values.nbytes + self._counts.nbytes

    def put(self, start: int, cosines: NDArray[np.float64]) -> None:
        """Take the cosines of some rows; safe from several threads when rows differ.

        Args:
            start: Their first row.
            cosines: float64 [b], within [-1, 1]; NaN for rows that do not count.
        """
        if len(self._values):
            self._values[start : start + len(cosines)] = cosines
            return
        off = (1 - cosines[~np.isnan(cosines)]).astype(np.float32)
        bins = (np.maximum(off, _FLOOR).view(np.uint32) >> _SHIFT).astype(np.int64)
        with self._lock:
            np.add.at(self._counts, bins - self._first, 1)

    def quantile(self, share: float) -> float:
        """The cosine below which this share of the rows lies, to within 1e-4.

        Args:
            share: Within (0, 1).

        Returns:
            A value within [-1, 1]; NaN when no row counts.
        """
        if len(self._values):
            counted = self._values[~np.isnan(self._values)]
            return float(np.quantile(counted, share)) if len(counted) else float("nan")
        from_below = np.cumsum(self._counts[::-1])
        rank = share * (from_below[-1] - 1) + 1
        found = len(self._counts) - 1 - int(np.searchsorted(from_below, rank))
        middle = ((found + self._first) << _SHIFT) + (1 << (_SHIFT - 1))
        return max(-1.0, 1.0 - float(np.uint32(middle).view(np.float32)))
