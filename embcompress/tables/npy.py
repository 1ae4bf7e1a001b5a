"""Tables that live in .npy files: the file's header and its rows, in C or Fortran order.

The header is a Python literal, and it is read with regular expressions all the same:
``ast.literal_eval`` prints warnings about hostile text, and 10,000 bytes of nested operators
overflow the stack of a thread that has 512 KB of it, which kills the process.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from math import prod
from typing import NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput, UsageError
from embcompress.tables.base import Table
from embcompress.tables.file import SourceFile
from embcompress.tables.header import BITS
from embcompress.tables.weights import (
    CHUNK_BYTES,
    ITEM_BYTES,
    read_weights,
    stored_type,
    to_float32,
)

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 10_000
"""Numpy's own limit."""

_MAX_DIMENSIONS = 64  # numpy's own limit

_LITERAL = re.compile(
    r"""\{\s*((?:(['"])(?:descr|fortran_order|shape)\2\s*:\s*
        (?:'[^'\\]*'|"[^"\\]*"|True|False|\([\d\sL,]*\))\s*(?:,\s*|(?=\})))*+)\}\s*""",
    re.VERBOSE,
)
_ENTRY = re.compile(
    r"""(['"])(?P<key>\w+)\1\s*:\s*
        (?:(?P<text>'[^'\\]*'|"[^"\\]*")|(?P<truth>True|False)|\((?P<extents>[^)]*)\))""",
    re.VERBOSE,
)
_EXTENTS = re.compile(r"\s*(?:\d{1,40}L?\s*,\s*)*+(?:\d{1,40}L?\s*)?")
_STRUCTURED = re.compile(r"""['"]descr['"]\s*:\s*[\[({]""")
_TYPE = re.compile(r"([<>=|]?)([a-zA-Z?])(\d{0,9})(?:\[.*\])?")

_NUMBERS = {
    **{f"f{size}": f"F{8 * size}" for size in (2, 4, 8)},
    **{f"i{size}": f"I{8 * size}" for size in (1, 2, 4, 8)},
    **{f"u{size}": f"U{8 * size}" for size in (1, 2, 4, 8)},
}
_REFUSED = {
    "O": "Python objects, which only unpickling could read, and that is never done here",
    "f": "long doubles; cast to float64 or less",
    "c": "complex numbers",
    "b": "booleans",
    "?": "booleans",
    "S": "byte strings",
    "a": "byte strings",
    "U": "strings",
    "M": "dates",
    "m": "time spans",
    "V": "raw records (numpy writes bfloat16 so, forgetting the type; save that as safetensors)",
}


@dataclass(frozen=True)
class NpyHeader:
    """A checked .npy header.

    Attributes:
        dtype: The format's element type under its safetensors name: floats and integers only.
        order: Byte order, "<" or ">".
        fortran: Whether columns, not rows, are contiguous.
        shape: Extents.
        data_start: Offset of the first element, in bytes.
        trailing: Bytes after the last element that belong to nothing.
    """

    dtype: str
    order: str
    fortran: bool
    shape: tuple[int, ...]
    data_start: int
    trailing: int


class Readable(Protocol):
    """What a header is read from: a file, or the beginning of one inside an archive."""

    @property
    def shown(self) -> str:
        """The name that messages print."""
        ...

    @property
    def size(self) -> int:
        """Bytes in it."""
        ...

    def read(self, offset: int, count: int) -> bytes:
        """Read bytes, fewer than asked for only where the file ends."""
        ...


def read_npy_header(file: Readable) -> NpyHeader:
    """Parse and check the header of an .npy file, versions 1 to 3.

    Args:
        file: A file that starts with ``MAGIC``.

    Raises:
        BadInput: The header is damaged or too long, the elements are neither floats nor integers,
            or the file is shorter than its shape says.
    """
    start = file.read(0, 12)
    if len(start) < 10:
        _fail(file, "the file ends inside it")
    if start[6:8] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        _fail(file, f"version {'.'.join(str(byte) for byte in start[6:8])} is unknown")
    length_bytes = 2 if start[6] == 1 else 4
    length = int.from_bytes(start[8 : 8 + length_bytes], "little")
    data_start = 8 + length_bytes + length
    if length > MAX_HEADER_BYTES:
        _fail(file, f"it claims {length:,} bytes, over the limit of {MAX_HEADER_BYTES:,}")
    raw = file.read(8 + length_bytes, length)
    if len(raw) < length:
        _fail(file, "the file ends inside it")
    try:
        text = raw.decode("utf-8" if start[6] == 3 else "latin-1")
    except UnicodeDecodeError:
        _fail(file, "it is not UTF-8")
    descr, fortran, shape = _literal(file, text)
    order, dtype = _element(file, descr)
    needed = prod(shape) * BITS[dtype] // 8
    present = file.size - data_start
    if present < needed:
        _fail(
            file,
            f"shape {_brief(shape)} of {dtype} needs more data than the {present:,} bytes that "
            "follow: the file is truncated, or the shape is wrong; fetch it again",
        )
    return NpyHeader(dtype, order, fortran, shape, data_start, present - needed)


