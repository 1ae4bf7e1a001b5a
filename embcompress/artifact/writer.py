"""Writing an artifact: safetensors files, streamed, whole or not at all."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact import checksums
from embcompress.artifact.atomic import (
    AtomicFile,
    AtomicFolder,
    OpenFile,
    check_room,
    system_failure,
)
from embcompress.artifact.form import CHECKSUMS, Form, dtype_name
from embcompress.artifact.layout import (
    INDEX_NAME,
    Extent,
    Passed,
    Placed,
    Plan,
    place,
    shard_names,
)
from embcompress.artifact.reader import is_artifact_folder
from embcompress.codecs.base import PackedRows, RaggedRows, joined_lengths
from embcompress.codecs.hostile import Array
from embcompress.codecs.stream import Stream, StreamPiece, StreamRows
from embcompress.kernels.bitstring import TAIL
from embcompress.kernels.stream_records import joined
from embcompress.tables.folder import find_weights
from embcompress.threads import ordered

_PIECE = 2**24
_NOTHING = np.empty(0, np.uint8)


class RaggedSpool:
    """A ragged part while it is being encoded, on disk."""

    def __init__(self, folder: Path) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._lengths: list[RaggedRows] = []

    def extend(self, rows: RaggedRows) -> None:
        """Append rows of bytes."""
        self._lengths.append(replace(rows, data=_NOTHING))
        self._file.write(np.ascontiguousarray(rows.data).data)

    def lengths(self) -> Array:
        """Bytes of every row."""
        return joined_lengths(self._lengths)

    def pieces(self, most: int) -> Iterator[bytes]:
        """The data of all rows, in pieces of up to ``most`` bytes."""
        self._file.flush()
        self._file.seek(0)
        while piece := self._file.read(most):
            yield piece

    def close(self) -> None:
        """Delete the spool."""
        self._file.close()


class StreamSpool:
    """A stream while it is being encoded, its data on disk."""

    def __init__(self, folder: Path, stream: Stream) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._stream = stream
        self._classes: list[NDArray[Any]] = []
        self._unfinished = 0
        self.bits = 0

    def extend(self, piece: StreamPiece) -> None:
        """Append records."""
        kind = np.uint8 if self._stream.bits <= 8 else np.uint16
        self._classes.append(piece.classes.astype(kind))
        first = self.bits % 8
        data = joined([(piece.data, 0, piece.bits)], first)
        data[0] |= self._unfinished
        whole = (first + piece.bits) // 8
        self._file.write(data[:whole].data)
        self._unfinished = int(data[whole])
        self.bits += piece.bits

    def close_data(self) -> StreamRows:
        """All records, their data left out."""
        self._file.write(bytes([self._unfinished] if self.bits % 8 else []) + bytes(Stream.TAIL))
        classes = np.concatenate([_NOTHING, *self._classes])
        return StreamRows.build(self._stream, classes, _NOTHING)

    def pieces(self, most: int) -> Iterator[bytes]:
        """The data of all records, in pieces of up to ``most`` bytes."""
        self._file.flush()
        self._file.seek(0)
        while piece := self._file.read(most):
            yield piece

    def close(self) -> None:
        """Delete the spool."""
        self._file.close()


class ArtifactWriter:
    """Receives encoded rows of every table and writes the file, or the folder of shards.

    Leaving the ``with`` block without ``commit`` removes what was written.
    """

    def __init__(self, path: Path, plan: Plan, threads: int) -> None:
        """Create the hidden file or folder and reserve its room.

        Args:
            path: The file; the folder when the plan has shards.
            plan: What it holds.
            threads: Cores to use.

        Raises:
            IOFailure: No room, another run on this output, or the system refuses.
        """
        self._plan = plan
        self._threads = threads
        self._target = AtomicFile(path) if plan.shard_bytes is None else AtomicFolder(path)
        self._files: list[OpenFile] = []
        self._spools: dict[tuple[str, int, str], RaggedSpool] = {}
        self._ragged: dict[str, Array] = {}
        self._streams: dict[tuple[str, int, str], StreamSpool] = {}
        self._data: dict[str, RaggedSpool | StreamSpool] = {}
        self._unfinished: dict[str, int] = {}
        self._copied: dict[str, bytes] = {}
        try:
            self._take(place(plan))
            for form in plan.forms:
                for i, s in enumerate(form.segments):
                    for part in s.codec.layout().ragged:
                        self._spools[form.name, i, part] = RaggedSpool(path.parent)
                    for stream in s.codec.layout().streams:
                        held = StreamSpool(path.parent, stream)
                        self._streams[form.name, i, stream.name] = held
        except OSError as error:
            self._target.discard()
            raise system_failure(path, error) from error
        except BaseException:
            self._target.discard()
            raise

    def _take(self, placed: Placed) -> None:
        """Have a file of the right length for each that is laid out."""
        self._placed = placed
        self._offsets = placed.offsets
        check_room(self._target.path, self._target.fd, placed.total)
        for number in range(len(self._files), len(placed.files)):
            target = self._target
            created = target if isinstance(target, AtomicFile) else target.create(str(number))
            self._files.append(created)
        for file, laid in zip(self._files, placed.files, strict=True):
            file.resize(laid.total)

    def copy_passed(self) -> None:
        """Copy tensors of the source, and take their checksums on the way.

        Before rows are encoded: the disk writes them meanwhile. A few chunks at a time, so that
        they are still in the processor's cache when written.

        Raises:
            IOFailure: The system refuses.
        """
        buffers = threading.local()

        def one(piece: tuple[Passed, int]) -> tuple[str, bytes]:
            passed, begin = piece
            if not hasattr(buffers, "data"):
                buffers.data = np.empty(checksums.GROUP, np.uint8)
            digests = []
            for at in range(begin, min(begin + _PIECE, passed.nbytes), checksums.GROUP):
                data = buffers.data[: passed.nbytes - at]
                passed.read_into(data.data, at)
                digests.append(checksums.digests(data))
                self._write(passed.name, at, data.data)
            return passed.name, b"".join(digests)

        pieces = ((p, b) for p in self._plan.passed for b in range(0, p.nbytes, _PIECE))
        for name, digests in ordered(one, pieces, self._threads):
            self._copied[name] = self._copied.get(name, b"") + digests

    def sink(self, form: Form) -> TableSink:
        """Where the encoded rows of one table go."""
        return TableSink(self, form)

    def put_records(
        self, form: Form, segment: int, position: int, records: NDArray[np.uint8]
    ) -> None:
        """Write records of a segment from ``position`` on; safe from several threads."""
        at = position * records.shape[1]
        self._write(form.tensor(segment, "rows"), at, records.reshape(-1).data)

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
            self._write(tensor, position * rows.bits // 8, string.data)

    def put_ragged(self, form: Form, segment: int, part: str, rows: RaggedRows) -> None:
        """Append rows of a ragged part, in order."""
        self._spools[form.name, segment, part].extend(rows)

    def put_stream(self, form: Form, segment: int, part: str, piece: StreamPiece) -> None:
        """Append records of a stream, in order."""
        self._streams[form.name, segment, part].extend(piece)

    def close_ragged(self) -> Placed:
        """Take the ragged parts and streams as complete, and give where everything lies."""
        forms = {form.name: form for form in self._plan.forms}
        extents: dict[str, Extent] = {}
        for (name, segment, part), spool in self._spools.items():
            form, lengths = forms[name], spool.lengths()
            self._ragged |= ragged_arrays(form, segment, part, lengths)
            extents |= ragged_sizes(form, segment, part, lengths)
            self._data[form.tensor(segment, f"{part}.data")] = spool
        for (name, segment, part), held in self._streams.items():
            form, tensors = forms[name], held.close_data().tensors
            del tensors["data"]
            self._ragged |= {form.tensor(segment, f"{part}.{p}"): a for p, a in tensors.items()}
            for stream in form.segments[segment].codec.layout().streams:
                if stream.name == part:
                    extents |= stream_sizes(form, segment, stream, held.bits)
            self._data[form.tensor(segment, f"{part}.data")] = held
        self._take(place(self._plan, extents))
        return self._placed

    @property
    def total(self) -> int:
        """Bytes of the artifact."""
        return self._placed.total

    def finish(self, measured: Mapping[str, NDArray[np.float64]]) -> None:
        """Write everything that is not records, and the checksums.

        Args:
            measured: The measured errors of every table.

        Raises:
            IOFailure: The system refuses.
        """
        for file, laid in zip(self._files, self._placed.files, strict=True):
            file.write_at(0, laid.header)
        for form in self._plan.forms:
            for name, array in form.arrays.items():
                self._put(name, array)
            self._put(form.measured, measured[form.name])
        for name, array in self._ragged.items():
            self._put(name, array)
        for name, spool in self._data.items():
            at = 0
            for piece in spool.pieces(_PIECE):
                self._write(name, at, memoryview(piece))
                at += len(piece)
        self._put(CHECKSUMS, self._digests())
        if isinstance(self._target, AtomicFolder):
            for number, name in enumerate(shard_names(len(self._files))):
                self._target.rename(str(number), name)
            if self._placed.index:
                self._target.create(INDEX_NAME).write_at(0, self._placed.index)

    def add_file(self, name: str, source: Path) -> None:
        """Copy a file into the folder of an artifact that has one.

        Raises:
            IOFailure: The system refuses.
        """
        assert isinstance(self._target, AtomicFolder)
        self._target.copy(name, source)

    def commit(self) -> None:
        """Let the file or folder take its final name."""
        if isinstance(self._target, AtomicFile):
            self._target.commit()
        elif is_artifact_folder(self._target.path):
            self._target.commit(stale=find_weights(self._target.path).names)
        else:
            self._target.commit()

    def _write(self, tensor: str, at: int, data: memoryview) -> None:
        number, offset = self._offsets[tensor]
        self._files[number].write_at(offset + at, data)

    def _put(self, name: str, array: Array) -> None:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for begin in range(0, len(flat), _PIECE):
            self._write(name, begin, flat[begin : begin + _PIECE].data)

    def _digests(self) -> NDArray[np.uint8]:
        """Checksums of all files: of the header of each, then of its tensors in order."""

        def one(span: tuple[int, int, int] | bytes) -> bytes:
            if isinstance(span, bytes):
                return span
            number, offset, size = span
            data = os.pread(self._files[number].fd, size, offset)
            return checksums.digests(np.frombuffer(data, np.uint8))

        spans: list[tuple[int, int, int] | bytes] = []
        for number, file in enumerate(self._placed.files):
            start = len(file.header)
            spans.append(checksums.digest(file.header))
            for name, info in file.tensors.items():
                if name in self._copied:
                    spans.append(self._copied[name])
                elif name != CHECKSUMS:
                    spans += [
                        (number, start + at, min(checksums.GROUP, info.end - at))
                        for at in range(info.begin, info.end, checksums.GROUP)
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
        for spool in self._spools.values():
            spool.close()
        for held in self._streams.values():
            held.close()
        self._target.discard()


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

    def put_ragged(self, segment: int, part: str, rows: RaggedRows) -> None:
        """Append rows of a ragged part, in order."""
        self.writer.put_ragged(self.form, segment, part, rows)

    def put_stream(self, segment: int, part: str, piece: StreamPiece) -> None:
        """Append records of a stream, in order."""
        self.writer.put_stream(self.form, segment, part, piece)


def ragged_sizes(form: Form, segment: int, part: str, lengths: Array) -> dict[str, Extent]:
    """The tensors that hold a ragged part with rows of these lengths."""
    arrays = ragged_arrays(form, segment, part, lengths)
    sizes = {n: (dtype_name(a), a.shape, a.nbytes) for n, a in arrays.items()}
    total = int(lengths.sum(dtype=np.int64))
    return sizes | {form.tensor(segment, f"{part}.data"): ("U8", (total,), total)}


def implied_sizes(form: Form, segment: int, part: str, total: int) -> dict[str, Extent]:
    """The tensors that hold a ragged part of so many bytes, whose lengths are not stored."""
    blocks = -(-form.segments[segment].rows // RaggedRows.EVERY)
    return {
        form.tensor(segment, f"{part}.addresses"): ("I64", (blocks,), 8 * blocks),
        form.tensor(segment, f"{part}.data"): ("U8", (total,), total),
    }


def ragged_arrays(form: Form, segment: int, part: str, lengths: Array) -> dict[str, Array]:
    """What is stored of a ragged part beside its data."""
    rows = RaggedRows.build(_NOTHING, lengths)
    known = {"addresses": rows.addresses, "lengths": rows.lengths}
    pieces = form.segments[segment].codec.layout().pieces(part)
    return {
        form.tensor(segment, f"{part}.{piece}"): array
        for piece, array in known.items()
        if piece in pieces and array is not None
    }


def stream_sizes(form: Form, segment: int, stream: Stream, bits: int) -> dict[str, Extent]:
    """The tensors that hold a stream whose records take so many bits."""
    found: dict[str, Extent] = {}
    for piece, (dtype, count) in stream.sizes(form.segments[segment].rows, bits).items():
        empty = np.empty(0, dtype)
        tensor = form.tensor(segment, f"{stream.name}.{piece}")
        found[tensor] = (dtype_name(empty), (count,), count * empty.itemsize)
    return found
