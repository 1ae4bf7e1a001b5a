"""Verbs that look at files: report, inspect, verify."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from embcompress.cli.bridge import with_parameters
from embcompress.cli.gates import GATE_PANEL, baseline_from, gate_parameters, gates_from

Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Threads = Annotated[
    int | None, typer.Option(help="Cores to use; all by default.", min=1, show_default=False)
]


def _report(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="A compressed file or folder.")
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
        typer.Option(
            metavar="FILE", help="Write it to a .json, .md, .xml (JUnit) or .html file; repeatable."
        ),
    ] = None,
    gates: Annotated[
        Path | None,
        typer.Option(
            help="Gates from a .toml or .json file, such as a recipe; flags come before it.",
            rich_help_panel=GATE_PANEL,
            show_default=False,
        ),
    ] = None,
    exit_zero: Annotated[
        bool,
        typer.Option(
            "--exit-zero",
            help="Exit 0 although a gate failed, which is told all the same.",
            rich_help_panel=GATE_PANEL,
        ),
    ] = False,
    json: Json = False,
    seed: Annotated[int, typer.Option(help="Seed of sampled figures.", min=0)] = 0,
    threads: Threads = None,
    memory: Annotated[
        str | None, typer.Option(help="Memory to stay below; 800MB by default.", show_default=False)
    ] = None,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    from embcompress.cli.output import check_report_files, show_report, written_on_failure
    from embcompress.cli.terminal import progress_for
    from embcompress.pipeline.gates_file import GatesFile, read_gates_for
    from embcompress.pipeline.reporting import report_artifact, source_size
    from embcompress.pipeline.room import usable_memory
    from embcompress.pipeline.skipped import skipped_in
    from embcompress.report.baseline import with_baseline
    from embcompress.report.gates import check
    from embcompress.threads import available

    asked = gates_from(options)
    files = check_report_files(report or [], force=True)
    with written_on_failure(files):
        from_file = read_gates_for(gates, artifact) if gates else GatesFile(gates=asked)
        asked = from_file.gates.but(asked)
        baseline = baseline_from(options["baseline"])
        found = report_artifact(
            artifact,
            against,
            frequencies,
            seed=seed,
            threads=threads or available(),
            memory=usable_memory(memory),
            progress=progress_for(quiet=quiet),
        )
        if baseline is not None:
            found = with_baseline(found, *baseline)
        source_bytes = source_size(against) if against else None
        found.gates.extend(from_file.check(found))
        skipped = None
        if asked.max_skipped is not None:
            skipped = skipped_in(artifact, from_file.meant)
        found.gates.extend(check(found, asked, source_bytes, skipped))
    code = show_report(found, files, as_json=json, shown=not quiet)
    return 0 if exit_zero else code


report = with_parameters(
    _report,
    gate_parameters(),
    "report",
    "Sizes and errors of an artifact, and gates for a CI job.\n\nWith --against it is compared"
    " with its source; without, the sizes and the errors measured at compression are shown.",
)


def inspect_file(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Any .npy or .safetensors file, or a model's folder."),
    ],
    tables: Annotated[
        list[str] | None, typer.Option("--tables", metavar="GLOB", help="As on compress verbs.")
    ] = None,
    json: Json = False,
    recipe: Annotated[
        bool,
        typer.Option(
            "--recipe", help="Print the recipe that an artifact was made by, as TOML to run again."
        ),
    ] = False,
) -> None:
    """What is inside a file, and which tables would be taken."""
    from embcompress.cli.listing import print_rows
    from embcompress.pipeline.inspection import inspect, recipe_of

    if recipe:
        print(recipe_of(file), end="")
        return
    found = inspect(file, tables or [])
    if json:
        print(jsonlib.dumps(found, indent=2))
        return
    print_rows(f"{file}: {found['kind']}, {found['bytes']:,} bytes", found["tensors"])
    for note in found["notes"]:
        print(note)


def verify_file(
    file: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A compressed file or folder.")],
    json: Json = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> int:
    """Check every checksum and every stored value; exit 3 when one is wrong."""
    from embcompress.cli.terminal import progress_for
    from embcompress.errors import BadInput
    from embcompress.pipeline.verification import verify
    from embcompress.threads import available

    found = verify(file, threads or available(), progress_for(quiet=quiet))
    if json:
        print(jsonlib.dumps(vars(found), indent=2))
        return BadInput.exit_code if found.problems else 0
    for problem in found.problems[:20]:
        print(f"{file}: {problem}")
    if len(found.problems) > 20:
        print(f"{file}: {len(found.problems) - 20} more problems")
    if found.problems:
        return BadInput.exit_code
    if not quiet:
        counts = ((found.blocks, "block"), (found.tables, "table"))
        blocks, tables = (f"{n:,} {w}{'s' * (n != 1)}" for n, w in counts)
        print(f"{file}: sound; {blocks}, {tables}")
    return 0
