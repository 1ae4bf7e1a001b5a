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
from embcompress.kernels.records import FLOAT32_1D, FLOAT32_2D, float32_at

INT64_2D: Final = "Array(int64, 2, 'C', readonly=True)"
INT64_1D: Final = "Array(int64, 1, 'C', readonly=True)"
FAR: Final[Any] = np.float32(1e9)
"""Bits of a magnitude that cannot be coded."""
NEAR: Final[Any] = np.float32(0)
MOST: Final = 2**20
"""Largest magnitude that is tried."""
ESCAPED: Final = 8
"""Raw bits after an escape."""


@inlined
def bits_of(m: Any, table: Any, most: Any, low: Any, rate: Any) -> Any:
    """Bits of a magnitude in a table, its sign counted."""
    if m < 0:
        return FAR
    high = m >> low[table]
    if high >= most[table]:
        if high >= most[table] + (1 << ESCAPED):
            return FAR
        high = most[table]
    bits = rate[table, high]
    if m > 0:
        bits += np.float32(1)
    return bits


@inlined
def level_of(m: Any, z: Any, table: Any, shift: Any) -> Any:
    """What a magnitude stands for, in units of the step."""
    if m <= 0:
        return np.float32(0)
    return np.float32(2 * m - z) - shift[table, min(m, 3)]


@inlined
def nearest_of(size: Any, z: Any) -> int:
    """The larger candidate magnitude's lower neighbour: floor of size in quantizer z."""
    return int(min((size + z) * np.float32(0.5), np.float32(MOST)))


@inlined
def cost_of(size: Any, level: Any, bits: Any, multipliers: Any) -> Any:
    """Distortion + λ · bits of a magnitude, sixteen λ."""
    away = size - level
    return splat(away * away) + multipliers * splat(bits)


@inlined
def search(
    y: Any, scale: Any, tables: Any, places: Any, count: Any, most: Any, low: Any, rate: Any,
    shift: Any, quick: Any, levels: Any, bits: Any, origins: Any, multipliers: Any, costs: Any,
    branch: Any, back: Any,
) -> None:  # fmt: skip
    """Run the trellis over one record; ends with the states' costs in ``costs``.

    Args:
        y: float32 [m], coordinates.
        scale: 1 / step.
        tables: int64 [m], the table of coordinate q's class in quantizer 0; 1 is added for 1.
        places: int64 [m], where in ``y`` coordinate q lies.
        count: Coordinates that are coded.
        most: int64 [T], magnitudes of a table, before its escape.
        low: int64 [T], low bits of a magnitude that are stored raw.
        rate: float32 [T, W], bits of a magnitude without its sign.
        shift: float32 [T, 4], how far levels of 1, 2, ≥ 3 are moved towards 0.
        quick: int64 [T], magnitudes below it have their neighbours in ``levels`` and ``bits``.
        levels: float32 [T, W + 2], levels of magnitudes -2, -1, 0, …
        bits: float32 [T, W + 2], their bits, signs counted.
        origins: int64 [S, 4]: the two states, each with its parity, from which a state is reached.
        multipliers: λ, sixteen.
        costs: float32 [2 · S · 16], scratch: costs of states in its first half when done.
        branch: float32 [4 · 16], scratch.
        back: uint16 [m, 4 + S], decisions.
    """
    states = origins.shape[0]
    width = 4 + states
    stride = levels.shape[1]
    for s in range(states):
        store(costs, s * LANES, splat(FAR if s else NEAR))
    for q in range(count):
        size = abs(y[places[q]] * scale)
        for z in range(2 if states > 1 else 1):
            table = tables[q] + z
            m = nearest_of(size, z)
            # the common case reads four neighbours of a table of levels and of bits
            if m < quick[table]:
                near = 4 * (table * stride + m)
                level0, bits0 = float32_at(levels, near), float32_at(bits, near)
                level1, bits1 = float32_at(levels, near + 4), float32_at(bits, near + 4)
                level2, bits2 = float32_at(levels, near + 8), float32_at(bits, near + 8)
                level3, bits3 = float32_at(levels, near + 12), float32_at(bits, near + 12)
            else:
                level0 = level_of(m - 2, z, table, shift)
                bits0 = bits_of(m - 2, table, most, low, rate)
                level1 = level_of(m - 1, z, table, shift)
                bits1 = bits_of(m - 1, table, most, low, rate)
                level2 = level_of(m, z, table, shift)
                bits2 = bits_of(m, table, most, low, rate)
                level3 = level_of(m + 1, z, table, shift)
                bits3 = bits_of(m + 1, table, most, low, rate)
            below2 = cost_of(size, level0, bits0, multipliers)
            below = cost_of(size, level1, bits1, multipliers)
            at = cost_of(size, level2, bits2, multipliers)
            above = cost_of(size, level3, bits3, multipliers)
            store_mask(back, q * width + 2 * z, below2 < at)
            store_mask(back, q * width + 2 * z + 1, below < above)
            store(branch, (2 * z + (m & 1)) * LANES, lower(below2, at))
            store(branch, (2 * z + 1 - (m & 1)) * LANES, lower(below, above))
        for s in range(states):
            one, other = origins[s, 0], origins[s, 2]
            first = load(costs, one * LANES) + load(branch, (2 * (one & 1) + origins[s, 1]) * LANES)
            second = load(costs, other * LANES) + load(
                branch, (2 * (other & 1) + origins[s, 3]) * LANES
            )
            chosen = second < first
            store_mask(back, q * width + 4 + s, chosen)
            store(costs, (states + s) * LANES, select(chosen, second, first))
        for s in range(states):
            store(costs, s * LANES, load(costs, (states + s) * LANES))


