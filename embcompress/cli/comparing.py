"""The verb that compares artifacts: compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embcompress.cli.sizes import Json, Quiet, Threads
from embcompress.errors import UsageError

if TYPE_CHECKING:
    from embcompress.report.comparing import Lineup

_SUFFIXES = (".json", ".html")


def compare(
    artifacts: Annotated[
        list[Path],
        typer.Argument(metavar="ARTIFACT...", help="Artifacts of one source, two or more."),
    ],
    against: Annotated[
        Path | None,
        typer.Option(metavar="SOURCE", help="The source; measures errors.", show_default=False),
    ] = None,
    frequencies: Annotated[
        Path | None,
        typer.Option(help="How often each row is used; adds weighted figures.", show_default=False),
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Write it to a .json or .html file; repeatable."),
    ] = None,
    json: Json = False,
    seed: Annotated[int, typer.Option(help="Seed of sampled figures.", min=0)] = 0,
    threads: Threads = None,
    memory: Annotated[
        str | None, typer.Option(help="Memory to stay below; 800MB by default.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Several artifacts of one source side by side, the Pareto front of bytes and error marked.

    With --against they are measured; without, the errors measured at compression are compared.
    """
    from embcompress.artifact.atomic import check_target, write_atomically
    from embcompress.cli.command import command
    from embcompress.cli.terminal import progress_for
    from embcompress.pipeline.reporting import report_artifact
    from embcompress.pipeline.room import usable_memory
    from embcompress.report.comparing import lineup
    from embcompress.report.formats import json_text
    from embcompress.threads import available

    if len(artifacts) < 2:
        raise UsageError(f"{artifacts[0]}: compare takes two artifacts or more")
    for path in report or []:
        if path.suffix not in _SUFFIXES:
            raise UsageError(f"--report {path}: comparisons are {', '.join(_SUFFIXES)}")
        check_target(path, force=True)
    settings: dict[str, Any] = {
        "seed": seed,
        "threads": threads or available(),
        "memory": usable_memory(memory),
        "progress": progress_for(quiet=quiet),
    }
    used = None if against else frequencies
    reports = [report_artifact(path, None, used, **settings) for path in artifacts]
    found = lineup(reports, command())
    if against is not None:
        reports = [report_artifact(path, against, frequencies, **settings) for path in artifacts]
        found = lineup(reports, command())
    for path in report or []:
        text = json_text(found.to_json()) if path.suffix == ".json" else _html(found)
        write_atomically(path, text.encode(errors="backslashreplace"))
    if json:
        print(json_text(found.to_json()), end="")
    elif not quiet:
        _print(found)
    return 0


def _html(found: Lineup) -> str:
    from embcompress.report.html.comparison import comparison_to_html

    return comparison_to_html(found)


def _print(found: Lineup) -> None:
    from rich.table import Table
    from rich.text import Text

    from embcompress.cli.terminal import stdout_console
    from embcompress.report.comparing_text import FRONT, columns

    console = stdout_console()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="cyan")
    shown = columns(found)
    for title, cells in shown:
        name = title == "artifact"
        widest = max(len(word) for word in [*title.split(), *cells, ""])
        table.add_column(
            "\n".join(title.split()),
            justify="left" if name else "right",
            vertical="bottom",
            overflow="fold",
            no_wrap=not name,
            min_width=min(widest, 24),
        )
    for row in zip(*(cells for _, cells in shown), strict=True):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    console.print(Text(f"* {FRONT}", style="dim"))
    for note in {note: None for r in found.reports for note in r.notes}:
        console.print(Text(note, style="dim"))
