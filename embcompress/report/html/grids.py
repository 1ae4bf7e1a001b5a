"""Tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embcompress.report.html.markup import Markup, tag


@dataclass(frozen=True)
class Title:
    """A column's heading.

    Args:
        words: The heading.
        kind: ``n`` for numbers, ``name`` for names, ``bar`` for bars, "" for words.
    """

    words: str
    kind: str = "n"


def grid(
    titles: Sequence[Title],
    rows: Sequence[Sequence[str]],
    *,
    last: Sequence[str] | None = None,
    kind: str | None = None,
) -> Markup:
    """A table whose first column names its rows; it scrolls sideways where it has to.

    Args:
        titles: The columns.
        rows: Cells by row.
        last: Cells of a closing row.
        kind: A class.
    """
    head = tag("tr", *(tag("th", t.words, class_=t.kind or None, scope="col") for t in titles))
    body = [tag("tr", *_cells(titles, row)) for row in rows]
    foot = tag("tfoot", tag("tr", *_cells(titles, last))) if last else None
    table = tag("table", tag("thead", head), tag("tbody", *body), foot, class_=kind)
    return tag("div", table, class_="scroll", tabindex="0" if len(titles) > 5 else None)


def _cells(titles: Sequence[Title], row: Sequence[str]) -> list[Markup]:
    cells = []
    for i, (title, cell) in enumerate(zip(titles, row, strict=True)):
        name = "td" if i else "th"
        cells.append(tag(name, cell, class_=title.kind or None, scope=None if i else "row"))
    return cells


def listing(lines: Sequence[tuple[str, str]]) -> Markup:
    """Labels with what they label."""
    pairs = (piece for label, value in lines for piece in (tag("dt", label), tag("dd", value)))
    return tag("dl", *pairs, class_="list")