@inlined
def search_varied(
    y: Any, scale: Any, tables: Any, places: Any, count: Any, most: Any, low: Any, rate: Any,
    shift: Any, quick: Any, levels: Any, bits: Any, origins: Any, multipliers: Any, jitter: Any,
    turn: Any, costs: Any, branch: Any, back: Any,
) -> None:  # fmt: skip
    """`search` with λ varied from coordinate to coordinate, and bits and distortions carried along.

    Args:
        y: float32 [m], coordinates.
        scale: 1 / step.
        tables: int64 [m], the table of coordinate q's class in quantizer 0; 1 is added for 1.
        places: int64 [m], where in ``y`` coordinate q lies.
        count: Coordinates that are coded.
        most: int64 [T], magnitudes of a table, before its escape.
        low: int64 [T], low bits of a magnitude that are stored raw.
        rate: float32 [T, W], bits of a magnitude without its sign.
        shift: float32 [T, 4], how far levels of 1, 2, ≥ 3 are moved towards 0.
        quick: int64 [T], magnitudes below it have their neighbours in ``levels`` and ``bits``.
        levels: float32 [T, W + 2], levels of magnitudes -2, -1, 0, …
        bits: float32 [T, W + 2], their bits, signs counted.
        origins: int64 [S, 4]: the two states, each with its parity, from which a state is reached.
        multipliers: λ, sixteen.
        jitter: float32 [J · 16], factors of λ; coordinate q takes those of (turn + q) mod J.
        turn: See there.
        costs: float32 [6 · S · 16], scratch: when done costs of states come first, then their bits
            at 2 · S · 16, and their distortions at 4 · S · 16.
        branch: float32 [12 · 16], scratch.
        back: uint16 [m, 4 + S], decisions.
    """
    states = origins.shape[0]
    width = 4 + states
    stride = levels.shape[1]
    for s in range(states):
        store(costs, s * LANES, splat(FAR if s else NEAR))
        store(costs, (2 * states + s) * LANES, splat(NEAR))
        store(costs, (4 * states + s) * LANES, splat(NEAR))
    cycle = len(jitter) // LANES
    turn = turn % cycle
    for q in range(count):
        size = abs(y[places[q]] * scale)
        varied = multipliers * load(jitter, turn * LANES)
        turn += 1
        if turn == cycle:
            turn = 0
        for z in range(2 if states > 1 else 1):
            table = tables[q] + z
            m = nearest_of(size, z)
            # the common case reads four neighbours of a table of levels and of bits
            if m < quick[table]:
                near = 4 * (table * stride + m)
                level0, bits0 = float32_at(levels, near), float32_at(bits, near)
                level1, bits1 = float32_at(levels, near + 4), float32_at(bits, near + 4)
                level2, bits2 = float32_at(levels, near + 8), float32_at(bits, near + 8)
                level3, bits3 = float32_at(levels, near + 12), float32_at(bits, near + 12)
            else:
                level0 = level_of(m - 2, z, table, shift)
                bits0 = bits_of(m - 2, table, most, low, rate)
                level1 = level_of(m - 1, z, table, shift)
                bits1 = bits_of(m - 1, table, most, low, rate)
                level2 = level_of(m, z, table, shift)
                bits2 = bits_of(m, table, most, low, rate)
                level3 = level_of(m + 1, z, table, shift)
                bits3 = bits_of(m + 1, table, most, low, rate)
            below2 = cost_of(size, level0, bits0, varied)
            below = cost_of(size, level1, bits1, varied)
            at = cost_of(size, level2, bits2, varied)
            above = cost_of(size, level3, bits3, varied)
            two_less, one_less = below2 < at, below < above
            store_mask(back, q * width + 2 * z, two_less)
            store_mask(back, q * width + 2 * z + 1, one_less)
            own = 2 * z + (m & 1)
            across = 2 * z + 1 - (m & 1)
            store(branch, own * LANES, select(two_less, below2, at))
            store(branch, across * LANES, select(one_less, below, above))
            store(branch, (4 + own) * LANES, select(two_less, splat(bits0), splat(bits2)))
            store(branch, (4 + across) * LANES, select(one_less, splat(bits1), splat(bits3)))
            away0, away1 = size - level0, size - level1
            away2, away3 = size - level2, size - level3
            store(
                branch, (8 + own) * LANES,
                select(two_less, splat(away0 * away0), splat(away2 * away2)),
            )  # fmt: skip
            store(
                branch, (8 + across) * LANES,
                select(one_less, splat(away1 * away1), splat(away3 * away3)),
            )  # fmt: skip
        for s in range(states):
            one, other = origins[s, 0], origins[s, 2]
            by, by2 = 2 * (one & 1) + origins[s, 1], 2 * (other & 1) + origins[s, 3]
            first = load(costs, one * LANES) + load(branch, by * LANES)
            second = load(costs, other * LANES) + load(branch, by2 * LANES)
            chosen = second < first
            store_mask(back, q * width + 4 + s, chosen)
            store(costs, (states + s) * LANES, select(chosen, second, first))
            for kind in range(1, 3):
                at_one = load(costs, (2 * kind * states + one) * LANES)
                at_other = load(costs, (2 * kind * states + other) * LANES)
                store(
                    costs, ((2 * kind + 1) * states + s) * LANES,
                    select(
                        chosen,
                        at_other + load(branch, (4 * kind + by2) * LANES),
                        at_one + load(branch, (4 * kind + by) * LANES),
                    ),
                )  # fmt: skip
        for kind in range(3):
            for s in range(states):
                moved = load(costs, ((2 * kind + 1) * states + s) * LANES)
                store(costs, (2 * kind * states + s) * LANES, moved)


