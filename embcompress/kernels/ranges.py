"""Row-wise uniform quantization: what all searches for a row's range share.

Sixteen rows lie side by side, one lane each, so a row's result never depends on its neighbours.
Rows far from ordinary size are searched multiplied by a power of two (`factor`), which is exact
and keeps squares and reciprocals finite; what is stored is divided by it again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined
from embcompress.kernels.lanes import (
    LANES,
    Lanes,
    any_lane,
    equal,
    load,
    lower,
    magnitude,
    rint,
    select,
    splat,
    store,
    store_codes,
    to_half,
    transpose,
    upper,
)

Float32 = NDArray[np.float32]
Codes = NDArray[np.uint8]

LARGE, SMALL = 2.0**50, 2.0**-50
DOWN, UP = 2.0**-100, 2.0**100
LARGEST, TINIEST = 2.0**128 - 2.0**104, 2.0**-149  # of float32
ROOM = 2.0**128 - 2.0**109  # the largest sum that decoding may aim at, rounding errors allowed for


@inlined
def gather(rows: Float32, start: int, half: bool, scratch: Float32) -> tuple[Lanes, Lanes, Lanes]:
    """Lay sixteen rows side by side in `scratch`, times their factor.

    The last sixteen columns may overlap those before. Rows of fewer than sixteen columns are read
    past their end, and only what belongs to them is used.

    Args:
        rows: float32 [b, d], read from row `start` on.
        start: the first of the sixteen rows.
        half: whether scale and bias are fp16; such rows are never so far from ordinary size.
        scratch: float32 [16 * max(d, 16)], written: column j of all rows at 16 * j.

    Returns:
        The rows' minima and maxima, times the factor, and the factor.
    """
    width = rows.shape[1]
    last = width - LANES if width > LANES else 0
    for first in range(0, width, LANES):
        j = first if first < last else last
        transpose(rows, start * width + j, width, scratch, j * LANES, LANES)
    low = high = load(scratch, 0)
    for j in range(LANES, width * LANES, LANES):
        values = load(scratch, j)
        low, high = lower(values, low), upper(values, high)
    factor = splat(1.0)
    if not half:
        size = upper(magnitude(low), magnitude(high))
        factor = select(splat(LARGE) < size, splat(DOWN), factor)
        factor = select(size < splat(SMALL), splat(UP), factor)
        if any_lane(splat(0.0) < magnitude(factor - splat(1.0))):
            for j in range(0, width * LANES, LANES):
                store(scratch, j, load(scratch, j) * factor)
    return low * factor, high * factor, factor


@inlined
def stored_bias(bias: Lanes, factor: Lanes, half: bool) -> Lanes:
    """The nearest bias that can be stored; `bias` is times the factor, the result is not."""
    stored = lower(upper(bias / factor, splat(-LARGEST)), splat(LARGEST))
    return to_half(stored) if half else stored


@inlined
def stored_scale(scale: Lanes, bias: Lanes, top: Lanes, factor: Lanes, half: bool) -> Lanes:
    """The nearest scale that can be stored beside the stored `bias`.

    Zero becomes one, as in torch. The largest code decodes to a finite number.
    """
    zero = splat(0.0)
    stored = scale
    if half:
        stored = to_half(scale)
    else:
        limit = upper((splat(ROOM) - upper(bias, zero)) / top, zero)
        stored = lower(upper(scale / factor, splat(TINIEST)), limit)
        stored = select(equal(scale, zero), zero, stored)
    return select(equal(stored, zero), splat(1.0), stored)


@inlined
def inverse(scale: Lanes) -> Lanes:
    """Steps per unit, or one where that is no finite number, as in torch."""
    quotient = splat(1.0) / scale
    return select(magnitude(quotient) < splat(np.inf), quotient, splat(1.0))


@inlined
def nearest(values: Lanes, bias: Lanes, per_step: Lanes, top: Lanes) -> Lanes:
    """Codes: the steps above the bias, rounded, held between 0 and `top`."""
    return upper(splat(0.0), lower(rint((values - bias) * per_step), top))


@inlined
def write_codes(
    scratch: Float32,
    spare: Codes,
    start: int,
    bias: Lanes,
    scale: Lanes,
    top: Lanes,
    codes: Codes,
) -> None:
    """Codes of the sixteen rows in `scratch`; bias and scale are as stored, times the factor.

    Rows of fewer than sixteen columns are written past their end, where later rows follow.

    Args:
        scratch: float32 [16 * max(d, 16)], as `gather` left it.
        spare: uint8 [16 * max(d, 16)], overwritten.
        start: the first of the sixteen rows.
        bias: the lowest value a code stands for.
        scale: the distance between neighbouring codes.
        top: the largest code.
        codes: uint8 [b, d], written from row `start` on.
    """
    width = codes.shape[1]
    last = width - LANES if width > LANES else 0
    per_step = inverse(scale)
    for j in range(0, width * LANES, LANES):
        store_codes(spare, j, nearest(load(scratch, j), bias, per_step, top))
    for first in range(0, width, LANES):
        j = first if first < last else last
        transpose(spare, j * LANES, LANES, codes, start * width + j, width)
