"""A method's verb: compress, then report, then check the gates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embcompress.cli.bridge import flowed, parameters, with_parameters
from embcompress.cli.gates import GATE_PANEL, baseline_from, gate_parameters, gates_from
from embcompress.errors import UsageError
from embcompress.options import declared
from embcompress.pipeline.settings import Settings

if TYPE_CHECKING:
    from embcompress.methods.base import Method
    from embcompress.pipeline.run import Outcome

INPUT, OUTPUT, ROWS, RUN = "Input", "Output", "Row information and grouping", "Run"


def verb(method: type[Method]) -> Callable[..., Any]:
    """The command of a method, made of its declarations and what every verb shares.

    Args:
        method: The method.
    """

    def compress(
        input: Annotated[
            Path,
            typer.Argument(
                metavar="INPUT",
                help="A .npy or .safetensors file, a model's folder, or the index of its shards.",
            ),
        ],
        output: Annotated[
            str | None,
            typer.Option(
                "-o",
                "--output",
                metavar="PATH",
                help="The artifact: a file *.safetensors, or a folder of shards when INPUT is a"
                " model's folder, or PATH is one or ends with /.",
                show_default=False,
            ),
        ] = None,
        tables: Annotated[
            list[str] | None,
            typer.Option(
                "--tables",
                metavar="GLOB",
                help="Tensors to compress; '!GLOB' excludes; repeatable. By default those whose"
                " name reads like an embedding.",
                rich_help_panel=INPUT,
            ),
        ] = None,
        sets: Annotated[
            list[str] | None,
            typer.Option(
                "--set",
                metavar="GLOB:OPTION=VALUE",
                help="Another value of an option for some tables; repeatable.",
                rich_help_panel=INPUT,
            ),
        ] = None,
        frequencies: Annotated[
            Path | None,
            typer.Option(
                help="How often each row is used (.npy, .safetensors, or one number a line);"
                " weights the fit and the report.",
                rich_help_panel=ROWS,
                show_default=False,
            ),
        ] = None,
        fields: Annotated[
            Path | None,
            typer.Option(
                help="The original feature fields (.json or .toml):"
                " {table: {field: \\[start, stop]}} or a list of sizes.",
                rich_help_panel=ROWS,
                show_default=False,
            ),
        ] = None,
        grads: Annotated[
            Path | None,
            typer.Option(
                help="Gradients of fields or rows (.npy or .safetensors), for methods that choose"
                " by them: sseds.",
                rich_help_panel=ROWS,
                show_default=False,
            ),
        ] = None,
        report: Annotated[
            list[Path] | None,
            typer.Option(
                metavar="FILE",
                help="Write the report to a .json, .md, .xml (JUnit) or .html file; repeatable.",
                rich_help_panel=OUTPUT,
            ),
        ] = None,
        max_shard_size: Annotated[
            str | None,
            typer.Option(
                help="Most bytes of tensors in a file of the output folder, 5GB by default; makes"
                " the output a folder.",
                rich_help_panel=OUTPUT,
                show_default=False,
            ),
        ] = None,
        no_report: Annotated[
            bool,
            typer.Option(
                "--no-report",
                help="Leave out the report and its sampled figures.",
                rich_help_panel=OUTPUT,
            ),
        ] = False,
        dry_run: Annotated[
            bool,
            typer.Option(
                "--dry-run", help="Show exact sizes and write nothing.", rich_help_panel=OUTPUT
            ),
        ] = False,
        json: Annotated[
            bool,
            typer.Option("--json", help="Print the report as JSON.", rich_help_panel=OUTPUT),
        ] = False,
        force: Annotated[
            bool,
            typer.Option("--force", help="Replace an existing output.", rich_help_panel=OUTPUT),
        ] = False,
        keep_failed: Annotated[
            bool,
            typer.Option(
                "--keep-failed",
                help="Keep the output although a gate failed.",
                rich_help_panel=GATE_PANEL,
            ),
        ] = False,
        quiet: Annotated[
            bool, typer.Option("-q", "--quiet", help="Errors only.", rich_help_panel=RUN)
        ] = False,
        verbose: Annotated[
            bool,
            typer.Option("-v", "--verbose", help="List skipped tensors too.", rich_help_panel=RUN),
        ] = False,
        **options: Any,
    ) -> int:
        from embcompress.budget import parse_shard_size
        from embcompress.cli.output import (
            check_report_files,
            show_choice,
            show_report,
            written_on_failure,
        )
        from embcompress.cli.terminal import progress_for
        from embcompress.pipeline.run import Job, run

        if output is None and not dry_run:
            raise UsageError("-o OUTPUT is missing; --dry-run shows sizes without one")
        gates = gates_from(options)
        own = {name: options[name] for name in declared(method)}
        shared = {name: options[name] for name in declared(Settings)}
        job = Job(
            input=input,
            output=None if output is None else Path(output),
            as_folder=(output or "").endswith("/"),
            max_shard_size=parse_shard_size(max_shard_size),
            dry_run=dry_run,
            method=method(**own),
            settings=Settings(**shared),
            tables=tuple(tables or ()),
            sets=tuple(sets or ()),
            frequencies=frequencies,
            fields=fields,
            grads=grads,
            gates=gates,
            full_report=not no_report or gates.needs_full,
            keep_failed=keep_failed,
            force=force,
        )
        files = check_report_files(report or [], force=force)
        with written_on_failure(files):
            job = replace(job, baseline=baseline_from(options["baseline"]))
            outcome: Outcome = run(job, progress_for(quiet=quiet))
        if not quiet:
            show_choice(outcome.choice, verbose=verbose)
        shown = not no_report and not quiet
        kept = outcome.kept or not job.writes
        return show_report(outcome.report, files, as_json=json, shown=shown, kept=kept)

    doc = _help(method)
    own = parameters(method, f"Options of {method.name}")
    made = with_parameters(compress, own, method.name, doc, before="tables")
    shared = parameters(Settings, RUN, dict.fromkeys(("keep_hot", "hot_as", "per_field"), ROWS))
    return with_parameters(made, [*shared, *gate_parameters()], method.name, doc)


def _help(method: type[Method]) -> str:
    doc = flowed(method.__doc__)
    kind = (
        "Native: the paper itself works after training."
        if method.native
        else "Counterpart: the paper learns this in training."
    )
    return f"{doc}\n\n{kind} Source: {method.source}"
