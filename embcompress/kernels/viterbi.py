"""Dependent quantization: the cheapest sequence of magnitudes, for sixteen multipliers at once.

A small state machine picks one of two interleaved uniform quantizers for every coordinate, in units
of half their distance: Q0 = {2k}, Q1 = {2k - sgn k}. State s uses quantizer s & 1 and moves to
``next[s, k & 1]``. For a multiplier λ the search finds the sequence of k with the least
distortion + λ · bits; sixteen multipliers lie side by side, one lane each, since distortions and
bits of the candidates are the same for all of them.

Source: Marcellin and Fischer 1990, Trellis coded quantization; Fischer and Wang 1992,
Entropy-constrained trellis-coded quantization.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.lanes import LANES, load, lower, select, splat, store, store_mask
from embcompress.kernels.records import (
    FLOAT32_1D,
    FLOAT32_2D,
    address,
    float32_at,
    int64_at,
    keep,
    put_int32,
    uint16_at,
)

INT64_2D: Final = "Array(int64, 2, 'C', readonly=True)"
INT64_1D: Final = "Array(int64, 1, 'C', readonly=True)"
FAR: Final[Any] = np.float32(1e9)
"""Bits of a magnitude that cannot be coded."""
NEAR: Final[Any] = np.float32(0)
MOST: Final = 2**20
"""Largest magnitude that is tried."""
ESCAPED: Final = 8
"""Raw bits after an escape."""
_MOST, _LOW, _RATE, _SHIFT, _QUICK, _LEVELS, _BITS, _ORIGINS, _PAIRS, _WIDTH, _STATES = range(11)
"""Places in what `addresses` returns."""


@inlined
def addresses(
    most: Any, low: Any, rate: Any, shift: Any, quick: Any, levels: Any, bits: Any, origins: Any,
    butterflies: Any,
) -> tuple[int, int, int, int, int, int, int, int, int, int, int]:  # fmt: skip
    """Where the arrays of tables and the state machine lie; the width of ``rate``, the states.

    Args:
        most: int64 [T], magnitudes of a table, before its escape.
        low: int64 [T], low bits of a magnitude that are stored raw.
        rate: float32 [T, W], bits of a magnitude without its sign.
        shift: float32 [T, 4], how far levels of 1, 2, ≥ 3 are moved towards 0.
        quick: int64 [T], magnitudes below it have their neighbours in ``levels`` and ``bits``.
        levels: float32 [T, W + 2], levels of magnitudes -2, -1, 0, …
        bits: float32 [T, W + 2], their bits, signs counted.
        origins: int64 [S, 4]: the two states, each with its parity, from which a state is reached.
        butterflies: int64 [max(S / 2, 1), 4], see `embcompress.kernels.machine.butterflies`.
    """
    return (
        address(most), address(low), address(rate), address(shift), address(quick),
        address(levels), address(bits), address(origins), address(butterflies), rate.shape[1],
        origins.shape[0],
    )  # fmt: skip


@inlined
def aligned(array: Any) -> Any:
    """The first address in an array at which a cache line begins."""
    return (address(array) + 63) & ~63


@inlined
def bits_of(m: Any, table: Any, model: Any) -> Any:
    """Bits of a magnitude in a table, its sign counted."""
    if m < 0:
        return FAR
    high = m >> int64_at(model[_LOW], table << 3)
    most = int64_at(model[_MOST], table << 3)
    if high >= most:
        if high >= most + (1 << ESCAPED):
            return FAR
        high = most
    bits: Any = float32_at(model[_RATE], (table * model[_WIDTH] + high) << 2)
    if m > 0:
        bits += np.float32(1)
    return bits


@inlined
def level_of(m: Any, z: Any, table: Any, model: Any) -> Any:
    """What a magnitude stands for, in units of the step."""
    if m <= 0:
        return np.float32(0)
    return np.float32(2 * m - z) - float32_at(model[_SHIFT], ((table << 2) + min(m, 3)) << 2)


@inlined
def nearest_of(size: Any, z: Any) -> int:
    """The larger candidate magnitude's lower neighbour: floor of size in quantizer z."""
    return int(min((size + z) * np.float32(0.5), np.float32(MOST)))


