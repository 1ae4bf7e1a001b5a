"""Error against size, with the rate-distortion limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embcompress.report import figures
from embcompress.report.details import LimitPoint
from embcompress.report.html.chart import Chart, curve, dot, figure, line
from embcompress.report.html.labels import beside
from embcompress.report.html.markup import Markup
from embcompress.report.html.scales import around
from embcompress.report.model import Report, TableReport

_NAMED = 12
_DEEP = 1000
"""Limits so many times below the least error are not drawn: with few rows there is one of 0."""

_LIMIT = "least error of a code for Gaussian rows with the table's second moments"


@dataclass(frozen=True, kw_only=True)
class Point:
    """Something measured.

    Args:
        name: What it is.
        size: Its place on the axis of sizes, above 0.
        error: Its relative error, above 0.
        limit: The bound at the same size.
        beaten: Whether it is drawn hollow.
    """

    name: str
    size: float
    error: float
    limit: float | None = None
    beaten: bool = False


def table_chart(table: TableReport) -> Markup | None:
    """One table: its error at its bytes, and the limit at others; None when nothing is known."""
    e = table.errors
    if e is None or not e.relative_error or not table.bits_per_weight or table.details is None:
        return None
    weights = table.shape[0] * table.shape[1]
    point = Point(
        name=figures.name(table.method) or "this artifact",
        size=table.artifact_bytes,
        error=e.relative_error,
        limit=e.limit_relative_error,
    )
    limit = limit_in_bytes(table.details.limit, weights)
    picture = drawn([point], limit, weights=weights, front=[])
    gap = ""
    if e.decibels_above_limit is not None:
        side = "above" if e.decibels_above_limit >= 0 else "below"
        gap = f", here {figures.decibels(abs(e.decibels_above_limit))} dB {side}"
    return figure("Error against bytes", picture, f"Dashed: the {_LIMIT}{gap}.")


def limit_in_bytes(limit: Sequence[LimitPoint], weights: int) -> list[tuple[float, float]]:
    """The bound as bytes and errors.

    Args:
        limit: Its points.
        weights: Numbers in the table.
    """
    return [(p.bits_per_weight * weights / 8, p.relative_error) for p in limit]


def tables_chart(report: Report) -> Markup | None:
    """Several tables: error against bits a weight; None when nothing is known."""
    points = [
        Point(
            name=figures.name(t.name),
            size=t.bits_per_weight,
            error=t.errors.relative_error,
            limit=t.errors.limit_relative_error,
        )
        for t in report.tables
        if t.errors and t.errors.relative_error and t.bits_per_weight
    ]
    if not points:
        return None
    picture = drawn(points, [], weights=None, front=[], wide=True)
    return figure(
        "Error against bits a weight",
        picture,
        f"A point a table. The dash below it is its limit: the {_LIMIT}, at the same bits.",
    )


def drawn(
    points: Sequence[Point],
    limit: Sequence[tuple[float, float]],
    *,
    weights: int | None,
    front: Sequence[tuple[float, float]],
    wide: bool = False,
) -> Markup:
    """The chart.

    Args:
        points: At least one.
        limit: A curve: sizes and errors.
        weights: Numbers of the table, when sizes are bytes; None when they are bits a weight.
        front: Sizes and errors of the Pareto front, by size.
        wide: Whether the picture takes the page's width.
    """
    sizes = [p.size for p in points]
    floor = min(p.error for p in points) / _DEEP
    known = [p.limit for p in points if p.limit and p.limit > floor]
    x_ends = (min(sizes) / 1.9, max(sizes) * 1.9) if weights else around(sizes, log=True)
    inside = [(x, y) for x, y in limit if x_ends[0] <= x <= x_ends[1] and y > floor]
    errors = [p.error for p in points] + known + [y for _, y in inside]
    chart = Chart(
        title="Relative error against size", told=_told(points), top=44 if weights else 24,
        width=860 if wide else 350, height=360 if wide else 240,
    )  # fmt: skip
    x = chart.across(*x_ends, log=True)
    y = chart.upward(*around(errors, log=True), log=True)
    chart.vertical(y, "relative error")
    if weights:
        chart.horizontal(x, "bytes", _bytes, 6 if wide else 3)
        bits = chart.across(8 * x_ends[0] / weights, 8 * x_ends[1] / weights, log=True)
        chart.above(bits, "bits a weight", count=6 if wide else 3)
    else:
        chart.horizontal(x, "bits a weight")
    if len(inside) > 1:
        chart.add(curve([(x(a), y(b)) for a, b in inside], "limit"))
    if len(front) > 1:
        chart.add(curve([(x(a), y(b)) for a, b in front], "front"))
    for p in points:
        if p.limit and p.limit > floor:
            chart.add(line(x(p.size), y(p.error), x(p.size), y(p.limit), "gap"))
            if not inside:
                at = x(p.size), y(p.limit)
                chart.add(line(at[0] - 5, at[1], at[0] + 5, at[1], "tickmark"))
    for p in points:
        told = f"{p.name}: relative error {figures.digits(p.error)}"
        chart.add(dot(x(p.size), y(p.error), 5, "beaten" if p.beaten else "point", told))
    if len(points) <= _NAMED:
        places = [(x(p.size), y(p.error), p.name) for p in points]
        chart.add(*beside(places, chart.left, chart.width))
    return chart.draw()


def _bytes(value: float) -> str:
    number, _, unit = figures.size(round(value)).partition(" ")
    return f"{float(number):g} {unit}"


def _told(points: Sequence[Point]) -> str:
    some = "; ".join(f"{p.name}: {figures.digits(p.error)}" for p in points[:_NAMED])
    more = len(points) - _NAMED
    return f"Relative errors: {some}" + (f"; {more} more" if more > 0 else "")
