"""One run: an input, its tables, their methods, and the artifact that comes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.atomic import check_folder, check_target
from embcompress.artifact.form import KEY, MEASURED, Form
from embcompress.artifact.layout import SHARD_BYTES, Extent, Passed, Placed, Plan, place
from embcompress.artifact.reader import is_artifact_folder
from embcompress.artifact.writer import ArtifactWriter, ragged_sizes, stream_sizes
from embcompress.codecs.base import joined_lengths
from embcompress.errors import BadInput, UsageError
from embcompress.methods import registry
from embcompress.methods.base import Method
from embcompress.methods.spelling import apply_sets
from embcompress.options import changed
from embcompress.pipeline.accounting import Accounting
from embcompress.pipeline.context import RunContext
from embcompress.pipeline.encode import Fitted, SizeSink, encode_table, fit_tables
from embcompress.pipeline.reporting import MOST_DETAILED, report_on
from embcompress.pipeline.room import fit_memory, usable_memory
from embcompress.pipeline.row_keys import name_rows
from embcompress.pipeline.rules import Assigned, Rule, assign
from embcompress.pipeline.segments import Fields, Grouped, Reader, frequent_norms, group
from embcompress.pipeline.settings import Settings
from embcompress.pipeline.sizes import table_parts
from embcompress.pipeline.skipped import Meant, left_out, skipped_tables
from embcompress.pipeline.ties import tied_notes
from embcompress.progress import Progress
from embcompress.report.baseline import with_baseline
from embcompress.report.details import Details
from embcompress.report.gates import Gates, check, check_tables
from embcompress.report.metrics import Comparison
from embcompress.report.model import Report, TableErrors
from embcompress.tables.base import Table
from embcompress.tables.choose import Choice, choose
from embcompress.tables.fields import read_fields
from embcompress.tables.folder import WEIGHTS, companions, is_index
from embcompress.tables.frequencies import read_frequencies
from embcompress.tables.gradients import Gradients, read_gradients
from embcompress.tables.header import MAX_HEADER_BYTES, TensorInfo
from embcompress.tables.source import Source, open_source
from embcompress.threads import available
from embcompress.version import __version__

_HOT = {"fp32": ("cast", {"to": "fp32"}), "fp16": ("cast", {"to": "fp16"})}
_HOT_INT8 = ("quantize", {"bits": 8, "range": "minmax"})
_LEAST_DESCRIBED = 300  # bytes of a table's description and tensors in headers, its name left out
_NAMED = 4  # times that a table's name stands there at least
_LEAST_SHRINK = 0.05


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a compress verb or a recipe asks for.

    Args:
        input: The source: a file, a model's folder, or the index of its shards.
        output: The artifact: a file or a folder; None for a dry run.
        method: The method of every table, unless there are rules.
        rules: Methods by table, the first match wins.
        settings: Grouping, seed, threads, memory.
        tables: Patterns that pick tensors for ``method``.
        sets: Option changes for some tables of ``method``.
        frequencies: File of row frequencies.
        fields: File of fields.
        grads: File of gradients.
        gates: Gates to check.
        baseline: An earlier report that growth is measured from, and its file.
        full_report: Whether sampled figures are measured too.
        keep_failed: Whether the output takes its name although a gate failed.
        force: Whether an existing output is replaced.
        dry_run: Whether sizes are found and nothing is written.
        plan: Whether gates on errors, which a dry run does not measure, are not judged.
        as_folder: Whether the output is a folder whatever its name.
        max_shard_size: Most bytes of tensors in a file; makes the output a folder.
        recipe: What a recipe says that the artifact keeps beside rules and settings.
    """

    input: Path
    output: Path | None
    method: Method | None = None
    rules: tuple[Rule, ...] = ()
    settings: Settings = field(default_factory=Settings)
    tables: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    frequencies: Path | None = None
    fields: Path | None = None
    grads: Path | None = None
    gates: Gates = field(default_factory=Gates)
    baseline: tuple[Report, Path] | None = None
    full_report: bool = True
    keep_failed: bool = False
    force: bool = False
    dry_run: bool = False
    plan: bool = False
    as_folder: bool = False
    max_shard_size: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether there will be an output."""
        return self.output is not None and not self.dry_run

    @property
    def shard_bytes(self) -> int | None:
        """Most bytes of tensors in a file of the output folder; None when it is one file."""
        asked = self.max_shard_size is not None or self.as_folder
        model = self.input.is_dir() or is_index(self.input)
        if self.output is not None:
            asked = asked or self.output.is_dir()
            model = model and self.output.suffix != WEIGHTS
        return (self.max_shard_size or SHARD_BYTES) if asked or model else None


@dataclass(frozen=True)
class Outcome:
    """What a job did.

    Args:
        report: Sizes, errors and gates.
        choice: Tensors taken and skipped, with the reasons.
        kept: Whether the output took its final name.
        rules: The rule of every table, by its number from 0.
    """

    report: Report
    choice: Choice
    kept: bool
    rules: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """An open input with every table fitted.

    Args:
        source: The input.
        assigned: What becomes of its tensors.
        fitted: The tables.
        context: The run.
        plan: The artifact.
        notes: What the report has to tell, one line each.
    """

    source: Source
    assigned: Assigned
    fitted: dict[str, Fitted]
    context: RunContext
    plan: Plan
    notes: list[str]


def run(job: Job, progress: Progress) -> Outcome:
    """Compress a file or a model.

    Args:
        job: What to do.
        progress: Told of stages and notes.

    Raises:
        UsageError: Options that cannot work, an output that must not be written.
        BadInput: A damaged or unsuitable input.
        IOFailure: The system refuses, or the input changed while it was read.
    """
    if job.writes:
        _check_output(job)
    with prepared(job, progress) as ready:
        return _write(job, ready) if job.writes else _dry_run(job, ready)


def _check_output(job: Job) -> None:
    """Refuse an output that cannot or must not be written."""
    assert job.output is not None
    side = tuple(p for p in (job.frequencies, job.fields, job.grads) if p is not None)
    inputs = (job.input.parent if is_index(job.input) else job.input, *side)
    if job.shard_bytes is None:
        check_target(job.output, force=job.force, inputs=inputs)
    elif job.output.suffix == WEIGHTS and not job.output.is_dir():
        raise UsageError(f"{job.output}: --max-shard-size makes a folder; name one, without suffix")
    else:
        check_folder(job.output, force=job.force, ours=is_artifact_folder, inputs=inputs)


@contextlib.contextmanager
def prepared(job: Job, progress: Progress) -> Iterator[Prepared]:
    """Open the input and fit every table."""
    settings = job.settings
    threads = settings.threads or available()
    memory = usable_memory(settings.memory)
    with contextlib.ExitStack() as opened:
        source = opened.enter_context(open_source(job.input))
        if KEY in source.metadata:
            raise BadInput(f"{job.input}: is an embcompress artifact already; compress its source")
        for note in (*source.warnings, *source.notes):
            progress.note(note)
        assigned = _assigned(job, source)
        asked = assigned.methods
        _check_count(source, asked)
        tables = {name: source.table(name) for name in asked}
        rows = {name: table.shape[0] for name, table in tables.items()}
        threads, spare = fit_memory(memory, threads, [t.shape for t in tables.values()])
        frequencies = read_frequencies(job.frequencies, rows) if job.frequencies else {}
        fields = read_fields(job.fields, rows) if job.fields else {}
        if settings.per_field and not job.fields:
            raise UsageError("--per-field needs --fields: without it each table is one field")
        gradients: Mapping[str, Gradients] = {}
        if job.grads is not None:
            check_taken(asked.values())
            felt = opened.enter_context(_open_gradients(job.grads, job.input))
            shapes = {name: tables[name].shape for name in asked if asked[name].gradients}
            gradients = read_gradients(felt, shapes, fields)
        context = RunContext(settings.seed, threads, memory, spare, progress)
        grouped: dict[str, Grouped] = {}
        methods: dict[str, list[Method]] = {}
        twins = assigned.twins()
        for name, table in tables.items():
            whole_table = group_table(
                table, asked[name], frequencies.get(name), fields.get(name), settings,
                gradients.get(name),
            )  # fmt: skip
            grouped[name] = replace(whole_table, twin=twins[name])
            methods[name] = segment_methods(grouped[name], asked[name], settings)
        whole = partial(_plan, job, source, kept_recipe(job, source, assigned))
        context.accounting = Accounting(grouped, asked, methods, whole)
        notes = tied_notes(source, asked.keys())
        for note in notes:
            progress.note(note)
        fitted = fit_tables(grouped, asked, methods, context, assigned.rules)
        plan = whole(tuple(f.form for f in fitted.values()))
        yield Prepared(source, assigned, fitted, context, plan, notes)


def check_taken(methods: Iterable[Method]) -> None:
    """Refuse gradients that no method takes.

    Raises:
        UsageError: None does.
    """
    spelled = {method.spelled(): method.gradients for method in methods}
    if not any(spelled.values()):
        raise UsageError(
            f"--grads: '{next(iter(spelled), 'this run')}' takes no gradients; leave it out"
        )


def _open_gradients(path: Path, source: Path) -> Source:
    if path.exists() and source.exists() and path.samefile(source):
        raise UsageError(f"{path}: --grads is the input itself; weights are no gradients")
    return open_source(path)


def _assigned(job: Job, source: Source) -> Assigned:
    """What becomes of every tensor."""
    if job.method is None:
        return assign(source, job.rules)
    choice = choose(source, list(job.tables))
    names = [taken.name for taken in choice.taken]
    methods = dict(apply_sets(job.method, job.sets, names))
    return Assigned(choice, methods, dict.fromkeys(names, 0))


def _check_count(source: Source, names: Mapping[str, object]) -> None:
    """Refuse tables whose description cannot fit in a header, before anything is read."""
    least = sum(_LEAST_DESCRIBED + _NAMED * len(name) for name in names)
    if least > MAX_HEADER_BYTES:
        raise BadInput(
            f"{source.shown}: {len(names):,} tables are too many for one artifact: a header may"
            f" take {MAX_HEADER_BYTES:,} bytes and theirs would take over {least:,}; split them"
            " over several artifacts with --tables"
        )


def group_table(
    table: Table,
    method: Method,
    frequencies: NDArray[np.float64] | None,
    fields: Fields | None,
    settings: Settings,
    gradients: Gradients | None = None,
) -> Grouped:
    """The row map and segments of a table under a method and settings."""
    reader = Reader(table, frequencies, gradients, zero_nonfinite=settings.nonfinite == "zero")
    per_field = settings.per_field or method.per_field
    ranks = None
    if method.tiers and method.ranked_by == "norm":
        ranks = frequent_norms(reader, settings.threads or available())
    return group(
        reader, settings.keep_hot, fields, per_field=per_field, tiers=method.tiers, ranks=ranks
    )


def segment_methods(table: Grouped, method: Method, settings: Settings) -> list[Method]:
    """The method of every segment: the table's, or that of hot rows."""
    if table.hot is None:
        return [method] * len(table.segments)
    name, options = _HOT.get(settings.hot_as, _HOT_INT8)
    hot = registry()[name](**options)
    return [hot if s.segment == table.hot else method for s in table.segments]