@inlined
def neighbours(size: Any, z: Any, table: Any, model: Any) -> Any:
    """The lower neighbour m of a size; levels and bits of m - 2, m - 1, m, m + 1."""
    m = nearest_of(size, z)
    # the common case reads tables of levels and of bits
    if m < int64_at(model[_QUICK], table << 3):
        near = (table * (model[_WIDTH] + 2) + m) << 2
        level0, bits0 = float32_at(model[_LEVELS], near), float32_at(model[_BITS], near)
        level1, bits1 = float32_at(model[_LEVELS], near + 4), float32_at(model[_BITS], near + 4)
        level2, bits2 = float32_at(model[_LEVELS], near + 8), float32_at(model[_BITS], near + 8)
        level3, bits3 = float32_at(model[_LEVELS], near + 12), float32_at(model[_BITS], near + 12)
    else:
        level0, bits0 = level_of(m - 2, z, table, model), bits_of(m - 2, table, model)
        level1, bits1 = level_of(m - 1, z, table, model), bits_of(m - 1, table, model)
        level2, bits2 = level_of(m, z, table, model), bits_of(m, table, model)
        level3, bits3 = level_of(m + 1, z, table, model), bits_of(m + 1, table, model)
    return m, level0, bits0, level1, bits1, level2, bits2, level3, bits3


@inlined
def cost_of(size: Any, level: Any, bits: Any, multipliers: Any) -> Any:
    """Distortion + λ · bits of a magnitude, sixteen λ."""
    away = size - level
    return splat(away * away) + multipliers * splat(bits)


@inlined
def pair_of(pair: Any, model: Any) -> Any:
    """The four states of a butterfly."""
    at = pair << 5
    return (
        int64_at(model[_PAIRS], at), int64_at(model[_PAIRS], at + 8),
        int64_at(model[_PAIRS], at + 16), int64_at(model[_PAIRS], at + 24),
    )  # fmt: skip


@inlined
def search(
    y: Any, scale: Any, tables: Any, places: Any, count: Any, model: Any, multipliers: Any,
    costs: Any, branch: Any,
) -> int:  # fmt: skip
    """Run the trellis over one record, for its costs alone.

    All arrays are addresses.

    Args:
        y: float32 [m], coordinates.
        scale: 1 / step.
        tables: int64 [m], the table of coordinate q's class in quantizer 0; 1 is added for 1.
        places: int64 [m], where in ``y`` coordinate q lies.
        count: Coordinates that are coded.
        model: As `addresses` gives it.
        multipliers: λ, sixteen.
        costs: float32 [2 · max(S, 2) · 16], scratch.
        branch: float32 [4 · 16], scratch.

    Returns:
        Where in ``costs`` the final costs of states begin.
    """
    states = model[_STATES]
    room = max(states, 2)
    quantizers, half = (2, states >> 2) if states > 1 else (1, 1)
    now, then = 0, room * LANES
    for s in range(states):
        store(costs, s * LANES, splat(FAR if s else NEAR))
    for q in range(count):
        size = abs(float32_at(y, int64_at(places, q << 3) << 2) * scale)
        table = int64_at(tables, q << 3)
        for z in range(quantizers):
            m, level0, bits0, level1, bits1, level2, bits2, level3, bits3 = neighbours(
                size, z, table + z, model
            )
            below2 = cost_of(size, level0, bits0, multipliers)
            below = cost_of(size, level1, bits1, multipliers)
            at = cost_of(size, level2, bits2, multipliers)
            above = cost_of(size, level3, bits3, multipliers)
            store(branch, (2 * z + (m & 1)) * LANES, lower(below2, at))
            store(branch, (2 * z + 1 - (m & 1)) * LANES, lower(below, above))
        for z in range(quantizers):
            even, odd = load(branch, 2 * z * LANES), load(branch, (2 * z + 1) * LANES)
            for pair in range(z * half, (z + 1) * half):
                a, b, u, v = pair_of(pair, model)
                from_a, from_b = load(costs, now + a * LANES), load(costs, now + b * LANES)
                store(costs, then + u * LANES, lower(from_a + even, from_b + odd))
                store(costs, then + v * LANES, lower(from_a + odd, from_b + even))
        now, then = then, now
    return now


