"""A safetensors file written as its tensors come: tensors of known shape, or a table row by row."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.atomic import AtomicFile, AtomicFolder, OpenFile, system_failure
from embcompress.artifact.layout import (
    INDEX_NAME,
    SHARD_BYTES,
    in_order,
    index_bytes,
    shard_names,
    split,
)
from embcompress.errors import BadInput
from embcompress.tables.header import TensorInfo, dump_header, order_tensors, tensor_info
from embcompress.tables.keys import KEYS, LENGTHS, key_tensors

_HUGE = 10**15  # stands for a number of rows not known yet: its digits reserve room in the header
_PIECE = 2**24

Pieces = Iterable[bytes | memoryview | NDArray[Any]]
"""A tensor's bytes, in order, in pieces of any size."""


@dataclass(frozen=True)
class Whole:
    """A tensor of known shape.

    Args:
        info: Name, dtype, shape, bytes.
        pieces: Gives its bytes.
    """

    info: TensorInfo
    pieces: Callable[[], Pieces]


def write_tensors(
    output: Path, tensors: Iterable[Whole], metadata: Mapping[str, str] | None = None
) -> dict[str, TensorInfo]:
    """Write tensors of known shape into a file, in the order in which they are given.

    Args:
        output: The file.
        tensors: With unique names.
        metadata: For the header.

    Returns:
        What was written, by name.

    Raises:
        BadInput: A tensor has other bytes than its shape says.
        IOFailure: The system refuses.
    """
    wholes = list(tensors)
    placed = order_tensors(whole.info for whole in wholes)
    with AtomicFile(output) as file:
        places = _begin(file, placed, metadata or {})
        for whole in wholes:
            _fill(whole, *places[whole.info.name])
        file.commit()
    return placed


def write_folder(
    output: Path,
    tensors: Iterable[Whole],
    metadata: Mapping[str, str],
    source: Path,
    copied: Iterable[str],
) -> dict[str, TensorInfo]:
    """Write tensors of known shape into the shards of a folder, in the order they are given.

    Args:
        output: The folder.
        tensors: With unique names.
        metadata: For the header of every shard.
        source: The folder that other files are copied from.
        copied: Their names below it.

    Returns:
        What was written, by name.

    Raises:
        BadInput: A tensor has other bytes than its shape says.
        IOFailure: The system refuses.
    """
    wholes = list(tensors)
    extents = {w.info.name: (w.info.dtype, w.info.shape, w.info.nbytes) for w in wholes}
    shards = [in_order(shard, {}) for shard in split(extents, SHARD_BYTES)]
    with AtomicFolder(output) as folder:
        places: dict[str, tuple[OpenFile, int]] = {}
        for name, placed in zip(shard_names(len(shards)), shards, strict=True):
            places |= _begin(folder.create(name), placed, metadata)
        for whole in wholes:
            _fill(whole, *places[whole.info.name])
        if index := index_bytes(shards):
            folder.create(INDEX_NAME).write_at(0, index)
        for name in copied:
            folder.copy(name, source / name)
        folder.commit()
    return {name: info for placed in shards for name, info in placed.items()}


def _begin(
    file: OpenFile, placed: Mapping[str, TensorInfo], metadata: Mapping[str, str]
) -> dict[str, tuple[OpenFile, int]]:
    """Write a file's header; gives the file and the first byte of every tensor."""
    header = dump_header(placed, metadata)
    file.reserve(len(header) + sum(info.nbytes for info in placed.values()))
    file.write_at(0, header)
    return {name: (file, len(header) + info.begin) for name, info in placed.items()}


def _fill(whole: Whole, file: OpenFile, at: int) -> None:
    """Write a tensor's bytes to its place."""
    name, end = whole.info.name, at + whole.info.nbytes
    for piece in whole.pieces():
        data = _bytes_of(piece)
        if at + data.nbytes > end:
            raise BadInput(f"{file.path}: tensor '{name}' has more bytes than its shape")
        file.write_at(at, data)
        at += data.nbytes
    if at != end:
        raise BadInput(f"{file.path}: tensor '{name}' ends {end - at:,} bytes early")