def _literal(file: Readable, text: str) -> tuple[str, bool, tuple[int, ...]]:
    if _STRUCTURED.search(text):
        _refuse(file, "records with fields (a structured dtype)")
    whole = _LITERAL.fullmatch(text)
    entries = list(_ENTRY.finditer(whole[1])) if whole else []
    found = {entry["key"]: entry for entry in entries}
    if len(entries) != 3 or len(found) != 3:
        _fail(file, "it is not {'descr': …, 'fortran_order': …, 'shape': …}")
    descr, truth = found["descr"]["text"], found["fortran_order"]["truth"]
    extents = found["shape"]["extents"]
    if descr is None or truth is None or extents is None:
        _fail(file, "descr must be a type's name, fortran_order a truth value, shape a tuple")
    if not _EXTENTS.fullmatch(extents):
        _fail(file, "shape must be a tuple of integers of at least 0")
    numbers = [part.strip().rstrip("L") for part in extents.split(",")]
    shape = tuple(int(number) for number in numbers if number)
    if len(shape) > _MAX_DIMENSIONS:
        _fail(file, f"shape has more than {_MAX_DIMENSIONS} dimensions")
    return descr[1:-1], truth == "True", shape


def _element(file: Readable, descr: str) -> tuple[str, str]:
    match = _TYPE.fullmatch(descr)
    order, kind, size = match.groups() if match else ("", "", "")
    dtype = _NUMBERS.get(kind + size)
    if dtype is None:
        if kind in _REFUSED:
            _refuse(file, _REFUSED[kind])
        _fail(file, f"descr {descr[:40]!r} is not the name of a type")
    return (">" if order == ">" else "<"), dtype


def _brief(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(shape)} dimensions)"


def _fail(file: Readable, cause: str) -> NoReturn:
    raise BadInput(f"{file.shown}: damaged .npy header: {cause}")


def _refuse(file: Readable, content: str) -> NoReturn:
    raise BadInput(f"{file.shown}: holds {content}; a table is a 2-D array of floats")


class NpyTable(Table):
    """The 2-D float array of an .npy file."""

    def __init__(self, file: SourceFile, header: NpyHeader, name: str) -> None:
        """Describe the table.

        Args:
            file: The open file.
            header: Its header, of shape [n, d] and a float dtype.
            name: The table's name.
        """
        n, d = header.shape
        super().__init__(name, file.path, (n, d), header.dtype)
        self._file = file
        self._header = header

    def _read_rows(self, start: int, rows: NDArray[np.float32]) -> None:
        header, item = self._header, ITEM_BYTES[self.dtype]
        n, d = self.shape
        if not header.fortran:
            offset = header.data_start + start * d * item
            read_weights(self._file, offset, self.dtype, rows.reshape(-1), header.order)
            return
        b = len(rows)
        step = max(1, CHUNK_BYTES // (b * item))
        columns = np.empty((min(step, d), b), stored_type(self.dtype, header.order))
        for first in range(0, d, step):
            block = columns[: d - first]
            for j, column in enumerate(block, start=first):
                offset = header.data_start + (j * n + start) * item
                self._file.read_into(column.view(np.uint8).data, offset)
            to_float32(block.T, rows[:, first : first + step])

    def unchanged(self) -> None:
        """Check the file; see ``Table.unchanged``."""
        self._file.unchanged()


def write_npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Make everything that comes before the data of an .npy file in C order, little endian.

    Args:
        shape: Extents.
        dtype: "F16", "F32" or "F64".

    Returns:
        A version 1 header, as numpy writes it.

    Raises:
        UsageError: The dtype has no .npy form (BF16).
    """
    if dtype not in ("F16", "F32", "F64"):
        raise UsageError(f"{dtype} cannot be written as .npy; write safetensors, or float32")
    buffer = io.BytesIO()
    fields = {"descr": stored_type(dtype).str, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()
