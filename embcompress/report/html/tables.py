"""All tables: their errors side by side, then each by itself."""

from __future__ import annotations

from embcompress.report import figures, summary
from embcompress.report.html import numbers
from embcompress.report.html.distortion import tables_chart
from embcompress.report.html.grids import Title, grid
from embcompress.report.html.markup import Markup, join, tag
from embcompress.report.html.table import folded, table_part
from embcompress.report.model import Report, TableReport

_MOST_LISTED = 300
_MOST_FOLDED = 60
_OPENED = 1


def error_section(report: Report) -> Markup:
    """The section about errors."""
    if len(report.tables) == 1:
        table = report.tables[0]
        name = f"{figures.name(table.name)}, {figures.shape(table)} {table.dtype}"
        return tag(
            "section",
            tag("h2", "Error"),
            tag("p", f"{name}, ", tag("code", table.method), class_="note"),
            table_part(table, report.seed),
        )
    worst = figures.worst_first(report.tables)
    chart = tables_chart(report)
    measured = [t for t in worst if t.errors is not None]
    more = len(worst) - _MOST_FOLDED
    shown = sorted(worst[:_MOST_FOLDED], key=lambda t: -t.source_bytes)
    return join(
        tag(
            "section",
            tag("h2", "Error"),
            tag("div", chart, class_="charts wide") if chart else None,
            _grid(report, measured) if measured else None,
            *(tag("p", gloss, class_="gloss") for gloss in summary.glosses(report)),
        ),
        tag(
            "section",
            tag("h2", "Tables"),
            tag("p", "The largest first.", class_="note"),
            *(folded(table, report.seed, opened=i < _OPENED) for i, table in enumerate(shown)),
            tag("p", f"{more:,} more tables with smaller errors", class_="gloss")
            if more > 0
            else None,
        ),
    )


def _grid(report: Report, measured: list[TableReport]) -> Markup:
    titles = [
        Title("table", "name"), Title("relative error"), Title("cosine, mean"), Title("p1"),
        Title("lowest"), Title("its row"), Title("recall"), Title("dB above limit"),
    ]  # fmt: skip
    rows = []
    for table in measured[:_MOST_LISTED]:
        e = table.errors
        assert e is not None
        rows.append(
            [
                figures.name(table.name),
                numbers.digits(e.relative_error),
                numbers.cosine(e.cosine_mean),
                numbers.cosine(e.cosine_p1),
                numbers.cosine(e.cosine_lowest),
                numbers.whole(e.cosine_lowest_row),
                numbers.recall(e),
                numbers.decibels(e.decibels_above_limit),
            ]
        )
    total = report.total
    last = ["all weights", numbers.digits(total.relative_error), "", "", "", "", "",
            numbers.decibels(total.decibels_above_limit)]  # fmt: skip
    more = len(measured) - _MOST_LISTED
    return join(
        grid(titles, rows, last=last),
        tag("p", f"{more:,} more tables with smaller errors", class_="gloss") if more > 0 else None,
    )
