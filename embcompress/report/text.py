"""The report on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from embcompress.report import figures, summary
from embcompress.report.model import Report, TableReport

_MOST_TABLES = 40
_BAR = 16
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_ASCII = str.maketrans({"→": "->", "×": "x", "–": "-", "…": "...", "±": "+/-", "█": "#"})


def print_report(report: Report, console: Console) -> None:
    """Print a report: one table as a list of figures, several as an overview.

    It reads well in 80 columns, without colour, and where only ASCII can be printed.

    Args:
        report: The report.
        console: Where to.
    """
    page = _Page(console)
    page.line(summary.headline(report), "bold")
    if len(report.tables) == 1:
        _one(page, report, report.tables[0])
    elif report.tables:
        _several(page, report)
    _foot(page, report)


class _Page:
    """A console that takes text as it is: no markup, no truncation, ASCII where it must be."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.ascii = console.options.ascii_only

    def text(self, words: str, style: str = "") -> Text:
        """Words that may break between lines but lose nothing."""
        if self.ascii:
            words = words.translate(_ASCII).encode("ascii", "backslashreplace").decode()
        return Text(words, style=style, overflow="fold")

    def line(self, words: str, style: str = "") -> None:
        """Print a line of its own."""
        self.show(self.text(words, style))

    def gap(self) -> None:
        """Print an empty line."""
        self._console.print()

    def show(self, what: RenderableType) -> None:
        """Print something."""
        self._console.print(what, soft_wrap=False, highlight=False, markup=False)

    def fits(self, table: Table) -> bool:
        """Whether a table needs no breaking."""
        measured = Measurement.get(self._console, self._console.options, table)
        return measured.maximum <= self._console.width

    def listing(self, lines: Iterable[tuple[RenderableType, RenderableType]]) -> None:
        """Print labels with what they label."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, min_width=14)
        grid.add_column(ratio=1, overflow="fold")
        for label, value in lines:
            grid.add_row(label, value)
        self.show(grid)

    def labelled(self, lines: Iterable[tuple[str, str]]) -> None:
        """Print labels with their values."""
        self.listing((self.text(label, "cyan"), self.text(value)) for label, value in lines)


def _one(page: _Page, report: Report, table: TableReport) -> None:
    page.line(f"{figures.name(table.name)}, {figures.shape(table)} {table.dtype}")
    page.line(figures.name(table.method), "dim")
    page.gap()
    page.labelled(summary.sizes(report))
    page.listing([(page.text("parts", "cyan"), _parts(page, report))])
    if table.errors is not None:
        page.gap()
        page.labelled(summary.errors(table, report.seed))


def _several(page: _Page, report: Report) -> None:
    method = summary.common_method(report)
    if method is not None:
        page.line(figures.name(method), "dim")
    page.gap()
    sizes = summary.columns(report, summary.SIZES)
    errors = summary.columns(report, summary.ERRORS)
    together = _overview(page, report, sizes + errors)
    if page.fits(together):
        page.show(together)
    else:
        page.show(_overview(page, report, sizes))
        if errors:
            page.gap()
            page.show(_overview(page, report, errors))
    if len(report.tables) > _MOST_TABLES:
        page.line(f"{len(report.tables) - _MOST_TABLES:,} more tables with smaller errors", "dim")
    if any(c.title == summary.DECIBELS for c in errors):
        page.line(summary.LIMIT_GLOSS, "dim")
    page.gap()
    page.labelled(summary.sizes(report))
    page.listing([(page.text("parts", "cyan"), _parts(page, report))])


def _overview(page: _Page, report: Report, columns: list[summary.Column]) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="cyan")
    columns = [summary.NAME, *columns]
    for column in columns:
        grid.add_column(
            page.text(column.title),
            justify="right" if column.number else "left",
            no_wrap=column.number,
            overflow="fold",
        )
    shown = figures.worst_first(report.tables)[:_MOST_TABLES]
    if len(report.tables) <= _MOST_TABLES:
        shown = report.tables
    for table in shown:
        grid.add_row(*(page.text(c.cell(table)) for c in columns))
    grid.add_row(*(page.text(c.total(report), "bold") for c in columns))
    return grid


def _parts(page: _Page, report: Report) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    grid.add_column(width=_BAR, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    whole = sum(report.parts.values())
    for part, size in report.parts.items():
        grid.add_row(
            page.text(part),
            page.text(_bar(size / whole if whole else 0.0, page.ascii), "green"),
            page.text(f"{size:,}"),
            page.text(figures.percent(size, whole), "dim"),
        )
    return grid


def _bar(share: float, ascii_only: bool) -> str:
    eighths = round(share * _BAR * 8)
    if ascii_only:
        return "█" * round(eighths / 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


def _foot(page: _Page, report: Report) -> None:
    notes, gates = summary.notes(report), summary.gates(report)
    if notes:
        page.gap()
        page.listing((page.text("note", "yellow"), page.text(note)) for note in notes)
    if gates:
        page.gap()
        page.listing(
            (
                page.text("gate ok", "green") if passed else page.text("gate FAILED", "bold red"),
                page.text(words),
            )
            for passed, words in gates
        )