def _plan(job: Job, source: Source, recipe: Mapping[str, Any], forms: tuple[Form, ...]) -> Plan:
    """The whole artifact: the forms, and what is copied from the source."""
    passed = tuple(_passed(source, {form.name for form in forms}))
    return Plan(forms, passed, source.metadata, __version__, job.shard_bytes, recipe)


def _passed(source: Source, taken: set[str]) -> Iterator[Passed]:
    for name, info in source.tensors.items():
        if name not in taken:
            read_into = partial(source.read_raw_into, info)
            yield Passed(name, info.dtype, info.shape, info.nbytes, read_into)


def kept_recipe(job: Job, source: Source, assigned: Assigned) -> dict[str, Any]:
    """What an artifact keeps of a job beside the methods, to make it again; {} when nothing."""
    gates = {n: asked for n, r in assigned.rules.items() if (asked := _rule_gates(job, r))}
    settings = {k: v for k, v in changed(job.settings).items() if k not in ("threads", "memory")}
    kept: dict[str, Any] = {**job.recipe}
    for key, file in (
        ("frequencies", job.frequencies),
        ("fields", job.fields),
        ("grads", job.grads),
    ):
        if file is not None:
            kept[key] = file.name
    if job.max_shard_size is not None:
        kept["max_shard_size"] = job.max_shard_size
    if settings:
        kept["settings"] = settings
    if gates:
        kept["table_gates"] = gates
    if job.gates.max_skipped is not None and "gates" in kept:
        taken = assigned.methods.keys()
        if names := left_out(_passed_infos(source, taken), taken, _meant(job)):
            kept["left_out"] = names
    return kept


