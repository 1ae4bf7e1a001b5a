"""What a codec is: how a segment's records are laid out and how rows come back from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.hostile import INNER, Array, Config, Json, Shared
from embcompress.codecs.stream import Stream, StreamRows
from embcompress.errors import BadInput
from embcompress.kernels.bitstring import TAIL, pack_bit_string, string_bytes, take_codes


@dataclass(frozen=True)
class Field:
    """A part of fixed size: ``count`` values of a little-endian dtype in every record.

    Args:
        name: The part's name, such as ``codes`` or ``scale``.
        dtype: numpy dtype string such as ``u1`` or ``<f2``.
        count: Values a row.
    """

    name: str
    dtype: str
    count: int

    @property
    def nbytes(self) -> int:
        """Bytes a row."""
        return np.dtype(self.dtype).itemsize * self.count


@dataclass(frozen=True)
class Packed:
    """A part of one code a row, all rows of the segment in one bit string.

    Args:
        name: The part's name, such as ``codes``.
        bits: Bits a row, 1 to 32.
    """

    name: str
    bits: int

    def nbytes(self, rows: int) -> int:
        """Bytes of the part for so many rows: the string and 7 zeros, for reads of 8 bytes."""
        return string_bytes(rows, self.bits) + TAIL


@dataclass(frozen=True)
class Layout:
    """The parts of a codec: fields side by side in a record, ragged parts, bit strings, streams.

    Args:
        fields: Fixed-size parts in the order of their bytes in a record.
        ragged: Names of parts whose rows differ in length, in bytes.
        packed: Parts of one code a row whose width is no whole number of bytes.
        implied: Those ragged parts whose lengths follow from the records and are not stored; see
            `Codec.lengths`.
        streams: Parts of records whose lengths are counted in bits.
    """

    fields: tuple[Field, ...] = ()
    ragged: tuple[str, ...] = ()
    packed: tuple[Packed, ...] = ()
    implied: tuple[str, ...] = ()
    streams: tuple[Stream, ...] = ()

    @property
    def record_bytes(self) -> int:
        """Bytes of one record."""
        return sum(f.nbytes for f in self.fields)

    def pieces(self, part: str) -> tuple[str, ...]:
        """The tensors of a ragged part, by the ends of their names."""
        return ("addresses", "data") if part in self.implied else ("addresses", "data", "lengths")

    def then(self, inner: Layout) -> Layout:
        """This layout followed by that of an inner codec, whose names gain ``inner.``."""
        fields = tuple(Field(INNER + f.name, f.dtype, f.count) for f in inner.fields)
        ragged = tuple(INNER + r for r in inner.ragged)
        packed = tuple(Packed(INNER + p.name, p.bits) for p in inner.packed)
        implied = tuple(INNER + r for r in inner.implied)
        streams = tuple(Stream(INNER + s.name, s.lengths, s.rows) for s in inner.streams)
        return Layout(
            self.fields + fields,
            self.ragged + ragged,
            self.packed + packed,
            self.implied + implied,
            self.streams + streams,
        )

    def pack(self, parts: Mapping[str, Any], rows: int) -> NDArray[np.uint8]:
        """Lay encoded fields side by side.

        Args:
            parts: Field name to array [rows] or [rows, count].
            rows: Number of rows b.

        Returns:
            uint8 [b, record_bytes].
        """
        records = np.empty((rows, self.record_bytes), np.uint8)
        at = 0
        for f in self.fields:
            values = np.ascontiguousarray(parts[f.name], np.dtype(f.dtype))
            raw = values.reshape(rows, f.count).view(np.uint8).reshape(rows, f.nbytes)
            records[:, at : at + f.nbytes] = raw
            at += f.nbytes
        return records


@dataclass(frozen=True)
class RaggedRows:
    """Rows of different lengths, back to back, with one address per 64 rows.

    Args:
        data: uint8 [total], the rows' bytes.
        addresses: int64 [ceil(n / 64)], where rows 0, 64, 128, … begin in ``data``.
        lengths: uint8, uint16 or uint32 [n], bytes of each row; None where a file does not store
            them because the records imply them.
    """

    data: NDArray[np.uint8]
    addresses: NDArray[np.int64]
    lengths: Array | None

    EVERY: ClassVar[int] = 64

    def spans(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where rows begin and end.

        Args:
            rows: int64 [b], positions in the segment.

        Returns:
            int64 [b] first bytes and int64 [b] ends, inside ``data``.

        Raises:
            BadInput: A span leaves ``data``: the file is damaged.
        """
        assert self.lengths is not None
        block = rows // self.EVERY
        begin = self.addresses[block].copy()
        for step in range(self.EVERY - 1):
            before = block * self.EVERY + step
            inside = before < rows
            begin[inside] += self.lengths[before[inside]].astype(np.int64)
        end = begin + self.lengths[rows].astype(np.int64)
        bad = (begin < 0) | (end > len(self.data))
        if bad.any():
            raise BadInput(f"row {rows[bad.argmax()]} of a ragged part lies outside its data")
        return begin, end

    def slice(
        self,
        start: int,
        stop: int,
        lengths: NDArray[np.int64] | None = None,
        read: Callable[[int, int], NDArray[np.uint8]] | None = None,
    ) -> RaggedRows:
        """The rows ``start … stop - 1``, with their own data.

        Args:
            start: First row.
            stop: Row after the last.
            lengths: int64, bytes of the rows from the last address before ``start`` on; those
                stored by default.
            read: Gives bytes ``begin … end - 1`` of the data; by default they are taken from it.

        Raises:
            BadInput: The rows leave ``data``: the file is damaged.
        """
        if stop <= start:
            none = None if self.lengths is None else self.lengths[:0]
            return RaggedRows(self.data[:0], self.addresses[:0], none)
        base = start - start % self.EVERY
        if lengths is None:
            assert self.lengths is not None
            lengths = self.lengths[base:stop].astype(np.int64)
        ends = np.cumsum(lengths)
        first = int(self.addresses[base // self.EVERY])
        begin = first + int(ends[start - base - 1] if start > base else 0)
        end = first + int(ends[-1])
        if not 0 <= begin <= end <= len(self.data):
            raise BadInput(f"rows from {start} of a ragged part lie outside its data")
        own = lengths[start - base :]
        addresses = (np.cumsum(own) - own)[:: self.EVERY].copy()
        data = self.data[begin:end] if read is None else read(begin, end)
        return RaggedRows(data, addresses, None if self.lengths is None else own)

    @classmethod
    def build(cls, data: NDArray[np.uint8], lengths: NDArray[Any]) -> RaggedRows:
        """Address rows that lie back to back.

        Args:
            data: uint8 [total].
            lengths: Integers [n], bytes of each row; kept in the narrowest dtype that holds them.
        """
        longest = int(lengths.max(initial=0))
        dtype = "u1" if longest < 2**8 else "<u2" if longest < 2**16 else "<u4"
        starts = np.arange(0, len(lengths), cls.EVERY)
        blocks = np.add.reduceat(lengths, starts, dtype=np.int64) if len(starts) else starts
        return cls(data, np.cumsum(blocks) - blocks, lengths.astype(dtype, copy=False))

    @classmethod
    def of(cls, rows: Sequence[NDArray[np.uint8]]) -> RaggedRows:
        """Lay rows of bytes back to back."""
        lengths = np.array([len(row) for row in rows], np.int64)
        return cls.build(np.concatenate([np.empty(0, np.uint8), *rows]), lengths)

    @classmethod
    def join(cls, runs: Sequence[RaggedRows]) -> RaggedRows:
        """Lay the rows of several back to back; each has its lengths."""
        data = np.concatenate([np.empty(0, np.uint8), *(run.data for run in runs)])
        return cls.build(data, joined_lengths(runs))


def joined_lengths(runs: Sequence[RaggedRows]) -> Array:
    """Bytes of the rows of several ragged runs, one after the other."""
    return np.concatenate(
        [np.empty(0, np.uint8), *(r.lengths for r in runs if r.lengths is not None)]
    )


@dataclass(frozen=True)
class PackedRows:
    """Codes of one width, a row each, in one little-endian bit string.

    Args:
        string: uint8, C-contiguous, maybe read-only, at least 7 bytes longer than the codes.
        bits: Bits a row.
        first: Bit of the string at which row 0 begins.
    """

    string: NDArray[np.uint8]
    bits: int
    first: int = 0

    def codes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of rows, int64 [b].

        Args:
            rows: int64 [b], in range.
        """
        return take_codes(self.string, self.first, self.bits, rows)

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """First byte that holds rows ``start … stop - 1``, and the byte after their tail."""
        begin, end = (self.first + i * self.bits for i in (start, stop))
        return begin // 8, -(-end // 8) + TAIL

    def slice(self, start: int, stop: int) -> PackedRows:
        """The rows ``start … stop - 1``, over the same bytes."""
        begin, end = self.span(start, stop)
        first = (self.first + start * self.bits) % 8
        return PackedRows(self.string[begin:end], self.bits, first)

    @classmethod
    def build(cls, codes: NDArray[Any], bits: int, position: int = 0) -> PackedRows:
        """Pack codes of rows that begin at ``position`` of a segment, as they lie in its bytes.

        Args:
            codes: Integers [b], each below 2**bits.
            bits: Bits a row.
            position: Of the first row.
        """
        first = position * bits % 8
        return cls(pack_bit_string(codes, bits, first), bits, first)


@dataclass(frozen=True)
class Parts:
    """A codec's view of its encoded rows.

    Args:
        records: uint8 [n, record bytes of the whole segment], C-contiguous, maybe read-only.
        at: Byte offset in a record where this codec's fields begin.
        ragged: Ragged parts by name.
        packed: Bit strings by name.
        first: Position in the segment of row 0, for codecs whose rows follow from where they are.
        streams: Streams by name.
    """

    records: NDArray[np.uint8]
    at: int = 0
    ragged: Mapping[str, RaggedRows] = field(default_factory=dict)
    packed: Mapping[str, PackedRows] = field(default_factory=dict)
    first: int = 0
    streams: Mapping[str, StreamRows] = field(default_factory=dict)

    def inner(self, own_bytes: int) -> Parts:
        """The view of the codec inside one whose own fields take ``own_bytes``."""
        ragged = {k[len(INNER) :]: v for k, v in self.ragged.items() if k.startswith(INNER)}
        packed = {k[len(INNER) :]: v for k, v in self.packed.items() if k.startswith(INNER)}
        streams = {k[len(INNER) :]: v for k, v in self.streams.items() if k.startswith(INNER)}
        return Parts(self.records, self.at + own_bytes, ragged, packed, self.first, streams)

    def values(self, layout: Layout, name: str, start: int, stop: int) -> Array:
        """One field of a range of records, copied out, [stop - start, count]."""
        at = self.at
        for f in layout.fields:
            if f.name == name:
                raw = np.ascontiguousarray(self.records[start:stop, at : at + f.nbytes])
                return raw.view(np.dtype(f.dtype)).reshape(stop - start, f.count)
            at += f.nbytes
        raise KeyError(name)


class Codec(ABC):
    """A storage form. Immutable; decodes rows, never encodes.

    A codec addresses rows by their position in its segment. One that hashes is ``by_id``: it is
    told original row numbers beside the positions, and may have no parts.
    """

    registered: ClassVar[list[type[Codec]]] = []
    name: ClassVar[str]
    version: ClassVar[int] = 1
    dim: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            if any(c.name == cls.name and c.__module__ != cls.__module__ for c in cls.registered):
                raise TypeError(f"two codecs are called {cls.name}")
            Codec.registered.append(cls)

    @property
    def by_id(self) -> bool:
        """Whether rows are told as pairs of original row number and position."""
        return False

    def addressed(self, ids: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows as ``decode``, ``dots`` and their like are told of them.

        Args:
            ids: int64 [b], original row numbers.
            positions: int64 [b], in the segment or the parts that are read.

        Returns:
            int64 [b], the positions; int64 [b, 2], number and position, when ``by_id``.
        """
        return np.stack([ids, positions], axis=1) if self.by_id else positions

    @abstractmethod
    def layout(self) -> Layout:
        """The parts of each row."""

    @abstractmethod
    def config(self) -> dict[str, Json]:
        """What ``load`` needs beside the shared arrays, as JSON."""

    def shared(self) -> dict[str, Array]:
        """Arrays that all rows need, by name."""
        return {}

    @classmethod
    @abstractmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Codec:
        """Build the codec from a file's values, which may be hostile.

        Args:
            dim: Columns D of the rows it decodes.
            config: The JSON that ``config()`` gave.
            shared: The arrays that ``shared()`` gave.
            depth: How many codecs this one lies in.

        Raises:
            BadInput: A value that ``config()`` or ``shared()`` cannot have given.
        """

    @abstractmethod
    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Decode rows into ``out``.

        Args:
            parts: The segment's encoded rows.
            rows: As `addressed` gives them, in range.
            out: float32 [b, D], C-contiguous, written whole.
        """

    def lengths(self, part: str, parts: Parts) -> NDArray[np.int64]:
        """Bytes of the rows of a ragged part whose lengths the records imply.

        Args:
            part: Its name, one of ``layout().implied``.
            parts: Some encoded rows; their records only.

        Returns:
            int64 [rows].
        """
        raise NotImplementedError(f"{self.name} stores the lengths of {part}")

    def dots(
        self, parts: Parts, queries: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        """Inner products of queries with decoded rows, computed on codes.

        Args:
            parts: The segment's encoded rows.
            queries: float32 [q, D], C-contiguous.
            rows: As `addressed` gives them, in range.

        Returns:
            float32 [q, b], or None where decoding the rows is the best way.
        """
        return None

    def squared_norms(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Squared norms of decoded rows, computed on codes.

        Args:
            parts: The segment's encoded rows.
            rows: As `addressed` gives them, in range.

        Returns:
            float32 [b], or None where decoding the rows is the best way.
        """
        return None

    def pair_dots(
        self, parts: Parts, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        """Inner products of pairs of decoded rows, from products of codewords made beforehand.

        Args:
            parts: The segment's encoded rows.
            first: Rows as `addressed` gives them, in range.
            second: As many, likewise.

        Returns:
            float32 [b], or None where decoding the rows is the best way.
        """
        return None

    def sum_bags(
        self,
        parts: Parts,
        rows: NDArray[np.int64],
        offsets: NDArray[np.int64],
        weights: NDArray[np.float32],
        out: NDArray[np.float32],
        *,
        mean: bool,
    ) -> bool:
        """Sums of rows over bags, computed on codes.

        A bag of one row without a weight has that row's bits.

        Args:
            parts: The segment's encoded rows.
            rows: int64 [b], positions in the segment, in range.
            offsets: int64 [bags + 1], ascending, from 0 to b: where bags begin, and the end.
            weights: float32 [b], or empty for none.
            out: float32 [bags, D], C-contiguous, written whole.
            mean: Whether sums are divided by the bags' lengths.

        Returns:
            False where adding up decoded rows is the best way; then nothing was written.
        """
        return False

    @abstractmethod
    def check(self, parts: Parts, start: int, stop: int) -> None:
        """Check that every stored value of some rows can be decoded.

        Raises:
            BadInput: Naming the first row (position in the segment) whose value cannot.
        """


def check_finite(values: Array, start: int, what: str) -> None:
    """Refuse NaN and infinity in a field.

    Args:
        values: float [b, count].
        start: Position of the first row.
        what: The field's name.

    Raises:
        BadInput: Naming the first row that holds one.
    """
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise BadInput(f"row {start + int(bad.argmax())}: {what} is not finite")
