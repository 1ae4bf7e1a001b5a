"""Keys, such as tokens, of the few rows that a report names."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from embcompress.errors import BadInput
from embcompress.report.model import Report, TableReport
from embcompress.tables.header import TensorInfo
from embcompress.tables.keys import KEYS, Keys
from embcompress.tables.quoting import quoted

_MOST_BYTES = 2**26
"""Of keys, and of their lengths; more are not read for a report."""

_LONGEST = 200


class Holder(Protocol):
    """A source or an artifact."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name."""
        ...

    def row_keys(self, name: str) -> Keys | None:
        """The keys of a table's rows, if they are known."""
        ...


def name_rows(report: Report, holder: Holder) -> Report:
    """The report with the keys of the rows that it names, where they are known.

    Args:
        report: Its tables get a note, and their details the keys.
        holder: What may have keys beside its tables.
    """
    return replace(report, tables=[_named(table, holder) for table in report.tables])


def _named(table: TableReport, holder: Holder) -> TableReport:
    errors, details = table.errors, table.details
    extremes = errors and (errors.max_abs_error_row, errors.cosine_lowest_row)
    noted = sorted({row for row in extremes or () if row is not None})
    keys = _keys(table, holder) if noted else None
    if keys is None:
        return table
    told = (f"row {r:,} is {quoted(k)}" for r, k in zip(noted, keys.of(noted), strict=True))
    if details is not None:
        rows = details.rows
        known = {str(r): k[:_LONGEST] for r, k in zip(rows, keys.of(rows), strict=True)}
        details = replace(details, keys=known)
    return replace(table, notes=[*table.notes, "; ".join(told)], details=details)


def _keys(table: TableReport, holder: Holder) -> Keys | None:
    info = holder.tensors.get(table.name + KEYS)
    if 8 * table.shape[0] > _MOST_BYTES or (info is not None and info.nbytes > _MOST_BYTES):
        return None
    with contextlib.suppress(BadInput):  # what damaged keys would say is left out
        return holder.row_keys(table.name)
    return None
