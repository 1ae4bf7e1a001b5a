"""The report as data: sizes and errors of every table, totals, gates, and their JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from embcompress.errors import BadInput
from embcompress.report.changes import Baseline
from embcompress.report.decode import decode
from embcompress.report.details import Details
from embcompress.report.limit import decibels_above

SCHEMA = 2

Sizes = dict[str, int]
"""Bytes by part name: codes, scale, bias, codebook, map, header, …"""

_DERIVED = ("artifact_bytes", "ratio", "bits_per_weight")


@dataclass(frozen=True, kw_only=True)
class TableErrors:
    """How far the rows that a table decodes to lie from the original rows.

    A figure is None where it is undefined (an empty table, one row without neighbours) or where it
    was not measured. Rows with a non-finite value on either side count in no other figure.

    Args:
        rows: Rows that the figures cover.
        nonfinite_rows: Rows that decode to NaN or infinity; ``nonfinite_row`` is the first.
        squared_error: Sum of squares of E - Ê.
        squared_norm: Sum of squares of E.
        relative_error: ‖E - Ê‖F / ‖E‖F; 0 when both are 0.
        mse: Mean squared error of a weight.
        max_abs_error: Largest absolute error of a weight, found in ``max_abs_error_row``.
        cosine_mean: Mean over rows of the cosine of a row and its reconstruction; 1 for two zero
            rows, 0 when only one of them is zero.
        cosine_p1: 1st percentile of those cosines.
        cosine_lowest: Their lowest, found in ``cosine_lowest_row``.
        norm_ratio: Mean of ‖ê‖ / ‖e‖ over rows with ‖e‖ > 0.
        recall: Mean over queries of the share of a row's k nearest neighbours by cosine that are
            among the k nearest in the reconstruction, where queries are reconstructed too.
        recall_low: Lower end of the 95% confidence interval of ``recall``.
        recall_high: Its upper end; both equal ``recall`` when every row is a query.
        recall_k: k.
        recall_queries: Rows that were queries.
        recall_rows: Rows searched: all, or a random sample.
        product_correlation: Pearson correlation of inner products between two different sampled
            rows, original against reconstructed.
        product_error: Root mean square error of those products over their standard deviation.
        product_pairs: Pairs of rows compared.
        limit_relative_error: Relative error of the Gaussian rate-distortion bound at as many bits.
        decibels_above_limit: Squared error over the bound's, in decibels.
        limit_rows: Rows whose second moment gave the bound: all, or a sample.
        weighted_relative_error: ``relative_error`` with every row weighted by its frequency; so
            are the other ``weighted_`` figures.
    """

    rows: int
    nonfinite_rows: int
    squared_error: float
    squared_norm: float
    nonfinite_row: int | None = None
    relative_error: float | None = None
    mse: float | None = None
    max_abs_error: float | None = None
    max_abs_error_row: int | None = None
    cosine_mean: float | None = None
    cosine_p1: float | None = None
    cosine_lowest: float | None = None
    cosine_lowest_row: int | None = None
    norm_ratio: float | None = None
    recall: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None
    recall_k: int | None = None
    recall_queries: int | None = None
    recall_rows: int | None = None
    product_correlation: float | None = None
    product_error: float | None = None
    product_pairs: int | None = None
    limit_relative_error: float | None = None
    decibels_above_limit: float | None = None
    limit_rows: int | None = None
    weighted_relative_error: float | None = None
    weighted_cosine: float | None = None
    weighted_recall: float | None = None
    weighted_product_correlation: float | None = None
    weighted_product_error: float | None = None

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float], where: str) -> TableErrors:
        """Take errors from numbers that an artifact keeps, which may be hostile.

        Args:
            numbers: By field name; NaN where a figure is undefined. Others are None.
            where: File and table, for errors.

        Raises:
            BadInput: A value that the field cannot have.
        """
        hints = get_type_hints(cls)
        values: dict[str, float | None] = dict.fromkeys(hints)
        for name, number in numbers.items():
            whole = int in (hints[name], *get_args(hints[name])) and number.is_integer()
            values[name] = None if math.isnan(number) else int(number) if whole else number
        errors: TableErrors = decode(cls, values, where)
        return errors


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """One table: what it took before and after, and what that cost.

    Args:
        name: The table's name.
        shape: Rows N and columns D.
        dtype: Of the source: F16, BF16, F32 or F64.
        method: The resolved method, as typed on the command line.
        source_bytes: N·D values of the source's dtype.
        parts: Everything that decoding the table needs, in bytes by part name.
        errors: What was measured, or None.
        errors_from: Where from: against the ``source``, or kept from the ``compression``.
        notes: One line each.
        details: Single rows and groups of rows, where they were measured.
    """

    name: str
    shape: tuple[int, int]
    dtype: str
    method: str
    source_bytes: int
    parts: Sizes
    errors: TableErrors | None = None
    errors_from: Literal["source", "compression"] | None = None
    notes: list[str] = field(default_factory=list)
    details: Details | None = None

    @property
    def artifact_bytes(self) -> int:
        """Sum of the parts."""
        return sum(self.parts.values())

    @property
    def ratio(self) -> float | None:
        """Source bytes over artifact bytes."""
        return _over(self.source_bytes, self.artifact_bytes)

    @property
    def bits_per_weight(self) -> float | None:
        """Bits in the artifact for one of the N·D weights."""
        return _over(8 * self.artifact_bytes, self.shape[0] * self.shape[1])

    @property
    def empty(self) -> bool:
        """Whether the table holds no weight."""
        return 0 in self.shape


@dataclass(frozen=True, kw_only=True)
class Total:
    """All tables of an artifact together.

    Args:
        source_bytes: Of the tables.
        artifact_bytes: The file without what was passed through: all parts, header and metadata.
        file_bytes: The file.
        passed_through_bytes: Tensors of the source copied byte for byte; they count in no ratio.
        ratio: ``source_bytes`` over ``artifact_bytes``.
        bits_per_weight: ``artifact_bytes`` in bits over the weights of all tables.
        relative_error: ‖E - Ê‖F / ‖E‖F over the weights of all tables; None unless measured in
            every one.
        limit_relative_error: Relative error of all tables, each at its own rate-distortion bound.
        decibels_above_limit: Squared error over that bound's, in decibels.
    """

    source_bytes: int
    artifact_bytes: int
    file_bytes: int
    passed_through_bytes: int
    ratio: float | None
    bits_per_weight: float | None
    relative_error: float | None
    limit_relative_error: float | None
    decibels_above_limit: float | None


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """How one gate went for one table, or in total.

    Args:
        gate: Its name: ``max-rel-error``, ``min-recall``, …, or one that is always on.
        table: The table's name, or ``total``.
        wanted: The bound.
        got: What was held against it; None when there was nothing to hold.
        passed: Whether it holds. A gate that could not be evaluated has not passed.
        note: What a reader has to know about it, or why it could not be evaluated.
    """

    gate: str
    table: str
    wanted: float
    got: float | None
    passed: bool
    note: str = ""

    @property
    def outcome(self) -> Literal["passed", "failed", "could not be evaluated"]:
        """The verdict in words."""
        if self.passed:
            return "passed"
        return "could not be evaluated" if self.got is None else "failed"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Sizes and errors of an artifact against its source.

    Args:
        artifact: The artifact's path, or another name for it.
        source: The source's path; None when there was none to compare with.
        tables: The compressed tables.
        file_bytes: The artifact's file, everything counted.
        passed_through_bytes: Bytes of the tensors that were copied.
        seed: Of the sampled figures.
        versions: The tool's and its libraries', by name.
        gates: What the gates said.
        notes: One line each.
        command: The command line that made the report.
        baseline: What has changed since an earlier report.
    """

    artifact: str
    source: str | None
    tables: list[TableReport]
    file_bytes: int
    passed_through_bytes: int = 0
    seed: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    gates: list[GateResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    command: str | None = None
    baseline: Baseline | None = None

    @property
    def total(self) -> Total:
        """All tables together."""
        source = sum(t.source_bytes for t in self.tables)
        artifact = self.file_bytes - self.passed_through_bytes
        weights = sum(t.shape[0] * t.shape[1] for t in self.tables)
        error, limit = self._relative_errors()
        return Total(
            source_bytes=source,
            artifact_bytes=artifact,
            file_bytes=self.file_bytes,
            passed_through_bytes=self.passed_through_bytes,
            ratio=_over(source, artifact),
            bits_per_weight=_over(8 * artifact, weights),
            relative_error=error,
            limit_relative_error=limit,
            decibels_above_limit=_decibels(error, limit),
        )

    @property
    def parts(self) -> Sizes:
        """Bytes by part name over all tables, and what the file holds beside tables."""
        parts: Sizes = {}
        for table in self.tables:
            for name, size in table.parts.items():
                parts[name] = parts.get(name, 0) + size
        rest = self.total.artifact_bytes - sum(parts.values())
        if rest > 0:
            parts["header"] = parts.get("header", 0) + rest
        return parts

    def _relative_errors(self) -> tuple[float | None, float | None]:
        """Of all tables together: what was measured, and the limit."""
        measured = [t.errors for t in self.tables if not t.empty]
        known = [e for e in measured if e is not None and e.relative_error is not None]
        if not measured or len(known) < len(measured):
            return None, None
        norm = math.fsum(e.squared_norm for e in known)
        error = root_ratio(math.fsum(e.squared_error for e in known), norm)
        limits = [
            e.limit_relative_error**2 * e.squared_norm
            for e in known
            if e.limit_relative_error is not None
        ]
        whole = len(limits) == sum(e.squared_norm > 0 for e in known)
        return error, root_ratio(math.fsum(limits), norm) if whole and limits else None

    def to_json(self) -> dict[str, Any]:
        """The report for machines: JSON types only, never NaN or infinity (null instead)."""
        document: dict[str, Any] = _json(
            {"schema": SCHEMA, **asdict(self), "total": asdict(self.total)}
        )
        for entry, table in zip(document["tables"], self.tables, strict=True):
            entry |= _json({name: getattr(table, name) for name in _DERIVED})
        return document

    @classmethod
    def from_json(cls, document: Any, where: str = "report") -> Report:
        """Read a report back, such as a baseline.

        Args:
            document: What ``to_json`` gave.
            where: Names the document in errors.

        Raises:
            BadInput: Another schema, a missing or unknown key, a value of the wrong type, or
                totals that do not follow from the tables.
        """
        if not isinstance(document, Mapping):
            raise BadInput(f"{where}: a report is a JSON object")
        if document.get("schema") != SCHEMA:
            raise BadInput(
                f"{where}: schema {document.get('schema')!r:.40} where {SCHEMA} is known;"
                " make the report again with this version"
            )
        values = {k: v for k, v in document.items() if k not in ("schema", "total")}
        if isinstance(tables := values.get("tables"), list):
            values["tables"] = [
                {k: v for k, v in t.items() if k not in _DERIVED} if isinstance(t, dict) else t
                for t in tables
            ]
        report: Report = decode(cls, values, where)
        if report.to_json() != document:
            raise BadInput(f"{where}: its totals do not follow from its tables")
        return report


def root_ratio(error: float, norm: float) -> float | None:
    """√(error / norm): 0 when both are 0, None when only the norm is.

    Args:
        error: A sum of squared errors.
        norm: The sum of squares it is relative to.
    """
    if norm > 0:
        return math.sqrt(error / norm)
    return 0.0 if error == 0 else None


def _decibels(error: float | None, limit: float | None) -> float | None:
    return None if error is None or limit is None else decibels_above(error**2, limit**2)


def _over(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
