"""Verbs of recipes: plan, run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embcompress.cli.sizes import Json, Quiet, Threads

if TYPE_CHECKING:
    from embcompress.pipeline.run import Job, Outcome

RecipeFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="RECIPE",
        help="A .toml file, or a folder that holds embcompress.toml or a pyproject.toml with"
        " \\[tool.embcompress]; the current folder by default.",
        show_default=False,
    ),
]
Input = Annotated[
    Path | None, typer.Option(help="Another input than the recipe's.", show_default=False)
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="PATH", help="Another output than the recipe's.",
        show_default=False,
    ),
]  # fmt: skip
Memory = Annotated[
    str | None, typer.Option(help="Memory to stay below; 800MB by default.", show_default=False)
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="List skipped tensors too.")]


def plan_recipe(
    recipe: RecipeFile = None,
    input: Input = None,
    output: Output = None,
    json: Json = False,
    threads: Threads = None,
    memory: Memory = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """What a recipe would do, with the exact bytes of every table; nothing is written."""
    from embcompress.cli.output import show_choice, show_report
    from embcompress.cli.terminal import progress_for
    from embcompress.pipeline.recipe import find_recipe, job_of, read_recipe
    from embcompress.pipeline.run import run

    job = job_of(
        read_recipe(find_recipe(recipe)),
        input=input,
        output=output,
        threads=threads,
        memory=memory,
        plan=True,
    )
    outcome = run(job, progress_for(quiet=quiet))
    if not quiet:
        show_choice(outcome.choice, verbose=verbose)
    if not json and not quiet:
        _print_plan(job, outcome)
    return show_report(outcome.report, [], as_json=json, shown=False)


def run_recipe(
    recipe: RecipeFile = None,
    input: Input = None,
    output: Output = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Write the report to a .json, .md, .xml (JUnit) or .html file; repeatable.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="An earlier report (.json) to compare with.", show_default=False),
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Leave out the report and its sampled figures.")
    ] = False,
    json: Json = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Keep the output although a gate failed.")
    ] = False,
    threads: Threads = None,
    memory: Memory = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Do what a recipe says: compress, report, and check its gates.

    The artifact keeps the recipe as it was settled: inspect ARTIFACT --recipe gives it back.
    """
    from embcompress.cli.gates import baseline_from
    from embcompress.cli.output import (
        check_report_files,
        show_choice,
        show_report,
        written_on_failure,
    )
    from embcompress.cli.terminal import progress_for
    from embcompress.pipeline.recipe import find_recipe, job_of, read_recipe
    from embcompress.pipeline.run import run

    read = read_recipe(find_recipe(recipe))
    job = job_of(
        read,
        input=input,
        output=output,
        threads=threads,
        memory=memory,
        force=force,
        keep_failed=keep_failed,
        full_report=not no_report,
    )
    files = check_report_files([*read.report, *(report or [])], force=force)
    with written_on_failure(files):
        job = replace(job, baseline=baseline_from(baseline))
        outcome = run(job, progress_for(quiet=quiet))
    if not quiet:
        show_choice(outcome.choice, verbose=verbose)
    shown = not no_report and not quiet
    return show_report(outcome.report, files, as_json=json, shown=shown, kept=outcome.kept)


def _print_plan(job: Job, outcome: Outcome) -> None:
    from embcompress.cli.listing import print_rows
    from embcompress.report import figures

    report = outcome.report
    rows: list[dict[str, Any]] = [
        {
            "rule": outcome.rules[table.name] + 1,
            "table": table.name,
            "shape": figures.shape(table),
            "method": table.method,
            "before": f"{table.source_bytes:,}",
            "after": f"{table.artifact_bytes:,}",
            "ratio": figures.ratio(table.ratio),
        }
        for table in report.tables
    ]
    total = report.total
    rows.append(
        {
            "rule": "",
            "table": "total",
            "shape": "",
            "method": "",
            "before": f"{total.source_bytes:,}",
            "after": f"{total.artifact_bytes:,}",
            "ratio": figures.ratio(total.ratio),
        }
    )
    print_rows(f"{job.input} → {job.output or '(no output named)'}", rows)
    print(f"passed through  {total.passed_through_bytes:,} bytes of other tensors")
    print(f"in all          {total.file_bytes:,} bytes")
