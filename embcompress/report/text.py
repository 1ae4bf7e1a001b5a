"""The report on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from embcompress.report import figures, summary
from embcompress.report.model import Report, TableReport

_MOST_TABLES = 40
_BAR = 16
_GAP = 2
_WORDS = (40, 28, 20, 15)
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_NUMBER = r"(?<![\w@])-?\d+(?:[.,]\d+)*(?:e[-+]\d+)?[×%]?(?!\w)"
_ASIDE = r"\(.*\)"
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

    def figures(self, words: str) -> Text:
        """Words whose numbers stand out, and whose asides do not."""
        text = self.text(words)
        text.highlight_regex(_NUMBER, "bold")
        text.highlight_regex(_ASIDE, "not bold dim")
        return text

    def line(self, words: str, style: str = "") -> None:
        """Print a line of its own."""
        self.show(self.text(words, style))

    @property
    def width(self) -> int:
        """Columns of characters."""
        return self._console.width

    def gap(self) -> None:
        """Print an empty line."""
        self._console.print()

    def show(self, what: RenderableType) -> None:
        """Print something."""
        self._console.print(what, soft_wrap=False, highlight=False, markup=False)

    def listing(self, lines: Iterable[tuple[RenderableType, RenderableType]]) -> None:
        """Print labels with what they label."""
        grid = Table.grid(padding=(0, _GAP))
        grid.add_column(no_wrap=True, min_width=14)
        grid.add_column(overflow="fold")
        for label, value in lines:
            grid.add_row(label, value)
        self.show(grid)

    def labelled(self, lines: Iterable[tuple[str, str]]) -> None:
        """Print labels with their values."""
        self.listing((self.text(label, "cyan"), self.figures(value)) for label, value in lines)


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
    shown = report.tables
    if len(shown) > _MOST_TABLES:
        shown = figures.worst_first(shown)[:_MOST_TABLES]
    sizes = summary.columns(report, summary.SIZES)
    errors = summary.columns(report, summary.ERRORS)
    names = _filled(page, report, shown, summary.NAME)
    filled = [[_filled(page, report, shown, c) for c in group] for group in (sizes, errors)]
    for columns in _laid_out(page.width, names, filled):
        page.gap()
        page.show(_overview(columns))
    if more := len(report.tables) - len(shown):
        page.line(f"{more:,} more tables with smaller errors", "dim")
    for gloss in summary.glosses(report):
        page.line(gloss, "dim")
    page.gap()
    page.labelled(summary.sizes(report))
    page.listing([(page.text("parts", "cyan"), _parts(page, report))])


@dataclass(frozen=True)
class _Filled:
    """A column with its cells, and the width that it gets."""

    title: Text
    cells: list[Text]
    number: bool
    width: int

    def within(self, most: int) -> _Filled:
        """The column, if of words, at most so wide."""
        return self if self.number else replace(self, width=min(self.width, most))


def _filled(
    page: _Page, report: Report, tables: list[TableReport], column: summary.Column
) -> _Filled:
    title = page.text(column.title)
    cells = [page.text(column.cell(table)) for table in tables]
    cells.append(page.text(column.total(report), "bold"))
    width = max(c.cell_len for c in (*map(Text, title.plain.split()), *cells))
    return _Filled(title, cells, column.number, width)


def _laid_out(width: int, names: _Filled, groups: list[list[_Filled]]) -> list[list[_Filled]]:
    """One table of all columns if words need little breaking; else as few tables as will do."""
    for most in _WORDS[:2]:
        together = _packed(width, names, [c for group in groups for c in group], most)
        if len(together) == 1:
            return together
    apart = ([t for g in groups for t in _packed(width, names, g, most)] for most in _WORDS)
    return min(apart, key=len)


def _packed(width: int, names: _Filled, columns: list[_Filled], most: int) -> list[list[_Filled]]:
    """Columns in as few tables as fit, each behind the names; words at most so wide."""
    names = names.within(most)
    packed: list[list[_Filled]] = []
    left = 0
    for column in (c.within(most) for c in columns):
        if column.width + _GAP > left:
            packed.append([names])
            left = width - names.width
        packed[-1].append(column)
        left -= column.width + _GAP
    return packed


def _overview(columns: list[_Filled]) -> Table:
    grid = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="cyan")
    for column in columns:
        grid.add_column(
            column.title,
            justify="right" if column.number else "left",
            vertical="bottom",
            width=column.width,
            overflow="fold",
        )
    for cells in zip(*(c.cells for c in columns), strict=True):
        grid.add_row(*cells)
    return grid


def _parts(page: _Page, report: Report) -> Table:
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(overflow="fold")
    grid.add_column(width=_BAR, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    for part, size, share in summary.parts(report):
        grid.add_row(
            page.text(part),
            page.text(_bar(share, page.ascii), "green"),
            page.text(f"{size:,}", "bold"),
            page.text(figures.percent(share), "dim"),
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
