"""Writing an artifact: one safetensors file, streamed, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact import checksums
from embcompress.artifact.atomic import AtomicFile, system_failure
from embcompress.artifact.form import CHECKSUMS, FORMAT, KEY, MEASURED, Form, dtype_name
from embcompress.codecs.base import PackedRows, RaggedRows, Stream, StreamPiece, StreamRows
from embcompress.codecs.hostile import Array
from embcompress.kernels.bitstring import TAIL
from embcompress.kernels.stream import joined
from embcompress.tables.header import TensorInfo, dump_header, order_tensors
from embcompress.threads import ordered

_HUGE = 10**15  # stands for a size not known yet: its digits reserve room in the header
_PIECE = 2**24
STREAM_PIECES = ("addresses", "bases", "classes", "data")

Extent = tuple[str, tuple[int, ...], int]
"""A tensor's dtype, shape and bytes."""


@dataclass(frozen=True)
class Passed:
    """A tensor of the source that is copied byte for byte.

    Args:
        name: Its name.
        dtype: Its safetensors dtype.
        shape: Its shape.
        nbytes: Its bytes.
        read: Gives its bytes between two offsets.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    read: Callable[[int, int], bytes]


@dataclass(frozen=True)
class Plan:
    """All that an artifact will hold, laid out before anything is written.

    Args:
        forms: The compressed tables.
        passed: Tensors copied from the source.
        metadata: Metadata of the source, kept.
        tool: The version that writes.
    """

    forms: tuple[Form, ...]
    passed: tuple[Passed, ...]
    metadata: dict[str, str]
    tool: str

    def fixed(self) -> dict[str, Extent]:
        """Tensors of known size, by name, without the checksums."""
        found: dict[str, Extent] = {}
        for form in self.forms:
            for name, (rows, size) in form.records.items():
                found[name] = ("U8", (rows, size), rows * size)
            for name, size in form.packed.items():
                found[name] = ("U8", (size,), size)
            for name, array in form.arrays.items():
                found[name] = (dtype_name(array), array.shape, array.nbytes)
            found[form.measured] = ("F64", (len(MEASURED),), 8 * len(MEASURED))
        for p in self.passed:
            found[p.name] = (p.dtype, p.shape, p.nbytes)
        return found

    def ragged(self) -> list[str]:
        """Tensors whose size is known once rows are encoded, in file order."""
        found = []
        for form in self.forms:
            for i, s in enumerate(form.segments):
                layout = s.codec.layout()
                pieces = [(part, ("addresses", "data", "lengths")) for part in layout.ragged]
                pieces += [(part.name, STREAM_PIECES) for part in layout.streams]
                found += [form.tensor(i, f"{part}.{p}") for part, many in pieces for p in many]
        return sorted(found)

    def file_metadata(self) -> dict[str, str]:
        """The file's metadata, our document among it."""
        tables = {form.name: form.json() for form in self.forms}
        document = {"format": FORMAT, "tool": self.tool, "tables": tables}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return self.metadata | {KEY: text}


@dataclass(frozen=True)
class Placed:
    """Where everything lies in the file.

    Args:
        header: The header's bytes, its length field included.
        offsets: First byte in the file of every tensor.
        sizes: Bytes of every tensor.
        total: Bytes of the file.
    """

    header: bytes
    offsets: dict[str, int]
    sizes: dict[str, int]
    total: int


