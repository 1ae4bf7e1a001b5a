"""Names beside the points of a chart, where they cover neither each other nor a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embcompress.report.html.chart import text
from embcompress.report.html.markup import Markup

_LETTER = 6.6  # of 12 pixels, on average and with some room
_HEIGHT = 14
_LONGEST = 30
_POINT = 7

Box = tuple[float, float, float, float]


def beside(places: Sequence[tuple[float, float, str]], left: float, right: float) -> list[Markup]:
    """Put names beside points, each where it is in nobody's way; else where it is least so.

    Args:
        places: Every point's x, y and name.
        left: The picture's left end.
        right: Its right end.
    """
    taken: list[Box] = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y, _ in places]
    found = []
    for x, y, name in sorted(places):
        shown = name if len(name) <= _LONGEST else f"{name[:14]}…{name[-14:]}"
        box, anchor = min(
            _around(x, y, _LETTER * len(shown)),
            key=lambda place: (
                sum(_covered(place[0], t) for t in taken)
                + 1e6 * (place[0][0] < left or place[0][2] > right)
            ),
        )
        taken.append(box)
        at = box[0] if anchor == "start" else box[2]
        found.append(text(at, box[3] - 3, shown, "mark", anchor))
    return found


def _around(x: float, y: float, width: float) -> Iterator[tuple[Box, str]]:
    """Boxes around a point, the best first, and the end at which each is anchored."""
    for lift in (-13, 1, -24, 12, -38, 26):
        top = y + lift
        yield (x + 9, top, x + 9 + width, top + _HEIGHT), "start"
        yield (x - 9 - width, top, x - 9, top + _HEIGHT), "end"


def _covered(a: Box, b: Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0
