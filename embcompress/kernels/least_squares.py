"""Least-squares ranges: codes, then the best scale and bias for them, in turn, from many starts.

Lloyd's iteration stops at a local optimum, and there are many close together. Moving an end of
the range by half a step and iterating on finds better ones than restarting does: the 40 passes of
`quantize_rows` came out below the best of 100 starts of 12 passes each, at all of 1, 2, 3, 4 and 8
bits, on GloVe and MiniLM. Refits go twice as far as they should, unless they are the last of their
move: three such passes came out below four plain ones.
"""

from __future__ import annotations

import numpy as np

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import (
    LANES,
    load,
    lower,
    rint,
    select,
    splat,
    store,
    to_half,
    upper,
    widen,
)
from embcompress.kernels.ranges import (
    Codes,
    Float32,
    gather,
    inverse,
    nearest,
    stored_bias,
    stored_scale,
    write_codes,
)


@kernel(
    "void(Array(float32, 2, 'C', readonly=True), float32, boolean, float32[:,::1], int64,"
    " float32[::1], uint8[::1], float32[::1], float32[::1], uint8[:,::1])"
)
def least_squares_rows(
    rows: Float32,
    top: float,
    half: bool,
    moves: Float32,
    passes: int,
    scratch: Float32,
    spare: Codes,
    scale: Float32,
    bias: Float32,
    codes: Codes,
) -> None:
    """Improve each row's scale and bias; they stay where nothing better is found.

    A move shifts both ends of the best range so far; what `passes` refits make of it replaces the
    best where its squared error is smaller. The last word has the squared error, in float64, of
    what is really stored, so no row gets worse. About memory behind the last row see
    `greedy_rows`.

    Args:
        rows: float32 [b, d], finite; b is a multiple of 16, d at least 1.
        top: the largest code, 2^bits - 1.
        half: whether scale and bias are rounded to fp16.
        moves: float32 [m, 2], in steps: how far the low and the high end go up.
        passes: refits after each move, at least 1.
        scratch: float32 [16 * max(d, 16)], overwritten.
        spare: uint8 [16 * max(d, 16)], overwritten.
        scale: float32 [b], the start, overwritten.
        bias: float32 [b], the start, overwritten.
        codes: uint8 [b, d], written.
    """
    size = rows.shape[1] * LANES
    zero, two, tops = splat(0.0), splat(2.0), splat(top)
    share = splat(1.0) / splat(rows.shape[1])
    for start in range(0, rows.shape[0], LANES):
        _, _, factor = gather(rows, start, half, scratch)
        biases, scales = load(bias, start), load(scale, start)
        best_low, best_step, best_mean = biases * factor, scales * factor, zero
        best = splat(np.inf)
        for move in range(moves.shape[0]):
            up, wider = moves[move, 0], (moves[move, 1] - moves[move, 0]) / top
            low = best_low + splat(up) * best_step
            step = best_step + splat(wider if wider > -0.5 else -0.5) * best_step
            fit_low, fit_step, loss, mean = low, step, best, zero
            for look in range(passes):
                if look > 0:
                    low = low + two * (fit_low - low)
                    step = upper(step + two * (fit_step - step), splat(0.5) * fit_step)
                # Everything in steps: place = code + rest, and rest is refitted on code.
                per_step = inverse(step)
                codes_sum = codes_square = rest_sum = rest_square = product = zero
                for j in range(0, size, LANES):
                    place = (load(scratch, j) - low) * per_step
                    code = upper(zero, lower(rint(place), tops))
                    rest = place - code
                    codes_sum = codes_sum + code
                    codes_square = codes_square + code * code
                    rest_sum = rest_sum + rest
                    rest_square = rest_square + rest * rest
                    product = product + rest * code
                mean = codes_sum * share
                spread = codes_square - codes_sum * mean
                common = product - rest_sum * mean
                change = select(zero < spread, common / spread, zero)
                fit_low = low + (rest_sum - change * codes_sum) * share * step
                fit_step = step + change * step
                loss = rest_square - rest_sum * rest_sum * share - common * change
                loss = loss * step * step
            better = loss < best
            best = select(better, loss, best)
            best_low = select(better, fit_low, best_low)
            best_step = select(better, fit_step, best_step)
            best_mean = select(better, mean, best_mean)
        # What is given, then the fit rounded; in fp16 also with either or both the other way.
        center = best_low + best_step * best_mean
        error = widen(splat(np.inf))
        new_bias, new_scale = biases, scales
        for look in range(5 if half else 2):
            if look > 0:
                step = best_step
                if look > 2:
                    step = step + two * (step - to_half(step))
                new_scale = stored_scale(step, biases, tops, factor, half)
                low = center - new_scale * factor * best_mean
                if look == 2 or look == 4:
                    low = low + two * (low - to_half(low))
                new_bias = stored_bias(low, factor, half)
                new_scale = stored_scale(step, new_bias, tops, factor, half)
            low, step = new_bias * factor, new_scale * factor
            per_step = inverse(step)
            total = widen(zero)
            for j in range(0, size, LANES):
                values = load(scratch, j)
                decoded = nearest(values, low, per_step, tops) * step + low
                rests = widen(values) - widen(decoded)
                total = total + rests * rests
            better = total < error
            error = select(better, total, error)
            biases, scales = select(better, new_bias, biases), select(better, new_scale, scales)
        write_codes(scratch, spare, start, biases * factor, scales * factor, tops, codes)
        store(bias, start, biases)
        store(scale, start, scales)
