"""Errors by how often rows are used."""

from __future__ import annotations

from embcompress.report import figures
from embcompress.report.details import FrequencyGroup
from embcompress.report.html import numbers
from embcompress.report.html.chart import Chart, bar, figure, text
from embcompress.report.html.grids import Title, grid
from embcompress.report.html.markup import Markup, join, number, tag


def frequency_part(groups: list[FrequencyGroup], rows: int) -> Markup | None:
    """Error by tenths of the rows, the rarest first; None when frequencies are not known.

    Args:
        groups: By rising frequency.
        rows: Of the table.
    """
    if not groups:
        return None
    titles = [
        Title("rows", "name"), Title("used at least"), Title("share of uses"),
        Title("relative error"), Title("mean cosine"),
    ]  # fmt: skip
    lines = [
        [
            _name(groups, i, rows),
            numbers.digits(g.least_frequency, 4),
            figures.percent(g.share),
            numbers.digits(g.relative_error),
            numbers.cosine(g.cosine_mean),
        ]
        for i, g in enumerate(groups)
    ]
    return join(
        tag("h3", "Error by frequency"),
        tag("p", "Tenths of the rows by how often they are used, the rarest first.", class_="note"),
        tag("div", figure("", _picture(groups)), grid(titles, lines), class_="beside"),
    )


def _name(groups: list[FrequencyGroup], at: int, rows: int) -> Markup:
    count = groups[at].rows
    where = "rarest " if at == 0 else "most used " if at == len(groups) - 1 else ""
    return join(f"{where}", number(count, figures.percent(count / max(rows, 1))))


def _picture(groups: list[FrequencyGroup]) -> Markup:
    errors = [g.relative_error or 0.0 for g in groups]
    told = "; ".join(figures.digits(e) for e in errors)
    chart = Chart(title="Relative error by frequency", told=f"From rare to frequent rows: {told}")
    y = chart.upward(0, max(errors) * 1.1 or 1)
    chart.vertical(y, "relative error")
    across = chart.across(0, len(groups))
    base = chart.height - chart.bottom
    for i, error in enumerate(errors):
        left, right = across(i) + 3, across(i + 1) - 3
        words = f"{groups[i].rows:,} rows: {figures.digits(error)}"
        chart.add(bar(left, y(error), right - left, base - y(error), "fill", words))
    chart.add(
        text(chart.left, base + 18, "← rarely used", "tick", "start"),
        text(chart.width - chart.right, base + 18, "often used →", "tick", "end"),
    )
    return chart.draw()
