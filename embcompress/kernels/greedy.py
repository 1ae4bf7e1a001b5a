"""Guan et al.'s greedy search for a row's range, and the plain range without a search."""

from __future__ import annotations

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.lanes import (
    LANES,
    Lanes,
    any_lane,
    equal,
    load,
    lower,
    select,
    splat,
    sqrt,
    store,
    to_half,
)
from embcompress.kernels.ranges import (
    Codes,
    Float32,
    gather,
    nearest,
    stored_bias,
    stored_scale,
    write_codes,
)


@inlined
def trial(low: Lanes, high: Lanes, top: Lanes, half: bool) -> tuple[Lanes, Lanes, Lanes]:
    """Bias, scale and steps per unit by which torch judges the range from low to high."""
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
    "void(Array(float32, 2, 'C', readonly=True), float32, int64, int64, boolean, float32[::1],"
    " uint8[::1], float32[::1], float32[::1], uint8[:,::1])"
)
def greedy_rows(
    rows: Float32,
    top: float,
    bins: int,
    least: int,
    half: bool,
    scratch: Float32,
    spare: Codes,
    scale: Float32,
    bias: Float32,
    codes: Codes,
) -> None:
    """Shrink each row's range a bin at a time, and keep the best local optimum passed.

    Where a row has fewer than 16 columns, its neighbours in memory are read and codes written up
    to 16 places from its start: the caller has that much memory behind the last row.

    Args:
        rows: float32 [b, d], finite; b is a multiple of 16, d at least 1.
        top: the largest code, 2^bits - 1.
        bins: steps in which the range from minimum to maximum is cut; 0 keeps that range.
        least: how many of them a range must keep.
        half: whether scale and bias are rounded to fp16.
        scratch: float32 [16 * max(d, 16)], overwritten.
        spare: uint8 [16 * max(d, 16)], overwritten.
        scale: float32 [b], written.
        bias: float32 [b], written.
        codes: uint8 [b, d], written.

    Source:
        Guan, Malevich, Yang, Park, Yuen: Post-training 4-bit quantization on embedding tables
        (2019), uniform quantization (GREEDY), as torch's choose_qparams_optimized computes it.
    """
    size = rows.shape[1] * LANES
    tops = splat(top)
    for start in range(0, rows.shape[0], LANES):
        low, high, factor = gather(rows, start, half, scratch)
        step = (high - low) / splat(bins)
        margin = splat(least) * step
        best_low, best_high = low, high
        best = loss = low
        raised, lowered = low, high
        # A step too small to move an end would go on for ever, as it does in torch; rounding can
        # ask for half as many steps again as there are bins, not for more.
        for look in range(2 * bins):
            a_bias, a_scale, a_steps = trial(raised, high, tops, half)
            b_bias, b_scale, b_steps = trial(low, lowered, tops, half)
            a_loss = b_loss = splat(0.0)
            for j in range(0, size, LANES):
                values = load(scratch, j)
                rest = values - (nearest(values, a_bias, a_steps, tops) * a_scale + a_bias)
                a_loss = a_loss + rest * rest
                rest = values - (nearest(values, b_bias, b_steps, tops) * b_scale + b_bias)
                b_loss = b_loss + rest * rest
            a_loss, b_loss = sqrt(a_loss), sqrt(b_loss)
            if look == 0:  # both ranges are the full one
                best = a_loss
            else:
                better = (low + margin < high) & (loss < lower(lower(a_loss, b_loss), best))
                best = select(better, loss, best)
                best_low = select(better, low, best_low)
                best_high = select(better, high, best_high)
            ahead = a_loss < b_loss
            loss = select(ahead, a_loss, b_loss)
            low, high = select(ahead, raised, low), select(ahead, high, lowered)
            if not any_lane(low + margin < high):
                break
            raised, lowered = low + step, high - step
        biases = stored_bias(best_low, factor, half)
        low = biases * factor
        scales = stored_scale((best_high - low) / tops, biases, tops, factor, half)
        write_codes(scratch, spare, start, low, scales * factor, tops, codes)
        store(bias, start, biases)
        store(scale, start, scales)
