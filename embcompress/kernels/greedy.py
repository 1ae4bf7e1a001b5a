"""Guan et al.'s greedy search for a row's range, sixteen rows side by side."""

from __future__ import annotations

import numpy as np

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.lanes import (
    LANES,
    Lanes,
    any_lane,
    equal,
    load,
    lower,
    magnitude,
    select,
    splat,
    sqrt,
    store,
    store_codes,
    to_half,
    transpose,
    upper,
)
from embcompress.kernels.ranges import (
    Codes,
    Float32,
    inverse,
    nearest,
    stored_bias,
    stored_scale,
    zoom,
)


@inlined
def steps(low: Lanes, high: Lanes, top: Lanes, half: bool) -> tuple[Lanes, Lanes, Lanes]:
    """Bias, scale and steps per unit that the search judges the range [low, high] by."""
    zero, one = splat(0.0), splat(1.0)
    bias = low
    if half:
        bias = to_half(low)
    spread = high - bias
    scale = spread / top
    if half:
        scale = to_half(scale)
    scale = select(equal(spread, zero), one, scale)
    return bias, scale, select(equal(scale, zero), one, one / scale)


@kernel(
    "void(Array(float32, 2, 'C', readonly=True), float32, int64, float32, boolean,"
    " float32[::1], uint8[::1], float32[::1], float32[::1], uint8[:,::1])"
)
def greedy_rows(
    rows: Float32,
    top: float,
    bins: int,
    least: float,
    half: bool,
    scratch: Float32,
    spare: Codes,
    scale: Float32,
    bias: Float32,
    codes: Codes,
) -> None:
    width = rows.shape[1]
    size = width * LANES
    last = width - LANES if width > LANES else 0
    tops = splat(top)
    for start in range(0, rows.shape[0], LANES):
        for first in range(0, width, LANES):
            j = first if first < last else last
            transpose(rows, start * width + j, width, scratch, j * LANES, LANES)
        low = high = load(scratch, 0)
        for j in range(LANES, size, LANES):
            values = load(scratch, j)
            low, high = lower(values, low), upper(values, high)
        factor = zoom(upper(magnitude(low), magnitude(high)), half)
        if any_lane(splat(0.0) < magnitude(factor - splat(1.0))):
            for j in range(0, size, LANES):
                store(scratch, j, load(scratch, j) * factor)
        low, high = low * factor, high * factor
        step = (high - low) / splat(np.float32(bins))
        kept = splat(least) * step
        best_low, best_high = low, high
        now = best = low
        up, down = low, high
        for look in range(2 * bins):  # a step too small to move an end would go on for ever
            a_bias, a_scale, a_steps = steps(up, high, tops, half)
            b_bias, b_scale, b_steps = steps(low, down, tops, half)
            with_up = with_down = splat(0.0)
            for j in range(0, size, LANES):
                values = load(scratch, j)
                rest = values - (nearest(values, a_bias, a_steps, tops) * a_scale + a_bias)
                with_up = with_up + rest * rest
                rest = values - (nearest(values, b_bias, b_steps, tops) * b_scale + b_bias)
                with_down = with_down + rest * rest
            with_up, with_down = sqrt(with_up), sqrt(with_down)
            if look == 0:
                best = with_up
            else:
                bound = lower(lower(with_up, with_down), best)
                better = (low + kept < high) & (now < bound)
                best = select(better, now, best)
                best_low = select(better, low, best_low)
                best_high = select(better, high, best_high)
            raised = with_up < with_down
            now = select(raised, with_up, with_down)
            low, high = select(raised, up, low), select(raised, high, down)
            if not any_lane(low + kept < high):
                break
            up, down = low + step, high - step
        biases = stored_bias(best_low, factor, half)
        low = biases * factor
        scales = stored_scale((best_high - low) / tops, biases, tops, factor, half)
        per_step = inverse(scales * factor)
        for j in range(0, size, LANES):
            store_codes(spare, j, nearest(load(scratch, j), low, per_step, tops))
        for first in range(0, width, LANES):
            j = first if first < last else last
            transpose(spare, j * LANES, LANES, codes, start * width + j, width)
        store(bias, start, biases)
        store(scale, start, scales)
