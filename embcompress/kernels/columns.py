"""Rows from some of their columns; the others have one value each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.records import FLOAT32_1D, FLOAT32_2D, FLOAT32_OUT, INT64_1D


@kernel(f"void({FLOAT32_2D}, {INT64_1D}, {FLOAT32_1D}, {FLOAT32_OUT})")
def spread(
    coords: NDArray[np.float32],
    kept: NDArray[np.int64],
    fill: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Put coordinates into their columns of every row, and the fill into the others.

    Args:
        coords: float32 [b, K], C-contiguous, may be read-only, as the others.
        kept: int64 [K], columns of the row, each below D, checked by the caller.
        fill: float32 [D], what columns hold that are not kept.
        out: float32 [b, D], C-contiguous, the caller's, written whole.
    """
    count, d = out.shape
    for i in range(count):
        for j in range(d):
            out[i, j] = fill[j]
        for k in range(len(kept)):
            out[i, kept[k]] = coords[i, k]
