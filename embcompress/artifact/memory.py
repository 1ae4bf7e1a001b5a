"""Encoded rows in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.form import Form
from embcompress.artifact.writer import ragged_arrays
from embcompress.codecs.base import PackedRows, Parts, RaggedRows
from embcompress.codecs.hostile import Array


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

    def put_packed(self, segment: int, part: str, position: int, rows: PackedRows) -> None:
        """Keep codes of rows from ``position`` on, in order."""
        whole = self._packed[segment][part]
        begin = position * whole.bits // 8
        whole.string[begin : begin + len(rows.string)] |= rows.string

    def finish(self) -> None:
        """Close the ragged parts."""
        self._ragged = [{k: RaggedRows.join(v) for k, v in runs.items()} for runs in self._runs]

    def ragged_rows(self, segment: int) -> dict[str, RaggedRows]:
        """The ragged parts of a segment."""
        return self._ragged[segment]

    def parts(self, segment: int, rows: NDArray[np.int64]) -> Parts:
        """All encoded rows of a segment."""
        return Parts(self._records[segment], 0, self._ragged[segment], self._packed[segment])

    def some(self, segment: int, start: int, stop: int) -> Parts:
        """Encoded rows ``start … stop - 1``."""
        ragged = {k: v.slice(start, stop) for k, v in self._ragged[segment].items()}
        packed = {k: v.slice(start, stop) for k, v in self._packed[segment].items()}
        return Parts(self._records[segment][start:stop], 0, ragged, packed, start)

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
        return found
