"""Histograms over many orders of magnitude, counted while rows stream by."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from embcompress.report.details import Histogram

_SHIFT = 17  # keeps 6 bits of the mantissa: 64 bins an octave
_LEAST, _MOST = 2.0**-40, 2.0**8
_FEWEST = 24  # bins shown; merging by twos stops before there would be fewer


def _bin(value: float) -> int:
    return int(np.float32(value).view(np.uint32)) >> _SHIFT


class LogHistogram:
    """Counts of values of at least 0, in 64 bins an octave from 2⁻⁴⁰ to 2⁸.

    The counts do not depend on the order in which values come.
    """

    def __init__(self) -> None:
        self._first = _bin(_LEAST)
        # the first bin holds what is smaller, the last one what is larger
        self._counts = np.zeros(_bin(_MOST) - self._first + 2, np.int64)
        self._lock = threading.Lock()

    def put(self, values: NDArray[np.float64]) -> None:
        """Count some values; safe from several threads.

        Args:
            values: float64 [b], at least 0 or infinite, never NaN.
        """
        clipped = np.clip(values, 0, 2 * _MOST).astype(np.float32)
        bins = (clipped.view(np.uint32) >> _SHIFT).astype(np.int64) - self._first + 1
        np.clip(bins, 0, len(self._counts) - 1, out=bins)
        found = np.bincount(bins, minlength=len(self._counts))
        with self._lock:
            self._counts += found

    def histogram(self) -> Histogram:
        """The bins between the smallest and the largest value, in 24 to 48 bins where it can."""
        inner = self._counts[1:-1]
        used = np.flatnonzero(inner)
        below, above = int(self._counts[0]), int(self._counts[-1])
        if not len(used):
            return Histogram(edges=[], counts=[], below=below, above=above)
        width = 1
        while (used[-1] // width - used[0] // width + 1) >= 2 * _FEWEST:
            width *= 2
        low, high = int(used[0]) // width, int(used[-1]) // width + 1
        padded = np.zeros((high - low) * width, np.int64)
        part = inner[low * width : high * width]
        padded[: len(part)] = part
        numbers = (np.arange(low, high + 1, dtype=np.uint32) * width + self._first) << _SHIFT
        return Histogram(
            edges=[float(e) for e in numbers.astype(np.uint32).view(np.float32)],
            counts=[int(c) for c in padded.reshape(-1, width).sum(axis=1)],
            below=below,
            above=above,
        )
