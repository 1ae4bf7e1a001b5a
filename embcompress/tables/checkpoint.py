"""Safetensors files read as one: a file, a model's shards, or the row shards of one checkpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from types import TracebackType
from typing import NoReturn, Self

from embcompress.errors import BadInput
from embcompress.tables.file import SourceFile
from embcompress.tables.folder import ModelFiles, WeightIndex, find_weights, is_index
from embcompress.tables.header import BITS, Header, TensorInfo, read_header
from embcompress.tables.json_tokens import Tokens
from embcompress.tables.quoting import listed, quoted, shown
from embcompress.tables.sniff import sniff

SHARDING_KEYS = ("DCP_SHARDING_INFO", "DCP_VERSION")
"""Metadata of torch's writer of distributed checkpoints: it tells of shards, not of tensors."""

_TORCH = (".bin", ".pt", ".pth")


@dataclass(frozen=True)
class Shard:
    """One open file.

    Attributes:
        file: The file.
        header: Its checked header.
        number: How many come before it.
        base: Bytes of those.
    """

    file: SourceFile
    header: Header
    number: int
    base: int


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a tensor in one file; most tensors are one piece.

    Attributes:
        shard: Where they lie.
        begin: Their first byte, counted from the start of the file.
        first: The first byte of the tensor that it holds.
        nbytes: How many.
        row: The first row that it holds.
    """

    shard: Shard
    begin: int
    first: int
    nbytes: int
    row: int = 0


class Checkpoint:
    """Open safetensors files whose tensors are one model's.

    Attributes:
        path: The path as it was given.
        shown: The path as messages print it.
        files: The folder and its files; None for a single file.
        shards: The open files.
        tensors: All tensors by name, in the order of the files and their data. The spans of a
            tensor in several pieces count from 0.
        pieces: Where each tensor lies.
        metadata: The metadata of all files; of keys with several values the first.
        index_bytes: Bytes of the index.
        warnings: Faults that do no harm, one line each.
    """

    def __init__(
        self, path: str, files: ModelFiles | None, opened: list[SourceFile], unlike: str = ""
    ) -> None:
        """Read the headers; the files are closed by ``close`` only.

        Args:
            path: The path as it was given.
            files: The folder and its files; None for a single file.
            opened: The open files.
            unlike: Ends the message that a file is of another kind.

        Raises:
            BadInput: A file is damaged, or the files do not make up one checkpoint.
            IOFailure: A file cannot be read.
        """
        self.path = path
        self.shown = shown(path)
        self.files = files
        self.warnings: list[str] = []
        self.shards: list[Shard] = []
        base = 0
        for file in opened:
            found = sniff(file)
            if found.kind != "safetensors":
                raise BadInput(f"{file.shown}: is {found.what}{unlike}")
            self.shards.append(Shard(file, read_header(file), len(self.shards), base))
            base += file.size
        self.index_bytes = files.index.nbytes if files and files.index else 0
        self.bytes = base + self.index_bytes
        self.metadata = self._metadata()
        self.tensors: dict[str, TensorInfo] = {}
        self.pieces: dict[str, list[Piece]] = {}
        alone = len(opened) == 1 and not self.index_bytes
        if (files and files.rows) or (alone and SHARDING_KEYS[0] in self.shards[0].header.metadata):
            self._join_rows()
        else:
            self._join()
        if files and files.index:
            self._check_index(files.index)

    def read_into(self, name: str, buffer: memoryview, start: int) -> None:
        """Fill a buffer with bytes of a tensor.

        Args:
            name: The tensor.
            buffer: Writable, contiguous.
            start: First byte, counted from the tensor's first.

        Raises:
            IndexError: The range is not within the tensor.
            IOFailure: A file ends early or cannot be read.
        """
        stop = start + buffer.nbytes
        if not 0 <= start <= stop <= self.tensors[name].nbytes:
            raise IndexError(f"bytes {start} to {stop} of a tensor of {self.tensors[name].nbytes}")
        if not buffer.nbytes:
            return
        left = buffer.cast("B")
        for piece in self.pieces[name]:
            begin, end = max(start, piece.first), min(stop, piece.first + piece.nbytes)
            if begin < end:
                at = piece.begin + begin - piece.first
                piece.shard.file.read_into(left[begin - start : end - start], at)

    def unchanged(self) -> None:
        """Check that these are still the files that were opened.

        Raises:
            IOFailure: A file's size, modification time or identity changed.
        """
        for shard in self.shards:
            shard.file.unchanged()

    def close(self) -> None:
        """Close the files."""
        for shard in self.shards:
            shard.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _metadata(self) -> dict[str, str]:
        """The metadata of all files, without what tells of shards."""
        joined: dict[str, str] = {}
        differing = set()
        for shard in self.shards:
            for key, value in shard.header.metadata.items():
                if key not in SHARDING_KEYS and joined.setdefault(key, value) != value:
                    differing.add(key)
        if differing:
            self.warnings.append(
                f"{self.shown}: shards differ in their metadata {listed(sorted(differing))}; the"
                " first shard's is kept"
            )
        return joined

    def _join(self) -> None:
        """Take every tensor of every file; none may be in two."""
        for shard in self.shards:
            for name, info in shard.header.tensors.items():
                if name in self.pieces:
                    self._fail_twice(name, self.pieces[name][0].shard, shard)
                self.tensors[name] = info
                at = shard.header.data_start + info.begin
                self.pieces[name] = [Piece(shard, at, 0, info.nbytes)]

    def _join_rows(self) -> None:
        """Put the row shards of each tensor together."""
        found: dict[str, list[tuple[tuple[int, ...], Shard, TensorInfo]]] = {}
        for shard in self.shards:
            offsets = _saved_offsets(shard)
            if offsets is None:
                names = [s.file.path.rsplit("/", 1)[-1] for s in self.shards]
                raise BadInput(
                    f"{self.shown}: has {len(names)} .safetensors files and no index that makes"
                    f" them one model; name one of them: {listed(names)}"
                )
            for name, info in shard.header.tensors.items():
                offset = offsets.get(name, (0,) * len(info.shape))
                if len(offset) != len(info.shape):
                    raise BadInput(
                        f"{shard.file.shown}: tensor {quoted(name)} has {len(info.shape)}"
                        f" dimensions and saved_offsets of {len(offset)}"
                    )
                found.setdefault(name, []).append((offset, shard, info))
        for name, parts in found.items():
            parts.sort(key=lambda part: (part[0], part[2].shape[:1]))
            self._join_tensor(name, parts)

    def _join_tensor(
        self, name: str, parts: list[tuple[tuple[int, ...], Shard, TensorInfo]]
    ) -> None:
        _, first, model = parts[0]
        pieces: list[Piece] = []
        row = nbytes = 0
        for offset, shard, info in parts:
            if info.dtype != model.dtype or info.shape[1:] != model.shape[1:]:
                raise BadInput(
                    f"{self.shown}: tensor {quoted(name)} is {_form(model)} in"
                    f" {quoted(_base(first))} and {_form(info)} in {quoted(_base(shard))}"
                )
            if any(offset[1:]):
                raise BadInput(
                    f"{shard.file.shown}: tensor {quoted(name)} is sharded by columns (offsets"
                    f" {list(offset)}); only rows are put together: join them with torch's"
                    " consolidate_safetensors_files"
                )
            start, rows = (offset[0], info.shape[0]) if info.shape else (0, 1)
            if rows and start != row:
                self._fail_rows(name, row, start, rows, shard, pieces)
            if pieces and not info.shape:
                self._fail_twice(name, pieces[-1].shard, shard)
            at = shard.header.data_start + info.begin
            pieces.append(Piece(shard, at, nbytes, info.nbytes, row))
            row += rows
            nbytes += info.nbytes
        shape = (row, *model.shape[1:]) if model.shape else ()
        if len(pieces) > 1 and 8 * nbytes != prod(shape) * BITS.get(model.dtype, 0):
            raise BadInput(
                f"{self.shown}: tensor {quoted(name)}: dtype {model.dtype} cannot be put together"
                " from row shards"
            )
        self.tensors[name] = TensorInfo(name, model.dtype, shape, 0, nbytes)
        self.pieces[name] = pieces

    def _fail_rows(
        self, name: str, row: int, start: int, rows: int, shard: Shard, pieces: list[Piece]
    ) -> NoReturn:
        if start > row:
            raise BadInput(
                f"{self.shown}: tensor {quoted(name)}: rows {row:,} to {start - 1:,} are in no"
                f" file; {quoted(_base(shard))} goes on at row {start:,}: a shard is missing"
            )
        last = min(row, start + rows) - 1
        raise BadInput(
            f"{self.shown}: tensor {quoted(name)}: rows {start:,} to {last:,} are in two files,"
            f" {quoted(_base(pieces[-1].shard))} and {quoted(_base(shard))}"
        )

    def _fail_twice(self, name: str, one: Shard, other: Shard) -> NoReturn:
        raise BadInput(
            f"{self.shown}: tensor {quoted(name)} is in two shards, {quoted(_base(one))} and"
            f" {quoted(_base(other))}"
        )

    def _check_index(self, index: WeightIndex) -> None:
        """Hold what the index says against what the shards hold."""
        assert self.files is not None
        for name, file in index.files.items():
            pieces = self.pieces.get(name)
            if pieces is None or pieces[0].shard.file.path != str(self.files.folder / file):
                there = f"; {quoted(_base(pieces[0].shard))} has it" if pieces else ""
                raise BadInput(
                    f"{shown(index.path)}: names tensor {quoted(name)} in {quoted(file)}, which"
                    f" lacks it{there}; fetch the shards again"
                )
        extra = [name for name in self.tensors if name not in index.files]
        if extra:
            self.warnings.append(
                f"{shown(index.path)}: {len(extra)} tensors of its shards are not in it, such as"
                f" {listed(extra, 3)}; they go along"
            )
        size = sum(info.nbytes for info in self.tensors.values())
        if index.total_size is not None and index.total_size != size:
            self.warnings.append(
                f"{shown(index.path)}: total_size is {index.total_size:,}, the tensors have"
                f" {size:,} bytes"
            )


def _base(shard: Shard) -> str:
    return os.path.basename(shard.file.path)


def _form(info: TensorInfo) -> str:
    return f"{info.dtype} {list(info.shape)}"


def _saved_offsets(shard: Shard) -> dict[str, tuple[int, ...]] | None:
    """Where a row shard's tensors begin in the whole ones; None when it is no row shard.

    Raises:
        BadInput: What torch's writer said of them is damaged.
    """
    text = shard.header.metadata.get(SHARDING_KEYS[0])
    if text is None:
        return None
    tokens = Tokens(text, f"{shard.file.shown}: {SHARDING_KEYS[0]}")
    offsets: dict[str, tuple[int, ...]] = {}
    for name in tokens.keys("it"):
        for key in tokens.keys(f"the entry of {quoted(name)}"):
            if key == "saved_offsets":
                offsets[name] = tuple(tokens.integers(f"saved_offsets of {quoted(name)}"))
            else:
                tokens.skip()
    tokens.end()
    return offsets


def open_checkpoint(path: str | os.PathLike[str], unlike: str = "") -> Checkpoint:
    """Open a safetensors file, a model's folder, or its index.

    Args:
        path: Any of them.
        unlike: Ends the message that a file is of another kind.

    Raises:
        BadInput: There is no such file or folder, or it is damaged.
        IOFailure: The system refuses.
    """
    files = find_weights(path) if os.path.isdir(path) or is_index(path) else None
    if files is not None and all(name.endswith(_TORCH) for name in files.shards):
        raise BadInput(
            f"{shown(path)}: names {os.path.splitext(files.shards[0])[1]} files of torch, not"
            " .safetensors; embcompress convert takes it"
        )
    paths = [os.fspath(path)] if files is None else [str(files.folder / s) for s in files.shards]
    opened: list[SourceFile] = []
    try:
        opened += (SourceFile(one) for one in paths)
        return Checkpoint(os.fspath(path), files, opened, unlike)
    except BaseException:
        for file in opened:
            file.close()
        raise
