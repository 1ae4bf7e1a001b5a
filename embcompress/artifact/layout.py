"""Where everything lies in an artifact: one file, or shards with their index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embcompress.artifact import checksums
from embcompress.artifact.form import CHECKSUMS, FORMAT, KEY, MEASURED, Form, dtype_name
from embcompress.codecs.stream import STREAM_PIECES
from embcompress.tables.folder import INDEX, MODEL, WEIGHTS
from embcompress.tables.header import TensorInfo, dump_header, order_tensors

SHARD_BYTES = 5 * 10**9
"""Most bytes of tensors in a shard unless the user says otherwise: the habit of Hugging Face."""

_HUGE = 10**15  # stands for a size not known yet: its digits reserve room in the header

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
        read_into: Fills a buffer from an offset on; any thread may ask.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    read_into: Callable[[memoryview, int], None]


@dataclass(frozen=True)
class Plan:
    """All that an artifact will hold, laid out before anything is written.

    Args:
        forms: The compressed tables.
        passed: Tensors copied from the source.
        metadata: Metadata of the source, kept.
        tool: The version that writes.
        shard_bytes: Most bytes of tensors in a file; a larger tensor has a file of its own. None
            makes the artifact one file whatever its size.
        recipe: What was asked of the run beside methods; see ``pipeline/recipe.py``.
    """

    forms: tuple[Form, ...]
    passed: tuple[Passed, ...]
    metadata: dict[str, str]
    tool: str
    shard_bytes: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

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
                parts = [(part, layout.pieces(part)) for part in layout.ragged]
                parts += [(stream.name, STREAM_PIECES) for stream in layout.streams]
                found += [form.tensor(i, f"{part}.{p}") for part, pieces in parts for p in pieces]
        return sorted(found)

    def file_metadata(self) -> dict[str, str]:
        """The file's metadata, our document among it."""
        tables = {form.name: form.json() for form in self.forms}
        document = {"format": FORMAT, "tool": self.tool, "tables": tables}
        if self.recipe:
            document["recipe"] = self.recipe
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return self.metadata | {KEY: text}


@dataclass(frozen=True)
class PlacedFile:
    """Where everything lies in one file.

    Args:
        header: The header's bytes, its length field included.
        tensors: Its tensors, in the order of their data, with their spans in it.
    """

    header: bytes
    tensors: dict[str, TensorInfo]

    @property
    def total(self) -> int:
        """Bytes of the file."""
        return len(self.header) + max((i.end for i in self.tensors.values()), default=0)


@dataclass(frozen=True)
class Placed:
    """Where everything lies.

    Args:
        files: The file, or the shards in order.
        index: The index's bytes; none for one file.
    """

    files: tuple[PlacedFile, ...]
    index: bytes = b""

    @property
    def offsets(self) -> dict[str, tuple[int, int]]:
        """Number of the file and first byte in it of every tensor."""
        return {
            name: (number, len(file.header) + info.begin)
            for number, file in enumerate(self.files)
            for name, info in file.tensors.items()
        }

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every tensor."""
        return {n: i.nbytes for file in self.files for n, i in file.tensors.items()}

    @property
    def overhead(self) -> int:
        """Bytes of headers and index."""
        return sum(len(file.header) for file in self.files) + len(self.index)

    @property
    def total(self) -> int:
        """Bytes of the artifact."""
        return sum(file.total for file in self.files) + len(self.index)


def place(plan: Plan, ragged: Mapping[str, Extent] | None = None) -> Placed:
    """Lay out an artifact.

    Args:
        plan: What it holds.
        ragged: The tensors of ragged parts, known once rows are encoded; without them the rest
            is placed as it will lie, and the total is right only for a plan that has none.
    """
    if plan.shard_bytes is None:
        return Placed((_one_file(plan, ragged or {}),))
    # what grows with encoded values has shards of its own, so that the rest can be written in place
    shards = [*split(plan.fixed(), plan.shard_bytes)]
    early = len(shards)
    if ragged:
        shards += split({name: ragged[name] for name in plan.ragged()}, plan.shard_bytes)
    if not plan.ragged() or ragged:
        digests = _digests([e for shard in shards for e in shard.values()], len(shards))
        shards[-1][CHECKSUMS] = digests
    files = []
    for number, shard in enumerate(shards):
        infos = in_order(shard if number < early else {}, {} if number < early else shard)
        metadata = plan.metadata if number else plan.file_metadata()
        files.append(PlacedFile(dump_header(infos, metadata), infos))
    return Placed(tuple(files), index_bytes([file.tensors for file in files]))


def split(tensors: Mapping[str, Extent], most: int) -> Iterator[dict[str, Extent]]:
    """Deal tensors out to shards, in order, each as full as it may be."""
    shard: dict[str, Extent] = {}
    size = 0
    for name, extent in tensors.items():
        if shard and size + extent[2] > most:
            yield shard
            shard, size = {}, 0
        shard[name] = extent
        size += extent[2]
    if shard:
        yield shard


def _digests(extents: Sequence[Extent], files: int) -> Extent:
    """The tensor of the checksums of some tensors and of the headers of their files."""
    count = sum(checksums.chunks(size) for _, _, size in extents) + files
    return "U8", (count, checksums.DIGEST), count * checksums.DIGEST


def in_order(early: Mapping[str, Extent], late: Mapping[str, Extent]) -> dict[str, TensorInfo]:
    """Lay tensors out in a file, the late ones after all others as they come."""
    infos = order_tensors(TensorInfo(n, d, s, 0, b) for n, (d, s, b) in early.items())
    at = max((info.end for info in infos.values()), default=0)
    for name, (dtype, shape, size) in late.items():
        infos[name] = TensorInfo(name, dtype, shape, at, at + size)
        at += size
    return infos


def _one_file(plan: Plan, known: Mapping[str, Extent]) -> PlacedFile:
    fixed = plan.fixed()
    names = plan.ragged()

    def tensors(ragged: Mapping[str, Extent]) -> dict[str, TensorInfo]:
        digests = _digests([*fixed.values(), *ragged.values()], 1)
        if ragged:
            return in_order(fixed, {**ragged, CHECKSUMS: digests})
        return in_order({**fixed, CHECKSUMS: digests}, {})

    metadata = plan.file_metadata()
    reserve = None
    if names:
        widest = tensors({n: ("U16", (_HUGE,), _HUGE) for n in names})
        reserve = len(dump_header(widest, metadata))
    infos = tensors({n: known.get(n, ("U8", (0,), 0)) for n in names})
    return PlacedFile(dump_header(infos, metadata, reserve), infos)


def shard_names(count: int) -> list[str]:
    """The names of an artifact's files in its folder; one file alone needs no index."""
    if count == 1:
        return [MODEL + WEIGHTS]
    return [f"{MODEL}-{i + 1:05}-of-{count:05}{WEIGHTS}" for i in range(count)]


def index_bytes(shards: Sequence[Mapping[str, TensorInfo]]) -> bytes:
    """The index of shards, by the habit of Hugging Face; none for one file.

    Args:
        shards: The tensors of each file.
    """
    if len(shards) == 1:
        return b""
    names = shard_names(len(shards))
    files = {n: file for file, tensors in zip(names, shards, strict=True) for n in tensors}
    size = sum(info.nbytes for tensors in shards for info in tensors.values())
    document = {"metadata": {"total_size": size}, "weight_map": dict(sorted(files.items()))}
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


INDEX_NAME = MODEL + INDEX
"""The name of the index in its folder."""
