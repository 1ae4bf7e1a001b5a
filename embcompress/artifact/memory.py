"""Encoded rows in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.form import Form
from embcompress.artifact.writer import ragged_arrays
from embcompress.codecs.base import PackedRows, Parts, RaggedRows
from embcompress.codecs.hostile import Array
from embcompress.codecs.stream import StreamPiece, StreamRows
from embcompress.kernels.stream_records import joined


class MemoryStore:
    """Receives encoded rows, then serves them."""

    def __init__(self, form: Form) -> None:
        self._form = form
        layouts = [s.codec.layout() for s in form.segments]
        self._records = [
            np.zeros((s.rows, layout.record_bytes), np.uint8)
            for s, layout in zip(form.segments, layouts, strict=True)
        ]
        self._runs: list[dict[str, list[RaggedRows]]] = [
            {name: [] for name in layout.ragged} for layout in layouts
        ]
        self._ragged: list[dict[str, RaggedRows]] = [{} for _ in layouts]
        self._pieces: list[dict[str, list[StreamPiece]]] = [
            {s.name: [] for s in layout.streams} for layout in layouts
        ]
        self._streams: list[dict[str, StreamRows]] = [{} for _ in layouts]
        self._packed = [
            {
                p.name: PackedRows(np.zeros(p.nbytes(s.rows), np.uint8), p.bits)
                for p in layout.packed
            }
            for s, layout in zip(form.segments, layouts, strict=True)
        ]

    def put_records(self, segment: int, position: int, records: NDArray[np.uint8]) -> None:
        """Keep the records of rows from ``position`` on."""
        self._records[segment][position : position + len(records)] = records

    def put_ragged(self, segment: int, part: str, rows: RaggedRows) -> None:
        """Append rows of a ragged part, in order."""
        self._runs[segment][part].append(rows)

    def put_stream(self, segment: int, part: str, piece: StreamPiece) -> None:
        """Append records of a stream, in order."""
        self._pieces[segment][part].append(piece)

    def put_packed(self, segment: int, part: str, position: int, rows: PackedRows) -> None:
        """Keep codes of rows from ``position`` on, in order."""
        whole = self._packed[segment][part]
        begin = position * whole.bits // 8
        whole.string[begin : begin + len(rows.string)] |= rows.string

    def finish(self) -> None:
        """Close the ragged parts and streams."""
        self._ragged = [{k: RaggedRows.join(v) for k, v in runs.items()} for runs in self._runs]
        for i, segment in enumerate(self._form.segments):
            for stream in segment.codec.layout().streams:
                pieces = self._pieces[i][stream.name]
                classes = np.concatenate([np.empty(0, np.int64), *(p.classes for p in pieces)])
                data = joined([(p.data, 0, p.bits) for p in pieces], 0)
                self._streams[i][stream.name] = StreamRows.build(stream, classes, data)

    def ragged_rows(self, segment: int) -> dict[str, RaggedRows]:
        """The ragged parts of a segment."""
        return self._ragged[segment]

    def parts(self, segment: int, rows: NDArray[np.int64]) -> Parts:
        """All encoded rows of a segment."""
        return Parts(
            self._records[segment],
            0,
            self._ragged[segment],
            self._packed[segment],
            streams=self._streams[segment],
        )

    def some(self, segment: int, start: int, stop: int) -> Parts:
        """Encoded rows ``start … stop - 1``."""
        ragged = {k: v.slice(start, stop) for k, v in self._ragged[segment].items()}
        packed = {k: v.slice(start, stop) for k, v in self._packed[segment].items()}
        streams = {k: v.slice(start, stop) for k, v in self._streams[segment].items()}
        return Parts(self._records[segment][start:stop], 0, ragged, packed, start, streams)

    def tensors(self) -> dict[str, Array]:
        """All encoded rows as arrays, by tensor name."""
        form = self._form
        found: dict[str, Array] = {}
        for i, records in enumerate(self._records):
            if records.shape[1]:
                found[form.tensor(i, "rows")] = records
            found |= {form.tensor(i, f"{k}.bits"): v.string for k, v in self._packed[i].items()}
            for part, rows in self._ragged[i].items():
                assert rows.lengths is not None
                found |= ragged_arrays(form, i, part, rows.lengths)
                found[form.tensor(i, f"{part}.data")] = rows.data
            for part, stream in self._streams[i].items():
                found |= {form.tensor(i, f"{part}.{p}"): a for p, a in stream.tensors.items()}
        return found
