"""How far decoded rows are from the original ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES, Lanes, load, magnitude, splat, upper, widen
from embcompress.kernels.records import FLOAT32_2D, FLOAT32_OUT


def _folded(join: Callable[[Any, Any, Any], Any]) -> Any:
    """Intrinsic that joins 16 float64 lanes to one: 0 with 8, 1 with 9, ..., then halves again."""

    def fold(typing: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            integer = ir.IntType(32)
            lanes, width = arguments[0], LANES
            while width > 1:
                width //= 2
                low, high = (
                    builder.shuffle_vector(
                        lanes,
                        lanes,
                        ir.Constant(ir.VectorType(integer, width), [*range(start, start + width)]),
                    )
                    for start in (0, width)
                )
                lanes = join(builder, low, high)
            return builder.extract_element(lanes, integer(0))

        return types.float64(value), generate

    return intrinsic(fold)


_total: Callable[[Lanes], float] = _folded(lambda builder, low, high: builder.fadd(low, high))
_largest: Callable[[Lanes], float] = _folded(
    lambda builder, low, high: builder.select(builder.fcmp_ordered(">", low, high), low, high)
)


@kernel(f"void({FLOAT32_2D}, {FLOAT32_2D}, {FLOAT32_OUT}, float64[:, ::1])")
def compare_rows(
    original: NDArray[np.float32],
    decoded: NDArray[np.float32],
    tails: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """`row_errors`, with ``tails`` as scratch: float32 [2, 16], zero."""
    count, d = original.shape
    whole = d - d % LANES
    for i in range(count):
        for j in range(whole, d):
            tails[0, j - whole] = original[i, j]
            tails[1, j - whole] = decoded[i, j]
        squares = widen(splat(0.0))
        originals = squares
        decodeds = squares
        products = squares
        largest = squares
        for j in range(0, d, LANES):
            if j < whole:
                x = widen(load(original, i * d + j))
                y = widen(load(decoded, i * d + j))
            else:
                x = widen(load(tails, 0))
                y = widen(load(tails, LANES))
            error = x - y
            squares = squares + error * error
            originals = originals + x * x
            decodeds = decodeds + y * y
            products = products + x * y
            largest = upper(magnitude(error), largest)
        out[i, 0] = _total(squares)
        out[i, 1] = _total(originals)
        out[i, 2] = _total(decodeds)
        out[i, 3] = _total(products)
        out[i, 4] = _largest(largest)


def row_errors(
    original: NDArray[np.float32], decoded: NDArray[np.float32], out: NDArray[np.float64]
) -> None:
    """Error sums of every row, in float64.

    Lane l of 16 adds up columns l, l + 16, ... in this order; then lane 0 is joined with 8, 1
    with 9, ..., 0 with 4, and so on: a row's sums do not depend on its batch.

    Args:
        original: float32 [b, D], C-contiguous, may be read-only.
        decoded: float32 [b, D], C-contiguous, may be read-only.
        out: float64 [b, 5], the caller's, written: the squared error, the squared norm of the
            original and of the decoded row, their dot product, and the largest absolute error
            (NaN errors left out; the squared error shows them).
    """
    compare_rows(original, decoded, np.zeros((2, LANES), np.float32), out)
