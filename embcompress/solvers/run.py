"""What a fit that passes over all rows needs of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from embcompress.progress import Progress
from embcompress.tables.rows import Rows, Tile

if TYPE_CHECKING:
    from embcompress.solvers.statistics import Statistics

R = TypeVar("R")


class Run(Protocol):
    """Settings of a run, statistics of rows, and passes over them."""

    @property
    def seed(self) -> int:
        """Seeds every random choice."""
        ...

    @property
    def threads(self) -> int:
        """Cores to use."""
        ...

    @property
    def progress(self) -> Progress:
        """Told of stages."""
        ...

    def statistics(self, rows: Rows, needs: frozenset[str]) -> Statistics:
        """Statistics of some rows; collected in one pass unless they are known already."""
        ...

    def each(self, rows: Rows, function: Callable[[Tile], R], stage: str) -> Iterator[R]:
        """Apply a function to every tile over the threads; results in order."""
        ...
