"""One look at every value: the largest magnitude, and the energy of every column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel


@kernel("void(Array(float32, 2, 'C', readonly=True), float32[::1], float64[::1])")
def extremes(
    rows: NDArray[np.float32], largest: NDArray[np.float32], squares: NDArray[np.float64]
) -> None:
    """Largest magnitude and sum of squares of every column.

    Args:
        rows: float32 [b, D].
        largest: float32 [D], raised to the largest magnitude among finite values.
        squares: float64 [D], added to; NaN or infinite once a value is.
    """
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            x = rows[i, j]
            largest[j] = max(largest[j], abs(x))
            squares[j] += np.float64(x) * np.float64(x)
