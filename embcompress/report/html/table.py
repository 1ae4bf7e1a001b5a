"""Everything about one table."""

from __future__ import annotations

from embcompress.report import figures, summary
from embcompress.report.html import numbers
from embcompress.report.html.distortion import table_chart
from embcompress.report.html.distributions import distribution_charts
from embcompress.report.html.frequencies import frequency_part
from embcompress.report.html.grids import listing
from embcompress.report.html.markup import Markup, join, tag
from embcompress.report.html.rows import neighbours_part, worst_part
from embcompress.report.model import TableReport


def table_part(table: TableReport, seed: int) -> Markup:
    """Charts, figures and rows of a table.

    Args:
        table: The table.
        seed: Of the sampled figures.
    """
    charts = [table_chart(table)]
    details = table.details
    if details is not None and table.errors is not None:
        charts += distribution_charts(details, table.errors)
    drawn = [c for c in charts if c is not None]
    return join(
        tag("div", *drawn, class_="charts") if drawn else None,
        tag("h3", "Figures"),
        listing([*summary.errors(table, seed), ("bytes", _parts(table))]),
        None if table.errors else _unmeasured(),
        frequency_part(details.frequency_groups, table.shape[0]) if details else None,
        worst_part(details) if details else None,
        neighbours_part(details, table.shape[0]) if details else None,
    )


def folded(table: TableReport, seed: int, *, opened: bool) -> Markup:
    """A table among others, folded up behind its name.

    Args:
        table: The table.
        seed: Of the sampled figures.
        opened: Whether it is unfolded at first.
    """
    error = figures.digits(table.errors.relative_error) if table.errors else figures.NONE
    told = (
        f"{figures.shape(table)} {table.dtype}, {figures.ratio(table.ratio)}, relative error"
        f" {error}"
    )
    return tag(
        "details",
        tag("summary", figures.name(table.name), tag("span", told, class_="gloss")),
        tag("div", tag("p", tag("code", table.method), class_="note"), table_part(table, seed),
            class_="inside"),
        open=opened,
    )  # fmt: skip


def _parts(table: TableReport) -> Markup:
    whole = table.artifact_bytes or 1
    known = sorted(((n, s) for n, s in table.parts.items() if s), key=lambda p: -p[1])
    told = (
        join(f"{name} ", numbers.whole(size), f" ({figures.percent(size / whole)})")
        for name, size in known
    )
    return Markup(", ".join(told))


def _unmeasured() -> Markup:
    return tag("p", "Nothing was measured; --against SOURCE measures.", class_="note")
