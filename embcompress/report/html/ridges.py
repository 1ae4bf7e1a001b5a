"""Distributions of several artifacts above each other, on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from embcompress.report.details import Histogram
from embcompress.report.html.chart import Chart, bar, line, plain, text
from embcompress.report.html.markup import Markup

_EACH = 54


def ridges(lines: Sequence[tuple[str, Histogram]]) -> Markup | None:
    """One row of bars for each, on a common logarithmic scale; None when all are empty.

    Args:
        lines: Names and distributions.
    """
    known = [(name, h) for name, h in lines if h.counts]
    if not known:
        return None
    low = min(h.edges[0] for _, h in known) / 1.05
    high = max(h.edges[-1] for _, h in known) * 1.05
    told = "; ".join(f"{n}: {plain(h.edges[0])} to {plain(h.edges[-1])}" for n, h in known)
    chart = Chart(
        title="Distribution of row errors by artifact", told=told, width=860, left=190, top=8,
        height=_EACH * len(known) + 60,
    )  # fmt: skip
    x = chart.across(low, high, log=True)
    for at in x.ticks(8):
        chart.add(line(x(at), chart.top, x(at), chart.height - chart.bottom, "grid"))
    for i, (name, found) in enumerate(known):
        base = chart.top + _EACH * (i + 1)
        bins = list(zip(found.counts, found.edges, found.edges[1:], strict=False))
        heights = [count / math.log(b / a) for count, a, b in bins]
        for (count, a, b), height in zip(bins, heights, strict=True):
            tall = (_EACH - 10) * height / max(heights)
            words = f"{plain(a)} to {plain(b)}: {count:,} rows"
            if count:
                chart.add(bar(x(a), base - tall, x(b) - x(a) + 0.1, tall, "fill", words))
        chart.add(line(chart.left, base, chart.width - chart.right, base, "axis"))
        shown = name if len(name) <= 24 else f"{name[:11]}…{name[-11:]}"
        chart.add(text(chart.left - 10, base - 6, shown, "mark", "end"))
    chart.horizontal(x, "relative error of a row", plain, 8)
    return chart.draw()
