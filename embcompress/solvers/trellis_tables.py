"""Fit tables of magnitudes to the coordinates of some records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.trellis_tables import MOST_SYMBOLS, Family, Tables, raw_bits

LOWEST = -6
"""The class of spread below which coordinates are not coded: a quarter of the step."""
HIGHEST = LOWEST + 127
"""The class of the largest ones."""

_SEEN = 20
_FAMILIES = {
    "shape": (1, 2, 3, 4, 6, 8, 12, 16),
    "width": (8, 10, 12, 14, 16, 18, 20, 24, 28, 34, 40, 48, 56, 64),
    "zero": (10, 12, 14, 16, 18, 21, 25, 30),
}


def symbols_of(spread_class: int) -> int:
    """Magnitudes of a table before its escape: up to 4.8 spreads."""
    spread = 2.0 ** (spread_class / 3 - raw_bits(spread_class))
    return int(min(MOST_SYMBOLS, np.ceil(2.4 * spread + 1.5)))


def expected(spread_class: int, quantizer: int) -> NDArray[np.float64]:
    """Shares of magnitudes and escape in a class, before any is counted: a Laplacian's."""
    count = symbols_of(spread_class)
    spread = 2.0 ** (spread_class / 3 - raw_bits(spread_class))
    levels = np.maximum(2.0 * np.arange(count + 1) - quantizer, 0)
    levels[0] = 0
    shares: NDArray[np.float64] = np.exp(-1.3 * levels / max(spread, 0.35))
    shares[0] *= 1.3
    shares /= shares.sum()
    return shares


def to_frequencies(shares: NDArray[np.float64], precision: int) -> NDArray[np.int64]:
    """Whole frequencies of at least 1 that sum to 2**precision, near some shares."""
    size = 1 << precision
    ideal = shares / shares.sum() * size
    found: NDArray[np.int64] = np.maximum(1, np.floor(ideal + 0.5)).astype(np.int64)
    while (over := int(found.sum() - size)) != 0:
        # the change that costs the fewest bits
        if over > 0:
            cost = np.where(found > 1, ideal * np.log2(found / np.maximum(found - 1, 0.5)), np.inf)
            found[int(cost.argmin())] -= 1
        else:
            found[int((ideal * np.log2((found + 1) / found)).argmax())] += 1
    return found


def first_tables(states: int, precision: int, highest: int) -> Tables:
    """Tables before anything is counted, for classes up to ``highest``."""
    quantizers = 2 if states > 1 else 1
    frequencies = tuple(
        to_frequencies(expected(c, z), precision)
        for c in range(LOWEST, highest + 1)
        for z in range(quantizers)
    )
    return Tables(states, precision, LOWEST, frequencies, np.zeros((len(frequencies), 3), np.int64))


def counted_tables(
    tables: Tables,
    seen: NDArray[np.float64],
    times: NDArray[np.float64],
    away: NDArray[np.float64],
) -> Tables:
    """Tables as magnitudes were counted in a search with them.

    Args:
        tables: Those of the search.
        seen: float64 [T + 2, W], as `embcompress.kernels.viterbi.tally_at` counts, as the others.
        times: float64 [T + 2, 4].
        away: float64 [T + 2, 4].
    """
    frequencies = []
    shifts = np.zeros((tables.idle, 3), np.int64)
    for t in range(tables.idle):
        c, z = divmod(t, tables.quantizers)
        prior = expected(tables.lowest + c, z)
        own = np.zeros(len(prior))
        escape = len(tables.frequencies[t]) - 1
        own[:escape] = seen[t, :escape]
        own[-1] += seen[t, escape]
        frequencies.append(
            to_frequencies(own + prior * (3 if own.sum() > 50 else 30), tables.precision)
        )
        for k in (1, 2, 3):
            if times[t, k] > _SEEN:
                shifts[t, k - 1] = np.clip(np.rint(128 * away[t, k] / times[t, k]), -127, 127)
    return Tables(tables.states, tables.precision, tables.lowest, tuple(frequencies), shifts)


def family_tables(tables: Tables, seen: NDArray[np.float64]) -> Tables:
    """Tables of the family that codes counted magnitudes in the fewest bits.

    Args:
        tables: Those of the search.
        seen: float64 [T, W], counts.
    """
    counted = [
        (*divmod(t, tables.quantizers), seen[t, : len(f)], seen[t].sum())
        for t, f in enumerate(tables.frequencies)
        if seen[t].sum() > 0
    ]

    def bits(family: Family) -> float:
        total = 0.0
        for c, z, own, times in counted:
            costs = family.costs(tables.lowest + c, z, tables.precision)
            kept = min(len(own), len(costs)) - 1
            total += float(own[:kept] @ costs[:kept])
            total += (times - float(own[:kept].sum())) * float(costs[-1])
        return total

    best = tables.family or Family(4, 16, 16)
    least = bits(best)
    for _ in range(2):
        before = best
        for key, values in _FAMILIES.items():
            for value in values:
                tried = replace(best, **{key: value})
                if (own := bits(tried)) < least:
                    best, least = tried, own
        if best == before:
            break
    return best.tables(tables.states, tables.precision, tables.lowest, tables.idle)


def trimmed_tables(tables: Tables, seen: NDArray[np.float64], highest: int) -> Tables:
    """Tables up to a class, without magnitudes that hardly ever come.

    Args:
        tables: Counted.
        seen: float64 [T + 2, W], the counts.
        highest: The last class that is used.
    """
    kept = (highest - tables.lowest + 1) * tables.quantizers
    if tables.family is not None:
        return tables.family.tables(tables.states, tables.precision, tables.lowest, kept)
    frequencies = []
    for t, f in enumerate(tables.frequencies[:kept]):
        came = np.flatnonzero(seen[t, : len(f) - 1])
        count = min(len(f) - 1, (int(came[-1]) if len(came) else 0) + 1)
        shares = np.append(f[:count], max(1, f[count:].sum() // 2)).astype(np.float64)
        frequencies.append(to_frequencies(shares, tables.precision))
    return Tables(
        tables.states, tables.precision, tables.lowest, tuple(frequencies), tables.shifts[:kept]
    )
