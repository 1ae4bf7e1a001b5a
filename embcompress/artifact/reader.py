"""Reading an artifact: tables by name, decoded from memory maps."""

from __future__ import annotations

import json
import mmap
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact import checksums
from embcompress.artifact.arrays import ragged_rows
from embcompress.artifact.checksums import HEADER, Block, Guard
from embcompress.artifact.form import (
    CHECKSUMS,
    DTYPES,
    FORMAT,
    KEY,
    MARK,
    MEASURED,
    Form,
    load_form,
)
from embcompress.artifact.layout import INDEX_NAME, index_bytes
from embcompress.artifact.table import CompressedTable
from embcompress.codecs.base import PackedRows, Parts, RaggedRows
from embcompress.codecs.hostile import Array
from embcompress.codecs.stream import STREAM_PIECES, Stream, StreamRows
from embcompress.errors import BadInput
from embcompress.tables.checkpoint import open_checkpoint
from embcompress.tables.file import SourceFile
from embcompress.tables.folder import MODEL, WEIGHTS
from embcompress.tables.header import Header, TensorInfo
from embcompress.tables.keys import Keys, read_keys, vocabulary

_OF_ROWS = (".data", ".lengths", ".addresses", ".bits", ".classes", ".bases")
_SMALL = 2**26
"""Bytes of a file whose records are not copied from the map: all of it may count as memory."""


