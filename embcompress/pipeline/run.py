"""One run: an input, its tables, a method, and the artifact that comes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.atomic import check_target
from embcompress.artifact.form import KEY, MEASURED, Form
from embcompress.artifact.writer import (
    ArtifactWriter,
    Extent,
    Passed,
    Plan,
    place,
    ragged_sizes,
    stream_sizes,
)
from embcompress.errors import BadInput, UsageError
from embcompress.methods import registry
from embcompress.methods.base import Method
from embcompress.methods.spelling import apply_sets
from embcompress.pipeline.accounting import Accounting
from embcompress.pipeline.context import RunContext
from embcompress.pipeline.encode import Fitted, SizeSink, encode_table, fit_tables
from embcompress.pipeline.reporting import report_on
from embcompress.pipeline.room import fit_memory, usable_memory
from embcompress.pipeline.segments import Fields, Grouped, Reader, group
from embcompress.pipeline.settings import Settings
from embcompress.pipeline.sizes import table_parts
from embcompress.progress import Progress
from embcompress.report.gates import Gates, check
from embcompress.report.metrics import Comparison
from embcompress.report.model import Report, TableErrors
from embcompress.tables.base import Table
from embcompress.tables.choose import Choice, choose
from embcompress.tables.fields import read_fields
from embcompress.tables.frequencies import read_frequencies
from embcompress.tables.source import Source, open_source
from embcompress.threads import available
from embcompress.version import __version__

_HOT = {"fp32": ("cast", {"to": "fp32"}), "fp16": ("cast", {"to": "fp16"})}
_HOT_INT8 = ("quantize", {"bits": 8, "range": "minmax"})


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a compress verb is asked to do.

    Args:
        input: The source file.
        output: The artifact; None for a dry run.
        method: The method of every table.
        settings: Grouping, seed, threads, memory.
        tables: Patterns that pick tensors.
        sets: Option changes for some tables.
        frequencies: File of row frequencies.
        fields: File of fields.
        gates: Gates to check.
        full_report: Whether sampled figures are measured too.
        keep_failed: Whether the output takes its name although a gate failed.
        force: Whether an existing output is replaced.
    """

    input: Path
    output: Path | None
    method: Method
    settings: Settings = field(default_factory=Settings)
    tables: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    frequencies: Path | None = None
    fields: Path | None = None
    gates: Gates = field(default_factory=Gates)
    full_report: bool = True
    keep_failed: bool = False
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a job did.

    Args:
        report: Sizes, errors and gates.
        choice: Tensors taken and skipped, with the reasons.
        kept: Whether the output took its final name.
    """

    report: Report
    choice: Choice
    kept: bool


def run(job: Job, progress: Progress) -> Outcome:
    """Compress a file.

    Args:
        job: What to do.
        progress: Told of stages and notes.

    Raises:
        UsageError: Options that cannot work, an output that must not be written.
        BadInput: A damaged or unsuitable input.
        IOFailure: The system refuses, or the input changed while it was read.
    """
    side = tuple(p for p in (job.frequencies, job.fields) if p is not None)
    if job.output is not None:
        check_target(job.output, force=job.force, inputs=(job.input, *side))
    with prepared(job, progress) as (source, choice, fitted, context):
        plan = _plan(source, tuple(f.form for f in fitted.values()))
        if job.output is None:
            return _dry_run(job, source, choice, fitted, plan, context)
        return _write(job, source, choice, fitted, plan, context)


@contextlib.contextmanager
def prepared(
    job: Job, progress: Progress
) -> Iterator[tuple[Source, Choice, dict[str, Fitted], RunContext]]:
    """Open the input and fit every table."""
    settings = job.settings
    threads = settings.threads or available()
    memory = usable_memory(settings.memory)
    with open_source(job.input) as source:
        if KEY in source.metadata:
            raise BadInput(f"{job.input}: is an embcompress artifact already; compress its source")
        for note in (*source.warnings, *source.notes):
            progress.note(note)
        choice = choose(source, list(job.tables))
        names = [taken.name for taken in choice.taken]
        tables = {name: source.table(name) for name in names}
        rows = {name: table.shape[0] for name, table in tables.items()}
        threads, spare = fit_memory(memory, threads, [t.shape for t in tables.values()])
        frequencies = read_frequencies(job.frequencies, rows) if job.frequencies else {}
        fields = read_fields(job.fields, rows) if job.fields else {}
        if settings.per_field and not job.fields:
            raise UsageError("--per-field needs --fields: without it each table is one field")
        context = RunContext(settings.seed, threads, memory, spare, progress)
        asked = apply_sets(job.method, job.sets, names)
        grouped: dict[str, Grouped] = {}
        methods: dict[str, list[Method]] = {}
        for name, table in tables.items():
            grouped[name] = group_table(
                table, asked[name], frequencies.get(name), fields.get(name), settings
            )
            methods[name] = segment_methods(grouped[name], asked[name], settings)
        whole = partial(_plan, source)
        context.accounting = Accounting(grouped, asked, methods, whole)
        yield source, choice, fit_tables(grouped, asked, methods, context), context


def group_table(
    table: Table,
    method: Method,
    frequencies: NDArray[np.float64] | None,
    fields: Fields | None,
    settings: Settings,
) -> Grouped:
    """The row map and segments of a table under a method and settings."""
    reader = Reader(table, frequencies, zero_nonfinite=settings.nonfinite == "zero")
    per_field = settings.per_field or method.per_field
    return group(reader, settings.keep_hot, fields, per_field=per_field, tiers=method.tiers)


def segment_methods(table: Grouped, method: Method, settings: Settings) -> list[Method]:
    """The method of every segment: the table's, or that of hot rows."""
    name, options = _HOT.get(settings.hot_as, _HOT_INT8)
    hot = registry()[name](**options)
    return [hot if s.segment == table.hot else method for s in table.segments]


