"""Lengths of classes by the dual bound, and the step that takes a wished size."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embcompress.solvers.trellis_search import LADDER, LAMBDA, bounds_at, natural_bits

ADDRESS_BITS = 0.5
"""Of a record: its share of an address."""
_WINDOW = 16
_LEAST_RECORDS = 8
"""Records of a class from which its length is fitted."""
_MOST_OCTAVES = 6.0
"""How far a step may lie from its first guess."""
PADDING = 0.6
"""Bits that the codes of a record leave over, as lengths are reckoned with."""
IMPOSSIBLE = 1e7
"""Costs of records with magnitudes that a class cannot hold."""


def first_lengths(
    curves: NDArray[np.float32], near: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Lengths to begin with: a bit more than the mean bits of the records nearest to a class.

    Of few records a class must hold the longest.

    Args:
        curves: float32 [s, c, 16].
        near: int64 [s, c], classes, nearest first.
        count: Classes.
    """
    good = curves[:, 0, 0] < IMPOSSIBLE
    natural = np.maximum(natural_bits(curves[good, 0]), 0)
    sums = np.bincount(near[good, 0], natural, count)
    times = np.bincount(near[good, 0], minlength=count)
    mean = float(natural.mean()) if len(natural) else 0.0
    means: NDArray[np.float64] = np.where(times > 0, sums / np.maximum(times, 1), mean)
    longest = np.zeros(count)
    np.maximum.at(longest, near[good, 0], natural)
    few = (times > 0) & (times < _LEAST_RECORDS)
    found: NDArray[np.int64] = np.ceil(np.where(few, longest, means) + 1).astype(np.int64)
    return found


def settle_lengths(
    curves: NDArray[np.float32],
    near: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rounds: int = 4,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes of records by the dual bound, and the best length of every class, in turn.

    Args:
        curves: float32 [s, c, 16].
        near: int64 [s, c], classes; -1 for none.
        lengths: int64 [G], to begin with.
        rounds: How often.
    """
    from embcompress.kernels.duals import bounds_of_classes

    chosen = near[:, 0]
    everyone = np.arange(len(near))
    offsets = np.arange(-_WINDOW, _WINDOW + 1)
    for _ in range(rounds):
        own = np.where(near >= 0, lengths[near], 0).astype(np.float64)
        total = bounds_at(curves, own - PADDING) / LAMBDA + own
        total[near < 0] = np.inf
        pick = total.argmin(axis=1)
        chosen = near[everyone, pick]
        sums = np.zeros((len(lengths), len(offsets)))
        mine = np.ascontiguousarray(curves[everyone, pick])
        bounds_of_classes(mine, LADDER, chosen, lengths, PADDING, _WINDOW, sums)
        times = np.bincount(chosen, minlength=len(lengths))
        tried = lengths[:, None] + offsets
        score = np.where(tried >= 0, sums / LAMBDA + tried * times[:, None], np.inf)
        best = tried[np.arange(len(lengths)), score.argmin(axis=1)]
        lengths = np.where(times >= _LEAST_RECORDS, best, lengths)
    return lengths, chosen


def class_bits(count: int) -> int:
    """Bits of a class among so many."""
    return max(1, (count - 1).bit_length())


def solve_step(
    function: Callable[[float], float],
    wanted: float,
    step: float,
    slope: float,
    rounds: int,
    near: float,
    least: float = 0,
) -> float:
    """The step at which a falling function reaches a value, by secants over its logarithm.

    Args:
        function: Of the step; falling.
        wanted: Its value.
        step: A first guess.
        slope: About how much the function falls when the step doubles.
        rounds: Calls at most.
        near: How far off the value may be.
        least: The least step.
    """
    at, last = math.log2(max(step, least)), None
    low, high = at - _MOST_OCTAVES, at + _MOST_OCTAVES
    if least > 0:
        low = max(low, math.log2(least))
    fall = slope
    for _ in range(rounds):
        over = function(2**at) - wanted
        if abs(over) <= near:
            break
        if last is not None and last[0] != at:
            fall = min(max((last[1] - over) / (at - last[0]), slope / 8), 2 * slope)
        last = at, over
        at = min(max(at + over / fall, low), high)
    return float(2**at)