def _bytes_of(piece: bytes | memoryview | NDArray[Any]) -> memoryview:
    if isinstance(piece, np.ndarray):
        return np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
    return memoryview(piece).cast("B") if len(piece) else memoryview(b"")


class TableStream:
    """A table whose rows come in order, with or without keys; how many is known at the end.

    Leaving the ``with`` block without ``commit`` removes what was written.

    Attributes:
        d: Columns.
        rows: Rows so far.
    """

    def __init__(self, output: Path, name: str, d: int, dtype: str = "F32") -> None:
        """Create the hidden file.

        Args:
            output: The file.
            name: The table.
            d: Columns.
            dtype: "F16" or "F32".

        Raises:
            IOFailure: Another run writes it, or the system refuses.
        """
        self._name = name
        self.d = d
        self._dtype = dtype
        widest = [tensor_info(name + end, "U16", (_HUGE,)) for end in (LENGTHS, KEYS)]
        self._header = len(dump_header(self._infos(_HUGE, widest), {}))
        self._file = AtomicFile(output)
        self._at = self._header
        self.rows = 0
        self._lengths: list[NDArray[np.int64]] = []
        self._numbers: list[NDArray[np.int64]] = []
        try:
            self._spool: BinaryIO = tempfile.TemporaryFile(dir=output.parent)  # noqa: SIM115
        except BaseException:
            self._file.discard()
            raise

    def add(self, rows: NDArray[Any]) -> None:
        """Append rows [b, d] of the table's dtype."""
        self._file.write_at(self._at, _bytes_of(rows))
        self._at += rows.nbytes
        self.rows += len(rows)

    def add_keys(self, keys: bytes, lengths: NDArray[np.int64]) -> None:
        """Append keys, back to back.

        Args:
            keys: Their bytes.
            lengths: int64 [b].
        """
        try:
            self._spool.write(keys)
        except OSError as error:
            raise system_failure(self._file.path, error) from error
        self._lengths.append(lengths)

    def add_numbers(self, keys: NDArray[np.int64]) -> None:
        """Append keys that are integers, int64 [b]."""
        self._numbers.append(keys)

    def commit(self) -> dict[str, TensorInfo]:
        """Write header and keys, and take the final name.

        Returns:
            What was written, by name.

        Raises:
            IOFailure: The system refuses.
        """
        tails: list[tuple[TensorInfo, Iterable[bytes]]] = []
        if self._lengths:
            tails = self._key_tails(np.concatenate(self._lengths))
        if self._numbers:
            numbers = np.concatenate(self._numbers)
            info = tensor_info(self._name + KEYS, "I64", (len(numbers),))
            tails.append((info, [numbers.astype("<i8").tobytes()]))
        infos = self._infos(self.rows, [info for info, _ in tails])
        self._file.write_at(0, dump_header(infos, {}, self._header))
        for _, pieces in tails:
            for piece in pieces:
                self._file.write_at(self._at, piece)
                self._at += len(piece)
        self._file.resize(self._at)
        self._file.commit()
        return infos

    def _key_tails(self, lengths: NDArray[np.int64]) -> list[tuple[TensorInfo, Iterable[bytes]]]:
        """The tensors of keys that are bytes, and what is in them."""
        of_lengths, of_keys, kind = key_tensors(self._name, lengths)
        self._spool.seek(0)
        return [
            (of_lengths, [lengths.astype(kind).tobytes()]),
            (of_keys, iter(lambda: self._spool.read(_PIECE), b"")),
        ]

    def _infos(self, rows: int, tails: list[TensorInfo]) -> dict[str, TensorInfo]:
        """The table and what comes after it, as they lie in the file."""
        infos: dict[str, TensorInfo] = {}
        at = 0
        for info in (tensor_info(self._name, self._dtype, (rows, self.d)), *tails):
            infos[info.name] = replace(info, begin=at, end=at + info.nbytes)
            at += info.nbytes
        return infos

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spool.close()
        self._file.discard()


def pieces_of(info: TensorInfo, read: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """A tensor's bytes from a function that reads a range of them."""
    for begin in range(0, info.nbytes, _PIECE):
        yield read(begin, min(begin + _PIECE, info.nbytes))


Made = Mapping[str, TensorInfo]
"""What a conversion has written, by name."""
