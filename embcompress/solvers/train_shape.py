"""Shapes of tensor trains: rows and columns as products of small numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

_MOST_CORES = 8
_HELD = 200 * 10**6
_USUAL_RANK = 64
_LARGEST_CUT = 4096


@dataclass(frozen=True)
class TrainShape:
    """Factors of rows and columns, one pair a core.

    Args:
        rows: n of each core.
        columns: d of each core.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers n·d along each core."""
        return tuple(n * d for n, d in zip(self.rows, self.columns, strict=True))

    @property
    def most(self) -> tuple[int, ...]:
        """The largest rank that each cut can have: the smaller of the two sides."""
        left = list(accumulate(self.sizes, mul))
        return tuple(min(part, left[-1] // part) for part in left[:-1])

    def numbers(self, ranks: tuple[int, ...]) -> int:
        """Numbers in the cores."""
        around = (1, *ranks, 1)
        return sum(m * a * b for m, a, b in zip(self.sizes, around, around[1:], strict=False))

    def within(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        """Ranks no larger than the cuts and the ranks beside them allow."""
        most = [min(r, m) for r, m in zip(ranks, self.most, strict=True)]
        for k in range(len(most)):
            most[k] = min(most[k], (most[k - 1] if k else 1) * self.sizes[k])
        for k in reversed(range(len(most))):
            after = most[k + 1] if k + 1 < len(most) else 1
            most[k] = min(most[k], after * self.sizes[k + 1])
        return tuple(most)

    def __str__(self) -> str:
        return ",".join(f"{n}x{d}" for n, d in zip(self.rows, self.columns, strict=True))


def parse_shape(text: str) -> TrainShape | None:
    """A shape from text such as ``64x5,79x5,80x2``, or None for another form."""
    pairs = [pair.split("x") for pair in text.lower().replace(" ", "").split(",")]
    if not 2 <= len(pairs) <= _MOST_CORES or any(len(pair) != 2 for pair in pairs):
        return None
    if not all(word.isdecimal() and word.isascii() and int(word) for p in pairs for word in p):
        return None
    return TrainShape(tuple(int(n) for n, _ in pairs), tuple(int(d) for _, d in pairs))


def usual_shape(n: int, d: int, columns: str) -> TrainShape:
    """Three cores of about equal size n_k·d_k.

    Tables whose first cut would leave more than 200 MB at rank 64 get a larger last core, up to
    a Gram matrix of 4,096 columns.

    Args:
        n: Rows.
        d: Columns.
        columns: ``spread`` factors d as evenly as a padding of up to a sixth allows, ascending;
            ``first`` and ``last`` leave all of it to that core.
    """
    width = max(d, 1)
    factors = {"first": (width, 1, 1), "last": (1, 1, width)}.get(columns) or _spread(width)
    count = max(n, 1)
    whole = count * math.prod(factors)
    least = min(_LARGEST_CUT, -(-4 * _USUAL_RANK * whole // _HELD))
    free = [0, 1, 2]
    ideal = [1.0, 1.0, 1.0]
    if whole ** (1 / 3) < least:
        ideal[2] = max(1.0, least / factors[2])
        free = [0, 1]
    while free:
        fixed = math.prod(ideal[k] for k in range(3) if k not in free)
        inner = math.prod(factors[k] for k in free)
        size = (count / fixed * inner) ** (1 / len(free))
        small = [k for k in free if size / factors[k] < 1]
        for k in free:
            ideal[k] = 1.0 if k in small else size / factors[k]
        free = [k for k in free if k not in small] if small else []
    rows = [max(1, math.floor(x)) for x in ideal]
    while math.prod(rows) < count:
        rows[max(range(3), key=lambda k: (ideal[k] / rows[k], -k))] += 1
    return TrainShape(tuple(rows), factors)


def _spread(d: int) -> tuple[int, int, int]:
    """Three ascending factors of d, or of up to a sixth more, with a small sum."""
    best = (float("inf"), (1, 1, d))
    for padded in range(d, d + d // 6 + 2):
        for a in range(1, round(padded ** (1 / 3)) + 1):
            if padded % a:
                continue
            b = max(b for b in range(1, math.isqrt(padded // a) + 1) if not padded // a % b)
            triple = sorted((a, b, padded // a // b))
            score = sum(triple) * (padded / d) ** 2
            if score < best[0]:
                best = (score, (triple[0], triple[1], triple[2]))
    return best[1]
