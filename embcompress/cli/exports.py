"""The verb that writes other libraries' files."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from embcompress.cli.bridge import parameters, with_parameters
from embcompress.cli.rows import Artifact, Force
from embcompress.export import registry


def _export(
    artifact: Artifact,
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="See the list above.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A file; a folder for model2vec.")],
    table: Annotated[str | None, typer.Option(help="Only this table.", show_default=False)] = None,
    force: Force = False,
    threads: Annotated[
        int | None, typer.Option(help="Cores to use; all by default.", min=1, show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")] = False,
    **options: Any,
) -> None:
    from embcompress.cli.terminal import progress_for
    from embcompress.export.run import export as write
    from embcompress.export.run import make_target
    from embcompress.threads import available

    write(
        artifact,
        make_target(to, options),
        output,
        table,
        force=force,
        threads=threads or available(),
        progress=progress_for(quiet=quiet),
    )


def _options() -> list[inspect.Parameter]:
    """Every option of every target, once."""
    found: dict[str, inspect.Parameter] = {}
    for target in registry().values():
        for parameter in parameters(target, "Options of targets"):
            found.setdefault(parameter.name, parameter)
    return list(found.values())


def _help() -> str:
    lines = [f"{t.name}: {t.about} ({t.takes})." for t in registry().values()]
    return "\n\n".join(["Write tables as another library's files.", *lines])


export = with_parameters(_export, _options(), "export", _help())
