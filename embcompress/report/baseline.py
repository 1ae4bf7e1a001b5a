"""Earlier reports, read from JSON, and how a report differs from one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from embcompress.errors import BadInput
from embcompress.report.changes import Baseline, Change
from embcompress.report.model import Report
from embcompress.tables.file import SourceFile
from embcompress.tables.quoting import shown
from embcompress.tables.sniff import sniff

_MAX_BYTES = 2**28


def read_report(path: Path) -> Report:
    """Read a report that was written as JSON.

    Args:
        path: A .json file.

    Raises:
        BadInput: There is no such file, or it is no report of this version.
        IOFailure: It cannot be read.
    """
    with SourceFile(path) as file:
        if file.size > _MAX_BYTES:
            raise BadInput(f"{file.shown}: has {file.size:,} bytes, too many for a report")
        text = file.read(0, file.size)
        kind = sniff(file)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "text, not JSON" if kind.kind == "text" else kind.what
        if text.lstrip()[:1] == b"{":
            what = "JSON that is cut or damaged"
        raise BadInput(
            f"{shown(path)}: is no report but {what}; --report FILE.json writes one"
        ) from error
    if isinstance(document, dict) and isinstance(message := document.get("error"), str):
        raise BadInput(f"{shown(path)}: tells of a failed run, not of sizes: {message:.200}")
    try:
        return Report.from_json(document, shown(path))
    except OverflowError as error:
        raise BadInput(f"{shown(path)}: holds a number that is too large") from error


def with_baseline(report: Report, earlier: Report, file: Path) -> Report:
    """The report with what has changed since an earlier one.

    Args:
        report: Now.
        earlier: Before.
        file: Where the earlier one was read from.
    """
    before = {t.name: t for t in earlier.tables}
    changes = []
    for table in report.tables:
        old = before.pop(table.name, None)
        changes.append(
            Change(
                table=table.name,
                bytes_before=old.artifact_bytes if old else None,
                bytes=table.artifact_bytes,
                error_before=old.errors.relative_error if old and old.errors else None,
                error=table.errors.relative_error if table.errors else None,
            )
        )
    total = Change(
        table="total",
        bytes_before=earlier.file_bytes,
        bytes=report.file_bytes,
        error_before=earlier.total.relative_error,
        error=report.total.relative_error,
    )
    return replace(
        report, baseline=Baseline(file=str(file), total=total, tables=changes, gone=list(before))
    )
