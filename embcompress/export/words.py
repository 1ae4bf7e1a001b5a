"""The words of a table's rows."""

from __future__ import annotations

from pathlib import Path

from embcompress.errors import BadInput
from embcompress.tables.file import SourceFile


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
