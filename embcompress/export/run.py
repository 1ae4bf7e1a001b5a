"""An artifact written in another library's format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embcompress.artifact.atomic import check_folder, check_target
from embcompress.artifact.reader import Artifact
from embcompress.errors import UsageError
from embcompress.export import registry
from embcompress.export.base import Job, Target
from embcompress.options import declared, nearest
from embcompress.pipeline.restore import pick_table
from embcompress.progress import Progress
from embcompress.tables.folder import is_index


def make_target(name: str, options: Mapping[str, Any]) -> Target:
    """A target with its options.

    Args:
        name: As ``--to`` has it.
        options: Values by option; None where nothing was given.

    Raises:
        UsageError: An unknown target, or an option that it has not.
    """
    cls = registry().get(name)
    if cls is None:
        raise UsageError(
            f"--to is one of {', '.join(registry())}, not '{name}'{nearest(name, registry())}"
        )
    known = declared(cls)
    given = {k: v for k, v in options.items() if v is not None and v is not False}
    for option in given:
        if option not in known:
            flag = "--" + option.replace("_", "-")
            owners = [t.name for t in registry().values() if option in declared(t)]
            raise UsageError(f"{flag} goes with --to {' or '.join(owners)}, not {name}")
    target = cls(**given)
    target.preflight()
    return target


def export(
    path: Path,
    target: Target,
    output: Path,
    table: str | None,
    *,
    force: bool,
    threads: int,
    progress: Progress,
) -> None:
    """Write an artifact's tables for another library.

    Args:
        path: The artifact.
        target: The format and its options.
        output: A file, or a folder where the target makes one.
        table: The one table to export; all by default.
        force: Whether an existing output is replaced.
        threads: Cores to use.
        progress: Told of stages and rows.

    Raises:
        UsageError: An output of another kind, an unknown table, or one that cannot be exported.
        BadInput: A damaged artifact.
        IOFailure: The system refuses.
    """
    if target.suffixes and output.suffix not in target.suffixes:
        wanted = " or ".join(target.suffixes)
        raise UsageError(f"{output}: --to {target.name} writes {wanted}")
    inputs = (path.parent if is_index(path) else path,)
    if target.folder:
        check_folder(output, force=force, ours=_is_model, inputs=inputs)
    else:
        check_target(output, force=force, inputs=inputs)
    with Artifact(path, threads=threads) as artifact:
        names = list(artifact) if table is None else [pick_table(artifact, table).name]
        tables = {name: artifact[name] for name in names}
        job = Job(artifact, tables, table is None, output, threads, progress)
        target.check(job)
        target.write(job)


def _is_model(folder: Path) -> bool:
    """Whether a folder holds nothing but what an export puts there."""
    ours = {"config.json", "model.safetensors", "modules.json", "tokenizer.json"}
    return {p.name for p in folder.iterdir()} <= ours
