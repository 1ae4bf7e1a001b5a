"""Sparse rows: the columns that are not 0, as a bitmap or a list, and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts, RaggedRows, check_finite
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.errors import BadInput

Index = Literal["bitmap", "list"]
Numbers = Literal["fp32", "fp16", "int8"]

_STORED = {"fp32": "<f4", "fp16": "<f2", "int8": "|i1"}
_NOTHING = np.empty(0, np.uint8)
_NO_ADDRESS = np.empty(0, np.int64)


def narrowest(largest: int) -> str:
    """The unsigned dtype that holds numbers up to one."""
    return "|u1" if largest < 2**8 else "<u2" if largest < 2**16 else "<u4"


def smaller_index(dim: int, rows: int, kept: int, *, fixed: bool) -> Index:
    """The form of index that takes fewer bytes; a bitmap when both take the same.

    Args:
        dim: Columns D.
        rows: Rows of the segment.
        kept: Values of all its rows.
        fixed: Whether all rows keep as many columns.
    """
    listed = kept * np.dtype(narrowest(dim - 1)).itemsize
    if not fixed:
        listed += rows * np.dtype(narrowest(dim)).itemsize
    return "list" if listed < rows * -(-dim // 8) else "bitmap"


@dataclass(frozen=True, eq=False)
class Sparse(Codec):
    """Column j of a row is its next value if j is kept, else 0.

    Record of a bitmap: ``bitmap`` ⌈D/8⌉ bytes, bit j % 8 of byte j // 8 for column j. Of a list:
    ``count``. Then, for int8 values with a scale a row, ``scale`` fp32. Ragged: ``values`` of the
    kept columns in their order; for a list ``entries``, the columns, then their values. Where all
    rows keep k columns nothing is ragged: the record has ``bitmap`` or ``columns`` [k], then
    ``values`` [k], then ``scale``. int8: x = value·scale in float32. Shared, for int8 values with
    a scale of the table: ``scale`` float32 [1].

    Args:
        dim: Columns D.
        index: How kept columns are told.
        numbers: What values are stored as.
        nonzeros: Columns that every row keeps; None where rows differ.
        scale: float32 [1], that of all int8 values; None where every row has its own, and for
            other numbers.
    """

    name = "sparse"

    dim: int
    index: Index
    numbers: Numbers
    nonzeros: int | None = None
    scale: NDArray[np.float32] | None = None

    @property
    def width(self) -> int:
        """Bytes of a value."""
        return np.dtype(self.number_dtype).itemsize

    @property
    def part(self) -> str:
        """The ragged part, where rows differ."""
        return "values" if self.index == "bitmap" else "entries"

    @property
    def column_dtype(self) -> str:
        """Of a column in a list."""
        return narrowest(self.dim - 1)

    @property
    def number_dtype(self) -> str:
        """Of a value."""
        return _STORED[self.numbers]

    @property
    def entry_bytes(self) -> int:
        """Bytes that a kept column takes beside bitmap and count."""
        listed = 0 if self.index == "bitmap" else np.dtype(self.column_dtype).itemsize
        return listed + self.width

    def layout(self) -> Layout:
        scale: tuple[Field, ...] = ()
        if self.numbers == "int8" and self.scale is None:
            scale = (Field("scale", "<f4", 1),)
        bitmap = Field("bitmap", "|u1", -(-self.dim // 8))
        if self.nonzeros is None:
            first = bitmap if self.index == "bitmap" else Field("count", narrowest(self.dim), 1)
            return Layout((first, *scale), (self.part,), implied=(self.part,))
        if self.index == "list":
            bitmap = Field("columns", self.column_dtype, self.nonzeros)
        return Layout((bitmap, Field("values", self.number_dtype, self.nonzeros), *scale))

    def config(self) -> dict[str, Json]:
        own: dict[str, Json] = {"index": self.index, "numbers": self.numbers}
        own["nonzeros"] = "ragged" if self.nonzeros is None else self.nonzeros
        if self.numbers == "int8":
            own["scale"] = "row" if self.scale is None else "table"
        return own

    def shared(self) -> dict[str, Array]:
        return {} if self.scale is None else {"scale": self.scale}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Sparse:
        index = config.choice("index", "bitmap", "list")
        numbers = config.choice("numbers", *_STORED)
        ragged = config.says("nonzeros", "ragged")
        nonzeros = None if ragged else config.integer("nonzeros", 0, dim)
        scale = None
        if numbers == "int8" and config.choice("scale", "row", "table") == "table":
            scale = shared.array("scale", "<f4", (1,))
        return cls(dim, index, numbers, nonzeros, scale)  # type: ignore[arg-type]

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.sparse import decode_bitmaps, decode_lists

        if not out.size:
            return
        records = parts.records.reshape(-1)
        held = RaggedRows(records, _NO_ADDRESS, None)
        if self.nonzeros is None:
            held = parts.ragged[self.part]
        fields = self.layout().fields
        ends = np.cumsum([parts.at, *(f.nbytes for f in fields)]).tolist()
        scale_at = ends[-2] if fields[-1].name == "scale" else -1
        scale = 0.0 if self.scale is None else float(self.scale[0])
        size = parts.records.shape[1]
        tail = self.width, scale_at, scale, rows, out
        if self.index == "bitmap":
            inside = -1 if self.nonzeros is None else ends[1]
            bad = decode_bitmaps(records, size, parts.at, inside, held.data, held.addresses, *tail)
        else:
            counted = np.dtype(narrowest(self.dim)).itemsize
            fixed = -1 if self.nonzeros is None else self.nonzeros
            listed = np.dtype(self.column_dtype).itemsize
            bad = decode_lists(
                records, size, parts.at, counted, fixed, held.data, held.addresses, parts.at,
                listed, *tail,
            )  # fmt: skip
        if bad >= 0:
            raise BadInput(f"row {rows[bad]} of a sparse part lies outside its data")

    def lengths(self, part: str, parts: Parts) -> NDArray[np.int64]:
        return self._kept(parts, 0, len(parts.records)) * self.entry_bytes

    def _kept(self, parts: Parts, start: int, stop: int) -> NDArray[np.int64]:
        """How many columns rows keep, int64 [stop - start]."""
        layout = self.layout()
        if self.index == "bitmap":
            bits = np.bitwise_count(parts.values(layout, "bitmap", start, stop))
            ones: NDArray[np.int64] = bits.sum(axis=1, dtype=np.int64)
            return ones
        if self.nonzeros is not None:
            return np.full(stop - start, self.nonzeros, np.int64)
        return parts.values(layout, "count", start, stop)[:, 0].astype(np.int64)

    def check(self, parts: Parts, start: int, stop: int) -> None:
        layout = self.layout()
        kept = self._kept(parts, start, stop)
        if layout.fields[-1].name == "scale":
            check_finite(parts.values(layout, "scale", start, stop), start, "scale")
        if self.nonzeros is None:
            base = start - start % RaggedRows.EVERY
            before = Parts(np.ascontiguousarray(parts.records[base:stop]), parts.at)
            held = parts.ragged[self.part]
            data = held.slice(start, stop, self.lengths(self.part, before)).data
            columns, values = self._split(data, kept)
        else:
            wrong = kept != self.nonzeros
            if wrong.any():
                raise BadInput(f"row {start + int(wrong.argmax())}: keeps not {self.nonzeros}")
            values = parts.values(layout, "values", start, stop).reshape(-1)
            columns = None
            if self.index == "list":
                columns = parts.values(layout, "columns", start, stop).reshape(-1)
        self._check_columns(parts, start, stop, kept, columns)
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(np.searchsorted(np.cumsum(kept), bad.argmax(), side="right"))
            raise BadInput(f"row {start + row}: a value is not finite")

    def _split(
        self, data: NDArray[np.uint8], kept: NDArray[np.int64]
    ) -> tuple[Array | None, Array]:
        """Columns, for a list, and values of ragged rows."""
        if self.index == "bitmap":
            return None, np.frombuffer(data.tobytes(), self.number_dtype)
        columns = self._gathered(data, kept, 0, self.column_dtype)
        return columns, self._gathered(data, kept, 1, self.number_dtype)

    def _gathered(
        self, data: NDArray[np.uint8], kept: NDArray[np.int64], behind: int, dtype: str
    ) -> Array:
        """Numbers of all rows: those that begin in each row ``behind`` columns of its list."""
        size = np.dtype(dtype).itemsize
        listed = self.entry_bytes - self.width
        places = entry_places(kept, self.entry_bytes, size, behind * listed)
        return np.frombuffer(data[places].tobytes(), dtype)

    def _check_columns(
        self, parts: Parts, start: int, stop: int, kept: NDArray[np.int64], columns: Array | None
    ) -> None:
        if columns is None:
            bitmap = parts.values(self.layout(), "bitmap", start, stop)
            past = self.dim % 8 and bitmap.size and (bitmap[:, -1] >> self.dim % 8).any()
            if past:
                raise BadInput(f"rows from {start}: a bitmap has bits past column {self.dim - 1}")
            return
        row = np.repeat(np.arange(stop - start), kept)
        place = row * (self.dim + 1) + np.minimum(columns.astype(np.int64), self.dim)
        wrong = (columns >= self.dim) | (np.diff(place, prepend=-1) <= 0)
        if wrong.any():
            at = start + int(row[wrong.argmax()])
            raise BadInput(f"row {at}: its columns do not ascend to {self.dim - 1} at most")


def entry_places(kept: NDArray[np.int64], entry: int, size: int, behind: int) -> NDArray[np.int64]:
    """Bytes of rows' entries that hold their columns, or their values.

    Args:
        kept: int64 [b], how many entries each row has.
        entry: Bytes of one.
        size: Bytes of a column, or of a value.
        behind: Bytes of a column for values, 0 for columns.

    Returns:
        int64 [total·size], places in the rows' data, row by row.
    """
    total = int(kept.sum())
    row = np.repeat(np.arange(len(kept)), kept)
    first = np.cumsum(kept) - kept
    within = np.arange(total) - first[row]
    places = first[row] * entry + kept[row] * behind + within * size
    found: NDArray[Any] = (places[:, None] + np.arange(size)).reshape(-1)
    return found
