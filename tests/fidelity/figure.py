"""Error over bits per weight of every method on one table, and the limit, as SVG."""

from __future__ import annotations

import math
from typing import Any

WIDTH, HEIGHT = 760, 600
LEFT, RIGHT, TOP, BOTTOM = 50, 90, 40, 50
BITS, DECIBELS = 6, -30
LINE = 13
"""Pixels between two labels."""

Point = tuple[float, float]


def decibels(error: float) -> float:
    """A relative error in decibels."""
    return 20 * math.log10(error)


def place(bits: float, level: float) -> Point:
    """Where a point lies."""
    across = LEFT + bits / BITS * (WIDTH - LEFT - RIGHT)
    return across, TOP + level / DECIBELS * (HEIGHT - TOP - BOTTOM)


def line(points: list[Point], look: str) -> str:
    """Points joined."""
    text = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in points)
    return f'<polyline points="{text}" fill="none" {look}/>'


def series(found: dict[str, dict[str, Any]]) -> dict[str, list[Point]]:
    """Points of every verb that lie in the picture, fewest bits first."""
    points: dict[str, list[Point]] = {}
    for text, figures in found.items():
        other = any(flag in text for flag in ("--effort", "--rows-per", "--states"))
        if not other and figures.get("bits", math.inf) <= BITS:
            point = figures["bits"], decibels(figures["error"])
            points.setdefault(text.split()[0], []).append(point)
    return {verb: sorted(kept) for verb, kept in points.items()}


def front(points: list[Point]) -> list[Point]:
    """Those that none of fewer bits equals, points sorted by bits."""
    return [p for i, p in enumerate(points) if all(p[1] < q[1] for q in points[:i])]


def labels(ends: dict[str, Point]) -> list[str]:
    """Names at the right edge, moved apart, each with a line from its last point."""
    parts, free = [], float(TOP)
    spare = HEIGHT - BOTTOM - LINE * len(ends)
    for verb, point in sorted(ends.items(), key=lambda item: -item[1][1]):
        x, y = place(*point)
        free = max(free, min(y, spare))
        spare += LINE
        parts.append(
            f'<path d="M{x + 5:.1f} {y:.1f}L{WIDTH - RIGHT + 4} {free:.1f}" stroke="#ccc"/>'
        )
        parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{free + 4:.1f}" fill="{colour(verb)}">{verb}</text>'
        )
        free += LINE
    return parts


def colour(verb: str) -> str:
    """Red for the method whose page it is."""
    return "#d62728" if verb == "limit" else "#1f77b4"


def axes(title: str) -> list[str]:
    """Title, grid, numbers and their meaning."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-size="14">{title}</text>',
    ]
    for bits in range(BITS + 1):
        x, y = place(bits, DECIBELS)
        parts.append(f'<path d="M{x:.1f} {TOP}V{y:.1f}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{bits}</text>')
    for level in range(0, DECIBELS - 1, -6):
        x, y = place(BITS, level)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{x:.1f}" stroke="#eee"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{level}</text>')
    parts.append(
        f'<text x="{(WIDTH - RIGHT + LEFT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">bits per'
        " weight, everything counted; upwards the relative error in dB; the limit dashed</text>"
    )
    return parts


def picture(found: dict[str, dict[str, Any]], title: str) -> str:
    """The figure of a table.

    Args:
        found: Figures of commands. The limit is drawn through those that reports gave at the
            bits of the files.
        title: Above it.
    """
    parts = axes(title)
    known = [f for f in found.values() if f.get("bits", math.inf) <= BITS]
    bound = sorted((f["bits"], decibels(f["limit"])) for f in known)
    bound = [(0.0, 0.0), *(point for point in bound if point[1] >= DECIBELS)]
    parts.append(line(bound, 'stroke="#333" stroke-width="1.5" stroke-dasharray="5 4"'))
    points = series(found)
    parts += labels({verb: front(kept)[-1] for verb, kept in points.items()})
    for verb, kept in points.items():
        wide = 2.5 if verb == "limit" else 1
        parts.append(
            line(front(kept), f'stroke="{colour(verb)}" stroke-width="{wide}" opacity="0.7"')
        )
        for point in kept:
            x, y = place(*point)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour(verb)}">'
                f"<title>{verb}: {point[0]:.2f} bits, {point[1]:.1f} dB</title></circle>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"