@inlined
def best_states(costs: Any, states: Any, least: Any, ends: Any) -> None:
    """The cheapest final cost and state of every lane: float32 [16], int64 [16]."""
    for lane in range(LANES):
        least[lane] = costs[lane]
        ends[lane] = 0
        for s in range(1, states):
            if costs[s * LANES + lane] < least[lane]:
                least[lane] = costs[s * LANES + lane]
                ends[lane] = s


@inlined
def trace(
    y: Any, scale: Any, tables: Any, places: Any, count: Any, most: Any, low: Any, rate: Any,
    shift: Any, quick: Any, levels: Any, bits: Any, origins: Any, back: Any, lane: Any, end: Any,
    codes: Any,
) -> Any:  # fmt: skip
    """Follow a lane back from its final state; all bits and the distortion.

    Args:
        y: See `search`, as the following.
        scale: .
        tables: .
        places: .
        count: .
        most: .
        low: .
        rate: .
        shift: .
        quick: .
        levels: .
        bits: .
        origins: .
        back: .
        lane: The lane.
        end: Its final state.
        codes: int32 [m], written: signed magnitudes.
    """
    two = 1 if origins.shape[0] > 1 else 0
    stride = levels.shape[1]
    total, distortion = np.float64(0), np.float64(0)
    s = end
    for q in range(count - 1, -1, -1):
        chosen = (np.int64(back[q, 4 + s]) >> lane) & 1
        parity = origins[s, 2 * chosen + 1]
        s = origins[s, 2 * chosen]
        z = s & two
        value = y[places[q]] * scale
        size = abs(value)
        m = nearest_of(size, z)
        table = tables[q] + z
        near = 4 * (table * stride + m)
        fast = m < quick[table]
        if (m & 1) == parity:
            if (np.int64(back[q, 2 * z]) >> lane) & 1:
                m -= 2
            else:
                near += 8
        elif (np.int64(back[q, 2 * z + 1]) >> lane) & 1:
            m -= 1
            near += 4
        else:
            m += 1
            near += 12
        if fast:
            spent = float32_at(bits, near)
            away = size - float32_at(levels, near)
        else:
            spent = bits_of(m, table, most, low, rate)
            away = size - level_of(m, z, table, shift)
        total += spent
        distortion += away * away
        codes[q] = -m if value < 0 else m
    return total, distortion


