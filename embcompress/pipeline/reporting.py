"""Reports: of a run, and of an artifact with or without its source."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.form import Form
from embcompress.artifact.reader import Artifact
from embcompress.artifact.table import CompressedTable
from embcompress.errors import BadInput, UsageError
from embcompress.pipeline.room import fit_memory
from embcompress.pipeline.row_keys import name_rows
from embcompress.pipeline.sizes import table_parts
from embcompress.progress import Progress
from embcompress.report.details import Details
from embcompress.report.metrics import Comparison
from embcompress.report.model import Report, TableErrors, TableReport
from embcompress.tables.base import Table, tile_rows
from embcompress.tables.frequencies import read_frequencies
from embcompress.tables.source import open_source
from embcompress.threads import one_blas_thread, ordered
from embcompress.version import __version__

_MOST_SETTLED = 4
_LIBRARIES = ("numpy", "numba", "scipy", "faiss-cpu")
MOST_DETAILED = 1000
"""Of more tables, a report tells the figures and no single rows."""

_ITEM = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}


def report_on(
    source: Path | None,
    artifact: Path | None,
    forms: Iterable[Form],
    parts: Mapping[str, Mapping[str, int]],
    file_bytes: int,
    passed_bytes: int,
    errors: Mapping[str, TableErrors],
    seed: int,
    details: Mapping[str, Details | None] | None = None,
) -> Report:
    """The report of an artifact.

    Args:
        source: The file it was made of, if errors were measured against it.
        artifact: The file; None for a dry run.
        forms: Its tables.
        parts: Bytes by table and part.
        file_bytes: Bytes of the file.
        passed_bytes: Bytes of copied tensors.
        errors: By table; may be empty.
        seed: Of the sampled figures.
        details: By table, where they were measured.
    """
    details = details or {}
    tables = [
        TableReport(
            name=form.name,
            shape=form.shape,
            dtype=form.dtype,
            method=str(form.method.get("spelled", "")),
            source_bytes=form.shape[0] * form.shape[1] * _ITEM[form.dtype],
            parts=dict(parts[form.name]),
            errors=errors.get(form.name),
            errors_from="source" if form.name in errors else None,
            notes=_notes(form),
            details=details.get(form.name),
        )
        for form in forms
    ]
    return Report(
        artifact=str(artifact) if artifact else "(dry run)",
        source=str(source) if source else None,
        tables=tables,
        file_bytes=file_bytes,
        passed_through_bytes=passed_bytes,
        seed=seed,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """The tool's version and its libraries'."""
    found = {"embcompress": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # installed under another name, such as faiss-gpu
            continue
    return found


def _notes(form: Form) -> list[str]:
    """What was settled otherwise than asked."""
    asked = form.method.get("asked")
    resolved = form.method.get("resolved")
    if not isinstance(asked, dict) or not isinstance(resolved, list):
        return []
    kept = form.method.get("notes")
    notes = [str(note) for note in kept] if isinstance(kept, list) else []
    settled = [
        o for o in resolved if isinstance(o, dict) and o.get("method") == form.method["name"]
    ]
    for key, value in asked.items():
        found = list(dict.fromkeys(o[key] for o in settled if o.get(key) not in (None, value)))
        option = key.replace("_", "-")
        if len(found) > _MOST_SETTLED:
            notes.append(f"{option} settled for each group of rows: {len(found)} different values")
            continue
        asked_for = " is" if value is None else f" {value} became"
        notes += [f"{option}{asked_for} {'none' if one == '' else one}" for one in found]
    return list(dict.fromkeys(notes))


def report_artifact(
    path: Path,
    against: Path | None,
    frequencies: Path | None,
    *,
    seed: int,
    threads: int,
    memory: int,
    progress: Progress,
) -> Report:
    """Report on an artifact, measuring errors when its source is given.

    Args:
        path: The artifact.
        against: Its source; without it the errors kept from compression are reported.
        frequencies: File of row frequencies, for weighted figures.
        seed: Of sampled figures.
        threads: Cores to use.
        memory: Bytes to stay below.
        progress: Told of stages and rows.

    Raises:
        BadInput: A damaged file, or a source whose tables are not the artifact's.
        UsageError: Frequencies without a source, or of another length.
    """
    if frequencies is not None and against is None:
        raise UsageError("--frequencies needs --against: weighted figures are measured")
    with Artifact(path, threads=threads) as artifact:
        forms = [table.form for table in artifact.values()]
        sizes = {n: t.nbytes for n, t in artifact.tensors.items()}
        parts = table_parts(forms, sizes, artifact.overhead)
        passed = sum(sizes[n] for n in artifact.passed)
        errors: dict[str, TableErrors] = {}
        details: dict[str, Details | None] = {}
        if against is not None:
            shapes = [table.shape for table in artifact.values()]
            threads, spare = fit_memory(memory, threads, shapes)
            with open_source(against) as source:
                rows = {name: table.shape[0] for name, table in artifact.items()}
                weights = read_frequencies(frequencies, rows) if frequencies else {}
                for name, table in artifact.items():
                    original = _original(source.table, name, table, against)
                    comparison = Comparison(
                        *table.shape,
                        frequencies=weights.get(name),
                        seed=seed,
                        memory=spare,
                        detailed=len(shapes) <= MOST_DETAILED,
                    )
                    compare(original, table, comparison, threads, progress)
                    errors[name] = comparison.result(8 * sum(parts[name].values()), threads)
                    details[name] = comparison.details()
                source.unchanged()
        report = report_on(
            against, path, forms, parts, artifact.nbytes, passed, errors, seed, details
        )
        if against is not None:
            return name_rows(report, artifact)
        tables = [
            replace(t, errors=kept_errors(artifact, t.name), errors_from="compression")
            for t in report.tables
        ]
        note = "errors are those measured at compression; --against SOURCE measures them again"
        return name_rows(replace(report, tables=tables, notes=[note]), artifact)


def source_size(path: Path) -> int:
    """Bytes of a source: of its file, or of its shards and their index.

    Raises:
        BadInput: It is damaged or of another kind.
        IOFailure: The system refuses.
    """
    with open_source(path) as source:
        return source.bytes


def _original(find: object, name: str, table: CompressedTable, against: Path) -> Table:
    assert callable(find)
    original = find(name)
    assert isinstance(original, Table)
    if original.shape != table.shape:
        raise BadInput(
            f"{against}: table '{name}' is {original.shape[0]}×{original.shape[1]},"
            f" the artifact's {table.shape[0]}×{table.shape[1]}"
        )
    return original


def compare(
    original: Table,
    table: CompressedTable,
    comparison: Comparison,
    threads: int,
    progress: Progress,
) -> None:
    """Stream a table and its source through a comparison."""
    n, d = original.shape
    height = tile_rows(d)

    def one(start: int) -> int:
        stop = min(start + height, n)
        rows: NDArray[np.float32] = original.read(start, stop)
        comparison.add(start, rows, table.read(start, stop))
        return stop - start

    with progress.stage("measuring", n) as stage, one_blas_thread():
        for count in ordered(one, range(0, n, height), threads):
            stage.advance(count)


def kept_errors(artifact: Artifact, name: str) -> TableErrors:
    """The errors that were measured when a table was compressed."""
    return TableErrors.from_numbers(artifact.measured(name), f"{artifact.path}: table '{name}'")
