"""How long work tells of itself: named stages that count rows. The command line draws them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Receives stages and counts; this base class shows nothing."""

    def __init__(self) -> None:
        self._noted: set[str] = set()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """Enter a stage of ``total`` rows."""
        yield self

    def advance(self, rows: int) -> None:
        """Count rows done in the current stage."""

    def note(self, text: str) -> None:
        """Tell the user something; the same text is told once."""
        if text not in self._noted:
            self._noted.add(text)
            self.show(text)

    def show(self, text: str) -> None:
        """Show a note."""
