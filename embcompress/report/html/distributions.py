"""Distributions over rows."""

from __future__ import annotations

import math

from embcompress.report import figures
from embcompress.report.details import Details, Histogram
from embcompress.report.html.chart import Chart, bar, figure, line, plain, text
from embcompress.report.html.markup import Markup
from embcompress.report.html.scales import Scale, step
from embcompress.report.model import TableErrors

_WIDE = 30  # a range over which a scale is logarithmic
_BARS = 25


def distribution_charts(details: Details, errors: TableErrors) -> list[Markup]:
    """The distributions of row errors and of cosines.

    Args:
        details: Of a table.
        errors: Its figures, which are marked.
    """
    charts = []
    marks = [(errors.relative_error, "whole table")]
    picture = histogram(details.row_error, "relative error of a row", marks, plain, flipped=False)
    if picture is not None:
        charts.append(figure("Row errors", picture, _aside(details.row_error, "no error")))
    marks = [
        (_off(errors.cosine_mean), "mean"),
        (_off(errors.cosine_p1), "1st percentile"),
    ]
    label = "cosine of row and reconstruction"
    picture = histogram(details.cosine_distance, label, marks, _cosine, flipped=True)
    if picture is not None:
        charts.append(figure("Cosines", picture, _aside(details.cosine_distance, "a cosine of 1")))
    return charts


def _off(cosine: float | None) -> float | None:
    return None if cosine is None else 1 - cosine


def _cosine(distance: float) -> str:
    places = max(2, -math.floor(math.log10(distance)) + 1) if distance > 0 else 2
    return f"{1 - distance:.{places}f}".rstrip("0").rstrip(".") or "0"


def _aside(found: Histogram, nothing: str) -> str:
    told = f"{found.rows:,} rows"
    if found.below:
        told += f"; {found.below:,} have {nothing}, beyond the scale"
    if found.above:
        told += f"; {found.above:,} lie beyond its other end"
    return f"{told}."


def histogram(
    found: Histogram,
    label: str,
    marks: list[tuple[float | None, str]],
    words: figures.Written,
    *,
    flipped: bool,
) -> Markup | None:
    """Bars whose areas are rows; None when no row is within the scale.

    Args:
        found: The counts.
        label: Of the axis below.
        marks: Values to point at, with names.
        words: How a value is written.
        flipped: Whether small values are on the right.
    """
    if not found.counts:
        return None
    low, high = found.edges[0], found.edges[-1]
    log = high / low > _WIDE
    unit = math.log(2) / 4 if log else step(0, high - low, _BARS)
    heights = [
        100 * count / found.rows * unit / (math.log(b / a) if log else b - a)
        for count, a, b in zip(found.counts, found.edges, found.edges[1:], strict=False)
    ]
    of = "quarter octave" if log else f"{unit:.3g}"
    chart = Chart(title=f"Distribution of the {label}", told=_told(found, words))
    ends = (low, high) if log else _roomy(low, high)
    x = chart.across(*ends, log=log, flipped=flipped)
    y = chart.upward(0, max(heights) * 1.12)
    chart.vertical(y, f"% of rows per {of}")
    base = chart.height - chart.bottom
    for count, a, b, height in zip(
        found.counts, found.edges, found.edges[1:], heights, strict=False
    ):
        if count:
            told = f"{words(a)} to {words(b)}: {count:,} rows"
            wide = max(abs(x(b) - x(a)) - 0.6, 0.6)
            chart.add(bar(min(x(a), x(b)), y(height), wide, base - y(height), "fill", told))
    chart.horizontal(x, label, words, 4)
    _mark(chart, x, marks)
    return chart.draw()


def _roomy(low: float, high: float) -> tuple[float, float]:
    room = 0.04 * (high - low)
    return max(low - room, 0), high + room


def _mark(chart: Chart, x: Scale, marks: list[tuple[float | None, str]]) -> None:
    base = chart.height - chart.bottom
    for i, (value, name) in enumerate(m for m in marks if m[0] is not None):
        if value is None or not x.low <= value <= x.high:
            continue
        at = x(value)
        end = at > (x.start + x.end) / 2 + 40
        height = chart.top + 13 * i
        chart.add(line(at, height - 8, at, base, "rule"))
        chart.add(
            text(at - 5 if end else at + 5, height + 2, name, "mark", "end" if end else "start")
        )


def _told(found: Histogram, words: figures.Written) -> str:
    most = max(range(len(found.counts)), key=lambda i: found.counts[i])
    return (
        f"{found.rows:,} rows between {words(found.edges[0])} and {words(found.edges[-1])};"
        f" most lie from {words(found.edges[most])} to {words(found.edges[most + 1])}"
    )
