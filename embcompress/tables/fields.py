"""Which rows of a table belong to which categorical field, read from a side file."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from typing import Any, TypeAlias

from embcompress.errors import UsageError
from embcompress.tables.file import SourceFile
from embcompress.tables.quoting import listed, quoted

Fields: TypeAlias = dict[str, tuple[int, int]]
"""First row and one past the last row of each field, by the field's name."""

_MAX_BYTES = 16_000_000


def read_fields(path: str | os.PathLike[str], tables: Mapping[str, int]) -> dict[str, Fields]:
    """Read the fields that share each table.

    Args:
        path: A JSON or TOML file: for each table by its name, an object of fields with their row
            ranges ``[start, stop]``, or a list of the fields' sizes in rows, whose names are then
            "0", "1", …. Other tables in it are ignored. For a single table its value may stand
            alone, unless the file names the table.
        tables: Rows of each table, by name.

    Returns:
        For each table its fields sorted by their first row; together they cover every row once.

    Raises:
        UsageError: The file is neither JSON nor TOML, lacks a table, or its fields overlap, leave
            rows out, are empty, reversed or beyond the table, or are not integers.
        BadInput: There is no such file.
        IOFailure: The file cannot be read.
    """
    with SourceFile(path) as file:
        where = file.shown
        if file.size > _MAX_BYTES:
            raise UsageError(
                f"{where}: has {file.size:,} bytes; a fields file has at most {_MAX_BYTES:,}"
            )
        document = _parsed(file.read(0, file.size), where)
    if len(tables) == 1:
        name = next(iter(tables))
        if not (isinstance(document, dict) and name in document):
            document = {name: document}
    if not isinstance(document, dict):
        raise UsageError(
            f"{where}: must be an object keyed by table name, since there are {len(tables)} "
            f"tables: {listed(list(tables))}"
        )
    missing = [name for name in tables if name not in document]
    if missing:
        raise UsageError(
            f"{where}: has no fields for table {listed(missing)}; it names "
            f"{listed(list(document)) or 'none'}"
        )
    return {
        name: _covering(_ranges(document[name], where, name), where, name, n)
        for name, n in tables.items()
    }


def _parsed(raw: bytes, where: str) -> Any:
    """Parse JSON, which alone starts with '{', or TOML; after a '[' it can be either."""
    try:
        text = raw.decode("utf-8-sig").strip()
        if text.startswith("{") or (text.startswith("[") and text.endswith("]")):
            return _json(text)
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: is not UTF-8 text, at byte {error.start:,}") from error
    except ValueError as error:
        raise UsageError(f"{where}: is neither JSON nor TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{where}: is nested too deeply for a fields file") from error


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError:
        if text.startswith("{"):
            raise
        return tomllib.loads(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            raise ValueError(f"{quoted(key)} appears twice")
        keys.add(key)
    return dict(pairs)


def _ranges(value: Any, where: str, name: str) -> Fields:
    """Check the form of one table's fields and give their ranges."""
    if isinstance(value, list):
        return _from_sizes(value, where, name)
    if not isinstance(value, dict):
        raise UsageError(
            f"{where}: the fields of table {quoted(name)} are {_brief(value)}; they must be an "
            "object of [start, stop] or a list of sizes"
        )
    ranges: Fields = {}
    for field, rows in value.items():
        if not (isinstance(rows, list) and len(rows) == 2 and all(_is_row(row) for row in rows)):
            raise UsageError(
                f"{where}: field {quoted(field)} of table {quoted(name)} is {_brief(rows)}; it "
                "must be [start, stop], two row numbers of at least 0"
            )
        start, stop = rows
        if start >= stop:
            raise UsageError(
                f"{where}: field {quoted(field)} of table {quoted(name)} has rows {start:,} to "
                f"{stop:,}, which is {'empty' if start == stop else 'reversed'}"
            )
        ranges[field] = (start, stop)
    return ranges


def _from_sizes(sizes: list[Any], where: str, name: str) -> Fields:
    ranges: Fields = {}
    start = 0
    for at, size in enumerate(sizes):
        if not _is_row(size) or size == 0:
            raise UsageError(
                f"{where}: size {at} of table {quoted(name)} is {_brief(size)}; sizes are whole "
                "numbers of rows, at least 1"
            )
        ranges[str(at)] = (start, start + size)
        start += size
    return ranges


def _is_row(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _covering(ranges: Fields, where: str, name: str, n: int) -> Fields:
    """Sort one table's fields by row and check that they cover its n rows once."""
    ordered = dict(sorted(ranges.items(), key=lambda item: item[1]))
    end, last = 0, ""
    for field, (start, stop) in ordered.items():
        if start < end:
            raise UsageError(
                f"{where}: fields {quoted(last)} and {quoted(field)} of table {quoted(name)} "
                f"overlap in rows {start:,} to {min(end, stop):,}"
            )
        if start > end:
            raise UsageError(
                f"{where}: rows {end:,} to {start:,} of table {quoted(name)}, before field "
                f"{quoted(field)}, belong to no field"
            )
        end, last = stop, field
    if end > n:
        raise UsageError(
            f"{where}: field {quoted(last)} ends at row {end:,} but table {quoted(name)} has {n:,} "
            "rows"
        )
    if end < n:
        raise UsageError(
            f"{where}: rows {end:,} to {n:,} of table {quoted(name)}, after the last field, belong "
            "to no field"
        )
    return ordered
