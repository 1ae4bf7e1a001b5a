"""What the person at the terminal sees while work goes on: on stderr, never on stdout."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from embcompress.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 120
_EVERY = 10.0


def is_terminal() -> bool:
    """Whether a bar may be drawn on stderr."""
    quiet = os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not quiet


def stdout_console() -> Console:
    """The console of results.

    A job's log has no width of its own; names of tables fit in ``LOG_WIDTH``.
    """
    from rich.console import Console

    seen = sys.stdout.isatty()
    width = None if seen or os.environ.get("COLUMNS") else LOG_WIDTH
    return Console(highlight=False, soft_wrap=not seen, width=width)


def progress_for(*, quiet: bool) -> Progress:
    """A bar on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        return Progress()
    return Bar() if is_terminal() else Lines()


class Lines(Progress):
    """One plain line every ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._name = ""
        self._total = self._done = 0
        self._started = self._told = 0.0

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """Enter a stage of ``total`` rows."""
        self._name, self._total, self._done = name, total, 0
        self._started = self._told = time.monotonic()
        yield self

    def advance(self, rows: int) -> None:
        """Count rows, and tell now and then."""
        self._done += rows
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            rate = self._done / (now - self._started)
            left = (self._total - self._done) / rate
            _tell(
                f"{self._name}: {self._done:,} of {self._total:,} rows,"
                f" {rate:,.0f} rows/s, {left:,.0f} s left"
            )

    def show(self, text: str) -> None:
        """One line."""
        _tell(text)


class Bar(Progress):
    """A bar with rate and remaining time."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True, highlight=False)
        self._bar = RichProgress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", visible=False, rate="")
        self._started = 0.0
        self._done = 0

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """Enter a stage of ``total`` rows."""
        self._started, self._done = time.monotonic(), 0
        with self._bar:
            self._bar.reset(self._task, total=total, description=name, visible=True, rate="")
            yield self
        self._bar.update(self._task, visible=False)

    def advance(self, rows: int) -> None:
        """Count rows."""
        self._done += rows
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(self._task, advance=rows, rate=f"{rate:,.0f} rows/s")

    def show(self, text: str) -> None:
        """One line."""
        self._console.print(text, style="yellow", markup=False)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
