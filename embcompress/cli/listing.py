"""The list of methods, and tables on the screen."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from embcompress.methods import registry
from embcompress.methods.presets import PRESETS
from embcompress.methods.published import kind_of
from embcompress.methods.published import published as systems


def catalogue() -> list[dict[str, Any]]:
    """Every method and every published name, with the command that gives it."""
    rows = [
        {
            "name": m.name,
            "command": f"embcompress {m.example}",
            "kind": kind_of(native=m.native),
            "what": m.summary(),
            "source": m.source,
        }
        for m in registry().values()
    ]
    for preset in PRESETS:
        verb, _, options = preset.command.partition(" ")
        rows.append(
            {
                "name": preset.name,
                "command": f"embcompress {verb} INPUT -o OUTPUT {options}",
                "kind": kind_of(native=preset.native),
                "what": preset.note,
                "source": preset.source,
            }
        )
    return rows


def list_methods(
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Only systems of the literature, in the order of the survey by Li et al. 2023, and"
            " what of each cannot exist after training.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every method and published name, with the command that gives it.

    Native methods work after training as published; a counterpart stands in for a paper that
    trains.
    """
    rows = [asdict(system) for system in systems()] if published else catalogue()
    if json:
        print(jsonlib.dumps(rows, indent=2))
        return
    from rich.padding import Padding
    from rich.text import Text

    from embcompress.cli.terminal import stdout_console

    console = stdout_console()
    for row in rows:
        console.print(Text(f"{row['name']}", style="bold") + Text(f"  ({row['kind']})"))
        for key, style in (("command", "cyan"), ("reason", ""), ("what", ""), ("source", "dim")):
            if key in row:
                # a file or a pipe gets whole lines
                line = Text(("    " if console.soft_wrap else "") + row[key], style=style)
                console.print(line if console.soft_wrap else Padding(line, (0, 0, 0, 4)))


def print_rows(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of equal keys as a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from embcompress.cli.terminal import stdout_console

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for key in rows[0] if rows else ():
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(v)) for v in row.values()))
    stdout_console().print(table)
