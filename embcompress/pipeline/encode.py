"""Encoding: fitted segments become a form, and tiles become records, measured as they pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.form import Form, Segment
from embcompress.artifact.memory import RaggedRun
from embcompress.codecs.base import Parts
from embcompress.methods.base import Encoder, Method
from embcompress.pipeline.context import RunContext
from embcompress.pipeline.segments import Grouped
from embcompress.report.metrics import Comparison
from embcompress.threads import one_blas_thread, ordered

_FEW_COLUMNS = 8
_MOST_ENERGY = 0.5


class Sink(Protocol):
    """Where encoded rows go."""

    def put_records(self, segment: int, position: int, records: NDArray[np.uint8]) -> None:
        """Take records of rows from ``position`` on; called from several threads."""
        ...

    def put_ragged(self, segment: int, part: str, rows: list[NDArray[np.uint8]]) -> None:
        """Append rows of a ragged part, in order."""
        ...


class SizeSink:
    """Counts the bytes of ragged parts and keeps nothing: the dry run."""

    def __init__(self) -> None:
        self.ragged: dict[tuple[int, str], list[int]] = {}

    def put_records(self, segment: int, position: int, records: NDArray[np.uint8]) -> None:
        """Records have a known size."""

    def put_ragged(self, segment: int, part: str, rows: list[NDArray[np.uint8]]) -> None:
        """Note the rows' lengths."""
        self.ragged.setdefault((segment, part), []).extend(len(r) for r in rows)


@dataclass(frozen=True)
class Fitted:
    """A table with the encoder of every segment.

    Args:
        table: The rows.
        encoders: In the numbering of the segments.
        form: What the artifact will hold of it.
    """

    table: Grouped
    encoders: tuple[Encoder, ...]
    form: Form


def method_json(asked: Method, resolved: Sequence[Method], notes: Sequence[str]) -> dict[str, Any]:
    """What an artifact tells of the method that made a table."""
    return {
        "name": asked.name,
        "spelled": asked.spelled(),
        "asked": asdict(asked),
        "resolved": [asdict(m) | {"method": m.name} for m in resolved],
        "notes": list(notes),
    }


def outlier_notes(table: Grouped, context: RunContext) -> list[str]:
    """A line when one column holds most of a table's energy, so that it swamps the others."""
    found = [context.statistics(s, frozenset()) for s in table.segments]
    energy = np.sum([f.squares for f in found], axis=0)
    if len(energy) < _FEW_COLUMNS or not energy.any():
        return []
    column = int(energy.argmax())
    share = energy[column] / energy.sum()
    if share < _MOST_ENERGY:
        return []
    return [
        f"column {column} holds {share:.0%} of the table's energy and swamps the others;"
        " rotate --basis random spreads it"
    ]


def fit_tables(
    tables: Mapping[str, Grouped],
    asked: Mapping[str, Method],
    methods: Mapping[str, list[Method]],
    context: RunContext,
) -> dict[str, Fitted]:
    """Survey, plan and fit all tables.

    Args:
        tables: By name.
        asked: The method of every table.
        methods: The method of every segment: the table's, or that of hot rows.
        context: The run.

    Raises:
        BadInput: A table holds NaN or infinity.
        UsageError: A method cannot work on a table.
        IOFailure: Too little memory.
    """
    groups: dict[Method, dict[str, Any]] = {}
    for name, table in tables.items():
        for segment, method in zip(table.segments, methods[name], strict=True):
            method.preflight(segment, context)
    for name, table in tables.items():
        context.survey(table, [m.needs for m in methods[name]])
        for segment, method in zip(table.segments, methods[name], strict=True):
            groups.setdefault(method, {})[f"{name}::{segment.segment}"] = segment
    planned: dict[str, Method] = {}
    for method, rows in groups.items():
        planned |= method.plan(rows, context)
    fitted = {}
    for name, table in tables.items():
        resolved = [planned[f"{name}::{s.segment}"] for s in table.segments]
        encoders = tuple(m.fit(s, context) for m, s in zip(resolved, table.segments, strict=True))
        segments = tuple(
            Segment(s.count, e.codec) for s, e in zip(table.segments, encoders, strict=True)
        )
        source = table.reader.table
        described = method_json(asked[name], resolved, outlier_notes(table, context))
        form = Form(name, source.shape, source.dtype, table.rowmap, segments, described)
        fitted[name] = Fitted(table, encoders, form)
    return fitted


def encode_table(fitted: Fitted, sink: Sink, comparison: Comparison, context: RunContext) -> None:
    """Encode every tile of a table into a sink, decoding it again to measure the error.

    Args:
        fitted: The table.
        sink: Takes the encoded rows.
        comparison: Takes the rows and what they decode to.
        context: The run.
    """
    table, form = fitted.table, fitted.form

    def one(index: int) -> tuple[int, list[tuple[int, str, list[NDArray[np.uint8]]]]]:
        start, stop = table.reader.bounds(index)
        rows = table.reader.read(index)
        decoded = np.empty_like(rows)
        ragged: list[tuple[int, str, list[NDArray[np.uint8]]]] = []
        for span in table.rowmap.spans(start, stop):
            tile = table.segments[span.segment].cut(span, start, rows)
            codec = form.segments[span.segment].codec
            encoded = fitted.encoders[span.segment].encode(tile.ids, tile.rows)
            layout = codec.layout()
            records = layout.pack(encoded, len(tile.ids))
            if records.size:
                sink.put_records(span.segment, span.position, records)
            runs = {}
            for part in layout.ragged:
                ragged.append((span.segment, part, encoded[part]))
                run = RaggedRun()
                run.extend(encoded[part])
                runs[part] = run.build()
            ids = tile.ids if codec.by_id else np.arange(len(tile.ids), dtype=np.int64)
            parts = Parts(records, 0, runs)
            if len(ids) == len(rows):
                codec.decode(parts, ids, decoded)
            else:
                own = np.empty((len(ids), rows.shape[1]), np.float32)
                codec.decode(parts, ids, own)
                decoded[span.rows - start] = own
        comparison.add(start, rows, decoded)
        return stop - start, ragged

    with context.progress.stage("encoding", form.shape[0]) as progress, one_blas_thread():
        for count, ragged in ordered(one, range(table.reader.tiles), context.threads):
            for segment, part, rows in ragged:
                sink.put_ragged(segment, part, rows)
            progress.advance(count)
