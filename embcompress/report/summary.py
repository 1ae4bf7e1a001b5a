"""What a report tells people, in words: the terminal and Markdown only lay it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from embcompress.report import figures
from embcompress.report.gates import ALWAYS_ON, failure_line, passed_line
from embcompress.report.model import Report, TableErrors, TableReport

LIMIT_GLOSS = (
    "dB above the Gaussian rate-distortion bound at the same bits"
    " (0 = the limit; 6 dB = twice the error)"
)

DECIBELS = "dB above limit"
"""Title of the column that ``LIMIT_GLOSS`` explains."""

_MOST_PASSED = 20


@dataclass(frozen=True)
class Column:
    """A column of the overview of several tables.

    Args:
        title: Its heading.
        cell: What it shows of a table.
        total: What it shows of all tables together.
        number: Whether to align it to the right and never to break it.
    """

    title: str
    cell: Callable[[TableReport], str]
    total: Callable[[Report], str] = lambda _: ""
    number: bool = True


def _of_errors(figure: Callable[[TableErrors], str]) -> Callable[[TableReport], str]:
    return lambda table: figure(table.errors) if table.errors else figures.NONE


NAME = Column("table", lambda t: figures.name(t.name), lambda _: "total", number=False)
SIZES = (
    Column("shape", figures.shape),
    Column("method", lambda t: figures.name(t.method), number=False),
    Column(
        "source",
        lambda t: figures.size(t.source_bytes),
        lambda r: figures.size(r.total.source_bytes),
    ),
    Column(
        "artifact",
        lambda t: figures.size(t.artifact_bytes),
        lambda r: figures.size(r.total.artifact_bytes),
    ),
    Column("ratio", lambda t: figures.ratio(t.ratio), lambda r: figures.ratio(r.total.ratio)),
    Column(
        "bits/weight",
        lambda t: figures.digits(t.bits_per_weight, 3),
        lambda r: figures.digits(r.total.bits_per_weight, 3),
    ),
)
ERRORS = (
    Column(
        "rel. error",
        _of_errors(lambda e: figures.digits(e.relative_error)),
        lambda r: figures.digits(r.total.relative_error),
    ),
    Column("cosine", _of_errors(lambda e: figures.cosine(e.cosine_mean))),
    Column("p1", _of_errors(lambda e: figures.cosine(e.cosine_p1))),
    Column("lowest @ row", _of_errors(figures.lowest_cosine)),
    Column("recall", _of_errors(figures.recall)),
    Column(DECIBELS, _of_errors(lambda e: figures.decibels(e.decibels_above_limit))),
)


def columns(report: Report, group: tuple[Column, ...]) -> list[Column]:
    """The columns of a group that tell something: a method only where methods differ.

    Args:
        report: The report.
        group: ``SIZES`` or ``ERRORS``.
    """
    one = common_method(report) is not None
    return [
        c
        for c in group
        if any(c.cell(t) != figures.NONE for t in report.tables)
        and not (one and c.title == "method")
    ]


def common_method(report: Report) -> str | None:
    """The method of every table, or None when they differ."""
    methods = {t.method for t in report.tables}
    return methods.pop() if len(methods) == 1 else None


def headline(report: Report) -> str:
    """From which file to which."""
    artifact = figures.name(report.artifact)
    return artifact if report.source is None else f"{figures.name(report.source)} → {artifact}"


def sizes(report: Report) -> Iterator[tuple[str, str]]:
    """Labels and values of the sizes in total."""
    total = report.total
    yield "size", f"{total.source_bytes:,} → {total.artifact_bytes:,} bytes"
    yield (
        "ratio",
        f"{figures.ratio(total.ratio)}, {figures.digits(total.bits_per_weight)} bits per weight",
    )
    if total.passed_through_bytes:
        yield (
            "passed through",
            f"{total.passed_through_bytes:,} bytes of other tensors; the file has"
            f" {total.file_bytes:,}",
        )


def errors(table: TableReport, seed: int) -> Iterator[tuple[str, str]]:
    """Labels and values of all that was measured of a table.

    Args:
        table: The table.
        seed: Of the sampled figures.
    """
    e = table.errors
    if e is None:
        return
    if e.relative_error is not None:
        yield "relative error", figures.digits(e.relative_error)
    if e.mse is not None:
        yield "mean squared", figures.digits(e.mse)
    if e.max_abs_error is not None:
        yield (
            "largest error",
            f"{figures.digits(e.max_abs_error)} in row {figures.row(e.max_abs_error_row)}",
        )
    if e.cosine_mean is not None:
        yield "cosine", _cosine(e)
    if e.norm_ratio is not None:
        yield "row norms", f"{figures.cosine(e.norm_ratio)} of the original's on average"
    if e.recall is not None:
        yield f"recall@{e.recall_k}", f"{figures.recall(e)} {_recall_terms(e, table, seed)}"
    if e.product_error is not None:
        yield "inner products", _products(e.product_correlation, e.product_error)
    if weighted := _weighted(e):
        yield "by frequency", weighted
    if e.decibels_above_limit is not None:
        yield (
            "limit",
            f"{figures.decibels(e.decibels_above_limit)} {LIMIT_GLOSS}" + _limit_terms(e, table),
        )


def _cosine(e: TableErrors) -> str:
    found = [f"mean {figures.cosine(e.cosine_mean)}"]
    if e.cosine_p1 is not None:
        found.append(f"1st percentile {figures.cosine(e.cosine_p1)}")
    if e.cosine_lowest is not None:
        found.append(
            f"lowest {figures.cosine(e.cosine_lowest)} in row {figures.row(e.cosine_lowest_row)}"
        )
    return ", ".join(found)


def _recall_terms(e: TableErrors, table: TableReport, seed: int) -> str:
    if e.recall_queries == table.shape[0]:
        return "of all rows"
    among = "all rows" if e.recall_rows == table.shape[0] else f"a sample of {e.recall_rows:,} rows"
    return f"(95%; {e.recall_queries:,} queries in {among}, seed {seed})"


def _products(correlation: float | None, error: float) -> str:
    known = f"correlation {figures.cosine(correlation)}, " if correlation is not None else ""
    return f"{known}rms error {figures.digits(error)} of their spread"


def _weighted(e: TableErrors) -> str:
    found = (
        ("relative error", e.weighted_relative_error, figures.digits),
        ("cosine", e.weighted_cosine, figures.cosine),
        ("recall", e.weighted_recall, lambda v: f"{v:.3f}"),
        ("product error", e.weighted_product_error, figures.digits),
    )
    return ", ".join(f"{word} {write(value)}" for word, value, write in found if value is not None)


def _limit_terms(e: TableErrors, table: TableReport) -> str:
    return (
        ""
        if e.limit_rows in (None, table.shape[0])
        else f"; from a sample of {e.limit_rows:,} rows"
    )


def notes(report: Report) -> list[str]:
    """Every note, those of a table behind its name."""
    found = list(report.notes)
    for table in report.tables:
        e = table.errors
        own = list(table.notes)
        if e is not None and e.nonfinite_rows:
            own.append(
                f"{e.nonfinite_rows:,} rows decode to NaN or infinity and count in no figure"
            )
        if e is not None and (left := table.shape[0] - e.rows - e.nonfinite_rows):
            own.append(f"{left:,} rows of the source hold NaN or infinity and count in no figure")
        found += [f"{figures.name(table.name)}: {note}" for note in own]
    return found


def gates(report: Report) -> list[tuple[bool, str]]:
    """Whether gates passed, and their words: failed ones, those asked for, those always on."""
    lines = [(False, failure_line(g)) for g in report.gates if not g.passed]
    asked = [(True, passed_line(g)) for g in report.gates if g.passed and g.gate not in ALWAYS_ON]
    lines += asked[:_MOST_PASSED]
    if len(asked) > _MOST_PASSED:
        lines.append((True, f"{len(asked) - _MOST_PASSED:,} more"))
    quiet = []
    for gate, words in ALWAYS_ON.items():
        results = [g for g in report.gates if g.gate == gate]
        if results and all(g.passed for g in results):
            quiet.append(next((g.note for g in results if g.note), words))
    return lines + ([(True, "; ".join(quiet))] if quiet else [])
