"""Source files: what is inside them, and the tables and tensors read from them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput, UsageError
from embcompress.tables.base import Table
from embcompress.tables.checkpoint import Checkpoint, open_checkpoint
from embcompress.tables.file import SourceFile
from embcompress.tables.folder import ModelFiles, is_index
from embcompress.tables.header import FLOATS, TensorInfo
from embcompress.tables.keys import Keys, read_keys, vocabulary
from embcompress.tables.npy import NpyTable, read_npy_header
from embcompress.tables.quoting import listed, quoted, shown
from embcompress.tables.safetensors import SafetensorsTable
from embcompress.tables.sniff import sniff
from embcompress.tables.weights import stored_type, to_float32


@dataclass(frozen=True)
class Candidate:
    """A tensor that could be compressed: 2-D, of a float dtype.

    Attributes:
        name: Its name.
        shape: (n, d).
        dtype: "F16", "BF16", "F32" or "F64".
        source_bytes: Bytes of its weights in the source.
    """

    name: str
    shape: tuple[int, int]
    dtype: str
    source_bytes: int


class Source(ABC):
    """An open file, or the files of a model, that tables are read from; a context manager.

    Attributes:
        path: The path as it was given.
        shown: The path as messages print it.
        kind: The format.
        bytes: Bytes in the file, or in the shards and their index.
        tensors: All tensors by name, in the order of their data. An .npy file has one, called as
            the file without its suffix.
        metadata: The ``__metadata__`` of a safetensors file, or of all shards.
        notes: Things worth telling that are no fault, one line each.
        warnings: Faults that do no harm, one line each.
        files: The folder and files of a model; None when the source is one file.
    """

    kind: Literal["npy", "safetensors"]
    files: ModelFiles | None = None

    def __init__(
        self, path: str, size: int, tensors: dict[str, TensorInfo], metadata: dict[str, str]
    ) -> None:
        self.path = path
        self.shown = shown(path)
        self.bytes = size
        self.tensors = tensors
        self.metadata = metadata
        self.notes: list[str] = []
        self.warnings: list[str] = []

    @property
    def tables(self) -> list[Candidate]:
        """The tensors that could be compressed."""
        return [
            Candidate(info.name, (info.shape[0], info.shape[1]), info.dtype, info.nbytes)
            for info in self.tensors.values()
            if is_candidate(info)
        ]

    def table(self, name: str) -> Table:
        """Give a 2-D float tensor as a table, readable until the source is closed.

        Raises:
            BadInput: There is no such tensor, or it is no 2-D float tensor.
        """
        info = self._info(name)
        if not is_candidate(info):
            raise BadInput(f"{self.shown}: tensor {quoted(name)} {refusal(info)}")
        return self._table(info)

    def read_tensor(self, name: str) -> NDArray[Any]:
        """Read a whole small tensor, such as frequencies.

        Args:
            name: A tensor of any shape, of floats, integers or booleans.

        Returns:
            Its values in its own numpy type and the machine's byte order; bfloat16 as float32.

        Raises:
            BadInput: There is no such tensor, or its dtype cannot be read.
            IOFailure: The file ends early or cannot be read.
        """
        info = self._info(name)
        if not info.readable:
            raise BadInput(
                f"{self.shown}: tensor {quoted(name)} has dtype {info.dtype}, which cannot be read"
            )
        return self._read_tensor(info)

    def read_raw(self, info: TensorInfo, start: int, stop: int) -> bytes:
        """Read a range of a tensor's bytes as they are stored, to pass them through.

        Args:
            info: One of ``tensors``, of any dtype.
            start: First byte, counted from the tensor's first.
            stop: One past the last byte, at most ``info.nbytes``.

        Raises:
            IndexError: The range is not within the tensor.
            IOFailure: The file ends early or cannot be read.
        """
        if stop < start:
            raise IndexError(f"bytes {start} to {stop} of a tensor")
        data = bytearray(stop - start)
        self.read_raw_into(info, memoryview(data), start)
        return bytes(data)

    def row_keys(self, name: str) -> Keys | None:
        """The keys of a table's rows, if they lie beside it; see ``Artifact.row_keys``."""

        def raw(tensor: str) -> NDArray[np.uint8]:
            info = self.tensors[tensor]
            return np.frombuffer(self.read_raw(info, 0, info.nbytes), np.uint8)

        n = self.tensors[name].shape[0]
        found = read_keys(self.tensors, raw, name, n, self.shown)
        if found is None and self.files is not None:
            found = vocabulary(self.files.folder, n)
        return found

    @abstractmethod
    def read_raw_into(self, info: TensorInfo, buffer: memoryview, start: int) -> None:
        """Read a range of a tensor's bytes into a buffer; see ``read_raw``."""

    @abstractmethod
    def unchanged(self) -> None:
        """Check that this is still what was opened.

        Raises:
            IOFailure: A file's size, modification time or identity changed.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file; its tables cannot be read afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _info(self, name: str) -> TensorInfo:
        info = self.tensors.get(name)
        if info is None:
            raise BadInput(f"{self.shown}: has no tensor {quoted(name)}")
        return info

    @abstractmethod
    def _table(self, info: TensorInfo) -> Table:
        """Give the table of a candidate."""

    @abstractmethod
    def _read_tensor(self, info: TensorInfo) -> NDArray[Any]:
        """Read a readable tensor."""


class SafetensorsSource(Source):
    """A safetensors file, or the files of a model."""

    kind = "safetensors"

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Take the tensors of open files."""
        self._checkpoint = checkpoint
        super().__init__(checkpoint.path, checkpoint.bytes, checkpoint.tensors, checkpoint.metadata)
        self.files = checkpoint.files
        self.warnings += checkpoint.warnings

    def read_raw_into(self, info: TensorInfo, buffer: memoryview, start: int) -> None:
        """Read bytes of a tensor."""
        self._checkpoint.read_into(info.name, buffer, start)

    def unchanged(self) -> None:
        """Check the files."""
        self._checkpoint.unchanged()

    def close(self) -> None:
        """Close the files."""
        self._checkpoint.close()

    def _table(self, info: TensorInfo) -> Table:
        return SafetensorsTable(self._checkpoint, info)

    def _read_tensor(self, info: TensorInfo) -> NDArray[Any]:
        stored = stored_type(info.dtype)
        values = np.frombuffer(self.read_raw(info, 0, info.nbytes), stored)
        values = values.reshape(info.shape)
        if info.dtype == "BOOL":
            return values.astype(np.bool_)
        if info.dtype == "BF16":
            widened = np.empty(info.shape, np.float32)
            to_float32(values, widened)
            return widened
        return values.astype(stored.newbyteorder("="))


