"""A compressed table in named arrays: what its tensors hold, in memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.form import Form, load_form
from embcompress.artifact.table import CompressedTable
from embcompress.codecs.base import Codec, PackedRows, Parts, RaggedRows
from embcompress.codecs.hostile import Array, Json
from embcompress.codecs.stream import STREAM_PIECES, StreamRows
from embcompress.errors import BadInput


def table_from_arrays(
    name: str, values: Json, arrays: Mapping[str, Array], where: str, threads: int | None = None
) -> CompressedTable:
    """The table that ``CompressedTable.tensors`` and ``Form.json`` describe; both may be hostile.

    Args:
        name: The table's name.
        values: Its entry in a document.
        arrays: Its arrays by tensor name; kept, not copied.
        where: Where they come from, for errors.
        threads: Cores that look-ups use; all by default.

    Raises:
        BadInput: An array is missing, left over, or has another dtype or shape.
    """
    form = load_form(name, values, dict(arrays), where)
    store = ArrayStore(form, arrays, where)
    unknown = sorted(set(arrays) - set(form.arrays) - set(store.tensors()))
    if unknown:
        raise BadInput(f"{where}: unknown tensors {unknown!r:.80}")
    return CompressedTable(form, store, threads)


class ArrayStore:
    """Encoded rows in arrays."""

    def __init__(self, form: Form, arrays: Mapping[str, Array], where: str) -> None:
        """Find and check the arrays of a form.

        Raises:
            BadInput: One is missing or has another dtype or shape.
        """
        self._tensors: dict[str, Array] = {}

        def take(tensor: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
            array = arrays.get(tensor)
            if array is None or array.dtype != np.uint8 or array.shape != shape:
                raise BadInput(f"{where}: tensor '{tensor}' is missing or is not U8 {list(shape)}")
            self._tensors[tensor] = array
            return np.ascontiguousarray(array)

        self._parts: list[Parts] = []
        self._codecs: list[Codec] = []
        for i, segment in enumerate(form.segments):
            layout = segment.codec.layout()
            records = np.empty((segment.rows, 0), np.uint8)
            if layout.record_bytes:
                records = take(form.tensor(i, "rows"), (segment.rows, layout.record_bytes))
            packed = {}
            for part in layout.packed:
                size = (part.nbytes(segment.rows),)
                string = take(form.tensor(i, f"{part.name}.bits"), size)
                packed[part.name] = PackedRows(string, part.bits)
            ragged = {}
            for name in layout.ragged:
                pieces = {p: form.tensor(i, f"{name}.{p}") for p in layout.pieces(name)}
                found = {p: arrays[t] for p, t in pieces.items() if t in arrays}
                ragged[name] = ragged_rows(
                    found, segment.rows, f"{where}: '{pieces['data']}'", implied=len(pieces) == 2
                )
                self._tensors |= {pieces[p]: array for p, array in found.items()}
            streams = {}
            for stream in layout.streams:
                names = {p: form.tensor(i, f"{stream.name}.{p}") for p in STREAM_PIECES}
                found = {p: arrays[t] for p, t in names.items() if t in arrays}
                place = f"{where}: '{form.tensor(i, stream.name)}"
                streams[stream.name] = StreamRows.take(stream, found, segment.rows, place)
                self._tensors |= {names[p]: array for p, array in found.items()}
            self._parts.append(Parts(records, 0, ragged, packed, streams=streams))
            self._codecs.append(segment.codec)

    def parts(self, segment: int, rows: NDArray[np.int64]) -> Parts:
        """All encoded rows of a segment."""
        return self._parts[segment]

    def some(self, segment: int, start: int, stop: int) -> Parts:
        """Encoded rows ``start … stop - 1``."""
        whole = self._parts[segment]
        codec = self._codecs[segment]
        ragged = {k: sliced(codec, whole, k, start, stop) for k in whole.ragged}
        packed = {k: v.slice(start, stop) for k, v in whole.packed.items()}
        streams = {k: v.slice(start, stop) for k, v in whole.streams.items()}
        return Parts(whole.records[start:stop], 0, ragged, packed, start, streams)

    def tensors(self) -> dict[str, Array]:
        """All encoded rows as arrays, by tensor name."""
        return dict(self._tensors)


def sliced(codec: Codec, whole: Parts, part: str, start: int, stop: int) -> RaggedRows:
    """The rows ``start … stop - 1`` of a ragged part of a whole segment."""
    held = whole.ragged[part]
    if held.lengths is not None:
        return held.slice(start, stop)
    base = start - start % RaggedRows.EVERY
    return held.slice(start, stop, codec.lengths(part, Parts(whole.records[base:stop])))


def ragged_rows(pieces: Mapping[str, Array], rows: int, where: str, *, implied: bool) -> RaggedRows:
    """A ragged part from its arrays, which may be hostile; no lengths where they are implied.

    Raises:
        BadInput: One is missing or malformed.
    """
    data, addresses, lengths = (pieces.get(p) for p in ("data", "addresses", "lengths"))
    if (
        data is None
        or addresses is None
        or (lengths is None) != implied
        or data.dtype != np.uint8
        or data.ndim != 1
        or addresses.dtype != np.int64
        or addresses.shape != (-(-rows // RaggedRows.EVERY),)
        or (lengths is not None and lengths.dtype not in (np.uint8, np.uint16, np.uint32))
        or (lengths is not None and lengths.shape != (rows,))
    ):
        raise BadInput(f"{where}: a ragged part is malformed or incomplete")
    return RaggedRows(data, addresses, lengths)
