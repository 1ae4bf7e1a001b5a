"""Least distortion at a length, from the least distortion + λ · bits at sixteen λ.

The maximum over λ of (cost at λ) - λ · length bounds the distortion of every code of that length
from below; no code of a convex combination is better.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.records import FLOAT32_1D, FLOAT32_2D, INT64_1D

FLOAT64_2D: Final = "Array(float64, 2, 'C', readonly=True)"


@kernel(
    f"void(Array(float32, 3, 'C', readonly=True), {FLOAT32_1D}, {FLOAT64_2D},"
    " Array(float64, 2, 'C'))"
)
def bounds_at_lengths(
    curves: NDArray[np.float32],
    ladder: NDArray[np.float32],
    lengths: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Bounds of records in some classes.

    Args:
        curves: float32 [s, c, 16], least distortion + λ · bits.
        ladder: float32 [16], λ.
        lengths: float64 [s, c], bits.
        out: float64 [s, c], written.
    """
    for i in range(curves.shape[0]):
        for j in range(curves.shape[1]):
            best = -np.inf
            for lane in range(ladder.shape[0]):
                bound = np.float64(curves[i, j, lane]) - np.float64(ladder[lane]) * lengths[i, j]
                best = max(best, bound)
            out[i, j] = best


@kernel(
    f"void({FLOAT32_2D}, {FLOAT32_1D}, {INT64_1D}, {INT64_1D}, float64, int64,"
    " Array(float64, 2, 'C'))"
)
def bounds_of_classes(
    curves: NDArray[np.float32],
    ladder: NDArray[np.float32],
    chosen: NDArray[np.int64],
    lengths: NDArray[np.int64],
    padding: float,
    window: int,
    out: NDArray[np.float64],
) -> None:
    """Sums of the bounds of a class's records, by its length.

    Args:
        curves: float32 [s, 16], of records in their own class.
        ladder: float32 [16], λ.
        chosen: int64 [s], their classes.
        lengths: int64 [G].
        padding: Bits of a length that are not used.
        window: Lengths from ``lengths[g] - window`` to ``lengths[g] + window`` are tried.
        out: float64 [G, 2 · window + 1], zeros, added to.
    """
    for i in range(curves.shape[0]):
        g = chosen[i]
        for step in range(2 * window + 1):
            length = np.float64(lengths[g] + step - window) - padding
            best = -np.inf
            for lane in range(ladder.shape[0]):
                bound = np.float64(curves[i, lane]) - np.float64(ladder[lane]) * length
                best = max(best, bound)
            out[g, step] += best
