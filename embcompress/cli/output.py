"""Reports on the screen and in files, and what was taken and skipped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from embcompress.artifact.atomic import check_target, write_atomically
from embcompress.cli.command import command
from embcompress.cli.github import add_summary, annotated, in_actions
from embcompress.cli.terminal import stdout_console
from embcompress.errors import EmbcompressError, UsageError

if TYPE_CHECKING:
    from embcompress.report.model import Report
    from embcompress.tables.choose import Choice

_FEW = 8


def check_report_files(paths: list[Path], *, force: bool) -> list[Path]:
    """Refuse report files that cannot be written, before any work.

    Raises:
        UsageError: An unknown suffix, or a folder.
        IOFailure: A folder that is missing or cannot be written.
    """
    from embcompress.report.formats import SUFFIXES

    for path in paths:
        if path.suffix not in SUFFIXES:
            raise UsageError(f"--report {path}: reports are {', '.join(SUFFIXES)}")
        check_target(path, force=True)
    return paths


def show_choice(choice: Choice, *, verbose: bool) -> None:
    """Tell on stderr which tensors were taken and which passed through, and why.

    Those that could have been compressed come first.
    """
    for taken in choice.taken:
        _tell(f"taken: {taken.name} ({taken.reason})")
    skipped = sorted(choice.skipped, key=lambda tensor: not tensor.candidate)
    skipped = skipped if verbose else skipped[:_FEW]
    for tensor in skipped:
        _tell(f"passed through: {tensor.name} ({tensor.reason})")
    more = len(choice.skipped) - len(skipped)
    if more:
        _tell(f"passed through: {more} more; -v lists them")


def show_report(
    report: Report, files: list[Path], *, as_json: bool, shown: bool, kept: bool = True
) -> int:
    """Print a report, write it, and judge its gates.

    Args:
        report: What to show.
        files: Where to write it.
        as_json: Whether stdout gets JSON.
        shown: Whether a person is shown it.
        kept: Whether the output took its name.

    Returns:
        The exit code: 1 when a gate failed.
    """
    from embcompress.report.formats import json_text, render
    from embcompress.report.verdicts import failure_line, worst_first

    report = replace(report, command=command())
    for path in files:
        write_atomically(path, _bytes(render(report, path.suffix)))
    if as_json:
        print(json_text(report.to_json()), end="")
    elif shown:
        from embcompress.report.text import print_report

        print_report(report, stdout_console())
    if in_actions():
        add_summary(render(report, ".md"))
    failures = [failure_line(gate) for gate in worst_first(report.gates)]
    for line in annotated(failures) if in_actions() else (f"embcompress: {f}" for f in failures):
        _tell(line)
    if failures and not kept:
        _tell(f"embcompress: {report.artifact} was not written; --keep-failed keeps it")
    return 1 if failures else 0


@contextmanager
def written_on_failure(files: list[Path]) -> Iterator[list[Path]]:
    """Write the failure to the report's files, and the job's summary, when there is no report.

    A file left from an earlier run would stand for this one.

    Args:
        files: Checked already.
    """
    try:
        yield files
    except EmbcompressError as error:
        from embcompress.report.formats import render_failure

        for path in files:
            with suppress(EmbcompressError):
                write_atomically(path, _bytes(render_failure(str(error), path.suffix)))
        if in_actions():
            add_summary(render_failure(str(error), ".md"))
        raise


def _bytes(text: str) -> bytes:
    """UTF-8; paths may hold what is none, and are then escaped."""
    return text.encode(errors="backslashreplace")


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