class Artifact(Mapping[str, CompressedTable]):
    """An open artifact: a mapping from table name to compressed table.

    Rows are read from memory maps; a chunk's checksum is checked the first time that rows of
    it are looked up. Offsets count through all files, one after the other.

    Attributes:
        path: The file, the folder of shards, or their index.
        files: The open files.
        tensors: All tensors by name.
        metadata: The metadata of all files.
        document: The JSON document.
        nbytes: Bytes of all files and of the index.
        overhead: Bytes of headers and index.
    """

    def __init__(self, path: Path, *, threads: int | None = None, check: bool = True) -> None:
        """Open a file or a folder.

        Args:
            path: An artifact.
            threads: Cores that look-ups use; all by default.
            check: Whether checksums are checked as rows are looked up.

        Raises:
            BadInput: It is no artifact, damaged, or of a newer version.
            IOFailure: The system refuses.
        """
        self.path = path
        self._check = check
        self.files = open_checkpoint(path, ", not an embcompress artifact")
        try:
            if self.files.files and self.files.files.rows:
                raise BadInput(f"{path}: is no embcompress artifact; compress it first")
            self.tensors = self.files.tensors
            self.metadata = self.files.metadata
            self.nbytes = self.files.bytes
            self.overhead = self.nbytes - sum(info.nbytes for info in self.tensors.values())
            self.document = read_document(self.metadata, path)
            self._maps = [_mapped(shard.file) for shard in self.files.shards]
            self.guard = self._make_guard()
            self._check_small()
            self._tables = {
                name: CompressedTable(form, FileStore(self, form), threads)
                for name, form in self._load_forms().items()
            }
        except BaseException:
            self.files.close()
            raise

    def __getitem__(self, name: str) -> CompressedTable:
        try:
            return self._tables[name]
        except KeyError:
            raise KeyError(f"{self.path} has no table '{name}'; it has {list(self)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return f"<Artifact {self.path}: {', '.join(self)}>"

    @property
    def header(self) -> Header:
        """The header of the file, or of the first shard."""
        return self.files.shards[0].header

    @property
    def passed(self) -> dict[str, TensorInfo]:
        """Tensors of the source that were copied, by name."""
        return {n: t for n, t in self.tensors.items() if MARK not in n}

    def raw(self, name: str) -> NDArray[np.uint8]:
        """The bytes of a tensor, mapped."""
        (piece,) = self.files.pieces[name]
        mapped = self._maps[piece.shard.number]
        return mapped[piece.begin : piece.begin + piece.nbytes]

    def read(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Bytes of one file, read rather than mapped, so that they do not count as memory."""
        data = np.empty(end - begin, np.uint8)
        shards = self.files.shards
        shard = shards[bisect_right(shards, begin, key=lambda s: s.base) - 1]
        shard.file.read_into(data.data, begin - shard.base)
        return data

    def start(self, name: str) -> int:
        """Where a tensor begins."""
        (piece,) = self.files.pieces[name]
        return piece.shard.base + piece.begin

    def array(self, name: str) -> Array:
        """A tensor, mapped, in its dtype and shape.

        Raises:
            BadInput: A dtype that no part has.
        """
        info = self.tensors[name]
        if info.dtype not in DTYPES:
            raise BadInput(f"{self.path}: tensor '{name}' has dtype {info.dtype}")
        raw = self.raw(name)
        if raw.ctypes.data % np.dtype(DTYPES[info.dtype]).itemsize:
            raw = raw.copy()
        return raw.view(DTYPES[info.dtype]).reshape(info.shape)

    def measured(self, name: str) -> dict[str, float]:
        """The errors measured when a table was compressed.

        Raises:
            BadInput: They are missing or malformed.
        """
        tensor = self._tables[name].form.measured
        info = self.tensors.get(tensor)
        if info is None or info.dtype != "F64" or info.shape != (len(MEASURED),):
            raise BadInput(f"{self.path}: tensor '{tensor}' is missing or malformed")
        return dict(zip(MEASURED, self.array(tensor).tolist(), strict=True))

    def row_keys(self, name: str) -> Keys | None:
        """The keys of a table's rows, if they are known: tokens, or integers.

        They are tensors beside the table, or the lines of a ``vocab.txt`` in a model's folder when
        there are as many as rows.

        Raises:
            BadInput: They are damaged.
        """
        n = self._tables[name].shape[0]

        def raw(tensor: str) -> NDArray[np.uint8]:
            data = self.raw(tensor)
            self.guard.whole(tensor, len(data))
            return data if data.ctypes.data % 8 == 0 else data.copy()

        found = read_keys(self.tensors, raw, name, n, str(self.path))
        if found is None and self.files.files is not None:
            found = vocabulary(self.files.files.folder, n)
        return found

    def blocks(self) -> list[Block]:
        """All checked chunks in the order of their digests: of each file the header comes first."""
        blocks: list[Block] = []
        for shard in self.files.shards:
            start = shard.base + shard.header.data_start
            where = f"the header of {shard.file.shown}" if shard.base else HEADER
            blocks.append(Block(len(blocks), where, shard.base, start, 0))
            for info in shard.header.tensors.values():
                if info.name != CHECKSUMS:
                    for b in range(info.begin, info.end, checksums.CHUNK):
                        end = min(b + checksums.CHUNK, info.end)
                        at = start + b, start + end
                        blocks.append(Block(len(blocks), info.name, *at, b - info.begin))
        return blocks

    def index_problem(self) -> str | None:
        """What is wrong with the index of the shards, if anything."""
        if self.files.files is None or self.files.files.index is None:
            return None
        with SourceFile(self.files.files.index.path) as file:
            found = file.read(0, file.size)
        shards = [shard.header.tensors for shard in self.files.shards]
        return None if found == index_bytes(shards) else "the index is not that of the shards"

    def close(self) -> None:
        """Close the files; arrays that still use the maps keep them alive."""
        self.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _make_guard(self) -> Guard:
        info = self.tensors.get(CHECKSUMS)
        blocks = self.blocks()
        if info is None or info.dtype != "U8" or info.shape != (len(blocks), checksums.DIGEST):
            raise BadInput(f"{self.path}: the checksums are missing or malformed")
        return Guard(blocks, self.array(CHECKSUMS), self.read, str(self.path), on=self._check)

    def _check_small(self) -> None:
        """Check all that a table holds beside records, ragged parts and bit strings."""
        for block in self.guard.headers():
            self.guard.whole(block, 1)
        for name in self.tensors:
            last = name.rsplit(MARK, 1)[-1]
            rows = last == "rows" or last.endswith(_OF_ROWS)
            if MARK in name and name != CHECKSUMS and not rows:
                self.guard.whole(name, len(self.raw(name)))

    def _load_forms(self) -> dict[str, Form]:
        arrays = {
            n: self.array(n)
            for n in self.tensors
            if MARK in n and n != CHECKSUMS and n.rsplit(MARK, 1)[-1] != "rows"
        }
        forms = {}
        for name, entry in self.document["tables"].items():
            mine = {n: a for n, a in arrays.items() if n.startswith(name + MARK)}
            forms[name] = load_form(name, entry, mine, f"{self.path}: table '{name}'")
            strings = {tensor: (size,) for tensor, size in forms[name].packed.items()}
            for tensor, shape in (forms[name].records | strings).items():
                info = self.tensors.get(tensor)
                if info is None or info.dtype != "U8" or info.shape != shape:
                    raise BadInput(f"{self.path}: tensor '{tensor}' is not U8 {list(shape)}")
        return forms


class FileStore:
    """The encoded rows of one table, in the file."""

    def __init__(self, artifact: Artifact, form: Form) -> None:
        self._artifact = artifact
        self._form = form
        self._records = {
            name: artifact.raw(name).reshape(shape) for name, shape in form.records.items()
        }
        self._ragged = [
            {part: self._load_ragged(i, part, s.rows) for part in s.codec.layout().ragged}
            for i, s in enumerate(form.segments)
        ]
        self._streams = [
            {p.name: self._load_stream(i, p, s.rows) for p in s.codec.layout().streams}
            for i, s in enumerate(form.segments)
        ]
        self._packed = [
            {
                p.name: PackedRows(artifact.raw(self._string(i, p.name)), p.bits)
                for p in s.codec.layout().packed
            }
            for i, s in enumerate(form.segments)
        ]

    def _string(self, segment: int, part: str) -> str:
        return self._form.tensor(segment, f"{part}.bits")

    def _load_ragged(self, segment: int, part: str, rows: int) -> RaggedRows:
        pieces = {
            p: self._artifact.array(tensor)
            for p in self._form.segments[segment].codec.layout().pieces(part)
            if (tensor := self._form.tensor(segment, f"{part}.{p}")) in self._artifact.tensors
        }
        where = f"{self._artifact.path}: '{self._form.tensor(segment, part)}'"
        layout = self._form.segments[segment].codec.layout()
        return ragged_rows(pieces, rows, where, implied=part in layout.implied)

    def _check_ragged(self, segment: int, part: str, rows: NDArray[np.int64]) -> None:
        """Check what rows of a ragged part lie in, by blocks of 64 rows."""
        guard, held = self._artifact.guard, self._ragged[segment][part]
        if not len(held.addresses):
            return
        for piece, array in (("addresses", held.addresses), ("lengths", held.lengths)):
            if array is not None:
                guard.whole(self._form.tensor(segment, f"{part}.{piece}"), array.nbytes)
        tensor = self._form.tensor(segment, f"{part}.data")
        if guard.checked(tensor):
            return
        blocks = rows // RaggedRows.EVERY
        edges = np.append(held.addresses, len(held.data))
        guard.spans(tensor, edges[blocks], edges[blocks + 1], len(held.data))

    def _load_stream(self, segment: int, stream: Stream, rows: int) -> StreamRows:
        tensors = {p: self._form.tensor(segment, f"{stream.name}.{p}") for p in STREAM_PIECES}
        pieces = {
            p: self._artifact.array(t) for p, t in tensors.items() if t in self._artifact.tensors
        }
        where = f"{self._artifact.path}: '{self._form.tensor(segment, stream.name)}"
        return StreamRows.take(stream, pieces, rows, where)

    def _check_stream(self, segment: int, part: str, rows: NDArray[np.int64]) -> None:
        """Check what rows of a stream lie in, their classes and addresses first."""
        guard, whole = self._artifact.guard, self._streams[segment][part]
        names = {p: self._form.tensor(segment, f"{part}.{p}") for p in STREAM_PIECES}
        if not len(rows) or all(guard.checked(name) for name in names.values()):
            return
        records = np.unique(whole.records(rows))
        bits, blocks = whole.stream.bits, records // Stream.BLOCK
        first = blocks * (Stream.BLOCK * bits // 8)
        guard.spans(names["classes"], first, (records + 1) * bits // 8 + 1, len(whole.classes))
        guard.spans(names["addresses"], 4 * blocks, 4 * blocks + 4, whole.addresses.nbytes)
        bases = 8 * (blocks // whole.stream.apart)
        guard.spans(names["bases"], bases, bases + 8, whole.bases.nbytes)
        classes, begins = whole.locate(records)
        ends = begins + np.array(whole.stream.lengths, np.int64)[classes]
        guard.spans(names["data"], begins // 8, ends // 8 + 1, len(whole.data))

    def parts(self, segment: int, rows: NDArray[np.int64]) -> Parts:
        """All encoded rows of a segment, mapped; what ``rows`` lie in is checked."""
        name = self._form.tensor(segment, "rows")
        records = self._records.get(name)
        guard = self._artifact.guard
        if records is not None:
            guard.records(name, rows, records.shape[1], records.nbytes)
        for part in self._ragged[segment]:
            self._check_ragged(segment, part, rows)
            if records is not None and not guard.checked(name):
                # the rows before tell where a row begins
                first = rows // RaggedRows.EVERY * RaggedRows.EVERY
                guard.records(name, first, records.shape[1], records.nbytes)
        for part, codes in self._packed[segment].items():
            guard.packed(self._string(segment, part), rows, codes.bits, len(codes.string))
        for part in self._streams[segment]:
            self._check_stream(segment, part, rows)
        if records is None:
            records = np.empty((self._form.segments[segment].rows, 0), np.uint8)
        return Parts(
            records,
            0,
            self._ragged[segment],
            self._packed[segment],
            streams=self._streams[segment],
        )

    def some(self, segment: int, start: int, stop: int) -> Parts:
        """Encoded rows ``start … stop - 1``, read from the file."""
        records = self._some_records(segment, start, stop)
        ragged = {
            part: self._some_ragged(segment, part, start, stop) for part in self._ragged[segment]
        }
        packed = {k: self._some_codes(segment, k, start, stop) for k in self._packed[segment]}
        streams = {k: self._some_stream(segment, k, start, stop) for k in self._streams[segment]}
        return Parts(records, 0, ragged, packed, start, streams)

    def _some_stream(self, segment: int, part: str, start: int, stop: int) -> StreamRows:
        self._check_stream(segment, part, np.arange(start, stop, dtype=np.int64))
        own = self._streams[segment][part].slice(start, stop)
        if self._artifact.nbytes <= _SMALL or stop == start:
            return own
        ends = own.records(np.array([0, stop - start - 1], np.int64))
        classes, begins = own.locate(ends)
        first = int(begins[0]) // 8
        last = (int(begins[1]) + own.stream.lengths[int(classes[1])] + 7) // 8
        tensor = self._form.tensor(segment, f"{part}.data")
        return own.over(self._read(tensor, first, last + Stream.TAIL), 8 * first)

    def _some_records(self, segment: int, start: int, stop: int) -> NDArray[np.uint8]:
        name = self._form.tensor(segment, "rows")
        mapped = self._records.get(name)
        if mapped is None:
            return np.empty((stop - start, 0), np.uint8)
        size = mapped.shape[1]
        self._artifact.guard.span(name, start * size, stop * size)
        if self._artifact.nbytes <= _SMALL:
            return mapped[start:stop]
        return self._read(name, start * size, stop * size).reshape(stop - start, size)

    def _some_ragged(self, segment: int, part: str, start: int, stop: int) -> RaggedRows:
        held = self._ragged[segment][part]
        self._check_ragged(segment, part, np.array([start, max(start, stop - 1)]))
        lengths = None
        if held.lengths is None:
            base = start - start % RaggedRows.EVERY
            before = Parts(self._some_records(segment, base, stop))
            lengths = self._form.segments[segment].codec.lengths(part, before)
        tensor = self._form.tensor(segment, f"{part}.data")

        def read(begin: int, end: int) -> NDArray[np.uint8]:
            self._artifact.guard.span(tensor, begin, end)
            return self._read(tensor, begin, end)

        return held.slice(start, stop, lengths, read)

    def tensors(self) -> dict[str, Array]:
        """All encoded rows as arrays, mapped, by tensor name; checked."""
        names = [*self._records]
        for i, segment in enumerate(self._form.segments):
            names += [self._string(i, part) for part in self._packed[i]]
            layout = segment.codec.layout()
            for part in layout.ragged:
                names += [self._form.tensor(i, f"{part}.{p}") for p in layout.pieces(part)]
            for stream in layout.streams:
                names += [self._form.tensor(i, f"{stream.name}.{p}") for p in STREAM_PIECES]
        for name in names:
            self._artifact.guard.whole(name, len(self._artifact.raw(name)))
        return {name: self._artifact.array(name) for name in names}

    def _some_codes(self, segment: int, part: str, start: int, stop: int) -> PackedRows:
        name, mapped = self._string(segment, part), self._packed[segment][part]
        touched = np.arange(start, stop, dtype=np.int64)
        self._artifact.guard.packed(name, touched, mapped.bits, len(mapped.string))
        string = self._read(name, *mapped.span(start, stop))
        return PackedRows(string, mapped.bits, start * mapped.bits % 8)

    def _read(self, tensor: str, begin: int, end: int) -> NDArray[np.uint8]:
        at = self._artifact.start(tensor)
        return self._artifact.read(at + begin, at + end)


def _mapped(file: SourceFile) -> NDArray[np.uint8]:
    with open(file.path, "rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, np.uint8)


def read_document(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The document in the metadata.

    Raises:
        BadInput: There is none, it is malformed, or a newer version wrote it.
    """
    text = metadata.get(KEY)
    if text is None:
        raise BadInput(f"{path}: is no embcompress artifact; compress it first")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: the embcompress document is no JSON") from error
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise BadInput(f"{path}: the embcompress document is malformed")
    if document["format"] > FORMAT:
        raise BadInput(
            f"{path}: has format {document['format']}, this embcompress reads {FORMAT}; upgrade it"
        )
    if not isinstance(document.get("tables"), dict):
        raise BadInput(f"{path}: the embcompress document is malformed")
    return document


def open_artifact(path: str | Path, *, threads: int | None = None, check: bool = True) -> Artifact:
    """Open an artifact; see ``Artifact``."""
    return Artifact(Path(path), threads=threads, check=check)


def is_artifact_folder(path: Path) -> bool:
    """Say whether a folder holds an artifact under the names that artifacts have there.

    Raises:
        IOFailure: The system refuses.
    """
    if not any((path / name).is_file() for name in (INDEX_NAME, MODEL + WEIGHTS)):
        return False
    try:
        with open_checkpoint(path) as files:
            return KEY in files.metadata
    except BadInput:
        return False
