"""Gates: what a report is held against, so that a CI job fails when the cost is too high."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, replace

from embcompress.errors import UsageError
from embcompress.report import figures
from embcompress.report.model import GateResult, Report, TableErrors, TableReport

SMALLEST_JUDGED = 4096
"""Below so many source bytes the header outweighs the tables: the artifact may be larger."""

_WORDS = {
    "max-rel-error": ("relative error", "at most"),
    "min-cosine": ("mean cosine", "at least"),
    "min-recall": ("recall", "at least"),
    "max-bytes": ("file bytes", "at most"),
    "min-ratio": ("ratio", "at least"),
    "max-bits": ("bits per weight", "at most"),
    "smaller": ("file bytes", "fewer than the input's"),
    "compressed": ("compressed tables", "at least"),
    "finite": ("rows that decode to NaN or infinity", "at most"),
}
ALWAYS_ON = {
    "smaller": "smaller than the input",
    "compressed": "a table was compressed",
    "finite": "every value decodes to a finite number",
}
"""Gates that need no asking, and what it means that they passed."""

_RANGES = {
    "max_rel_error": (0.0, math.inf, "0 or more"),
    "min_cosine": (-1.0, 1.0, "from -1 to 1"),
    "min_recall": (0.0, 1.0, "from 0 to 1"),
    "max_bytes": (0, math.inf, "a whole number of bytes"),
    "min_ratio": (0.0, math.inf, "0 or more"),
    "max_bits": (0.0, math.inf, "0 or more"),
}


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Bounds that a report has to keep; those that are None are not asked for.

    Args:
        max_rel_error: Largest relative error, per table and over all tables.
        min_cosine: Least mean cosine of rows, per table.
        min_recall: Least recall@k, per table, held against the lower end of its interval.
        max_bytes: Largest artifact file, in bytes.
        min_ratio: Least source bytes over artifact bytes, per table and in total.
        max_bits: Most bits per weight, per table and in total.

    Raises:
        UsageError: A bound outside the range of what it bounds.
    """

    max_rel_error: float | None = None
    min_cosine: float | None = None
    min_recall: float | None = None
    max_bytes: int | None = None
    min_ratio: float | None = None
    max_bits: float | None = None

    def __post_init__(self) -> None:
        for name, (low, high, words) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"--{name.replace('_', '-')} is {words}, not {value}")

    def asked(self) -> dict[str, float]:
        """The bounds that are asked for, by name."""
        return {name: bound for name, bound in asdict(self).items() if bound is not None}

    def sizes(self) -> Gates:
        """The bounds on sizes alone."""
        return Gates(max_bytes=self.max_bytes, min_ratio=self.min_ratio, max_bits=self.max_bits)


def check(report: Report, gates: Gates, source_bytes: int | None = None) -> list[GateResult]:
    """Hold a report against gates, and against those that are always on.

    A gate on an error that was not measured could not be evaluated, and has not passed. A table
    without weights passes every gate on errors, ratio and bits; so does one row on recall.

    Args:
        report: Sizes and errors.
        gates: What is asked for.
        source_bytes: Bytes of the input file; by default those of its tensors.

    Returns:
        Per gate, one result a table and then one in total; the gates always on come last.
    """
    results = [
        *_errors(report, "max-rel-error", gates.max_rel_error, lambda e: (e.relative_error, "")),
        *_errors(report, "min-cosine", gates.min_cosine, lambda e: (e.cosine_mean, "")),
        *_errors(report, "min-recall", gates.min_recall, _recall),
    ]
    total = report.total
    if gates.max_bytes is not None:
        results.append(_result("max-bytes", "total", gates.max_bytes, total.file_bytes))
    results += _sizes(report, "min-ratio", gates.min_ratio, lambda t: t.ratio, total.ratio)
    results += _sizes(
        report, "max-bits", gates.max_bits, lambda t: t.bits_per_weight, total.bits_per_weight
    )
    return [*results, *_always(report, source_bytes)]


def check_tables(report: Report, gates: Gates, names: Collection[str]) -> list[GateResult]:
    """Hold some tables of a report against gates, each by itself.

    Args:
        report: Sizes and errors.
        gates: What is asked for; ``max_bytes`` is of a whole file and not among it.
        names: The tables.
    """
    some = replace(report, tables=[table for table in report.tables if table.name in names])
    return [r for r in check(some, gates) if r.table in names and r.gate not in ALWAYS_ON]


def failure_lines(results: list[GateResult]) -> list[str]:
    """One line for each gate that has not passed: the table, what was wanted, what it got."""
    return [failure_line(r) for r in results if not r.passed]


