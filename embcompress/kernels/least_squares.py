"""Least-squares ranges: codes and (scale, bias) in turn, with hops out of local optima."""

from __future__ import annotations

import numpy as np

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import (
    LANES,
    any_lane,
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
    widen,
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


@kernel(
    "void(Array(float32, 2, 'C', readonly=True), float32, boolean, float32[:,::1], int64, float32, int64,"
    " float32[::1], uint8[::1], float32[::1], float32[::1], uint8[:,::1])"
)
def least_squares_rows(
    rows: Float32,
    top: float,
    half: bool,
    moves: Float32,
    rounds: int,
    relax: float,
    finals: int,
    scratch: Float32,
    spare: Codes,
    scale: Float32,
    bias: Float32,
    codes: Codes,
) -> None:
    width = rows.shape[1]
    size = width * LANES
    last = width - LANES if width > LANES else 0
    zero, one, tops = splat(0.0), splat(1.0), splat(top)
    share = one / splat(width)
    for start in range(0, rows.shape[0], LANES):
        for first in range(0, width, LANES):
            j = first if first < last else last
            transpose(rows, start * width + j, width, scratch, j * LANES, LANES)
        low = high = load(scratch, 0)
        for j in range(LANES, size, LANES):
            values = load(scratch, j)
            low, high = lower(values, low), upper(values, high)
        factor = zoom(upper(magnitude(low), magnitude(high)), half)
        if any_lane(zero < magnitude(factor - one)):
            for j in range(0, size, LANES):
                store(scratch, j, load(scratch, j) * factor)
        kept_bias, kept_scale = load(bias, start), load(scale, start)
        best_low, best_step = kept_bias * factor, kept_scale * factor
        best = splat(np.inf)
        best_mean = zero
        for move in range(moves.shape[0]):
            up = splat(moves[move, 0])
            low = best_low + up * best_step
            grow = (splat(moves[move, 1]) - up) / tops
            step = best_step + best_step * grow
            loss = best
            fit_low, fit_step = low, step
            for look in range(rounds):
                if look > 0:
                    low = low + splat(relax) * (fit_low - low)
                    step = upper(step + splat(relax) * (fit_step - step), splat(0.5) * fit_step)
                per_step = inverse(step)
                rests = products = squares = sums = powers = zero
                for j in range(0, size, LANES):
                    place = (load(scratch, j) - low) * per_step
                    code = upper(zero, lower(rint(place), tops))
                    rest = place - code
                    rests = rests + rest
                    squares = squares + rest * rest
                    products = products + rest * code
                    sums = sums + code
                    powers = powers + code * code
                mean = sums * share
                spread = powers - sums * mean
                slope = products - rests * mean
                change = select(zero < spread, slope / spread, zero)
                shift = (rests - change * sums) * share
                fit_low = low + shift * step
                fit_step = step + change * step
                loss = (squares - rests * (rests * share) - slope * change) * (step * step)
            better = loss < best
            best = select(better, loss, best)
            best_low = select(better, fit_low, best_low)
            best_step = select(better, fit_step, best_step)
            best_mean = select(better, mean, best_mean)
        # judge
        best_error = widen(splat(np.inf))
        new_bias, new_scale = kept_bias, kept_scale
        center = best_low + best_step * best_mean
        for look in range(finals):
            if look > 0:
                wide = best_step
                if look > 2:
                    r = to_half(best_step)
                    wide = best_step + splat(2.0) * (best_step - r)
                new_scale = stored_scale(wide, zero, tops, factor, half)
                low = center - new_scale * factor * best_mean
                new_bias = stored_bias(low, factor, half)
                if look % 2 == 0:
                    new_bias = stored_bias(low + splat(2.0) * (low - new_bias), factor, half)
            low = new_bias * factor
            step = new_scale * factor
            per_step = inverse(step)
            error = widen(zero)
            for j in range(0, size, LANES):
                values = load(scratch, j)
                rest = widen(values) - widen(nearest(values, low, per_step, tops) * step + low)
                error = error + rest * rest
            better = error < best_error
            best_error = select(better, error, best_error)
            kept_bias = select(better, new_bias, kept_bias)
            kept_scale = select(better, new_scale, kept_scale)
        low = kept_bias * factor
        per_step = inverse(kept_scale * factor)
        for j in range(0, size, LANES):
            store_codes(spare, j, nearest(load(scratch, j), low, per_step, tops))
        for first in range(0, width, LANES):
            j = first if first < last else last
            transpose(spare, j * LANES, LANES, codes, start * width + j, width)
        store(bias, start, kept_bias)
        store(scale, start, kept_scale)
