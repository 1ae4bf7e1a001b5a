"""Scales of charts: values to places, and the values that are worth a tick."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic scale.

    Args:
        low: The value at ``start``.
        high: The value at ``end``, above it.
        start: A place in the picture.
        end: The other end's place; may be less.
        log: Whether equal ratios are equally far apart; both values are then above 0.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high = self._of(self.low), self._of(self.high)
        share = (self._of(max(value, self.low)) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def _of(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self, count: int = 5) -> list[float]:
        """About so many round values within the scale."""
        found = _log_ticks(self.low, self.high, count) if self.log else []
        return found if len(found) > 1 else _linear_ticks(self.low, self.high, count)


def around(values: Iterable[float], *, log: bool) -> tuple[float, float]:
    """Ends of a scale with some room around values.

    Args:
        values: At least one; above 0 for a logarithmic scale.
        log: Whether the scale is logarithmic.
    """
    known = list(values)
    low, high = min(known), max(known)
    if log:
        room = max((high / low) ** 0.08, 1.15)
        return low / room, high * room
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def step(low: float, high: float, count: int) -> float:
    """A round distance, 1, 2 or 5 times a power of ten, that fits about so often."""
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)


def _linear_ticks(low: float, high: float, count: int) -> list[float]:
    distance = step(low, high, count)
    first = math.ceil(low / distance - 1e-9)
    last = math.floor(high / distance + 1e-9)
    return [float(f"{i * distance:.12g}") for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [m * 10.0**p for p in powers for m in digits if low <= m * 10.0**p <= high]
        if len(found) <= count + 2:
            return found
    return found[:: -(-len(found) // count)]