def failure_line(result: GateResult) -> str:
    """A gate that has not passed, in one line."""
    table = figures.name(result.table)
    if result.got is None:
        return (
            f"{table}: --{result.gate} {result.wanted:.15g} could not be evaluated: {result.note}"
        )
    what, bound = _WORDS[result.gate]
    got, wanted = figures.told_apart(result.got, result.wanted)
    flag = "" if result.gate in ALWAYS_ON else f"--{result.gate}"
    told = "; ".join(filter(None, (flag, result.note)))
    return f"{table}: {what} {got}, wanted {bound} {wanted}" + (f" ({told})" if told else "")


def passed_line(results: list[GateResult]) -> str:
    """One gate that some tables have passed, in one line: the closest of them."""
    what, bound = _WORDS[results[0].gate]
    held = [g for g in results if g.got is not None]
    if not held:
        return f"{figures.name(results[0].table)}: {what}: {results[0].note}"
    closest = min(held, key=lambda g: abs((g.got or 0.0) - g.wanted))
    got, wanted = figures.told_apart(closest.got or 0.0, closest.wanted)
    among = f"closest of {len(results):,}" if len(results) > 1 else ""
    told = "; ".join(filter(None, (among, closest.note)))
    return f"{figures.name(closest.table)}: {what} {got}, {bound} {wanted}" + (
        f" ({told})" if told else ""
    )


def _errors(
    report: Report,
    gate: str,
    wanted: float | None,
    figure: Callable[[TableErrors], tuple[float | None, str]],
) -> Iterator[GateResult]:
    if wanted is None:
        return
    for table in report.tables:
        if reason := _nothing_to_lose(table, gate):
            yield GateResult(
                gate=gate, table=table.name, wanted=wanted, got=None, passed=True, note=reason
            )
            continue
        got, note = figure(table.errors) if table.errors else (None, "")
        yield _result(gate, table.name, wanted, got, note or _unmeasured(table, got))
    got = report.total.relative_error
    if gate == "max-rel-error" and got is not None and len(report.tables) > 1:
        yield _result(gate, "total", wanted, got)


def _sizes(
    report: Report,
    gate: str,
    wanted: float | None,
    figure: Callable[[TableReport], float | None],
    total: float | None,
) -> Iterator[GateResult]:
    if wanted is None:
        return
    for table in report.tables:
        if not table.empty:
            yield _result(gate, table.name, wanted, figure(table))
    one = len(report.tables) == 1 and figure(report.tables[0]) == total
    if total is not None and not one:
        yield _result(gate, "total", wanted, total)


def _recall(errors: TableErrors) -> tuple[float | None, str]:
    if errors.recall is None or errors.recall_low == errors.recall:
        return errors.recall_low, ""
    return errors.recall_low, (
        f"lower end of {figures.recall(errors)}, {errors.recall_queries:,} queries"
    )


def _nothing_to_lose(table: TableReport, gate: str) -> str:
    if table.empty:
        return "the table is empty"
    if gate == "min-recall" and table.shape[0] == 1:
        return "one row has no neighbours"
    return ""


def _unmeasured(table: TableReport, got: float | None) -> str:
    if got is not None:
        return ""
    if table.errors_from == "compression":
        return "it was not kept at compression; give --against SOURCE"
    return "undefined here" if table.errors else "nothing was measured"


def _always(report: Report, source_bytes: int | None) -> Iterator[GateResult]:
    total = report.total
    if source_bytes is None:
        source_bytes = total.source_bytes + total.passed_through_bytes
    if total.source_bytes >= SMALLEST_JUDGED:
        yield _result("smaller", "total", source_bytes, total.file_bytes)
    elif report.tables:
        yield GateResult(
            gate="smaller",
            table="total",
            wanted=source_bytes,
            got=total.file_bytes,
            passed=True,
            note=f"not judged: header and metadata outweigh tables below {SMALLEST_JUDGED:,} bytes",
        )
    yield _result("compressed", "total", 1, len(report.tables))
    for table in report.tables:
        if table.errors is not None:
            first = table.errors.nonfinite_row
            note = "" if first is None else f"the first is row {first}"
            yield _result("finite", table.name, 0, table.errors.nonfinite_rows, note)


def _result(gate: str, table: str, wanted: float, got: float | None, note: str = "") -> GateResult:
    bound = _WORDS[gate][1]
    if got is None:
        passed = False
    elif bound == "at least":
        passed = got >= wanted
    else:
        passed = got <= wanted if bound == "at most" else got < wanted
    return GateResult(
        gate=gate, table=table, wanted=float(wanted), got=got, passed=passed, note=note
    )
