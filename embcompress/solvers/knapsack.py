"""One option for each of several things, under a budget of bytes they share."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CELLS = 2**24  # errors held at a time, offers times units


@dataclass(frozen=True)
class Offer:
    """What an option costs and leaves.

    Args:
        size: Bytes.
        error: What remains, on a scale that all things share.
    """

    size: int
    error: float


def choose(things: Sequence[Sequence[Offer]], budget: int) -> list[int] | None:
    """Choose an offer for each thing, so that the errors add up to little.

    Starts with the smallest offers. Takes the steps along each thing's lower convex hull by error
    drop per byte, best first, as long as they fit: among all choices of that many bytes none has a
    smaller error. What is left of the budget goes to the largest drops that still fit.

    Args:
        things: The offers of each, at least one.
        budget: Bytes for all together.

    Returns:
        The number of the offer taken for each thing, or None when the smallest do not fit.

    Source: Sinha and Zoltners 1979, The multiple-choice knapsack problem.
    """
    taken = [min(range(len(o)), key=lambda i: (o[i].size, o[i].error)) for o in things]
    left = budget - sum(o[i].size for o, i in zip(things, taken, strict=True))
    if left < 0:
        return None
    steps = sorted(
        (-slope, number, at, after)
        for number, offers in enumerate(things)
        for at, (slope, after) in enumerate(_steps(offers, taken[number]))
    )
    stopped: set[int] = set()
    for _, number, _, after in steps:
        cost = things[number][after].size - things[number][taken[number]].size
        if number in stopped or cost > left:
            stopped.add(number)
            continue
        taken[number] = after
        left -= cost
    return _fill(things, taken, left)


@dataclass(frozen=True)
class Level:
    """An offer with its place in an order.

    Args:
        level: The place, such as a dimension.
        offer: What it costs and leaves.
    """

    level: int
    offer: Offer


def choose_rising(
    chains: Sequence[Sequence[Sequence[Level]]], budget: int
) -> list[list[int]] | None:
    """Choose an offer for each thing, so that levels never fall along a chain and errors are least.

    Dynamic programming over things, the level of the last one, and bytes. The answer is the best
    there is when the bytes have a common unit of which a budget holds few enough; else bytes are
    rounded up to a unit, and what is left goes to the largest drops that still fit.

    Args:
        chains: Of things; the offers of each, at least one, by ascending level. A chain of one
            thing is free.
        budget: Bytes for all together.

    Returns:
        For each chain the numbers of the offers taken, or None when nothing fits.
    """
    if budget < 0:
        return None
    things = [(not t, thing) for chain in chains for t, thing in enumerate(chain)]
    sizes = [option.offer.size for _, thing in things for option in thing]
    unit = max(math.gcd(*sizes), 1, -(-budget * len(sizes) // _CELLS))
    room = budget // unit
    least = np.zeros((1, room + 1))  # error by rank of the level before and by units
    origin = np.zeros((1, room + 1), np.int32)  # which offer of the thing before that is
    levels = [-1]
    came: list[NDArray[np.int32]] = []
    for free, thing in things:
        error = np.full((len(thing), room + 1), np.inf)
        back = np.zeros((len(thing), room + 1), np.int32)
        for i, option in enumerate(thing):
            under = len(levels) if free else bisect.bisect_right(levels, option.level)
            units = -(-option.offer.size // unit)
            if under and units <= room:
                error[i, units:] = least[under - 1, : room + 1 - units] + option.offer.error
                back[i, units:] = origin[under - 1, : room + 1 - units]
        came.append(back)
        levels = [option.level for option in thing]
        least, origin = error, np.tile(np.arange(len(thing), dtype=np.int32)[:, None], room + 1)
        for i in range(1, len(thing)):
            better = least[i - 1] <= least[i]
            origin[i] = np.where(better, origin[i - 1], origin[i])
            least[i] = np.where(better, least[i - 1], least[i])
    if not np.isfinite(least[-1, room]):
        return None
    taken, at, left = [], int(origin[-1, room]), room
    for (_, thing), back in zip(reversed(things), reversed(came), strict=True):
        taken.append(at)
        at, left = int(back[at, left]), left - -(-thing[at].offer.size // unit)
    return _filled_rising(chains, taken[::-1], budget)


def _filled_rising(
    chains: Sequence[Sequence[Sequence[Level]]], taken: list[int], budget: int
) -> list[list[int]]:
    found, at = [], 0
    for chain in chains:
        found.append(taken[at : at + len(chain)])
        at += len(chain)
    left = budget - sum(
        thing[i].offer.size
        for chain, own in zip(chains, found, strict=True)
        for thing, i in zip(chain, own, strict=True)
    )
    while True:
        drop, best = 0.0, None
        for c, chain in enumerate(chains):
            for t, thing in enumerate(chain):
                here = thing[found[c][t]].offer
                low = chain[t - 1][found[c][t - 1]].level if t else -1
                high = chain[t + 1][found[c][t + 1]].level if t + 1 < len(chain) else math.inf
                for i, option in enumerate(thing):
                    gain = here.error - option.offer.error
                    fits = option.offer.size - here.size <= left and low <= option.level <= high
                    if fits and gain > drop:
                        drop, best = gain, (c, t, i)
        if best is None:
            return found
        c, t, i = best
        left -= chains[c][t][i].offer.size - chains[c][t][found[c][t]].offer.size
        found[c][t] = i


def _steps(offers: Sequence[Offer], start: int) -> list[tuple[float, int]]:
    """Steps along the lower convex hull from an offer on: error drop per byte, and the offer."""
    steps: list[tuple[float, int]] = []
    here = offers[start]
    while True:
        slopes = [
            ((here.error - o.error) / (o.size - here.size), o.size, i)
            for i, o in enumerate(offers)
            if o.size > here.size and o.error < here.error
        ]
        if not slopes:
            return steps
        slope, _, best = max(slopes)
        steps.append((slope, best))
        here = offers[best]


def _fill(things: Sequence[Sequence[Offer]], taken: list[int], left: int) -> list[int]:
    while True:
        drop, best = 0.0, None
        for number, offers in enumerate(things):
            here = offers[taken[number]]
            for i, offer in enumerate(offers):
                if offer.size - here.size <= left and here.error - offer.error > drop:
                    drop, best = here.error - offer.error, (number, i)
        if best is None:
            return taken
        number, i = best
        left -= things[number][i].size - things[number][taken[number]].size
        taken[number] = i