def place(plan: Plan, ragged: Mapping[str, Extent] | None = None) -> Placed:
    """Lay out an artifact.

    Args:
        plan: What it holds.
        ragged: The tensors of ragged parts, known once rows are encoded; without them the rest
            is placed as it will lie, and the total is right only for a plan that has none.
    """
    fixed = plan.fixed()
    names = plan.ragged()

    def tensors(ragged_sizes: Mapping[str, Extent]) -> dict[str, TensorInfo]:
        count = sum(checksums.chunks(s[2]) for s in (*fixed.values(), *ragged_sizes.values())) + 1
        digests: Extent = ("U8", (count, checksums.DIGEST), count * checksums.DIGEST)
        # what grows with encoded values comes last, so that the rest can be written in place
        late = {**ragged_sizes, CHECKSUMS: digests} if ragged_sizes else {}
        early = fixed if ragged_sizes else {**fixed, CHECKSUMS: digests}
        infos = order_tensors(TensorInfo(n, d, s, 0, b) for n, (d, s, b) in early.items())
        at = max((info.end for info in infos.values()), default=0)
        for name, (dtype, shape, size) in late.items():
            infos[name] = TensorInfo(name, dtype, shape, at, at + size)
            at += size
        return infos

    metadata = plan.file_metadata()
    reserve = None
    if names:
        widest = tensors({n: ("U16", (_HUGE,), _HUGE) for n in names})
        reserve = len(dump_header(widest, metadata))
    known = ragged or {}
    infos = tensors({n: known.get(n, ("U8", (0,), 0)) for n in names})
    header = dump_header(infos, metadata, reserve)
    start = len(header)
    return Placed(
        header,
        {n: start + i.begin for n, i in infos.items()},
        {n: i.nbytes for n, i in infos.items()},
        start + max((i.end for i in infos.values()), default=0),
    )


class RaggedSpool:
    """A ragged part while it is being encoded, on disk."""

    def __init__(self, folder: Path) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._lengths: list[NDArray[np.int64]] = []

    def extend(self, rows: list[NDArray[np.uint8]]) -> None:
        """Append rows of bytes."""
        self._lengths.append(np.array([len(r) for r in rows], np.int64))
        self._file.writelines(r.data for r in rows)

    def build(self) -> RaggedRows:
        """All rows, their data a view of the spool."""
        self._file.flush()
        lengths = np.concatenate(self._lengths) if self._lengths else np.empty(0, np.int64)
        size = int(lengths.sum())
        data = np.memmap(self._file, np.uint8, "r", shape=(size,)) if size else np.empty(0, "u1")
        return RaggedRows.build(data, lengths)

    def close(self) -> None:
        """Delete the spool."""
        self._file.close()


class StreamSpool:
    """A stream while it is being encoded, on disk."""

    def __init__(self, folder: Path, stream: Stream) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._stream = stream
        self._classes: list[NDArray[Any]] = []
        self._bits = 0
        self._unfinished = 0

    def extend(self, piece: StreamPiece) -> None:
        """Append records."""
        kind = np.uint8 if self._stream.bits <= 8 else np.uint16
        self._classes.append(piece.classes.astype(kind))
        first = self._bits % 8
        data = joined([(piece.data, 0, piece.bits)], first)
        data[0] |= self._unfinished
        self._bits += piece.bits
        whole = (first + piece.bits) // 8
        self._file.write(data[:whole].data)
        self._unfinished = int(data[whole])

    def build(self) -> StreamRows:
        """All records, their data a view of the spool."""
        rest = self._bits % 8
        last = bytes([self._unfinished]) if rest else b""
        self._file.write(last + bytes(Stream.TAIL))
        self._file.flush()
        size = (self._bits + 7) // 8 + Stream.TAIL
        data = np.memmap(self._file, np.uint8, "r", shape=(size,))
        classes = np.concatenate([np.empty(0, np.uint8), *self._classes])
        return StreamRows.build(self._stream, classes, data)

    def close(self) -> None:
        """Delete the spool."""
        self._file.close()