@inlined
def search_varied(
    y: Any, scale: Any, tables: Any, places: Any, count: Any, model: Any, multipliers: Any,
    jitter: Any, cycle: Any, turn: Any, costs: Any, branch: Any, back: Any,
) -> int:  # fmt: skip
    """`search` with λ varied from coordinate to coordinate, and bits and distortions carried along.

    Args:
        y: See `search`, as the following.
        scale: .
        tables: .
        places: .
        count: .
        model: .
        multipliers: .
        jitter: float32 [J · 16], factors of λ; coordinate q takes those of (turn + q) mod J.
        cycle: J.
        turn: See there.
        costs: float32 [6 · max(S, 2) · 16], scratch.
        branch: float32 [12 · 16], scratch.
        back: uint16 [m, 4 + max(S, 2)], decisions.

    Returns:
        Where in ``costs`` the final costs of states begin; their bits follow at max(S, 2) · 16,
        their distortions at twice that.
    """
    states = model[_STATES]
    room = max(states, 2)
    width = 4 + room
    quantizers, half = (2, states >> 2) if states > 1 else (1, 1)
    bits_at, away_at = room * LANES, 2 * room * LANES
    now, then = 0, 3 * room * LANES
    for s in range(states):
        store(costs, s * LANES, splat(FAR if s else NEAR))
        store(costs, bits_at + s * LANES, splat(NEAR))
        store(costs, away_at + s * LANES, splat(NEAR))
    turn = turn % cycle
    for q in range(count):
        size = abs(float32_at(y, int64_at(places, q << 3) << 2) * scale)
        table = int64_at(tables, q << 3)
        varied = multipliers * load(jitter, turn * LANES)
        turn += 1
        if turn == cycle:
            turn = 0
        for z in range(quantizers):
            m, level0, bits0, level1, bits1, level2, bits2, level3, bits3 = neighbours(
                size, z, table + z, model
            )
            below2 = cost_of(size, level0, bits0, varied)
            below = cost_of(size, level1, bits1, varied)
            at = cost_of(size, level2, bits2, varied)
            above = cost_of(size, level3, bits3, varied)
            two_less, one_less = below2 < at, below < above
            store_mask(back, q * width + 2 * z, two_less)
            store_mask(back, q * width + 2 * z + 1, one_less)
            own = (2 * z + (m & 1)) * LANES
            across = (2 * z + 1 - (m & 1)) * LANES
            store(branch, own, select(two_less, below2, at))
            store(branch, across, select(one_less, below, above))
            store(branch, 4 * LANES + own, select(two_less, splat(bits0), splat(bits2)))
            store(branch, 4 * LANES + across, select(one_less, splat(bits1), splat(bits3)))
            away0, away1 = size - level0, size - level1
            away2, away3 = size - level2, size - level3
            store(
                branch, 8 * LANES + own,
                select(two_less, splat(away0 * away0), splat(away2 * away2)),
            )  # fmt: skip
            store(
                branch, 8 * LANES + across,
                select(one_less, splat(away1 * away1), splat(away3 * away3)),
            )  # fmt: skip
        row = q * width + 4
        for z in range(quantizers):
            even, odd = load(branch, 2 * z * LANES), load(branch, (2 * z + 1) * LANES)
            bits0, bits1 = load(branch, (4 + 2 * z) * LANES), load(branch, (5 + 2 * z) * LANES)
            away0, away1 = load(branch, (8 + 2 * z) * LANES), load(branch, (9 + 2 * z) * LANES)
            for pair in range(z * half, (z + 1) * half):
                a, b, u, v = pair_of(pair, model)
                a, b, u, v = now + a * LANES, now + b * LANES, u * LANES, v * LANES
                cost_a, cost_b = load(costs, a), load(costs, b)
                first, second = cost_a + even, cost_b + odd
                up = second < first
                store(costs, then + u, lower(second, first))
                first, second = cost_a + odd, cost_b + even
                down = second < first
                store(costs, then + v, lower(second, first))
                store_mask(back, row + u // LANES, up)
                store_mask(back, row + v // LANES, down)
                cost_a, cost_b = load(costs, bits_at + a), load(costs, bits_at + b)
                store(costs, bits_at + then + u, select(up, cost_b + bits1, cost_a + bits0))
                store(costs, bits_at + then + v, select(down, cost_b + bits0, cost_a + bits1))
                cost_a, cost_b = load(costs, away_at + a), load(costs, away_at + b)
                store(costs, away_at + then + u, select(up, cost_b + away1, cost_a + away0))
                store(costs, away_at + then + v, select(down, cost_b + away0, cost_a + away1))
        now, then = then, now
    return now


@inlined
def best_costs(costs: Any, states: Any, least: Any) -> None:
    """The least final cost of every lane; addresses of float32 [S · 16] and [16]."""
    best = load(costs, 0)
    for s in range(1, states):
        best = lower(best, load(costs, s * LANES))
    store(least, 0, best)


@inlined
def best_fit(costs: Any, states: Any, room: Any, bound: Any, least: Any, least_at: Any) -> Any:
    """Of all lanes and final states, the path with the least distortion below a bound that fits.

    Args:
        costs: Address of final costs, bits and distortions, as `search_varied` leaves them.
        states: S.
        room: Bits that there are.
        bound: Distortion to do better than.
        least: float32 [16], scratch.
        least_at: Its address.

    Returns:
        The lane and the final state, -1 for none; and the distortion, or the bound.
    """
    far, rooms, stride = splat(FAR), splat(room), max(states, 2) * LANES
    best = far
    for s in range(states):
        fits = select(
            rooms < load(costs, stride + s * LANES), far, load(costs, 2 * stride + s * LANES)
        )
        best = lower(best, select(load(costs, s * LANES) < far, fits, far))
    store(least_at, 0, best)
    lane, end = -1, -1
    for other in range(LANES):
        if least[other] < bound:
            bound, lane = least[other], other
    if lane >= 0:
        for s in range(states):
            at = 4 * (s * LANES + lane)
            if (
                float32_at(costs, at) < FAR
                and float32_at(costs, at + 4 * stride) <= room
                and float32_at(costs, at + 8 * stride) == bound
            ):
                end = s
    return lane, end, bound


@inlined
def trace(
    y: Any, scale: Any, tables: Any, places: Any, count: Any, model: Any, back: Any, lane: Any,
    end: Any, codes: Any,
) -> Any:  # fmt: skip
    """Follow a lane back from its final state; all bits and the distortion.

    Args:
        y: See `search`, as the following.
        scale: .
        tables: .
        places: .
        count: .
        model: .
        back: .
        lane: The lane.
        end: Its final state.
        codes: int32 [m], written: signed magnitudes.
    """
    states = model[_STATES]
    total, distortion = np.float64(0), np.float64(0)
    s = end
    for q in range(count - 1, -1, -1):
        row = back + 2 * q * (4 + max(states, 2))
        chosen = (np.int64(uint16_at(row, (4 + s) << 1)) >> lane) & 1
        origin = (s << 5) + (chosen << 4)
        parity = int64_at(model[_ORIGINS], origin + 8)
        s = int64_at(model[_ORIGINS], origin)
        z = s & 1
        value = float32_at(y, int64_at(places, q << 3) << 2) * scale
        size = abs(value)
        m = nearest_of(size, z)
        table = int64_at(tables, q << 3) + z
        if (m & 1) == parity:
            if (np.int64(uint16_at(row, z << 2)) >> lane) & 1:
                m -= 2
        elif (np.int64(uint16_at(row, (z << 2) + 2)) >> lane) & 1:
            m -= 1
        else:
            m += 1
        total += bits_of(m, table, model)
        away = size - level_of(m, z, table, model)
        distortion += away * away
        put_int32(codes, q << 2, -m if value < 0 else m)
    return total, distortion


_MODEL: Final = (
    f"{INT64_1D}, {INT64_1D}, {FLOAT32_2D}, {FLOAT32_2D}, {INT64_1D}, {FLOAT32_2D}, {FLOAT32_2D},"
    f" {INT64_2D}, {INT64_2D}"
)


@kernel(
    f"void({FLOAT32_2D}, {INT64_2D}, {INT64_2D}, {INT64_2D}, {INT64_1D}, {FLOAT32_1D}, {_MODEL},"
    f" {FLOAT32_1D}, Array(float32, 3, 'C'))"
)
def curves_at(
    rows: NDArray[np.float32],
    candidates: NDArray[np.int64],
    tables: NDArray[np.int64],
    places: NDArray[np.int64],
    counts: NDArray[np.int64],
    steps: NDArray[np.float32],
    most: NDArray[np.int64],
    low: NDArray[np.int64],
    rate: NDArray[np.float32],
    shift: NDArray[np.float32],
    quick: NDArray[np.int64],
    levels: NDArray[np.float32],
    bits: NDArray[np.float32],
    origins: NDArray[np.int64],
    butterflies: NDArray[np.int64],
    ladder: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Least distortion + λ · bits of records in some classes, for sixteen λ."""
    m, states = rows.shape[1], origins.shape[0]
    width = candidates.shape[1]
    costs = np.empty((2 * max(states, 2) + 1) * LANES, np.float32)
    branch = np.empty(5 * LANES, np.float32)
    model = addresses(most, low, rate, shift, quick, levels, bits, origins, butterflies)
    costs_at, branch_at = aligned(costs), aligned(branch)
    rows_at, out_at = address(rows), address(out)
    tables_at, places_at = address(tables), address(places)
    multipliers = load(ladder, 0)
    for i in range(rows.shape[0]):
        for j in range(width):
            g = candidates[i, j]
            if g < 0:
                continue
            begin = search(
                rows_at + 4 * m * i, np.float32(1) / steps[g], tables_at + 8 * m * g,
                places_at + 8 * m * g, counts[g], model, multipliers, costs_at, branch_at,
            )  # fmt: skip
            best_costs(costs_at + 4 * begin, states, out_at + 4 * LANES * (i * width + j))
    keep(costs)
    keep(branch)


@kernel(
    f"void({FLOAT32_2D}, {INT64_2D}, {FLOAT32_2D}, {INT64_2D}, {INT64_2D}, {INT64_1D},"
    f" {FLOAT32_1D}, {INT64_1D}, {_MODEL}, {FLOAT32_1D}, {FLOAT32_1D},"
    f" int64, {FLOAT32_1D},"
    " Array(int64, 1, 'C'), Array(int32, 2, 'C'), Array(float64, 2, 'C'))"
)
def fit_lengths_at(
    rows: NDArray[np.float32],
    candidates: NDArray[np.int64],
    weights: NDArray[np.float32],
    tables: NDArray[np.int64],
    places: NDArray[np.int64],
    counts: NDArray[np.int64],
    steps: NDArray[np.float32],
    lengths: NDArray[np.int64],
    most: NDArray[np.int64],
    low: NDArray[np.int64],
    rate: NDArray[np.float32],
    shift: NDArray[np.float32],
    quick: NDArray[np.int64],
    levels: NDArray[np.float32],
    bits: NDArray[np.float32],
    origins: NDArray[np.int64],
    butterflies: NDArray[np.int64],
    ladder: NDArray[np.float32],
    jitter: NDArray[np.float32],
    tries: int,
    slack: NDArray[np.float32],
    chosen: NDArray[np.int64],
    codes: NDArray[np.int32],
    found: NDArray[np.float64],
) -> None:
    """Codes of records in the best of some classes, within the class's length.

    Every class is searched over the ladder of λ. The dual max(cost(λ) - λ · length) bounds the
    distortion at the class's length; the class with the least weighted bound + length is taken.
    It is searched again about the λ of that maximum, λ varied from coordinate to coordinate and
    from lane to lane: the best paths of λ alone are few and leave bits over. Of all lanes and final
    states, the path with the least distortion that fits is the record's.

    Args:
        rows: float32 [b, m], coordinates of records.
        candidates: int64 [b, c], classes to try; -1 is none.
        weights: float32 [b, c], what a squared step of distortion in a class is worth in bits.
        tables: int64 [G, m], by class, see `search`, as the following.
        places: int64 [G, m].
        counts: int64 [G].
        steps: float32 [G].
        lengths: int64 [G], bits.
        most: int64 [T].
        low: int64 [T].
        rate: float32 [T, W].
        shift: float32 [T, 4].
        quick: int64 [T].
        levels: float32 [T, W + 2].
        bits: float32 [T, W + 2].
        origins: int64 [S, 4].
        butterflies: int64 [max(S / 2, 1), 4].
        ladder: float32 [16], ascending λ.
        jitter: float32 [J · 16], see `search_varied`.
        tries: Searches about the best λ, each with other factors of it.
        slack: float32 [b], bits to be left over.
        chosen: int64 [b], written: the class, -1 when none fits.
        codes: int32 [b, m], written.
        found: float64 [b, 2], written: bits, and distortion in squared steps.
    """
    m, states = rows.shape[1], origins.shape[0]
    width = candidates.shape[1]
    costs = np.empty((6 * max(states, 2) + 1) * LANES, np.float32)
    branch = np.empty(13 * LANES, np.float32)
    back = np.empty((m, 4 + max(states, 2)), np.uint16)
    least = np.empty(LANES, np.float32)
    duals = np.empty(width, np.float64)
    peaks = np.empty(width, np.int64)
    near = np.empty(LANES, np.float32)
    model = addresses(most, low, rate, shift, quick, levels, bits, origins, butterflies)
    costs_at, branch_at, back_at = aligned(costs), aligned(branch), address(back)
    least_at, near_at, jitter_at = address(least), address(near), address(jitter)
    cycle = len(jitter) // LANES
    multipliers = load(ladder, 0)
    for i in range(rows.shape[0]):
        y = address(rows) + 4 * m * i
        chosen[i] = -1
        for j in range(width):
            g = candidates[i, j]
            duals[j] = np.inf
            if g < 0:
                continue
            room = np.float64(lengths[g]) - slack[i]
            begin = search(
                y, np.float32(1) / steps[g], address(tables) + 8 * m * g,
                address(places) + 8 * m * g, counts[g], model, multipliers, costs_at, branch_at,
            )  # fmt: skip
            best_costs(costs_at + 4 * begin, states, least_at)
            bound = -np.inf
            for lane in range(LANES):
                dual = np.float64(least[lane]) - np.float64(ladder[lane]) * room
                if dual > bound:
                    bound = dual
                    peaks[j] = lane
            duals[j] = bound * weights[i, j] + lengths[g]
        while chosen[i] < 0:
            best = -1
            for j in range(width):
                if duals[j] < np.inf and (best < 0 or duals[j] < duals[best]):
                    best = j
            if best < 0:
                break
            g = candidates[i, best]
            scale = np.float32(1) / steps[g]
            room = np.float64(lengths[g]) - slack[i]
            own_tables, own_places = address(tables) + 8 * m * g, address(places) + 8 * m * g
            duals[best] = np.inf
            peak = peaks[best]
            bottom = ladder[max(peak - 1, 0)]
            top = ladder[min(peak + 1, LANES - 1)]
            least_missed = FAR
            for attempt in range(tries + 2):
                if attempt >= tries:
                    if least_missed < FAR:
                        break
                    top = ladder[LANES - 1]
                ratio = np.float32((top / bottom) ** np.float32(1.0 / (LANES - 1)))
                near[0] = bottom
                for lane in range(1, LANES):
                    near[lane] = near[lane - 1] * ratio
                begin = search_varied(
                    y, scale, own_tables, own_places, counts[g], model, load(near_at, 0), jitter_at,
                    cycle, attempt * 7, costs_at, branch_at, back_at,
                )  # fmt: skip
                lane, end, least_missed = best_fit(
                    costs_at + 4 * begin, states, np.float32(room), least_missed, least, least_at
                )
                if lane >= 0:
                    chosen[i] = g
                    found[i, 0], found[i, 1] = trace(
                        y, scale, own_tables, own_places, counts[g], model, back_at, lane, end,
                        address(codes) + 4 * m * i,
                    )  # fmt: skip
    keep(costs)
    keep(branch)
    keep(back)
    keep(least)
    keep(near)


@kernel(
    f"void({FLOAT32_2D}, Array(int32, 2, 'C', readonly=True), {INT64_1D}, {INT64_2D}, {INT64_2D},"
    f" {INT64_1D}, {FLOAT32_1D}, {INT64_1D}, {INT64_1D}, {INT64_2D}, Array(float64, 2, 'C'),"
    " Array(float64, 2, 'C'), Array(float64, 2, 'C'))"
)
def tally_at(
    rows: NDArray[np.float32],
    codes: NDArray[np.int32],
    chosen: NDArray[np.int64],
    tables: NDArray[np.int64],
    places: NDArray[np.int64],
    counts: NDArray[np.int64],
    steps: NDArray[np.float32],
    most: NDArray[np.int64],
    low: NDArray[np.int64],
    moves: NDArray[np.int64],
    seen: NDArray[np.float64],
    times: NDArray[np.float64],
    away: NDArray[np.float64],
) -> None:
    """Count magnitudes, and how far values lie below their levels.

    Args:
        rows: float32 [b, m], as in `fit_lengths_at`, and the following.
        codes: int32 [b, m].
        chosen: int64 [b].
        tables: int64 [G, m].
        places: int64 [G, m].
        counts: int64 [G].
        steps: float32 [G].
        most: int64 [T].
        low: int64 [T].
        moves: int64 [S, 2], the next state by parity.
        seen: float64 [T, W], added to: magnitudes without raw bits, escapes as the last.
        times: float64 [T, 4], added to: how often magnitude 1, 2, ≥ 3 came.
        away: float64 [T, 4], added to: level less size, in steps.
    """
    states = moves.shape[0]
    for i in range(rows.shape[0]):
        g = chosen[i]
        if g < 0:
            continue
        s = 0
        scale = np.float64(1) / steps[g]
        for q in range(counts[g]):
            z = s & 1 if states > 1 else 0
            table = tables[g, q] + z
            m: Any = abs(np.int64(codes[i, q]))
            seen[table, min(m >> low[table], most[table])] += 1
            if m > 0:
                size = abs(rows[i, places[g, q]]) * scale
                times[table, min(m, 3)] += 1
                away[table, min(m, 3)] += (2 * m - z) - size
            s = moves[s, m & 1]
