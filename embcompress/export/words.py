"""The words of a table's rows."""

from __future__ import annotations

from pathlib import Path

from embcompress.errors import BadInput
from embcompress.export.base import Job
from embcompress.tables.file import SourceFile


def own_words(job: Job) -> list[bytes]:
    """The keys that the artifact has for the one table's rows, else their numbers.

    Raises:
        BadInput: The keys are damaged.
    """
    keys = job.artifact.row_keys(job.only.name)
    rows = range(len(job.only))
    return [b"%d" % i for i in rows] if keys is None else [k.encode() for k in keys.of(rows)]


def read_words(path: Path, rows: int) -> list[bytes]:
    """The lines of a vocabulary file, one a row.

    Raises:
        BadInput: It has another number of lines than there are rows.
        IOFailure: The system refuses.
    """
    with SourceFile(path) as file:
        text = file.read(0, file.size)
    lines = text.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) != rows:
        raise BadInput(f"{path}: has {len(lines):,} lines, the table {rows:,} rows")
    return [line.removesuffix(b"\r") for line in lines]