class ArtifactWriter:
    """Receives encoded rows of every table and writes the file.

    Leaving the ``with`` block without ``commit`` removes what was written.
    """

    def __init__(self, path: Path, plan: Plan, threads: int) -> None:
        """Create the hidden file and reserve its room.

        Raises:
            IOFailure: No room, another run on this output, or the system refuses.
        """
        self._plan = plan
        self._threads = threads
        self._placed = place(plan)
        self._file = AtomicFile(path)
        self._spools: dict[tuple[str, int, str], RaggedSpool] = {}
        self._streams: dict[tuple[str, int, str], StreamSpool] = {}
        self._ragged: dict[str, Array] = {}
        self._unfinished: dict[str, int] = {}
        try:
            self._file.reserve(self._placed.total)
            for form in plan.forms:
                for i, s in enumerate(form.segments):
                    for part in s.codec.layout().ragged:
                        self._spools[form.name, i, part] = RaggedSpool(path.parent)
                    for stream in s.codec.layout().streams:
                        spool = StreamSpool(path.parent, stream)
                        self._streams[form.name, i, stream.name] = spool
        except OSError as error:
            self._file.discard()
            raise system_failure(path, error) from error
        except BaseException:
            self._file.discard()
            raise

    def sink(self, form: Form) -> TableSink:
        """Where the encoded rows of one table go."""
        return TableSink(self, form)

    def put_records(
        self, form: Form, segment: int, position: int, records: NDArray[np.uint8]
    ) -> None:
        """Write records of a segment from ``position`` on; safe from several threads."""
        offset = self._placed.offsets[form.tensor(segment, "rows")]
        self._file.write_at(offset + position * records.shape[1], records.reshape(-1).data)

    def put_packed(
        self, form: Form, segment: int, part: str, position: int, rows: PackedRows
    ) -> None:
        """Write codes of rows from ``position`` on, in order.

        The byte in which they end is written again when the next rows begin in it.
        """
        tensor = form.tensor(segment, f"{part}.bits")
        string = rows.string[:-TAIL].copy()
        if len(string):
            if rows.first:
                string[0] |= self._unfinished[tensor]
            self._unfinished[tensor] = int(string[-1])
            at = self._placed.offsets[tensor] + position * rows.bits // 8
            self._file.write_at(at, string.data)

    def put_ragged(
        self, form: Form, segment: int, part: str, rows: list[NDArray[np.uint8]]
    ) -> None:
        """Append rows of a ragged part, in order."""
        self._spools[form.name, segment, part].extend(rows)

    def put_stream(self, form: Form, segment: int, part: str, piece: StreamPiece) -> None:
        """Append records of a stream, in order."""
        self._streams[form.name, segment, part].extend(piece)

    def close_ragged(self) -> Placed:
        """Take the ragged parts as complete, and give where everything lies."""
        forms = {form.name: form for form in self._plan.forms}
        for (name, segment, part), spool in self._spools.items():
            self._ragged |= ragged_tensors(forms[name], segment, part, spool.build())
        for (name, segment, part), stream in self._streams.items():
            self._ragged |= stream_tensors(forms[name], segment, part, stream.build())
        extents = {n: (dtype_name(a), a.shape, a.nbytes) for n, a in self._ragged.items()}
        self._placed = place(self._plan, extents)
        return self._placed

    @property
    def total(self) -> int:
        """Bytes of the file."""
        return self._placed.total

    def finish(self, measured: Mapping[str, NDArray[np.float64]]) -> None:
        """Write everything that is not records, and the checksums.

        Args:
            measured: The measured errors of every table.

        Raises:
            IOFailure: The system refuses.
        """
        placed = self._placed
        self._file.resize(placed.total)
        self._file.write_at(0, placed.header)
        for form in self._plan.forms:
            for name, array in form.arrays.items():
                self._put(name, array)
            self._put(form.measured, measured[form.name])
        for name, array in self._ragged.items():
            self._put(name, array)
        for passed in self._plan.passed:
            at = placed.offsets[passed.name]
            for begin in range(0, passed.nbytes, _PIECE):
                end = min(begin + _PIECE, passed.nbytes)
                self._file.write_at(at + begin, passed.read(begin, end))
        self._put(CHECKSUMS, self._digests())

    def commit(self) -> None:
        """Let the file take its final name."""
        self._file.commit()

    def _put(self, name: str, array: Array) -> None:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        at = self._placed.offsets[name]
        for begin in range(0, len(flat), _PIECE):
            self._file.write_at(at + begin, flat[begin : begin + _PIECE].data)

    def _digests(self) -> NDArray[np.uint8]:
        fd = self._file.fd

        def one(span: tuple[int, int]) -> bytes:
            return checksums.digest(os.pread(fd, span[1], span[0]))

        spans: list[tuple[int, int]] = [(0, len(self._placed.header))]
        for name, offset in sorted(self._placed.offsets.items(), key=lambda item: item[1]):
            if name != CHECKSUMS:
                size = self._placed.sizes[name]
                spans += [
                    (offset + b, min(checksums.CHUNK, size - b))
                    for b in range(0, size, checksums.CHUNK)
                ]
        joined = b"".join(ordered(one, spans, self._threads))
        return np.frombuffer(joined, np.uint8).reshape(-1, checksums.DIGEST)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for spool in (*self._spools.values(), *self._streams.values()):
            spool.close()
        self._file.discard()