def _plan(source: Source, forms: tuple[Form, ...]) -> Plan:
    """The whole artifact: the forms, and what is copied from the source."""
    passed = tuple(_passed(source, {form.name for form in forms}))
    return Plan(forms, passed, source.metadata, __version__)


def _passed(source: Source, taken: set[str]) -> Iterator[Passed]:
    for name, info in source.tensors.items():
        if name not in taken:
            read = partial(source.read_raw, info)
            yield Passed(name, info.dtype, info.shape, info.nbytes, read)


def _comparison(fitted: Fitted, job: Job, context: RunContext) -> Comparison:
    return Comparison(
        *fitted.form.shape,
        frequencies=fitted.table.reader.frequencies,
        seed=job.settings.seed,
        memory=context.spare,
        full=job.full_report and job.output is not None,
    )


def _dry_run(
    job: Job,
    source: Source,
    choice: Choice,
    fitted: dict[str, Fitted],
    plan: Plan,
    context: RunContext,
) -> Outcome:
    sizes: dict[str, Extent] = {}
    for table in fitted.values():
        sink = SizeSink()
        if table.form.ragged:
            encode_table(table, sink, _comparison(table, job, context), context)
            for (segment, part), lengths in sink.ragged.items():
                sizes |= ragged_sizes(table.form, segment, part, np.array(lengths, np.int64))
            for segment, own in enumerate(table.form.segments):
                for stream in own.codec.layout().streams:
                    bits = sink.streams.get((segment, stream.name), 0)
                    sizes |= stream_sizes(table.form, segment, stream, bits)
    source.unchanged()
    placed = place(plan, sizes)
    parts = table_parts(plan.forms, placed.sizes, len(placed.header))
    report = report_on(
        job.input, None, plan.forms, parts, placed.total, passed_bytes(plan), {}, job.settings.seed
    )
    report.gates.extend(check(report, job.gates, source.bytes))
    return Outcome(report, choice, False)


def _write(
    job: Job,
    source: Source,
    choice: Choice,
    fitted: dict[str, Fitted],
    plan: Plan,
    context: RunContext,
) -> Outcome:
    assert job.output is not None
    with ArtifactWriter(job.output, plan, context.threads) as writer:
        comparisons = {}
        for name, table in fitted.items():
            comparisons[name] = _comparison(table, job, context)
            encode_table(table, writer.sink(table.form), comparisons[name], context)
            with context.progress.stage("measuring", table.form.shape[0]):
                comparisons[name].settle(context.threads)
        source.unchanged()
        placed = writer.close_ragged()
        parts = table_parts(plan.forms, placed.sizes, len(placed.header))
        errors = {n: c.result(8 * sum(parts[n].values())) for n, c in comparisons.items()}
        writer.finish({name: measured_of(e) for name, e in errors.items()})
        report = report_on(
            job.input,
            job.output,
            plan.forms,
            parts,
            writer.total,
            passed_bytes(plan),
            errors,
            job.settings.seed,
        )
        report.gates.extend(check(report, job.gates, source.bytes))
        kept = job.keep_failed or all(gate.passed for gate in report.gates)
        if kept:
            writer.commit()
    return Outcome(report, choice, kept)


def measured_of(errors: TableErrors) -> NDArray[np.float64]:
    """The errors that an artifact keeps of itself."""
    values = [getattr(errors, name) for name in MEASURED]
    return np.array([np.nan if v is None else v for v in values], np.float64)


def passed_bytes(plan: Plan) -> int:
    """Bytes of the tensors that are copied."""
    return sum(p.nbytes for p in plan.passed)
