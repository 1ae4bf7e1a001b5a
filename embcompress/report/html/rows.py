"""Single rows: those that lost most, and neighbours before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embcompress.report import figures
from embcompress.report.details import Details, RowNeighbours
from embcompress.report.html import numbers
from embcompress.report.html.grids import Title, grid
from embcompress.report.html.markup import Markup, join, tag


def worst_part(details: Details) -> Markup | None:
    """The rows that lost most; None when there are none."""
    worst, keys = details.worst, details.keys
    if not worst:
        return None
    used = any(w.frequency is not None for w in worst)
    titles = [
        *([Title("key", "name")] if keys else []), Title("row"), Title("relative error"),
        Title("cosine"), Title("norm before"), Title("norm after"),
        *([Title("used")] if used else []),
    ]  # fmt: skip
    rows = [
        [
            *([figures.name(keys.get(str(w.row), ""))] if keys else []),
            numbers.whole(w.row),
            numbers.digits(w.relative_error) if w.relative_error is not None else "∞",
            numbers.cosine(w.cosine),
            numbers.digits(w.norm),
            numbers.digits(w.decoded_norm),
            *([numbers.digits(w.frequency)] if used else []),
        ]
        for w in worst
    ]
    return join(tag("h3", "Worst rows"), grid(titles, rows, kind="narrow"))


def neighbours_part(details: Details, rows: int) -> Markup | None:
    """Nearest rows before and after, of some rows; None when they were not searched."""
    shown = [n for n in details.neighbours if n.before]
    if not shown:
        return None
    among = "all rows"
    if details.neighbour_rows is not None and details.neighbour_rows < rows:
        among = f"a sample of {details.neighbour_rows:,} rows"
    keys = details.keys
    lines = [[_row(n.row, keys), _before(n, keys), _after(n, keys), _kept(n)] for n in shown]
    titles = [
        Title("row", "name" if keys else "n"),
        Title("before", ""),
        Title("after", ""),
        Title("kept"),
    ]
    return join(
        tag("h3", "Neighbours"),
        tag(
            "p",
            f"The nearest rows by cosine among {among}, nearest first, of rows spread over the"
            " table. ",
            tag("span", "Struck out", class_="lost"),
            ": no longer among the nearest. ",
            tag("ins", "+ Marked"),
            ": new there.",
            class_="note",
        ),
        grid(titles, lines, kind="rows"),
    )


def _before(n: RowNeighbours, keys: Mapping[str, str]) -> Markup:
    after = set(n.after)
    return _spaced(
        tag("span", _row(row, keys), class_=None if row in after else "lost") for row in n.before
    )


def _after(n: RowNeighbours, keys: Mapping[str, str]) -> Markup:
    before = set(n.before)
    return _spaced(
        tag("span", _row(row, keys)) if row in before else tag("ins", "+", _row(row, keys))
        for row in n.after
    )


def _row(row: int, keys: Mapping[str, str]) -> Markup:
    """A row by its key, where it has one; its number is then told when it is pointed at."""
    key = keys.get(str(row))
    if not key:
        return numbers.whole(row)
    return tag("data", figures.name(key), value=str(row), title=f"row {row:,}")


def _spaced(pieces: Iterable[Markup]) -> Markup:
    return Markup(" ".join(pieces))


def _kept(n: RowNeighbours) -> str:
    return f"{len(set(n.before) & set(n.after))} of {len(n.before)}"
