"""Row-wise uniform quantization: what is stored for a row's range, its codes, the plain range.

Sixteen rows go side by side, one lane each, so a row's result never depends on its neighbours.
Rows far from ordinary size are searched multiplied by a power of two, which is exact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.lanes import (
    LANES,
    Lanes,
    any_lane,
    equal,
    highest,
    load,
    lower,
    lowest,
    magnitude,
    rint,
    select,
    splat,
    store,
    store_codes,
    to_half,
    upper,
)

Float32 = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

LARGE, SMALL = 2.0**50, 2.0**-50
DOWN, UP = 2.0**-100, 2.0**100
LARGEST = 3.4028e38  # float32's largest number, less what decoding may round up
TINIEST = 2.0**-149


@inlined
def zoom(size: Lanes, half: bool) -> Lanes:
    """The power of two that brings rows of this largest magnitude near ordinary size."""
    one = splat(1.0)
    if half:
        return one
    factor = select(splat(LARGE) < size, splat(DOWN), one)
    return select(size < splat(SMALL), splat(UP), factor)


@inlined
def stored_bias(bias: Lanes, factor: Lanes, half: bool) -> Lanes:
    """The nearest bias that can be stored; `bias` is in zoomed units, the result is not."""
    if half:
        return to_half(bias)
    return lower(upper(bias / factor, splat(-LARGEST)), splat(LARGEST))


@inlined
def stored_scale(scale: Lanes, bias: Lanes, top: Lanes, factor: Lanes, half: bool) -> Lanes:
    """The nearest scale that can be stored beside `bias`; zero becomes one, as in torch."""
    zero, one = splat(0.0), splat(1.0)
    if half:
        scale = to_half(scale)
    else:
        room = upper((splat(LARGEST) - upper(bias, zero)) / top, zero)
        plain = lower(upper(scale / factor, splat(TINIEST)), room)
        scale = select(equal(scale, zero), zero, plain)
    return select(equal(scale, zero), one, scale)


@inlined
def inverse(scale: Lanes) -> Lanes:
    """One over the scale, or one where that is no finite number."""
    quotient = splat(1.0) / scale
    return select(magnitude(quotient) < splat(np.inf), quotient, splat(1.0))


@inlined
def nearest(values: Lanes, bias: Lanes, per_step: Lanes, top: Lanes) -> Lanes:
    """Codes of sixteen values: the steps above the bias, rounded, held between 0 and `top`."""
    steps = rint((values - bias) * per_step)
    return upper(splat(0.0), lower(steps, top))


@inlined
def gather(rows: Float32, start: int, scratch: Float32) -> None:
    """Lay sixteen rows side by side, a row to each lane; past the end, the last row again."""
    count, width = rows.shape
    for lane in range(LANES):
        row = min(start + lane, count - 1)
        for j in range(width):
            scratch[j * LANES + lane] = rows[row, j]


@inlined
def scatter(values: Lanes, start: int, spare: Float32, out: Float32) -> None:
    """Write a value a row; lanes past the end are dropped."""
    if start + LANES <= out.shape[0]:
        store(out, start, values)
    else:
        store(spare, 0, values)
        for lane in range(out.shape[0] - start):
            out[start + lane] = spare[lane]


@inlined
def fetch(values: Float32, start: int, spare: Float32) -> Lanes:
    """Read a value a row; lanes past the end repeat the last row's."""
    if start + LANES <= values.shape[0]:
        return load(values, start)
    for lane in range(LANES):
        spare[lane] = values[min(start + lane, values.shape[0] - 1)]
    return load(spare, 0)


@inlined
def encode(row: Float32, scale: np.float32, bias: np.float32, top: int, codes: Codes) -> None:
    """Codes of one row, sixteen columns at a time; the last sixteen may overlap those before."""
    width = row.shape[0]
    size = max(abs(bias), abs(scale) * np.float32(top))
    factor = np.float32(1.0)
    if size > np.float32(LARGE):
        factor = np.float32(DOWN)
    if size < np.float32(SMALL):
        factor = np.float32(UP)
    per_step = inverse(splat(scale * factor))
    low, high, times = splat(bias * factor), splat(np.float32(top)), splat(factor)
    if width >= LANES:
        for block in range((width + LANES - 1) // LANES):
            j = min(block * LANES, width - LANES)
            store_codes(codes, j, nearest(load(row, j) * times, low, per_step, high))
    else:
        for j in range(width):
            codes[j] = np.uint8(
                lowest(nearest(splat(row[j]) * times, low, per_step, high))
            )


@kernel(
    "void(Array(float32, 2, 'C', readonly=True), int64, float32[::1], float32[::1], uint8[:,::1])"
)
def encode_rows(rows: Float32, bits: int, scale: Float32, bias: Float32, codes: Codes) -> None:
    """Codes of every row for given ranges.

    Args:
        rows: float32 [b, d], finite.
        bits: bits per code, 1 to 8.
        scale: float32 [b], as stored; not zero.
        bias: float32 [b], as stored.
        codes: uint8 [b, d], written.
    """
    for i in range(rows.shape[0]):
        encode(rows[i], scale[i], bias[i], 2**bits - 1, codes[i])


@kernel(
    "void(Array(float32, 2, 'C', readonly=True), int64, boolean, float32[::1], float32[::1],"
    " uint8[:,::1])"
)
def minmax_rows(
    rows: Float32, bits: int, half: bool, scale: Float32, bias: Float32, codes: Codes
) -> None:
    """Each row's own minimum and maximum as its range, and its codes.

    Args:
        rows: float32 [b, d], finite, d at least 1.
        bits: bits per code, 1 to 8.
        half: whether scale and bias are rounded to fp16.
        scale: float32 [b], written.
        bias: float32 [b], written.
        codes: uint8 [b, d], written.
    """
    count, width = rows.shape
    ends = np.empty(2 * LANES, np.float32)
    top = splat(np.float32(2**bits - 1))
    for start in range(0, count, LANES):
        for lane in range(LANES):
            row = rows[min(start + lane, count - 1)]
            low = high = row[0]
            if width >= LANES:
                lows = highs = load(row, 0)
                for block in range(1, (width + LANES - 1) // LANES):
                    part = load(row, min(block * LANES, width - LANES))
                    lows, highs = lower(part, lows), upper(part, highs)
                low, high = lowest(lows), highest(highs)
            else:
                for j in range(1, width):
                    low, high = min(low, row[j]), max(high, row[j])
            ends[lane], ends[LANES + lane] = low, high
        lows, highs = load(ends, 0), load(ends, LANES)
        factor = zoom(upper(magnitude(lows), magnitude(highs)), half)
        biases = stored_bias(lows * factor, factor, half)
        spread = (highs * factor - biases * factor) / top
        scales = stored_scale(spread, biases, top, factor, half)
        scatter(biases, start, ends, bias)
        scatter(scales, start, ends, scale)
        for i in range(start, min(start + LANES, count)):
            encode(rows[i], scale[i], bias[i], 2**bits - 1, codes[i])
