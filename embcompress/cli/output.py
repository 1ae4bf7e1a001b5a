"""Reports on the screen and in files, and what was taken and skipped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from embcompress.artifact.atomic import check_target, write_atomically
from embcompress.cli.terminal import stdout_console
from embcompress.errors import UsageError

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
    for path in paths:
        if path.suffix not in (".json", ".md"):
            raise UsageError(f"--report {path}: reports are .json or .md")
        check_target(path, force=True)
    return paths


def show_choice(choice: Choice, *, verbose: bool) -> None:
    """Tell on stderr which tensors were taken and which passed through, and why."""
    for taken in choice.taken:
        _tell(f"taken: {taken.name} ({taken.reason})")
    skipped = choice.skipped if verbose else choice.skipped[:_FEW]
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
    from embcompress.report.gates import failure_lines

    document = json.dumps(report.to_json(), indent=2)
    for path in files:
        text = document + "\n" if path.suffix == ".json" else _markdown(report)
        write_atomically(path, text.encode())
    if as_json:
        print(document)
    elif shown:
        from embcompress.report.text import print_report

        print_report(report, stdout_console())
    failures = failure_lines(report.gates)
    for line in failures:
        _tell(f"embcompress: {line}")
    if failures and not kept:
        _tell(f"embcompress: {report.artifact} was not written; --keep-failed keeps it")
    return 1 if failures else 0


def _markdown(report: Report) -> str:
    from embcompress.report.markdown import to_markdown

    return to_markdown(report)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
