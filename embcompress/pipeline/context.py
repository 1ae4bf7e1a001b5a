"""What a run offers to its methods: statistics, passes over tiles, inner fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from embcompress.methods.base import Encoder, Method
from embcompress.pipeline.accounting import Accounting
from embcompress.pipeline.segments import Grouped, SegmentRows
from embcompress.progress import Progress
from embcompress.solvers.statistics import (
    Drawn,
    Piece,
    Statistics,
    draw,
    gather,
    head_weights,
    most_sampled,
    of_tile,
)
from embcompress.tables.gradients import Gradients
from embcompress.tables.rows import Rows, Tile
from embcompress.threads import one_blas_thread, ordered

R = TypeVar("R")


@dataclass
class RunContext:
    """Settings of a run, and the statistics it has collected.

    Args:
        seed: Seeds every random choice.
        threads: Cores to use.
        memory: Bytes to stay below.
        spare: Bytes of them for the report's samples.
        progress: Told of stages and rows.
        accounting: All tables of the run, for budgets.
    """

    seed: int
    threads: int
    memory: int
    spare: int
    progress: Progress
    accounting: Accounting | None = None
    _known: dict[int, tuple[Rows, frozenset[str], Statistics]] = field(default_factory=dict)

    def each(
        self,
        rows: Rows,
        function: Callable[[Tile], R],
        stage: str,
        needs: frozenset[str] | None = None,
    ) -> Iterator[R]:
        """Apply a function to every tile over the threads; results in order.

        With ``needs``, the same pass collects these statistics of the rows, unless they are known.
        """
        known = self._known.get(id(rows))
        wanted = None if needs is None or (known and needs <= known[1]) else needs
        drawn = self._draw(rows, wanted or frozenset())
        pieces: list[Piece] = []

        def one(index: int) -> tuple[int, R, Piece | None]:
            tile = rows.tile(index)
            piece = None if wanted is None else of_tile(tile, wanted, drawn)
            return len(tile.ids), function(tile), piece

        with self.progress.stage(stage, rows.shape[0]) as progress, one_blas_thread():
            for count, result, piece in ordered(one, range(rows.tiles), self.threads):
                progress.advance(count)
                if piece is not None:
                    pieces.append(piece)
                yield result
        if wanted is not None:
            self._keep(rows, wanted, gather(pieces, rows.name, rows.shape, wanted, drawn))

    def statistics(self, rows: Rows, needs: frozenset[str]) -> Statistics:
        """Statistics of some rows; collected in one pass unless they are known already."""
        known = self._known.get(id(rows))
        if known is None or not needs <= known[1]:
            drawn = self._draw(rows, needs)
            pieces = self.each(rows, lambda tile: of_tile(tile, needs, drawn), "statistics")
            self._keep(rows, needs, gather(pieces, rows.name, rows.shape, needs, drawn))
        return self._known[id(rows)][2]

    def gradients(self, rows: Rows) -> Gradients | None:
        """Gradients of some rows; None where there are none or the rows are not of a table."""
        return rows.gradients if isinstance(rows, SegmentRows) else None

    def survey(self, table: Grouped, needs: list[frozenset[str]]) -> None:
        """Collect the statistics of all segments of a table in one pass over it.

        Args:
            table: The table.
            needs: What each segment's method needs.
        """
        drawn = [self._draw(s, n) for s, n in zip(table.segments, needs, strict=True)]

        def one(index: int) -> tuple[int, list[tuple[int, Piece]]]:
            found = [
                (s.segment, of_tile(tile, needs[s.segment], drawn[s.segment]))
                for s, tile in table.cut(index)
            ]
            start, stop = table.reader.bounds(index)
            return stop - start, found

        pieces: list[list[Piece]] = [[] for _ in table.segments]
        reader = table.reader
        stage = self.progress.stage("statistics", reader.table.shape[0])
        with stage as progress, one_blas_thread():
            for count, found in ordered(one, range(reader.tiles), self.threads):
                progress.advance(count)
                for segment, piece in found:
                    pieces[segment].append(piece)
        for s, n, d in zip(table.segments, needs, drawn, strict=True):
            self._keep(s, n, gather(pieces[s.segment], s.name, s.shape, n, d))

    def fit(self, method: Method, rows: Rows) -> Encoder:
        """Settle and fit another method on rows, such as coordinates."""
        inner = replace(self, accounting=None)  # a budget is of whole tables
        method.preflight(rows, inner)
        settled = method.plan({"rows": rows}, inner)["rows"]
        return settled.fit(rows, inner)

    def _draw(self, rows: Rows, needs: frozenset[str]) -> Drawn | None:
        most = most_sampled(needs)
        if not most:
            return None
        return draw(rows.shape[0], head_weights(rows.weights, needs), self.seed, most)

    def _keep(self, rows: Rows, needs: frozenset[str], statistics: Statistics) -> None:
        self._known[id(rows)] = (rows, needs, statistics)
