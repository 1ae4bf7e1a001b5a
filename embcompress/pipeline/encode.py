"""Encoding: fitted segments become a form, and tiles become records, measured as they pass."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.form import Form
from embcompress.codecs.base import PackedRows, Parts, RaggedRows
from embcompress.codecs.stream import StreamPiece, StreamRows
from embcompress.methods.base import Encoder, Method
from embcompress.pipeline.accounting import form_of
from embcompress.pipeline.context import RunContext
from embcompress.pipeline.filling import fill
from embcompress.pipeline.segments import Grouped
from embcompress.report.metrics import Comparison
from embcompress.threads import one_blas_thread, ordered


class Sink(Protocol):
    """Where encoded rows go."""

    def put_records(self, segment: int, position: int, records: NDArray[np.uint8]) -> None:
        """Take records of rows from ``position`` on; called from several threads."""
        ...

    def put_packed(self, segment: int, part: str, position: int, rows: PackedRows) -> None:
        """Take codes of rows from ``position`` on, in order."""
        ...

    def put_ragged(self, segment: int, part: str, rows: RaggedRows) -> None:
        """Append rows of a ragged part, in order."""
        ...

    def put_stream(self, segment: int, part: str, piece: StreamPiece) -> None:
        """Append records of a stream, in order."""
        ...


class SizeSink:
    """Counts the bytes of ragged parts and streams and keeps nothing: the dry run."""

    def __init__(self) -> None:
        self.ragged: dict[tuple[int, str], list[RaggedRows]] = {}
        self.streams: dict[tuple[int, str], int] = {}

    def put_records(self, segment: int, position: int, records: NDArray[np.uint8]) -> None:
        """Records have a known size."""

    def put_packed(self, segment: int, part: str, position: int, rows: PackedRows) -> None:
        """Bit strings have a known size."""

    def put_ragged(self, segment: int, part: str, rows: RaggedRows) -> None:
        """Note the rows' lengths."""
        self.ragged.setdefault((segment, part), []).append(replace(rows, data=rows.data[:0].copy()))

    def put_stream(self, segment: int, part: str, piece: StreamPiece) -> None:
        """Note the records' bits."""
        self.streams[segment, part] = self.streams.get((segment, part), 0) + piece.bits


@dataclass(frozen=True)
class InOrder:
    """What one tile gives to the parts that are written in order.

    Args:
        rows: Rows of the tile.
        ragged: Segment, part and rows.
        packed: Segment, part, position and rows.
        streams: Segment, part and records.
    """

    rows: int
    ragged: list[tuple[int, str, RaggedRows]] = field(default_factory=list)
    packed: list[tuple[int, str, int, PackedRows]] = field(default_factory=list)
    streams: list[tuple[int, str, StreamPiece]] = field(default_factory=list)

    def put(self, sink: Sink) -> None:
        """Hand all of it on."""
        for given in self.packed:
            sink.put_packed(*given)
        for part in self.ragged:
            sink.put_ragged(*part)
        for piece in self.streams:
            sink.put_stream(*piece)


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