_MODEL: Final = (
    f"{INT64_1D}, {INT64_1D}, {FLOAT32_2D}, {FLOAT32_2D}, {INT64_1D}, {FLOAT32_2D}, {FLOAT32_2D},"
    f" {INT64_2D}"
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
    ladder: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Least distortion + λ · bits of records in some classes, for sixteen λ."""
    m, states = rows.shape[1], origins.shape[0]
    costs = np.empty(2 * states * LANES, np.float32)
    branch = np.empty(4 * LANES, np.float32)
    back = np.empty((m, 4 + states), np.uint16)
    ends = np.empty(LANES, np.int64)
    for i in range(rows.shape[0]):
        for j in range(candidates.shape[1]):
            g = candidates[i, j]
            if g < 0:
                continue
            search(
                rows[i], np.float32(1) / steps[g], tables[g], places[g], counts[g], most, low,
                rate, shift, quick, levels, bits, origins, load(ladder, 0), costs, branch, back,
            )  # fmt: skip
            best_states(costs, states, out[i, j], ends)


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
    costs = np.empty(6 * states * LANES, np.float32)
    branch = np.empty(12 * LANES, np.float32)
    back = np.empty((m, 4 + states), np.uint16)
    ends = np.empty(LANES, np.int64)
    least = np.empty(LANES, np.float32)
    duals = np.empty(width, np.float64)
    peaks = np.empty(width, np.int64)
    near = np.empty(LANES, np.float32)
    for i in range(rows.shape[0]):
        y = rows[i]
        duals[:] = np.inf
        chosen[i] = -1
        job = 0
        while True:
            best = -1
            if job == width:
                for j in range(width):
                    if duals[j] < np.inf and (best < 0 or duals[j] < duals[best]):
                        best = j
                if best < 0:
                    break
            g = candidates[i, job if job < width else best]
            if g < 0:
                job += 1
                continue
            scale = np.float32(1) / steps[g]
            room = np.float64(lengths[g]) - slack[i]
            if job < width:
                search(
                    y, scale, tables[g], places[g], counts[g], most, low, rate, shift, quick,
                    levels, bits, origins, load(ladder, 0), costs, branch, back,
                )  # fmt: skip
                best_states(costs, states, least, ends)
                bound = -np.inf
                for lane in range(LANES):
                    dual = np.float64(least[lane]) - np.float64(ladder[lane]) * room
                    if dual > bound:
                        bound = dual
                        peaks[job] = lane
                duals[job] = bound * weights[i, job] + lengths[g]
                job += 1
                continue
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
                search_varied(
                    y, scale, tables[g], places[g], counts[g], most, low, rate, shift, quick,
                    levels, bits, origins, load(near, 0), jitter, attempt * 7, costs, branch, back,
                )  # fmt: skip
                lane, end = -1, -1
                for s in range(states):
                    for other in range(LANES):
                        at = s * LANES + other
                        if costs[at] < FAR and costs[2 * states * LANES + at] <= room:
                            missed = costs[4 * states * LANES + at]
                            if missed < least_missed:
                                least_missed = missed
                                lane, end = other, s
                if lane >= 0:
                    used, distortion = trace(
                        y, scale, tables[g], places[g], counts[g], most, low, rate, shift, quick,
                        levels, bits, origins, back, lane, end, codes[i],
                    )  # fmt: skip
            if least_missed >= FAR:
                continue
            chosen[i] = g
            found[i, 0] = used
            found[i, 1] = distortion
            break


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
