"""Parts of records back to back, to the bit, whose lengths their classes say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.hostile import Array
from embcompress.errors import BadInput
from embcompress.kernels.bitstring import TAIL, pack_bit_string, string_bytes

STREAM_PIECES = ("addresses", "bases", "classes", "data")
"""The tensors of a stream, by the ends of their names."""


@dataclass(frozen=True)
class Stream:
    """A part of records back to back, to the bit, whose lengths their classes say.

    Args:
        name: The part's name.
        lengths: Bits of a record by its class, fewer than 2**26 each.
        rows: Rows of a record r; the last record may hold fewer.
    """

    name: str
    lengths: tuple[int, ...]
    rows: int = 1

    BLOCK: ClassVar[int] = 64
    """Records between addresses."""
    TAIL: ClassVar[int] = 8
    """Zero bytes after the records, for reads of 8 bytes."""

    @property
    def bits(self) -> int:
        """Bits of a class."""
        return max(1, (len(self.lengths) - 1).bit_length())

    @property
    def apart(self) -> int:
        """Blocks between bases: addresses, 32 bits each, count from the last base."""
        return 1024 if max(self.lengths, default=0) < 2**16 else 1

    def records(self, rows: int) -> int:
        """Records of so many rows."""
        return -(-rows // self.rows)

    def sizes(self, rows: int, bits: int) -> dict[str, tuple[str, int]]:
        """Dtype and count of the tensors that hold records of so many rows and bits."""
        records = self.records(rows)
        blocks = -(-records // self.BLOCK)
        return {
            "addresses": ("<u4", blocks),
            "bases": ("<u8", -(-blocks // self.apart)),
            "classes": ("u1", string_bytes(records, self.bits) + TAIL),
            "data": ("u1", string_bytes(1, bits) + self.TAIL),
        }

    def nbytes(self, rows: int, bits: int) -> int:
        """Bytes of all of it."""
        sizes = self.sizes(rows, bits).values()
        return sum(np.dtype(dtype).itemsize * count for dtype, count in sizes)


@dataclass(frozen=True)
class StreamPiece:
    """Encoded records on their way into a stream.

    Args:
        classes: Integers [m].
        data: uint8, their bits from bit 0 on, with 8 bytes after the last.
        bits: How many bits.
    """

    classes: NDArray[Any]
    data: NDArray[np.uint8]
    bits: int


@dataclass(frozen=True)
class StreamRows:
    """Records of a stream, or a slice of them.

    Args:
        stream: What they are.
        classes: uint8, the records' classes as a bit string, from record ``skipped`` on.
        addresses: uint32, of the blocks from ``skipped`` on.
        bases: uint64, of all blocks.
        data: uint8, the records, with 8 bytes after the last.
        first: The row of the stream that is row 0 here.
        skipped: Records before those here, a multiple of 64.
        begin: The bit of the stream at which ``data`` begins.
    """

    stream: Stream
    classes: NDArray[np.uint8]
    addresses: NDArray[np.uint32]
    bases: NDArray[np.uint64]
    data: NDArray[np.uint8]
    first: int = 0
    skipped: int = 0
    begin: int = 0

    def records(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The records that hold rows, numbered as in the whole stream."""
        return (rows + self.first) // self.stream.rows

    def locate(self, records: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Classes of records, and their first bits in ``data``.

        Args:
            records: int64 [b], numbered as in the whole stream.

        Returns:
            int64 [b] classes that the stream has, and int64 [b] bits; every record lies inside.

        Raises:
            BadInput: The file is damaged.
        """
        from embcompress.kernels.stream_records import locate_records

        stream = self.stream
        lengths = np.zeros(1 << stream.bits, np.int64)
        lengths[: len(stream.lengths)] = stream.lengths
        classes, begins = np.empty_like(records), np.empty_like(records)
        room = 8 * (len(self.data) - stream.TAIL)
        bad = locate_records(
            self.classes, stream.bits, len(stream.lengths), self.skipped, stream.apart,
            self.addresses, self.bases, self.begin, lengths, room, records, classes, begins,
        )  # fmt: skip
        if bad >= 0:
            raise BadInput(f"row {bad * stream.rows} of '{stream.name}' lies outside its data")
        return classes, begins

    def slice(self, start: int, stop: int) -> StreamRows:
        """The rows ``start … stop - 1``, over the same bytes."""
        start, stop = start + self.first, stop + self.first
        block = Stream.BLOCK
        skipped = start // self.stream.rows // block * block
        moved = (skipped - self.skipped) // block
        return replace(
            self,
            classes=self.classes[moved * block * self.stream.bits // 8 :],
            addresses=self.addresses[moved:],
            first=start,
            skipped=skipped,
        )

    def over(self, data: NDArray[np.uint8], begin: int) -> StreamRows:
        """The same records, ``data`` holding the stream from its bit ``begin`` on."""
        return replace(self, data=data, begin=begin)

    @property
    def tensors(self) -> dict[str, Array]:
        """The arrays that hold a whole stream, by the ends of their names."""
        return {
            "addresses": self.addresses,
            "bases": self.bases,
            "classes": self.classes,
            "data": self.data,
        }

    @classmethod
    def take(cls, stream: Stream, pieces: Mapping[str, Array], rows: int, where: str) -> StreamRows:
        """A stream from its arrays, which may be hostile.

        Args:
            stream: What it is.
            pieces: The arrays by the ends of their names.
            rows: Rows of the segment.
            where: Where they come from, for errors.

        Raises:
            BadInput: One is missing or malformed.
        """
        found = {}
        for piece, (dtype, count) in stream.sizes(rows, 0).items():
            array = pieces.get(piece)
            if (
                array is None
                or array.dtype != np.dtype(dtype)
                or array.ndim != 1
                or (len(array) < stream.TAIL if piece == "data" else len(array) != count)
            ):
                raise BadInput(f"{where}.{piece}' is missing or malformed")
            found[piece] = np.ascontiguousarray(array)
        return cls(stream, found["classes"], found["addresses"], found["bases"], found["data"])

    @classmethod
    def build(cls, stream: Stream, classes: NDArray[Any], data: NDArray[np.uint8]) -> StreamRows:
        """Address records that lie back to back.

        Args:
            stream: What they are.
            classes: Integers [m].
            data: uint8, the records, with 8 bytes after the last.
        """
        lengths = np.array(stream.lengths, np.int64)[classes.astype(np.int64)]
        begins = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))[:-1]
        blocks = begins[:: stream.BLOCK]
        bases = blocks[:: stream.apart]
        relative = blocks - np.repeat(bases, stream.apart)[: len(blocks)]
        string = pack_bit_string(classes, stream.bits, 0)
        return cls(stream, string, relative.astype("<u4"), bases.astype("<u8"), data)