def _rule_gates(job: Job, rule: int) -> dict[str, float]:
    return job.rules[rule].gates.asked() if job.rules else {}


def _comparison(fitted: Fitted, job: Job, ready: Prepared) -> Comparison:
    return Comparison(
        *fitted.form.shape,
        frequencies=fitted.table.reader.frequencies,
        seed=job.settings.seed,
        memory=ready.context.spare,
        full=job.full_report and job.writes,
        detailed=len(ready.fitted) <= MOST_DETAILED,
    )


def _dry_run(job: Job, ready: Prepared) -> Outcome:
    sizes: dict[str, Extent] = {}
    for table in ready.fitted.values():
        sink = SizeSink()
        if table.form.ragged:
            comparison = _comparison(table, job, ready)
            encode_table(table, sink, comparison, ready.context)
            for (segment, part), runs in sink.ragged.items():
                sizes |= ragged_sizes(table.form, segment, part, joined_lengths(runs))
            for number, stored in enumerate(table.form.segments):
                for stream in stored.codec.layout().streams:
                    bits = sink.streams.get((number, stream.name), 0)
                    sizes |= stream_sizes(table.form, number, stream, bits)
    ready.source.unchanged()
    placed = place(ready.plan, sizes)
    return Outcome(
        _report(job, ready, placed, {}, {}), ready.assigned.choice, False, ready.assigned.rules
    )


