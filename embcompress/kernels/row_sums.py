"""Sums of rows by cluster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.records import FLOAT32_2D, INT64_1D


@kernel(
    f"void({FLOAT32_2D}, {INT64_1D}, Array(float64, 1, 'C', readonly=True),"
    " Array(float64, 2, 'C'), Array(float64, 1, 'C'))"
)
def add_rows(
    rows: NDArray[np.float32],
    codes: NDArray[np.int64],
    weights: NDArray[np.float64],
    sums: NDArray[np.float64],
    masses: NDArray[np.float64],
) -> None:
    """Add weighted rows to the sums of their clusters, in the order of the rows.

    Args:
        rows: float32 [m, D].
        codes: int64 [m], each row's cluster, within 0 to K - 1.
        weights: float64 [m].
        sums: float64 [K, D], the caller's, added to.
        masses: float64 [K], the caller's; weights are added to it.
    """
    m, d = rows.shape
    for i in range(m):
        weight = weights[i]
        code = codes[i]
        masses[code] += weight
        for j in range(d):
            sums[code, j] += weight * rows[i, j]
