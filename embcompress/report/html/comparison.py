"""The page of several artifacts of one source."""

from __future__ import annotations

from embcompress.report import figures
from embcompress.report.comparing import Lineup
from embcompress.report.comparing_text import FRONT, order
from embcompress.report.html import numbers
from embcompress.report.html.chart import figure
from embcompress.report.html.distortion import Point, drawn, limit_in_bytes
from embcompress.report.html.grids import Title, grid, listing
from embcompress.report.html.markup import Markup, join, tag
from embcompress.report.html.page import page
from embcompress.report.html.ridges import ridges
from embcompress.report.model import Report, TableReport

_MOST_TABLES = 300


def comparison_to_html(found: Lineup) -> str:
    """Several artifacts as one HTML file that needs nothing else.

    Args:
        found: The artifacts.
    """
    first = found.reports[0]
    source = next((r.source for r in found.reports if r.source), None)
    count = len(found.reports)
    title = f"{count} artifacts" + (f" of {figures.name(source)}" if source else "")
    tables = len(first.tables)
    shape = figures.shape(first.tables[0]) if tables == 1 else f"{tables:,} tables"
    return page(
        title,
        tag("p", "Compressed embedding tables, compared"),
        tag("h1", title),
        tag("p", f"{shape}, {figures.size(first.total.source_bytes)} before"),
        body=join(
            tag("section", tag("h2", "Error against bytes"), _chart(found), _grid(found)),
            _distributions(found),
            _by_table(found) if tables > 1 else None,
        ),
        foot=join(tag("h2", "How this was made"), listing(_made_by(found))),
    )


def _chart(found: Lineup) -> Markup | None:
    points = [
        Point(
            name=name, size=r.total.artifact_bytes, error=r.total.relative_error,
            limit=r.total.limit_relative_error, beaten=not on,
        )
        for name, r, on in zip(found.names, found.reports, found.front, strict=True)
        if r.total.relative_error and r.total.artifact_bytes
    ]  # fmt: skip
    if not points:
        return None
    front = sorted((p.size, p.error) for p in points if not p.beaten)
    weights = sum(t.shape[0] * t.shape[1] for t in found.reports[0].tables)
    limit = []
    told = "Filled points joined by the line are the Pareto front; hollow ones are beaten."
    details = next((t.details for r in found.reports for t in r.tables if t.details), None)
    if len(found.reports[0].tables) == 1 and details is not None and details.limit:
        limit = limit_in_bytes(details.limit, weights)
        told += " Dashed: the Gaussian rate–distortion limit."
    elif any(p.limit for p in points):
        told += " Dashes below points: the Gaussian rate–distortion limit at the same bytes."
    picture = drawn(points, limit, weights=weights, front=front, wide=True)
    return tag("div", figure("", picture), tag("p", told, class_="gloss"), class_="charts wide")


def _grid(found: Lineup) -> Markup:
    one = len(found.reports[0].tables) == 1
    titles = [
        Title("artifact", "name"), Title("front", ""), Title("method", ""), Title("bytes"),
        Title("ratio"), Title("bits a weight"), Title("relative error"), Title("dB above limit"),
        *([Title("cosine, mean"), Title("recall")] if one else []),
    ]  # fmt: skip
    rows = [_row(found, i, one=one) for i in order(found)]
    return join(grid(titles, rows, kind="compared"), tag("p", FRONT, class_="gloss"))


def _row(found: Lineup, at: int, *, one: bool) -> list[str]:
    report = found.reports[at]
    total = report.total
    errors = report.tables[0].errors if one else None
    own = [numbers.cosine(errors.cosine_mean if errors else None), numbers.recall(errors)]
    return [
        found.names[at],
        tag("ins", "front") if found.front[at] else "",
        tag("code", _method(report)),
        numbers.whole(total.artifact_bytes),
        numbers.ratio(total.ratio),
        numbers.digits(total.bits_per_weight, 3),
        numbers.digits(total.relative_error),
        numbers.decibels(total.decibels_above_limit),
        *(own if one else []),
    ]


def _method(report: Report) -> str:
    methods = {t.method for t in report.tables}
    return methods.pop() if len(methods) == 1 else f"{len(methods)} methods"


def _distributions(found: Lineup) -> Markup | None:
    lines = [
        (found.names[i], table.details.row_error)
        for i in order(found)
        for table in found.reports[i].tables
        if len(found.reports[i].tables) == 1 and table.details is not None
    ]
    picture = ridges(lines) if lines else None
    if picture is None:
        return None
    told = "Distribution of the relative error of a row, each artifact to its own height."
    return tag("section", tag("h2", "Row errors"), tag("p", told, class_="note"),
               tag("div", figure("", picture), class_="charts wide"))  # fmt: skip


def _by_table(found: Lineup) -> Markup:
    numbered = order(found)
    titles = [Title("table", "name"), Title("shape"), *(Title(found.names[i]) for i in numbered)]
    tables = found.reports[0].tables
    others = [{t.name: t for t in found.reports[i].tables} for i in numbered]
    rows = [
        [figures.name(t.name), figures.shape(t), *(_cell(other[t.name]) for other in others)]
        for t in tables[:_MOST_TABLES]
    ]
    more = len(tables) - _MOST_TABLES
    return tag(
        "section",
        tag("h2", "By table"),
        tag("p", "Relative error, and bytes below it.", class_="note"),
        grid(titles, rows),
        tag("p", f"{more:,} more tables", class_="gloss") if more > 0 else None,
    )


def _cell(table: TableReport) -> Markup:
    error = table.errors.relative_error if table.errors else None
    return join(
        numbers.digits(error), tag("br"),
        tag("span", numbers.size(table.artifact_bytes), class_="gloss"),
    )  # fmt: skip


def _made_by(found: Lineup) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    if found.command:
        lines.append(("command", tag("code", found.command)))
    first = found.reports[0]
    lines.append(("versions", ", ".join(f"{n} {v}" for n, v in first.versions.items())))
    lines.append(("seed of samples", str(first.seed)))
    notes = {note: None for r in found.reports for note in r.notes}
    return [*lines, *(("note", note) for note in notes)]