class NpySource(Source):
    """An .npy file: one array."""

    kind = "npy"

    def __init__(self, file: SourceFile) -> None:
        """Read the header; see ``read_npy_header`` for what it raises."""
        self._file = file
        self._header = header = read_npy_header(file)
        name = os.fsencode(Path(file.path).stem).decode(errors="replace")
        data_bytes = file.size - header.data_start - header.trailing
        info = TensorInfo(name, header.dtype, header.shape, 0, data_bytes)
        super().__init__(file.path, file.size, {name: info}, {})
        if header.fortran and len(header.shape) > 1:
            self.notes.append(
                f"{file.shown}: columns, not rows, are contiguous (Fortran order); reading rows is "
                "slow, np.ascontiguousarray before np.save makes it fast"
            )
        if header.trailing:
            self.warnings.append(
                f"{file.shown}: {header.trailing:,} bytes after the array are ignored"
            )

    def read_raw_into(self, info: TensorInfo, buffer: memoryview, start: int) -> None:
        """Read bytes of the array."""
        if not 0 <= start <= start + buffer.nbytes <= info.nbytes:
            raise IndexError(f"{buffer.nbytes} bytes from {start} of an array of {info.nbytes}")
        self._file.read_into(buffer, self._header.data_start + start)

    def unchanged(self) -> None:
        """Check the file."""
        self._file.unchanged()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _table(self, info: TensorInfo) -> Table:
        return NpyTable(self._file, self._header, info.name)

    def _read_tensor(self, info: TensorInfo) -> NDArray[Any]:
        stored = stored_type(info.dtype, self._header.order)
        values = np.frombuffer(self.read_raw(info, 0, info.nbytes), stored)
        shaped = values.reshape(info.shape, order="F" if self._header.fortran else "C")
        return shaped.astype(stored.newbyteorder("="), order="C")


def is_candidate(info: TensorInfo) -> bool:
    """Say whether a tensor could be compressed: 2-D, of a float dtype."""
    return len(info.shape) == 2 and info.dtype in FLOATS


def why_no_table(info: TensorInfo) -> str:
    """Say why a tensor is no candidate, as a phrase that follows its name."""
    if info.dtype not in FLOATS:
        if not info.readable:
            return f"has dtype {info.dtype}, which cannot be read"
        return f"has integers ({info.dtype})"
    return f"has {len(info.shape)} dimension{'s' * (len(info.shape) != 1)}"


def refusal(info: TensorInfo) -> str:
    """Say why a tensor is no candidate and what to do, as a phrase that follows its name."""
    if info.readable and info.dtype not in FLOATS:
        return f"{why_no_table(info)}; cast it to float first"
    return f"{why_no_table(info)}; a table is 2-D, of floats"


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open what tables are to be read from, telling a file's format by its content.

    Args:
        path: An .npy or .safetensors file under any name, a model's folder, or the index of its
            shards.

    Returns:
        The open source. An .npy file of integers or of another number of dimensions opens too, for
        ``read_tensor``; ``table`` and ``choose`` refuse it.

    Raises:
        BadInput: There is no such file, it is of another kind (the message says which), or damaged.
        IOFailure: The system refuses to open or read it.
    """
    if os.path.isdir(path) or is_index(path):
        return SafetensorsSource(open_checkpoint(path))
    file = SourceFile(path)
    try:
        found = sniff(file)
        if found.kind == "npy":
            return NpySource(file)
        if found.kind == "safetensors":
            return SafetensorsSource(Checkpoint(file.path, None, [file]))
        raise BadInput(f"{file.shown}: is {found.what}")
    except BaseException:
        file.close()
        raise


def read_table(path: str | os.PathLike[str], name: str | None = None) -> NDArray[np.float32]:
    """Read a whole table into memory.

    Args:
        path: An .npy or .safetensors file, or a model's folder.
        name: A 2-D float tensor; may be left out when the file has only one.

    Returns:
        float32 [n, d].

    Raises:
        UsageError: The file has no or several 2-D float tensors and none is named.
        BadInput: The file is damaged or of another kind, or ``name`` is no 2-D float tensor of it.
        IOFailure: The file cannot be read, or changed meanwhile.
    """
    with open_source(path) as source:
        if name is None:
            names = [candidate.name for candidate in source.tables]
            if len(names) != 1:
                raise UsageError(
                    f"{source.shown}: has {len(names)} 2-D float tensors, name one of them: "
                    f"{listed(names)}"
                )
            name = names[0]
        table = source.table(name)
        rows = table.read(0, table.shape[0])
        table.unchanged()
        return rows
