"""The form of a compressed table: its row map, its segments, and the tensors that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.rowmap import RowMap, load_rowmap
from embcompress.codecs.base import Codec, RaggedRows
from embcompress.codecs.hostile import INNER, Array, Json
from embcompress.codecs.load import describe, load_codec
from embcompress.errors import BadInput

MARK = "::"
KEY = "embcompress"
FORMAT = 1
CHECKSUMS = MARK + "checksums"
MEASURED = (
    "rows", "nonfinite_rows", "squared_error", "squared_norm", "relative_error", "mse",
    "max_abs_error", "max_abs_error_row", "cosine_mean", "cosine_lowest", "cosine_lowest_row",
    "norm_ratio", "weighted_relative_error", "weighted_cosine",
)  # fmt: skip
"""What the tensor of measured errors holds, float64 each; NaN where undefined."""

DTYPES = {
    "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_NAMES = {np.dtype(v): k for k, v in DTYPES.items()}


def dtype_name(array: Array) -> str:
    """The safetensors name of an array's dtype."""
    return _NAMES[array.dtype.newbyteorder("<")]


@dataclass(frozen=True)
class Segment:
    """Some rows of a table that share a codec.

    Args:
        rows: How many.
        codec: Decodes them.
    """

    rows: int
    codec: Codec


@dataclass(frozen=True)
class Form:
    """A compressed table without its encoded rows.

    Args:
        name: The table's name.
        shape: Rows N and columns D.
        dtype: The source's dtype: F16, BF16, F32 or F64.
        rowmap: Sends rows to segments.
        segments: In the row map's numbering.
        method: What made it: ``{"name", "asked", "resolved", "spelled"}``.
    """

    name: str
    shape: tuple[int, int]
    dtype: str
    rowmap: RowMap
    segments: tuple[Segment, ...]
    method: dict[str, Any] = field(default_factory=dict)

    def tensor(self, segment: int, part: str) -> str:
        """The tensor that holds a part of a segment."""
        number = f"{segment}{MARK}" if segment else ""
        return f"{self.name}{MARK}{number}{part}"

    @property
    def measured(self) -> str:
        """The tensor of the errors measured at compression."""
        return f"{self.name}{MARK}measured"

    @cached_property
    def _shared(self) -> tuple[list[dict[str, str]], dict[str, Array]]:
        names: list[dict[str, str]] = []
        arrays: dict[str, Array] = {}
        known: dict[int, str] = {}
        for i, segment in enumerate(self.segments):
            own = {}
            for part, array in segment.codec.shared().items():
                tensor = known.setdefault(id(array), self.tensor(i, part))
                arrays[tensor] = array
                own[part] = tensor
            names.append(own)
        return names, arrays

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """Shared arrays and the row map's arrays, by tensor name."""
        maps = {f"{self.name}{MARK}map.{k}": v for k, v in self.rowmap.arrays().items()}
        return maps | self._shared[1]

    @cached_property
    def records(self) -> dict[str, tuple[int, int]]:
        """Shapes of the tensors of records: rows and bytes of a record."""
        return {
            self.tensor(i, "rows"): (s.rows, size)
            for i, s in enumerate(self.segments)
            if (size := s.codec.layout().record_bytes)
        }

    @cached_property
    def packed(self) -> dict[str, int]:
        """Bytes of the tensors of bit strings."""
        return {
            self.tensor(i, f"{part.name}.bits"): part.nbytes(s.rows)
            for i, s in enumerate(self.segments)
            for part in s.codec.layout().packed
        }

    @property
    def ragged(self) -> bool:
        """Whether the size depends on encoded values."""
        layouts = [s.codec.layout() for s in self.segments]
        return any(layout.ragged or layout.streams for layout in layouts)

    def json(self) -> Json:
        """The table's entry in the document."""
        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "map": self.rowmap.json(),
            "segments": [
                {"rows": s.rows, **describe(s.codec), "shared": shared}
                for s, shared in zip(self.segments, self._shared[0], strict=True)
            ],
            "method": self.method,
        }

    def part_bytes(self) -> dict[str, int]:
        """Bytes of every part whose size does not depend on encoded values."""
        parts: dict[str, int] = {}

        def add(name: str, size: int) -> None:
            short = name.rsplit(INNER, 1)[-1]
            parts[short] = parts.get(short, 0) + size

        for segment in self.segments:
            for f in segment.codec.layout().fields:
                add(f.name, f.nbytes * segment.rows)
            for part in segment.codec.layout().packed:
                add(part.name, part.nbytes(segment.rows))
        for tensor, array in self.arrays.items():
            last = tensor.rsplit(MARK, 1)[-1]
            add("map" if last.startswith("map.") else last, array.nbytes)
        return parts


@dataclass(frozen=True)
class Encoded:
    """The encoded rows of one segment in memory.

    Args:
        records: uint8 [rows, record bytes].
        ragged: Ragged parts by name.
    """

    records: NDArray[np.uint8]
    ragged: dict[str, RaggedRows]


def load_form(name: str, values: Json, arrays: dict[str, Array], where: str) -> Form:
    """Build a form from its entry in a document, which may be hostile.

    Args:
        name: The table's name.
        values: The entry.
        arrays: Tensors of the file that are not records, by name.
        where: File and table, for errors.

    Raises:
        BadInput: A value that ``Form.json`` cannot have given.
    """
    try:
        shape, dtype = values["shape"], values["dtype"]
        listed, method = values["segments"], values["method"]
        mapping = values["map"]
    except (TypeError, KeyError) as error:
        raise BadInput(f"{where}: the document's entry lacks {error}") from error
    if not (
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(s) is int and 0 <= s < 2**48 for s in shape)
        and dtype in ("F16", "BF16", "F32", "F64")
        and isinstance(listed, list)
        and isinstance(method, dict)
    ):
        raise BadInput(f"{where}: the document's entry is malformed")
    prefix = f"{name}{MARK}map."
    maps = {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
    rowmap = load_rowmap(shape[0], mapping, maps, where)
    segments = tuple(
        _load_segment(entry, shape[1], arrays, f"{where}, segment {i}")
        for i, entry in enumerate(listed)
    )
    counts = rowmap.counts()
    if counts != {i: s.rows for i, s in enumerate(segments)}:
        raise BadInput(f"{where}: the row map and the segments do not agree")
    return Form(name, (shape[0], shape[1]), dtype, rowmap, segments, method)


def _load_segment(entry: Json, dim: int, arrays: dict[str, Array], where: str) -> Segment:
    if not isinstance(entry, dict) or type(entry.get("rows")) is not int:
        raise BadInput(f"{where}: its entry is malformed")
    names = entry.get("shared")
    if not isinstance(names, dict) or not all(
        isinstance(t, str) and t in arrays for t in names.values()
    ):
        raise BadInput(f"{where}: a shared array is missing from the file")
    shared = {part: arrays[tensor] for part, tensor in names.items()}
    values = {k: v for k, v in entry.items() if k not in ("rows", "shared")}
    return Segment(entry["rows"], load_codec(dim, values, shared, where))
