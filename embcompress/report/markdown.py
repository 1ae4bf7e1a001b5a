"""The report as GitHub Markdown: for a pull request or a job's summary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from embcompress.report import figures, summary
from embcompress.report.model import Report, TableReport

_MOST_TABLES = 10
_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]|~#"} | {"<": "&lt;", "&": "&amp;"})

_MENTION = re.compile(r"@(?=[A-Za-z])")


def to_markdown(report: Report) -> str:
    """A report as GitHub Markdown.

    Of several tables the ten with the largest relative error are shown.

    Args:
        report: The report.

    Returns:
        Text that ends with a newline.
    """
    lines = [f"### {_escaped(summary.headline(report))}", ""]
    if len(report.tables) == 1:
        lines += _one(report, report.tables[0])
    elif report.tables:
        lines += _several(report)
    if gates := summary.gates(report):
        lines += ["", "| gate | |", "|---|---|"]
        lines += [f"| {'ok' if ok else '**FAILED**'} | {_escaped(words)} |" for ok, words in gates]
    if notes := summary.notes(report):
        lines += ["", *(f"- {_escaped(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def failure_to_markdown(message: str) -> str:
    """A report that could not be made.

    Args:
        message: Why there is none.
    """
    return f"### embcompress: no report\n\n{_escaped(message)}\n"


def _one(report: Report, table: TableReport) -> Iterator[str]:
    yield (
        f"**{_escaped(figures.name(table.name))}**, {figures.shape(table)} {table.dtype},"
        f" {_escaped(table.method)}"
    )
    yield from _listing(
        [*summary.sizes(report), _parts(report), *summary.errors(table, report.seed)]
    )


def _several(report: Report) -> Iterator[str]:
    method = summary.common_method(report)
    if method is not None:
        yield _escaped(method)
        yield ""
    sizes = summary.columns(report, summary.SIZES)
    errors = summary.columns(report, summary.ERRORS)
    columns = [summary.NAME, *sizes, *errors]
    yield _row([c.title for c in columns])
    yield _row(["---:" if c.number else "---" for c in columns])
    for table in figures.worst_first(report.tables)[:_MOST_TABLES]:
        yield _row([_escaped(c.cell(table)) for c in columns])
    if (more := len(report.tables) - _MOST_TABLES) > 0:
        yield _row([f"{more:,} more", *[""] * (len(columns) - 1)])
    yield _row([f"**{_escaped(c.total(report))}**" if c.total(report) else "" for c in columns])
    for gloss in summary.glosses(report):
        yield ""
        yield _escaped(gloss)
    yield from _listing([*summary.sizes(report), _parts(report)])


def _parts(report: Report) -> tuple[str, str]:
    found = (f"{n} {s:,} ({figures.percent(share)})" for n, s, share in summary.parts(report))
    return "parts", ", ".join(found)


def _listing(lines: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield ""
    yield "| | |"
    yield "|---|---|"
    for label, value in lines:
        yield _row([_escaped(label), _escaped(value)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    return _MENTION.sub("@\u200b", " ".join(text.splitlines()).translate(_SPECIAL))
