"""How often each row of each table is looked up, read from a side file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import UsageError
from embcompress.tables.file import SourceFile
from embcompress.tables.quoting import listed, quoted, shown
from embcompress.tables.sniff import sniff
from embcompress.tables.source import open_source

_BLOCK_BYTES = 1 << 18
_LONGEST_LINE = 1000


def read_frequencies(
    path: str | os.PathLike[str], tables: Mapping[str, int]
) -> dict[str, NDArray[np.float64]]:
    """Read the frequencies of the rows of tables.

    Args:
        path: A safetensors file of 1-D tensors keyed by table name (others are ignored); or, for a
            single table, an .npy file of a 1-D array or text with one number a line.
        tables: Rows of each table, by name.

    Returns:
        float64 [n] for each table: counts or shares, as they stand in the file.

    Raises:
        UsageError: A table is missing from the file, or its numbers are not one finite number of
            at least 0 for each row with one above 0 among them. Rows are counted from 0.
        BadInput: There is no such file, or it is damaged or of another kind.
        IOFailure: The file cannot be read.
    """
    where = shown(path)
    with SourceFile(path) as file:
        if sniff(file).kind == "text":
            name, n = _only(tables, where)
            return {name: check_frequencies(_from_text(file, name, n), n, name, where)}
    with open_source(path) as source:
        if source.kind == "npy":
            name, n = _only(tables, where)
            values = source.read_tensor(next(iter(source.tensors)))
            return {name: check_frequencies(values, n, name, where)}
        missing = [name for name in tables if name not in source.tensors]
        if missing:
            raise UsageError(
                f"{where}: has no frequencies for table {listed(missing)}; its tensors are "
                f"{listed(list(source.tensors)) or 'none'}"
            )
        return {
            name: check_frequencies(source.read_tensor(name), n, name, where)
            for name, n in tables.items()
        }


def _only(tables: Mapping[str, int], where: str) -> tuple[str, int]:
    if len(tables) != 1:
        raise UsageError(
            f"{where}: is one bare list of frequencies, but there are {len(tables)} tables "
            f"({listed(list(tables))}); give a safetensors file with one tensor for each"
        )
    return next(iter(tables.items()))


def _from_text(file: SourceFile, name: str, n: int) -> NDArray[np.float64]:
    values = np.empty(n, np.float64)
    count = 0
    for row, line in enumerate(_lines(file)):
        count += 1
        if row >= n:
            continue
        try:
            values[row] = float(line)
        except ValueError as error:
            text = line[:40].decode(errors="replace").strip()
            raise UsageError(
                f"{file.shown}: line {row + 1} (row {row} of table {quoted(name)}) is {text!r}, "
                "not a number"
            ) from error
    _check_length(count, n, name, file.shown)
    return values


def _lines(file: SourceFile) -> Iterator[bytes]:
    rest = b""
    for offset in range(0, file.size, _BLOCK_BYTES):
        *lines, rest = (rest + file.read(offset, _BLOCK_BYTES)).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise UsageError(
                f"{file.shown}: has a line of more than {_LONGEST_LINE:,} bytes; give one number a "
                "line"
            )
        yield from lines
    if rest:
        yield rest


def check_frequencies(
    values: NDArray[Any], n: int, name: str, where: str = "frequencies"
) -> NDArray[np.float64]:
    """Check the frequencies of one table.

    Args:
        values: Numbers [n], of any numeric dtype.
        n: The table's rows.
        name: The table's name.
        where: What messages start with, such as the file.

    Returns:
        float64 [n].

    Raises:
        UsageError: They are not n finite numbers of at least 0 with one above 0 among them.
    """
    if values.ndim != 1:
        raise UsageError(
            f"{where}: those of table {quoted(name)} have shape {values.shape}; they must be a 1-D "
            "list, one for each row"
        )
    _check_length(len(values), n, name, where)
    frequencies = values.astype(np.float64)
    wrong = ~(np.isfinite(frequencies) & (frequencies >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise UsageError(
            f"{where}: row {row} of table {quoted(name)} has {frequencies[row]:g} "
            f"({int(wrong.sum()):,} such rows); a frequency is finite and at least 0"
        )
    if n and not frequencies.any():
        raise UsageError(
            f"{where}: all {n:,} frequencies of table {quoted(name)} are 0; at least one must be "
            "above 0"
        )
    return frequencies


def _check_length(count: int, n: int, name: str, where: str) -> None:
    if count != n:
        raise UsageError(
            f"{where}: has {count:,} frequencies for table {quoted(name)}, which has {n:,} rows"
        )
