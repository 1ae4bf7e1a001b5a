"""Gates: what a report is held against, so that a CI job fails when the cost is too high."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from embcompress.errors import UsageError
from embcompress.report import figures
from embcompress.report.changes import Change
from embcompress.report.model import GateResult, Report, TableErrors, TableReport
from embcompress.report.verdicts import ALWAYS_ON, WORDS
from embcompress.tables.quoting import quoted

SMALLEST_JUDGED = 4096
"""Below so many source bytes the header outweighs the tables: the artifact may be larger."""

_RANGES = {
    "max_rel_error": (0.0, math.inf, "0 or more"),
    "min_cosine": (-1.0, 1.0, "from -1 to 1"),
    "min_cosine_p1": (-1.0, 1.0, "from -1 to 1"),
    "min_recall": (0.0, 1.0, "from 0 to 1"),
    "max_bytes": (0, math.inf, "a whole number of bytes"),
    "min_ratio": (0.0, math.inf, "0 or more"),
    "max_bits": (0.0, math.inf, "0 or more"),
    "max_skipped": (0, math.inf, "a whole number of tables"),
    "max_growth": (0.0, math.inf, "0% or more"),
    "max_error_growth": (0.0, math.inf, "0% or more"),
}
_FEW = 4
_NO_BASELINE = "there is nothing to compare with; give --baseline REPORT.json"


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Bounds that a report has to keep; those that are None are not asked for.

    Args:
        max_rel_error: Largest relative error, per table and over all tables.
        min_cosine: Least mean cosine of rows, per table.
        min_cosine_p1: Least 1st percentile of the cosines, per table.
        min_recall: Least recall@k, per table, held against the lower end of its interval.
        max_bytes: Largest artifact file, in bytes.
        min_ratio: Least source bytes over artifact bytes, per table and in total.
        max_bits: Most bits per weight, per table and in total.
        max_skipped: Most tables that were passed through although a rule was meant for them.
        max_growth: Most growth in bytes since the baseline, per table and of the file, as a share.
        max_error_growth: Most growth of the relative error since it, per table and in total.

    Raises:
        UsageError: A bound outside the range of what it bounds.
    """

    max_rel_error: float | None = None
    min_cosine: float | None = None
    min_cosine_p1: float | None = None
    min_recall: float | None = None
    max_bytes: int | None = None
    min_ratio: float | None = None
    max_bits: float | None = None
    max_skipped: int | None = None
    max_growth: float | None = None
    max_error_growth: float | None = None

    def __post_init__(self) -> None:
        for name, (low, high, words) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= min(high, sys.float_info.max):
                raise UsageError(f"--{name.replace('_', '-')} is {words}, not {value!s:.60}")

    @property
    def needs_full(self) -> bool:
        """Whether a bound is on a figure that only a full report measures."""
        return self.min_recall is not None or self.min_cosine_p1 is not None

    def asked(self) -> dict[str, float]:
        """The bounds that are asked for, by name."""
        return {name: bound for name, bound in asdict(self).items() if bound is not None}

    def but(self, others: Gates) -> Gates:
        """These bounds, with those that others ask for in their place."""
        bounds: dict[str, Any] = others.asked()
        return replace(self, **bounds)

    def without_errors(self) -> Gates:
        """The bounds on sizes and on what was taken, which are known without encoding."""
        return Gates(
            max_bytes=self.max_bytes,
            min_ratio=self.min_ratio,
            max_bits=self.max_bits,
            max_skipped=self.max_skipped,
            max_growth=self.max_growth,
        )


def check(
    report: Report,
    gates: Gates,
    source_bytes: int | None = None,
    skipped: Mapping[str, str] | None = None,
) -> list[GateResult]:
    """Hold a report against gates, and against those that are always on.

    A gate on an error that was not measured could not be evaluated, and has not passed. A table
    without weights passes every gate on errors, ratio and bits; so does one row on recall.

    Args:
        report: Sizes and errors.
        gates: What is asked for.
        source_bytes: Bytes of the input file; by default those of its tensors.
        skipped: Tables that were passed through although a rule was meant for them, and why.

    Returns:
        Per gate, one result a table and then one in total; the gates always on come last.
    """
    results = [
        *_errors(report, "max-rel-error", gates.max_rel_error, lambda e: (e.relative_error, "")),
        *_errors(report, "min-cosine", gates.min_cosine, lambda e: (e.cosine_mean, "")),
        *_errors(report, "min-cosine-p1", gates.min_cosine_p1, lambda e: (e.cosine_p1, "")),
        *_errors(report, "min-recall", gates.min_recall, _recall),
    ]
    total = report.total
    if gates.max_bytes is not None:
        results.append(_result("max-bytes", "total", gates.max_bytes, total.file_bytes))
    if gates.max_skipped is not None:
        results.append(_skipped(gates.max_skipped, skipped))
    results += _sizes(report, "min-ratio", gates.min_ratio, lambda t: t.ratio, total.ratio)
    results += _sizes(
        report, "max-bits", gates.max_bits, lambda t: t.bits_per_weight, total.bits_per_weight
    )
    results += _growth(
        report, "max-growth", gates.max_growth, lambda c: c.growth, lambda c: c.bytes_before
    )
    results += _growth(
        report,
        "max-error-growth",
        gates.max_error_growth,
        lambda c: c.error_growth,
        lambda c: c.error_before,
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


def _skipped(wanted: int, found: Mapping[str, str] | None) -> GateResult:
    if found is None:
        return _result("max-skipped", "total", wanted, None, "nothing tells which were")
    few = [f"{quoted(name)} ({reason})" for name, reason in [*found.items()][:_FEW]]
    if len(found) > _FEW:
        few.append(f"{len(found) - _FEW:,} more")
    return _result("max-skipped", "total", wanted, len(found), ", ".join(few))


def _growth(
    report: Report,
    gate: str,
    wanted: float | None,
    figure: Callable[[Change], float | None],
    before: Callable[[Change], float | None],
) -> Iterator[GateResult]:
    if wanted is None:
        return
    if report.baseline is None:
        yield _result(gate, "total", wanted, None, _NO_BASELINE)
        return
    empty = {t.name for t in report.tables if t.empty}
    for change in report.baseline.tables:
        if gate == "max-error-growth" and change.table in empty:
            continue
        if change.bytes_before is None:
            yield GateResult(
                gate=gate, table=change.table, wanted=wanted, got=None, passed=True,
                note="the baseline has no such table",
            )  # fmt: skip
        else:
            yield _grown(gate, wanted, change, figure(change), before(change))
    whole = report.baseline.total
    if gate == "max-growth" or (figure(whole) is not None and len(report.tables) > 1):
        yield _grown(gate, wanted, whole, figure(whole), before(whole))


def _grown(
    gate: str, wanted: float, change: Change, got: float | None, before: float | None
) -> GateResult:
    note = ""
    if got is None:
        note = "not measured here or in the baseline" if before is None else "not measured here"
        if before == 0:
            note = "the baseline's is 0"
    return _result(gate, change.table, wanted, got, note)


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
    bound = WORDS[gate][1]
    if got is None:
        passed = False
    elif bound == "at least":
        passed = got >= wanted
    else:
        passed = got <= wanted if bound == "at most" else got < wanted
    return GateResult(
        gate=gate, table=table, wanted=float(wanted), got=got, passed=passed, note=note
    )
