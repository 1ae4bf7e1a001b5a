"""Keys of a table's rows: tokens or numbers that travel beside it, in tensors of their own.

For a table ``glove`` they are ``glove.keys``: integers I64 [n], or the bytes of all keys back to
back, U8 [bytes], with ``glove.keys.lengths``, U8, U16 or U32 [n], how many bytes each has. Any
bytes can be keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput, UsageError
from embcompress.tables.file import SourceFile
from embcompress.tables.folder import stays_inside
from embcompress.tables.header import TensorInfo, tensor_info
from embcompress.tables.quoting import quoted

KEYS = ".keys"
LENGTHS = ".keys.lengths"
_LENGTH_TYPES = (("U8", "u1"), ("U16", "<u2"), ("U32", "<u4"))
_MOST_TEXT = 2**28

VOCABULARY = "vocab.txt"
"""The file of a model's folder that has a token a line."""

Raw = Callable[[str], NDArray[np.uint8]]
"""Gives the bytes of a tensor, by name."""


class Keys:
    """The keys of a table's rows."""

    def __init__(self, data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
        """Take keys that are bytes.

        Args:
            data: uint8 [bytes], all keys back to back.
            lengths: int64 [n], the bytes of each.
        """
        self._data = data
        self._lengths = lengths

    def __len__(self) -> int:
        return len(self._lengths)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        starts = np.zeros(len(self._lengths), np.int64)
        np.cumsum(self._lengths[:-1], out=starts[1:])
        return starts

    def of(self, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The keys of rows, as text; bytes that are not UTF-8 as escapes."""
        found = []
        for row in rows:
            start = int(self._starts[row])
            raw = self._data[start : start + int(self._lengths[row])].tobytes()
            found.append(raw.decode(errors="backslashreplace"))
        return found

    def find(self, wanted: Sequence[str], table: str) -> NDArray[np.int64]:
        """The first row of each key, int64 [b].

        Raises:
            UsageError: A key that no row has.
        """
        rows = np.empty(len(wanted), np.int64)
        for at, key in enumerate(wanted):
            raw = np.frombuffer(key.encode(errors="surrogateescape"), np.uint8)
            some = np.flatnonzero(self._lengths == len(raw))
            for column in range(len(raw)):
                some = some[self._data[self._starts[some] + column] == raw[column]]
            if not len(some):
                raise UsageError(f"table {quoted(table)} has no key {quoted(key)}")
            rows[at] = some[0]
        return rows


class IntegerKeys(Keys):
    """Keys that are integers."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        """Take int64 [n]."""
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The keys of rows, as text."""
        return [str(self._numbers[row]) for row in rows]

    def find(self, wanted: Sequence[str], table: str) -> NDArray[np.int64]:
        """The first row of each key; see ``Keys.find``."""
        rows = np.empty(len(wanted), np.int64)
        for at, key in enumerate(wanted):
            try:
                some = np.flatnonzero(self._numbers == np.int64(int(key)))
            except (ValueError, OverflowError) as error:
                raise UsageError(
                    f"table {quoted(table)} has integers as keys; {quoted(key)} is none"
                ) from error
            if not len(some):
                raise UsageError(f"table {quoted(table)} has no key {quoted(key)}")
            rows[at] = some[0]
        return rows


def read_keys(
    tensors: Mapping[str, TensorInfo], raw: Raw, table: str, n: int, where: str
) -> Keys | None:
    """The keys that lie beside a table, if any.

    Args:
        tensors: All tensors of the file.
        raw: Gives their bytes.
        table: The table's name.
        n: Its rows.
        where: The file, for errors.

    Raises:
        BadInput: Their lengths are not those of their bytes.
    """
    info = tensors.get(table + KEYS)
    if info is None:
        return None
    if info.dtype == "I64" and info.shape == (n,):
        return IntegerKeys(raw(info.name).view("<i8"))
    lengths = tensors.get(table + LENGTHS)
    kind = dict(_LENGTH_TYPES).get(lengths.dtype) if lengths is not None else None
    if lengths is None or kind is None or lengths.shape != (n,) or info.dtype != "U8":
        return None  # another tensor that happens to have the name
    counts = raw(lengths.name).view(kind).astype(np.int64)
    if int(counts.sum()) != info.nbytes:
        raise BadInput(f"{where}: tensor {quoted(lengths.name)} is not that of {quoted(info.name)}")
    return Keys(raw(info.name), counts)


def vocabulary(folder: Path, n: int) -> Keys | None:
    """The keys of a model's folder: its ``vocab.txt``, when it has a line for each of n rows."""
    path = folder / VOCABULARY
    if not path.is_file() or not stays_inside(folder, path):
        return None
    with SourceFile(path) as file:
        return keys_of_lines(file.read(0, file.size), n) if file.size <= _MOST_TEXT else None


def keys_of_lines(text: bytes, n: int) -> Keys | None:
    """Keys from a text of one key a line; None when it has not n lines."""
    lines = text.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    lines = [line.removesuffix(b"\r") for line in lines]
    if len(lines) != n:
        return None
    lengths = np.array([len(line) for line in lines], np.int64)
    return Keys(np.frombuffer(b"".join(lines), np.uint8), lengths)


def key_tensors(table: str, lengths: NDArray[np.int64]) -> tuple[TensorInfo, TensorInfo, str]:
    """The tensors that hold keys of given lengths in bytes.

    Args:
        table: The table's name.
        lengths: int64 [n].

    Returns:
        That of the lengths, that of the keys, and the numpy type of a length.
    """
    longest = int(lengths.max(initial=0))
    dtype, kind = next(
        (d, k) for d, k in _LENGTH_TYPES if longest < 2 ** (8 * np.dtype(k).itemsize)
    )
    return (
        tensor_info(table + LENGTHS, dtype, (len(lengths),)),
        tensor_info(table + KEYS, "U8", (int(lengths.sum()),)),
        kind,
    )
