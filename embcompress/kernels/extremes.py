"""One look at every value: the largest magnitude, and whether all are finite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel

_LANES = 16


@kernel("void(Array(float32, 1, 'C', readonly=True), float64[::1])")
def extremes(values: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """Largest magnitude and sum of squares.

    Args:
        values: float32 [m].
        out: float64 [2], written: the largest magnitude among finite values, and the sum of
            squares, which is NaN or infinite when a value is.
    """
    count = values.shape[0]
    largest = np.zeros(_LANES, np.float32)
    squares = np.zeros(_LANES, np.float64)
    whole = count - count % _LANES
    for i in range(0, whole, _LANES):
        for j in range(_LANES):
            x = values[i + j]
            largest[j] = max(largest[j], abs(x))
            squares[j] += np.float64(x) * np.float64(x)
    for i in range(whole, count):
        x = values[i]
        largest[0] = max(largest[0], abs(x))
        squares[0] += np.float64(x) * np.float64(x)
    for j in range(1, _LANES):
        largest[0] = max(largest[0], largest[j])
        squares[0] += squares[j]
    out[0] = largest[0]
    out[1] = squares[0]
