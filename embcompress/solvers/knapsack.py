"""One option for each of several things, under a budget of bytes they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