def _write(job: Job, ready: Prepared) -> Outcome:
    assert job.output is not None
    source, context, plan = ready.source, ready.context, ready.plan
    with ArtifactWriter(job.output, plan, context.threads) as writer:
        writer.copy_passed()
        comparisons = {}
        for name, table in ready.fitted.items():
            comparisons[name] = _comparison(table, job, ready)
            encode_table(table, writer.sink(table.form), comparisons[name], context)
            with context.progress.stage("measuring", table.form.shape[0]):
                comparisons[name].settle(context.threads)
        placed = writer.close_ragged()
        parts = table_parts(plan.forms, placed.sizes, placed.overhead)
        errors = {n: c.result(8 * sum(parts[n].values())) for n, c in comparisons.items()}
        writer.finish({name: measured_of(e) for name, e in errors.items()})
        if plan.shard_bytes is not None:
            _copy_companions(writer, source, context.progress)
        source.unchanged()
        details = {n: c.details() for n, c in comparisons.items()}
        report = _report(job, ready, placed, errors, details)
        kept = job.keep_failed or all(gate.passed for gate in report.gates)
        if kept:
            writer.commit()
    return Outcome(report, ready.assigned.choice, kept, ready.assigned.rules)


def _copy_companions(writer: ArtifactWriter, source: Source, progress: Progress) -> None:
    """Copy what lies beside a model's weights, such as its configuration and tokenizer."""
    if source.files is None:
        return
    for name, inside in companions(source.files):
        if inside:
            writer.add_file(name, source.files.folder / name)
        else:
            progress.note(f"{source.files.folder / name}: not copied: a link out of the folder")


def _report(
    job: Job,
    ready: Prepared,
    placed: Placed,
    errors: Mapping[str, TableErrors],
    details: Mapping[str, Details | None],
) -> Report:
    """The report with its gates judged."""
    plan, source = ready.plan, ready.source
    report = report_on(
        job.input,
        job.output if job.writes else None,
        plan.forms,
        table_parts(plan.forms, placed.sizes, placed.overhead),
        placed.total,
        passed_bytes(plan),
        errors,
        job.settings.seed,
        details,
    )
    if job.baseline is not None:
        report = with_baseline(report, *job.baseline)
    report = name_rows(report, source)
    report.notes.extend(ready.notes)
    note = shrink_note(report, source.bytes)
    if note is not None:
        ready.context.progress.note(note)
        report.notes.append(note)
    for number, rule in enumerate(job.rules):
        names = {name for name, n in ready.assigned.rules.items() if n == number}
        report.gates.extend(check_tables(report, _judged(job, rule.gates), names))
    skipped = None
    if job.gates.max_skipped is not None:
        taken = ready.fitted.keys()
        skipped = skipped_tables(_passed_infos(source, taken), taken, _meant(job))
    report.gates.extend(check(report, _judged(job, job.gates), source.bytes, skipped))
    return report


def _judged(job: Job, gates: Gates) -> Gates:
    """Those of the gates that a job is held against."""
    return gates.without_errors() if job.plan else gates


def _passed_infos(source: Source, taken: Collection[str]) -> dict[str, TensorInfo]:
    return {name: info for name, info in source.tensors.items() if name not in taken}


def _meant(job: Job) -> list[Meant]:
    """The tables that each rule of a job is for."""
    if job.method is not None:
        return [Meant(job.tables)]
    return [Meant(rule.match, rule.method is None) for rule in job.rules]


def shrink_note(report: Report, source_bytes: int) -> str | None:
    """A line when the whole file hardly shrinks, which users take for a failure.

    Args:
        report: Sizes.
        source_bytes: Bytes of the input.
    """
    shrink = 1 - report.file_bytes / max(source_bytes, 1)
    if not 0 <= shrink < _LEAST_SHRINK or not report.passed_through_bytes:
        return None
    share = report.total.source_bytes / max(source_bytes, 1)
    return (
        f"the whole shrinks by {shrink:.1%} only: the compressed tables are {share:.1%} of it;"
        " inspect shows what else it holds, --tables takes more"
    )


def measured_of(errors: TableErrors) -> NDArray[np.float64]:
    """The errors that an artifact keeps of itself."""
    values = [getattr(errors, name) for name in MEASURED]
    return np.array([np.nan if v is None else v for v in values], np.float64)


def passed_bytes(plan: Plan) -> int:
    """Bytes of the tensors that are copied."""
    return sum(p.nbytes for p in plan.passed)
