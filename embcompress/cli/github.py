"""What GitHub Actions shows of a run: error annotations and the job's summary.

A step may have ten annotations of a kind, and its summary 1,024 KiB; what is beyond is dropped by
GitHub without a word, so it is not sent.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

MOST_ANNOTATIONS = 10
SUMMARY_BYTES = 1024 * 1024


def in_actions() -> bool:
    """Whether this runs in a step of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotation(message: str) -> str:
    """An error annotation, as a line that the runner reads.

    Args:
        message: What went wrong; may have several lines.
    """
    for character, escape in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        message = message.replace(character, escape)
    return f"::error title=embcompress::{message}"


def annotated(lines: list[str]) -> list[str]:
    """Lines for the log that tell of failures, the worst ten as annotations.

    Args:
        lines: Worst first.
    """
    shown = [annotation(line) for line in lines[:MOST_ANNOTATIONS]]
    more = len(lines) - len(shown)
    return [*shown, f"embcompress: {more:,} more; the report has them"] if more > 0 else shown


def add_summary(markdown: str) -> None:
    """Append to the job's summary, if there is one and it has room.

    A summary that cannot be written is told on stderr and stops nothing.
    """
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    path = Path(name)
    data = f"{markdown}\n".encode(errors="backslashreplace")
    try:
        before = path.stat().st_size if path.exists() else 0
        if before + len(data) > SUMMARY_BYTES:
            print(
                f"embcompress: the job's summary has {before:,} bytes and no room for"
                f" {len(data):,} more",
                file=sys.stderr,
            )
            return
        with path.open("ab") as file:
            file.write(data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        print(f"embcompress: {name}: no summary written: {reason}", file=sys.stderr)
