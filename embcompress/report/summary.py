"""What a report tells people, in words: the terminal and Markdown only lay it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from embcompress.report import figures
from embcompress.report.changes import Baseline
from embcompress.report.model import GateResult, Report, TableErrors, TableReport
from embcompress.report.verdicts import ALWAYS_ON, failure_line, passed_line, worst_first
from embcompress.tables.quoting import listed

_LIMIT = (
    "the Gaussian rate-distortion bound at the same bits (0 = the limit; 6 dB = twice the error)"
)
_MOST_LINES = 20
_MOST_FAILURES = 10


@dataclass(frozen=True)
class Column:
    """A column of the overview of several tables.

    Args:
        title: Its heading; it may break between words.
        cell: What it shows of a table.
        total: What it shows of all tables together.
        number: Whether it is aligned to the right and never breaks.
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
        "bits per weight",
        lambda t: figures.digits(t.bits_per_weight, 3),
        lambda r: figures.digits(r.total.bits_per_weight, 3),
    ),
    Column("method", lambda t: figures.name(t.method), number=False),
)
ERRORS = (
    Column(
        "relative error",
        _of_errors(lambda e: figures.digits(e.relative_error)),
        lambda r: figures.digits(r.total.relative_error),
    ),
    Column("cosine, mean", _of_errors(lambda e: figures.cosine(e.cosine_mean))),
    Column("p1", _of_errors(lambda e: figures.cosine(e.cosine_p1))),
    Column("lowest, its row", _of_errors(figures.lowest_cosine)),
    Column("recall", _of_errors(figures.recall)),
    Column("dB above limit", _of_errors(lambda e: figures.decibels(e.decibels_above_limit))),
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


def table_rows(report: Report) -> list[list[tuple[str, str]]]:
    """Every table's name, sizes and errors, as titles and values."""
    shown = [NAME, *columns(report, SIZES), *columns(report, ERRORS)]
    return [[(c.title, c.cell(table)) for c in shown] for table in report.tables]


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
    bits = figures.digits(total.bits_per_weight)
    yield "ratio", f"{figures.ratio(total.ratio)}, {bits} bits per weight"
    if total.passed_through_bytes:
        yield (
            "passed through",
            f"{total.passed_through_bytes:,} bytes of other tensors; the file has"
            f" {total.file_bytes:,}",
        )
    if report.baseline is not None:
        yield "baseline", _since(report.baseline)


def _since(baseline: Baseline) -> str:
    total = baseline.total
    found = [f"{figures.grown(total.growth)} bytes"]
    if total.error_growth is not None:
        found.append(f"{figures.grown(total.error_growth)} relative error")
    told = f"{', '.join(found)} since {figures.name(baseline.file)}"
    new = [change.table for change in baseline.tables if change.bytes_before is None]
    for word, names in (("new", new), ("gone", baseline.gone)):
        if names:
            told += f"; {word}: {listed(names)}"
    return told


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
        yield "limit", _limit(e.decibels_above_limit, e.limit_rows, table)


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


def _limit(decibels: float, rows: int | None, table: TableReport) -> str:
    side = "above" if decibels >= 0 else "below"
    sample = "" if rows in (None, table.shape[0]) else f"; bound from a sample of {rows:,} rows"
    return f"{figures.decibels(abs(decibels))} dB {side} {_LIMIT}{sample}"


def glosses(report: Report) -> list[str]:
    """What the columns of the overview mean, where they do not say so themselves."""
    measured = [t.errors for t in report.tables if t.errors]
    found = []
    if any(e.cosine_p1 is not None for e in measured):
        found.append("p1: 1st percentile of the cosines of all rows")
    if queries := max((e.recall_queries or 0 for e in measured), default=0):
        k = max(e.recall_k or 0 for e in measured)
        found.append(f"recall@{k}: ± 95%, {queries:,} queries a table, seed {report.seed}")
        sampled = sum(
            t.errors is not None and (t.errors.recall_rows or t.shape[0]) < t.shape[0]
            for t in report.tables
        )
        if sampled:
            found[-1] += f"; in {sampled:,} tables searched in a sample of rows"
    if any(e.decibels_above_limit is not None for e in measured):
        found.append(f"dB above {_LIMIT}")
    return found


def parts(report: Report) -> list[tuple[str, int, float]]:
    """Every part that takes bytes: its name, its bytes and its share."""
    whole = sum(report.parts.values())
    return [(part, size, size / whole) for part, size in report.parts.items() if size]


def notes(report: Report) -> list[str]:
    """The first notes; of several tables, with the name."""
    found = list(report.notes)
    for table in report.tables:
        e = table.errors
        own = list(table.notes)
        if e is not None and e.nonfinite_rows:
            own.append(f"rows that decode to NaN or infinity, in no figure: {e.nonfinite_rows:,}")
        if e is not None and (left := table.shape[0] - e.rows - e.nonfinite_rows):
            own.append(f"rows of the source with NaN or infinity, in no figure: {left:,}")
        whose = f"{figures.name(table.name)}: " if len(report.tables) > 1 else ""
        found += [f"{whose}{note}" for note in own]
    more = len(found) - _MOST_LINES
    return [*found[:_MOST_LINES], f"{more:,} more notes"] if more > 0 else found


def gates(report: Report) -> list[tuple[bool, str]]:
    """Whether gates passed, and their words: failed ones, those asked for, those always on."""
    failed = [failure_line(g) for g in worst_first(report.gates)]
    lines = [(False, words) for words in failed[:_MOST_FAILURES]]
    if len(failed) > _MOST_FAILURES:
        lines.append((False, f"{len(failed) - _MOST_FAILURES:,} more"))
    passed: dict[str, list[GateResult]] = {}
    for g in report.gates:
        if g.passed:
            passed.setdefault(g.gate, []).append(g)
    lines += [(True, passed_line(r)) for gate, r in passed.items() if gate not in ALWAYS_ON]
    quiet = [
        next((g.note for g in results if g.note), ALWAYS_ON[gate])
        for gate, results in passed.items()
        if gate in ALWAYS_ON and len(results) == sum(g.gate == gate for g in report.gates)
    ]
    return lines + ([(True, "; ".join(quiet))] if quiet else [])