def fit_tables(
    tables: Mapping[str, Grouped],
    asked: Mapping[str, Method],
    methods: Mapping[str, list[Method]],
    context: RunContext,
    rules: Mapping[str, int] | None = None,
) -> dict[str, Fitted]:
    """Survey, plan and fit all tables.

    Args:
        tables: By name.
        asked: The method of every table.
        methods: The method of every segment: the table's, or that of hot rows.
        context: The run.
        rules: The rule of every table; those of one rule are planned together. All by default.

    Raises:
        BadInput: A table holds NaN or infinity.
        UsageError: A method cannot work on a table.
        IOFailure: Too little memory.
    """
    rules = rules or dict.fromkeys(tables, 0)
    groups: dict[tuple[int, Method], dict[str, Any]] = {}
    for name, table in tables.items():
        for segment, method in zip(table.segments, methods[name], strict=True):
            method.preflight(segment, context)
    for name, table in tables.items():
        if not any(m.reads_first for m in methods[name]):
            context.survey(table, [m.needs for m in methods[name]])
        for segment, method in zip(table.segments, methods[name], strict=True):
            key = rules[name], method
            groups.setdefault(key, {})[f"{name}::{segment.segment}"] = segment
    planned: dict[str, Method] = {}
    accounting = context.accounting
    for (rule, method), rows in groups.items():
        if accounting is not None:
            context.accounting = accounting.among({n for n, r in rules.items() if r == rule})
        planned |= method.plan(rows, context)
    context.accounting = accounting
    encoders: dict[str, tuple[Encoder, ...]] = {}
    forms = {}
    for name, table in tables.items():
        resolved = [planned[f"{name}::{s.segment}"] for s in table.segments]
        encoders[name] = fit_segments(table, resolved, context)
        codecs = [e.codec for e in encoders[name]]
        forms[name] = form_of(name, table, asked[name], resolved, codecs, context)
    if accounting is not None:
        forms = fill(forms, encoders, asked, rules, accounting)
    return {name: Fitted(table, encoders[name], forms[name]) for name, table in tables.items()}


def fit_segments(
    table: Grouped, methods: Sequence[Method], context: RunContext
) -> tuple[Encoder, ...]:
    """Fit the settled methods of a table's segments; tiers whose methods are equal together."""
    encoders: dict[int, Encoder] = {}
    for numbers in table.together:
        rows, own = [table.segments[i] for i in numbers], [methods[i] for i in numbers]
        if own[0].tiers and all(method == own[0] for method in own):
            fitted = own[0].fit_tiers(rows, context)
        else:
            fitted = [m.fit(segment, context) for m, segment in zip(own, rows, strict=True)]
        encoders |= zip(numbers, fitted, strict=True)
    return tuple(encoders[i] for i in range(len(table.segments)))


def encode_table(fitted: Fitted, sink: Sink, comparison: Comparison, context: RunContext) -> None:
    """Encode every tile of a table into a sink, decoding it again to measure the error.

    Args:
        fitted: The table.
        sink: Takes the encoded rows.
        comparison: Takes the rows and what they decode to.
        context: The run.
    """
    table, form = fitted.table, fitted.form
    buffers = threading.local()  # fresh memory for every tile costs more than decoding into it

    def one(index: int) -> InOrder:
        start, stop = table.reader.bounds(index)
        rows = table.reader.read(index)
        if not hasattr(buffers, "decoded") or len(buffers.decoded) < len(rows):
            buffers.decoded = np.empty_like(rows)
        decoded = buffers.decoded[: len(rows)]
        later = InOrder(stop - start)
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
                later.ragged.append((span.segment, part, encoded[part]))
                runs[part] = encoded[part]
            strings = {}
            for p in layout.packed:
                strings[p.name] = PackedRows.build(encoded[p.name], p.bits, span.position)
                later.packed.append((span.segment, p.name, span.position, strings[p.name]))
            streams = {}
            for stream in layout.streams:
                piece = encoded[stream.name]
                later.streams.append((span.segment, stream.name, piece))
                streams[stream.name] = StreamRows.build(stream, piece.classes, piece.data)
            told = codec.addressed(tile.ids, np.arange(len(tile.ids), dtype=np.int64))
            parts = Parts(records, 0, runs, strings, span.position, streams)
            if len(told) == len(rows):
                codec.decode(parts, told, decoded)
            else:
                own = np.empty((len(told), rows.shape[1]), np.float32)
                codec.decode(parts, told, own)
                decoded[span.rows - start] = own
        comparison.add(start, rows, decoded)
        return later

    with context.progress.stage("encoding", form.shape[0]) as progress, one_blas_thread():
        for later in ordered(one, range(table.reader.tiles), context.threads):
            later.put(sink)
            progress.advance(later.rows)
