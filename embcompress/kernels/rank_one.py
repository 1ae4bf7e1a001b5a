"""Rank-one fits of rows that share a remainder: directions of buckets, and factors by column."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import (
    LANES,
    any_lane,
    load,
    magnitude,
    select,
    splat,
    store,
    upper,
)
from embcompress.kernels.records import FLOAT32_2D, INT64_1D
from embcompress.kernels.shared_rows import FLOAT64_1D, FLOAT64_2D

_SQUARINGS: Final = 14
_RANK_ONE: Final = 1 - 1e-6
_SMALL: Final = 2.0**-64
_RAISE: Final = 2.0**64


@kernel(
    f"void({INT64_1D}, {FLOAT32_2D}, {FLOAT64_1D}, int64, int64, int64,"
    " Array(float32, 3, 'C'), Array(float64, 2, 'C'))"
)
def deal_rows(
    numbers: NDArray[np.int64],
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    m: int,
    low: int,
    high: int,
    buckets: NDArray[np.float32],
    masses: NDArray[np.float64],
) -> None:
    """Copy rows to the place that their remainder and lap have.

    Args:
        numbers: int64 [b], at least 0.
        rows: float32 [b, D].
        weights: float64 [b], or [0] for weights of 1.
        m: What remainders are of.
        low: Rows with smaller remainders are left out.
        high: Rows with this remainder and larger ones are left out.
        buckets: float32 [high - low, laps, D], the caller's, written where there are rows.
        masses: float64 [high - low, laps], the caller's, written likewise: weights.
    """
    for i in range(len(numbers)):
        own = numbers[i] % m
        if own < low or own >= high:
            continue
        lap = numbers[i] // m
        masses[own - low, lap] = weights[i] if len(weights) else 1.0
        for j in range(rows.shape[1]):
            buckets[own - low, lap, j] = rows[i, j]


@kernel(
    f"void({INT64_1D}, {FLOAT32_2D}, {FLOAT64_1D}, int64, int64, int64,"
    " Array(float32, 4, 'C'), Array(float64, 3, 'C'))"
)
def deal_lanes(
    numbers: NDArray[np.int64],
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    m: int,
    low: int,
    high: int,
    buckets: NDArray[np.float32],
    masses: NDArray[np.float64],
) -> None:
    """`deal_rows`, sixteen remainders side by side.

    Args:
        numbers: int64 [b], at least 0.
        rows: float32 [b, D].
        weights: float64 [b], or [0] for weights of 1.
        m: What remainders are of.
        low: Rows with smaller remainders are left out.
        high: Rows with this remainder and larger ones are left out.
        buckets: float32 [⌈(high - low)/16⌉, laps, D, 16], the caller's, written where there are
            rows.
        masses: float64 [⌈(high - low)/16⌉, laps, 16], the caller's, written likewise: weights.
    """
    for i in range(len(numbers)):
        own = numbers[i] % m
        if own < low or own >= high:
            continue
        lap = numbers[i] // m
        group = (own - low) // LANES
        lane = (own - low) % LANES
        masses[group, lap, lane] = weights[i] if len(weights) else 1.0
        for j in range(rows.shape[1]):
            buckets[group, lap, j, lane] = rows[i, j]


@kernel("void(Array(float32, 4, 'C'), Array(float64, 3, 'C'), Array(float32, 2, 'C'))")
def bucket_directions(
    buckets: NDArray[np.float32], masses: NDArray[np.float64], out: NDArray[np.float32]
) -> None:
    """The first singular vector of every bucket's weighted rows, as long as they reach along it.

    The rows' Gram matrix is squared until it has rank one, at most 14 times; what the direction
    can lose of the first eigenvalue is then below 2e-5 of it. A row at a time this took ten times
    as long: sixteen buckets lie side by side, each in its lane.

    Args:
        buckets: float32 [g, laps, D, 16]; the caller's, set to 0 where there is no row.
        masses: float64 [g, laps, 16], 0 where there is no row.
        out: float32 [h, D], h at most 16·g, the caller's, written: 0 for buckets of zeros.
    """
    groups, laps, d, _ = buckets.shape
    columns = np.empty(laps * d * LANES, np.float32)
    roots = np.empty(laps * LANES, np.float32)
    gram = np.empty(laps * laps * LANES, np.float32)
    square = np.empty(laps * laps * LANES, np.float32)
    first = np.empty(laps * LANES, np.float32)
    vector = np.empty(d * LANES, np.float32)
    factor = np.empty(LANES, np.float32)
    flat = buckets.reshape(buckets.size)
    zero = splat(0.0)
    one = splat(1.0)
    for g in range(groups):
        begin = g * laps * d * LANES
        for q in range(laps):
            for lane in range(LANES):
                if masses[g, q, lane] == 0:
                    for j in range(d):
                        buckets[g, q, j, lane] = 0
        top = zero
        for k in range(laps * d):
            top = upper(top, magnitude(load(flat, begin + k * LANES)))
        small = top < splat(_SMALL)
        raised = select(small, splat(_RAISE), one)
        inverse = one / select(zero < top, top * raised, one)
        for lane in range(LANES):
            heaviest = 0.0
            for q in range(laps):
                heaviest = max(heaviest, masses[g, q, lane])
            for q in range(laps):
                share = masses[g, q, lane] / heaviest if heaviest > 0 else 0.0
                roots[q * LANES + lane] = np.sqrt(share)
        for q in range(laps):
            root = load(roots, q * LANES)
            for j in range(d):
                at = (q * d + j) * LANES
                store(columns, at, load(flat, begin + at) * raised * inverse * root)
        for p in range(laps):
            for q in range(p, laps):
                total = zero
                for j in range(d):
                    left = load(columns, (p * d + j) * LANES)
                    total = total + left * load(columns, (q * d + j) * LANES)
                store(gram, (p * laps + q) * LANES, total)
                store(gram, (q * laps + p) * LANES, total)
        for _ in range(_SQUARINGS):
            trace = zero
            for p in range(laps):
                trace = trace + load(gram, (p * laps + p) * LANES)
            unit = one / select(zero < trace, trace, one)
            total = zero
            for k in range(laps * laps):
                scaled = load(gram, k * LANES) * unit
                store(gram, k * LANES, scaled)
                total = total + scaled * scaled
            if not any_lane((total < splat(_RANK_ONE)) & (zero < trace)):
                break
            for p in range(laps):
                for q in range(p, laps):
                    total = zero
                    for r in range(laps):
                        left = load(gram, (p * laps + r) * LANES)
                        total = total + left * load(gram, (q * laps + r) * LANES)
                    store(square, (p * laps + q) * LANES, total)
                    store(square, (q * laps + p) * LANES, total)
            gram, square = square, gram
        best = load(gram, 0)
        for q in range(laps):
            store(first, q * LANES, load(gram, q * LANES))
        for p in range(1, laps):
            other = load(gram, (p * laps + p) * LANES)
            better = best < other
            best = select(better, other, best)
            for q in range(laps):
                kept = load(first, q * LANES)
                store(first, q * LANES, select(better, load(gram, (p * laps + q) * LANES), kept))
        length = zero
        for j in range(d):
            total = zero
            for q in range(laps):
                total = total + load(first, q * LANES) * load(columns, (q * d + j) * LANES)
            store(vector, j * LANES, total)
            length = length + total * total
        longest = zero
        for q in range(laps):
            total = zero
            for j in range(d):
                left = load(vector, j * LANES)
                total = total + left * load(columns, (q * d + j) * LANES)
            root = load(roots, q * LANES)
            reach = magnitude(total) / select(zero < root, root, one)
            longest = upper(longest, reach)
        store(factor, 0, longest / select(zero < length, length, one))
        store(roots, 0, top)
        for lane in range(min(LANES, out.shape[0] - g * LANES)):
            for j in range(d):
                along = vector[j * LANES + lane] * factor[lane]
                out[g * LANES + lane, j] = along * roots[lane]


@kernel("void(Array(float32, 3, 'C'), Array(float64, 2, 'C'))")
def stretch(buckets: NDArray[np.float32], directions: NDArray[np.float64]) -> None:
    """Make directions as long as the longest coordinate of their bucket's rows along them.

    Args:
        buckets: float32 [h, laps, D].
        directions: float64 [h, D] of length 1 or 0, the caller's, written.
    """
    h, laps, d = buckets.shape
    for b in range(h):
        longest = 0.0
        for q in range(laps):
            total = 0.0
            for j in range(d):
                total += buckets[b, q, j] * directions[b, j]
            longest = max(longest, abs(total))
        for j in range(d):
            directions[b, j] *= longest


@kernel(
    f"void({INT64_1D}, {FLOAT32_2D}, {FLOAT64_1D}, int64, int64, int64, float64,"
    " Array(float64, 3, 'C'))"
)
def add_bucket_grams(
    numbers: NDArray[np.int64],
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    m: int,
    low: int,
    high: int,
    scale: float,
    grams: NDArray[np.float64],
) -> None:
    """Add eᵀe of weighted rows to the matrices of their remainders.

    Args:
        numbers: int64 [b], at least 0.
        rows: float32 [b, D].
        weights: float64 [b], or [0] for weights of 1.
        m: What remainders are of.
        low: Rows with smaller remainders are left out.
        high: Rows with this remainder and larger ones are left out.
        scale: What rows are multiplied by first.
        grams: float64 [high - low, D, D], the caller's, added to.
    """
    d = rows.shape[1]
    wide = np.empty(d, np.float64)
    for i in range(len(numbers)):
        own = numbers[i] % m
        if own < low or own >= high:
            continue
        weight = weights[i] if len(weights) else 1.0
        for j in range(d):
            wide[j] = scale * rows[i, j]
        for p in range(d):
            left = weight * wide[p]
            for q in range(d):
                grams[own - low, p, q] += left * wide[q]


@kernel(
    f"void({INT64_1D}, {FLOAT32_2D}, {FLOAT64_1D}, int64, int64, int64, boolean, {FLOAT64_2D},"
    " Array(float64, 2, 'C'), Array(float64, 2, 'C'))"
)
def add_factor_terms(
    numbers: NDArray[np.int64],
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    m: int,
    low: int,
    high: int,
    by_lap: bool,
    other: NDArray[np.float64],
    above: NDArray[np.float64],
    below: NDArray[np.float64],
) -> None:
    """Add what the least-squares factors of x ≈ remainder's factor · lap's factor are made of.

    Args:
        numbers: int64 [b], at least 0.
        rows: float32 [b, D].
        weights: float64 [b], or [0] for weights of 1.
        m: What remainders are of.
        low: Rows with smaller remainders are left out.
        high: Rows with this remainder and larger ones are left out.
        by_lap: Whether the factors of laps are wanted; else those of remainders.
        other: float64, the other side's factors: [laps, D] of laps, or [high - low, D].
        above: float64 [high - low, D] or [laps, D], the caller's: weight·x·other is added.
        below: float64 likewise: weight·other² is added.
    """
    for i in range(len(numbers)):
        own = numbers[i] % m
        if own < low or own >= high:
            continue
        weight = weights[i] if len(weights) else 1.0
        own -= low
        lap = numbers[i] // m
        target, given = (lap, own) if by_lap else (own, lap)
        for j in range(rows.shape[1]):
            factor = weight * other[given, j]
            above[target, j] += factor * rows[i, j]
            below[target, j] += factor * other[given, j]