@dataclass(frozen=True)
class TableSink:
    """One table's way into the writer."""

    writer: ArtifactWriter
    form: Form

    def put_records(self, segment: int, position: int, records: NDArray[np.uint8]) -> None:
        """Write records of a segment from ``position`` on."""
        self.writer.put_records(self.form, segment, position, records)

    def put_packed(self, segment: int, part: str, position: int, rows: PackedRows) -> None:
        """Write codes of rows from ``position`` on, in order."""
        self.writer.put_packed(self.form, segment, part, position, rows)

    def put_ragged(self, segment: int, part: str, rows: list[NDArray[np.uint8]]) -> None:
        """Append rows of a ragged part, in order."""
        self.writer.put_ragged(self.form, segment, part, rows)

    def put_stream(self, segment: int, part: str, piece: StreamPiece) -> None:
        """Append records of a stream, in order."""
        self.writer.put_stream(self.form, segment, part, piece)


def ragged_sizes(
    form: Form, segment: int, part: str, lengths: NDArray[np.int64]
) -> dict[str, Extent]:
    """The tensors that would hold a ragged part with rows of these lengths."""
    empty = RaggedRows.build(np.empty(0, np.uint8), lengths)
    total = int(lengths.sum())
    found = ragged_tensors(form, segment, part, empty)
    sizes = {n: (dtype_name(a), a.shape, a.nbytes) for n, a in found.items()}
    return sizes | {form.tensor(segment, f"{part}.data"): ("U8", (total,), total)}


def ragged_tensors(form: Form, segment: int, part: str, rows: RaggedRows) -> dict[str, Array]:
    """The three tensors that hold a ragged part."""
    return {
        form.tensor(segment, f"{part}.addresses"): rows.addresses,
        form.tensor(segment, f"{part}.data"): rows.data,
        form.tensor(segment, f"{part}.lengths"): rows.lengths,
    }


def stream_tensors(form: Form, segment: int, part: str, rows: StreamRows) -> dict[str, Array]:
    """The four tensors that hold a stream."""
    pieces = (rows.addresses, rows.bases, rows.classes, rows.data)
    return {
        form.tensor(segment, f"{part}.{name}"): array
        for name, array in zip(STREAM_PIECES, pieces, strict=True)
    }


def stream_sizes(form: Form, segment: int, stream: Stream, bits: int) -> dict[str, Extent]:
    """The tensors that would hold a stream whose records take so many bits."""
    sizes = stream.sizes(form.segments[segment].rows, bits)
    found: dict[str, Extent] = {}
    for piece, (dtype, count) in sizes.items():
        empty = np.empty(0, dtype)
        tensor = form.tensor(segment, f"{stream.name}.{piece}")
        found[tensor] = (dtype_name(empty), (count,), count * empty.itemsize)
    return found
