"""The header of a safetensors file: the only parser and the only serialiser of it.

No number, shape or length of a file is believed before it was compared with the file's size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod

from embcompress.errors import BadInput
from embcompress.tables.file import SourceFile
from embcompress.tables.grammar import METADATA_KEY, parse
from embcompress.tables.quoting import quoted

BITS: dict[str, int] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits per element of every dtype the safetensors library knows, in its alignment order."""

FLOATS = ("F16", "BF16", "F32", "F64")
"""The dtypes that a table may have."""

INTEGERS = ("BOOL", "U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64")
"""The other dtypes whose values can be read."""

MAX_HEADER_BYTES = 100_000_000

_ALIGNMENT = {dtype: rank for rank, dtype in enumerate(BITS)}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as a header describes it.

    Attributes:
        name: Unique within the file.
        dtype: The format's name of the element type, such as "BF16".
        shape: Extents, outermost first; () for a scalar.
        begin: First byte of its data, counted from ``Header.data_start``.
        end: One past its last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        """Bytes of data."""
        return self.end - self.begin

    @property
    def readable(self) -> bool:
        """Whether its values can be read; others can only be passed through byte for byte."""
        return self.dtype in FLOATS or self.dtype in INTEGERS


@dataclass(frozen=True)
class Header:
    """A checked header: its tensors tile the data section without hole, overlap or tail.

    Attributes:
        tensors: By name, in the order of their data.
        metadata: The ``__metadata__`` entry, empty when there is none.
        data_start: Offset of the data section from the start of the file, in bytes.
    """

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    data_start: int


def read_header(file: SourceFile) -> Header:
    """Parse and check the header of a safetensors file.

    Args:
        file: The open file.

    Returns:
        The header. Dtypes the format does not define are kept, as not ``readable``; the length of
        their data cannot be checked against their shape.

    Raises:
        BadInput: The file departs from the format in any way.
        IOFailure: It cannot be read.
    """
    where, size = file.shown, file.size
    if size < 8:
        raise BadInput(
            f"{where}: is no safetensors file: {size} bytes, the header's length alone takes 8; "
            "fetch it again"
        )
    length = int.from_bytes(file.read(0, 8), "little")
    if length > MAX_HEADER_BYTES:
        raise BadInput(
            f"{where}: is no safetensors file or is damaged: it claims a header of {length:,} "
            f"bytes, over the format's limit of {MAX_HEADER_BYTES:,}"
        )
    if length > size - 8:
        raise BadInput(
            f"{where}: is truncated: the header takes {length:,} bytes and {size - 8:,} follow its "
            "length; fetch it again"
        )
    entries, metadata = parse(file, length)
    data_start = 8 + length
    ordered = [TensorInfo(*entry) for entry in entries]
    ordered.sort(key=lambda info: (info.begin, info.end))
    for info in ordered:
        _check_span(where, info)
    _check_tiling(where, ordered, size - data_start)
    return Header({info.name: info for info in ordered}, metadata, data_start)


def _brief(numbers: tuple[int, ...]) -> str:
    text = str(list(numbers))
    return text if len(text) <= 80 else f"{text[:60]}… ({len(numbers)} numbers)"


def _check_span(where: str, info: TensorInfo) -> None:
    if info.begin > info.end:
        raise BadInput(
            f"{where}: damaged header: tensor {quoted(info.name)} ends before it begins: "
            f"data_offsets {_brief((info.begin, info.end))}"
        )
    if info.dtype in BITS and prod(info.shape) * BITS[info.dtype] != 8 * info.nbytes:
        raise BadInput(
            f"{where}: damaged header: tensor {quoted(info.name)}: {BITS[info.dtype]} bits "
            f"({info.dtype}) times shape {_brief(info.shape)} is not the {info.nbytes:,} bytes of "
            "its data_offsets"
        )


def _check_tiling(where: str, ordered: list[TensorInfo], data_bytes: int) -> None:
    position = 0
    for info in ordered:
        if info.begin != position:
            cause = "overlaps the tensor before it" if info.begin < position else "follows a hole"
            raise BadInput(
                f"{where}: damaged header: tensor {quoted(info.name)} {cause}: it starts at "
                f"data byte {info.begin:,} and the data before it ends at {position:,}"
            )
        position = info.end
    if position > data_bytes:
        raise BadInput(
            f"{where}: is truncated: tensor {quoted(ordered[-1].name)} ends at data byte "
            f"{position:,} and the file has {data_bytes:,}; fetch it again"
        )
    if position < data_bytes:
        raise BadInput(
            f"{where}: is damaged: {data_bytes - position:,} bytes follow the last tensor"
        )


def tensor_info(name: str, dtype: str, shape: Iterable[int]) -> TensorInfo:
    """Describe a tensor that is to be written; ``order_tensors`` gives it its place.

    Args:
        name: Its name.
        dtype: One of ``BITS``.
        shape: Its extents.

    Returns:
        The description, with ``begin`` 0.
    """
    extents = tuple(int(extent) for extent in shape)
    return TensorInfo(name, dtype, extents, 0, prod(extents) * BITS[dtype] // 8)


def order_tensors(tensors: Iterable[TensorInfo]) -> dict[str, TensorInfo]:
    """Lay tensors out as the safetensors library does: wide dtypes first, in its order, then names.

    Args:
        tensors: Tensors with unique names; of their spans only the length matters.

    Returns:
        By name, in file order, with the spans they have in the file. Dtypes the format does not
        define come last.
    """
    placed: dict[str, TensorInfo] = {}
    at = 0
    for info in sorted(tensors, key=lambda info: (-_ALIGNMENT.get(info.dtype, -1), info.name)):
        placed[info.name] = replace(info, begin=at, end=at + info.nbytes)
        at += info.nbytes
    return placed


def dump_header(
    tensors: Mapping[str, TensorInfo],
    metadata: Mapping[str, str],
    reserve: int | None = None,
) -> bytes:
    """Serialise a header: everything that comes before the data.

    Args:
        tensors: By name, in file order, with their spans in the file.
        metadata: Written with sorted keys; left out when empty.
        reserve: Total length in bytes to pad to, a multiple of 8; by default the shortest.

    Returns:
        The length (u64, little endian), the JSON object, and spaces up to a multiple of 8: the
        bytes that the safetensors library writes.

    Raises:
        BadInput: A tensor is called ``__metadata__``, a name is not UTF-8, or the header is longer
            than the format allows.
        ValueError: ``reserve`` is too small or no multiple of 8.
    """
    entries: dict[str, object] = {}
    if metadata:
        entries[METADATA_KEY] = dict(sorted(metadata.items()))
    for name, info in tensors.items():
        if name == METADATA_KEY:
            raise BadInput(f"a tensor cannot be called {METADATA_KEY}: the format reserves it")
        entries[name] = {
            "dtype": info.dtype,
            "shape": info.shape,
            "data_offsets": (info.begin, info.end),
        }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 30) : error.end]
        raise BadInput(f"a tensor name or metadata value is not UTF-8, near {around!r}") from error
    total = 8 + -(-len(encoded) // 8) * 8 if reserve is None else reserve
    if total < 8 + len(encoded) or total % 8:
        raise ValueError(f"a header of {len(encoded):,} bytes does not fit in {total:,}")
    if total - 8 > MAX_HEADER_BYTES:
        raise BadInput(
            f"the header would take {total - 8:,} bytes, over the format's limit of "
            f"{MAX_HEADER_BYTES:,}: {len(tensors):,} tensors are too many for one file; split it"
        )
    return (total - 8).to_bytes(8, "little") + encoded.ljust(total - 8)
