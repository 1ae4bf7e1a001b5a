"""Files for the tests of tables, made byte by byte."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from embcompress.tables.choose import choose
from embcompress.tables.source import open_source


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file around a header: a JSON document, text, or bytes."""
    if not isinstance(header, str | bytes):
        header = json.dumps(header)
    raw = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def npy(
    header: str | bytes, data: bytes = b"", version: int = 1, length: int | None = None
) -> bytes:
    """An .npy file around a header."""
    raw = header if isinstance(header, bytes) else header.encode("latin-1")
    size = struct.pack("<H" if version == 1 else "<I", len(raw) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + raw + data


def npy_header(descr: str = "'<f4'", fortran: str = "False", shape: str = "(2, 3)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def read_everything(path: Path) -> dict[str, np.ndarray]:
    """Do what a compress verb does with its input: choose the tables and read all their rows."""
    with open_source(path) as source:
        tables = {}
        for taken in choose(source).taken:
            table = source.table(taken.name)
            tables[taken.name] = table.read(0, table.shape[0])
        source.unchanged()
        return tables
