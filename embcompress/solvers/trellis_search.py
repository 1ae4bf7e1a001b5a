"""Searches over many records, in chunks over threads, with the same result for any thread count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.trellis_tables import Classes, Order, Tables
from embcompress.threads import ordered

LADDER = np.geomspace(0.04, 4.0, 16).astype(np.float32)
"""The multipliers of a first search, ascending."""
STEEP = np.geomspace(1.0, 4000.0, 16).astype(np.float32)
"""Those of records that are too long for their classes."""
LAMBDA = 0.42
"""What a bit is worth in squared steps of distortion."""
_LANE = int(np.abs(np.log(LADDER / LAMBDA)).argmin())
_CHUNK = 512
_SPREAD = 0.5
JITTER: NDArray[np.float32] = np.exp(
    _SPREAD * np.random.Generator(np.random.PCG64(1)).standard_normal(64 * 16)
).astype(np.float32)
SLACK = 0.05


@dataclass(frozen=True, eq=False)
class Searcher:
    """What a search needs.

    Args:
        tables: Of magnitudes.
        order: In which classes code coordinates.
        classes: Gains, steps and lengths.
        scouts: States, at most, of the machine behind `curves`.
        threads: Cores to use.
    """

    tables: Tables
    order: Order
    classes: Classes
    scouts: int
    threads: int = 1

    @cached_property
    def _scout(self) -> Tables:
        return replace(self.tables, states=min(self.tables.states, self.scouts))

    def curves(
        self, rows: NDArray[np.float32], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Least distortion + λ · bits over the ladder.

        Args:
            rows: float32 [b, m], records.
            candidates: int64 [b, c], classes; -1 for none.

        Returns:
            float32 [b, c, 16], infinite for no class.
        """
        from embcompress.kernels.viterbi import curves_at

        out = np.full((*candidates.shape, len(LADDER)), np.inf, np.float32)
        tables, order, scout = self.tables, self.order, self._scout

        def one(some: slice) -> None:
            curves_at(
                rows[some], candidates[some], order.tables, order.places, order.counts,
                self.classes.steps, tables.most, tables.low, tables.rate, tables.shift,
                tables.quick, tables.levels, tables.bits, scout.origins, scout.butterflies,
                LADDER, out[some],
            )  # fmt: skip

        for _ in ordered(one, chunks(len(rows)), self.threads):
            pass
        return out

    def paths(
        self,
        rows: NDArray[np.float32],
        candidates: NDArray[np.int64],
        worth: NDArray[np.float32],
        slack: NDArray[np.float32],
        tries: int,
        ladder: NDArray[np.float32] = LADDER,
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
        """Codes of records at the lengths of the best of some classes.

        Args:
            rows: float32 [b, m].
            candidates: int64 [b, c].
            worth: float32 [b, c], what a squared step of distortion is worth in bits.
            slack: float32 [b], bits to be left over.
            tries: Searches about the best multiplier.
            ladder: float32 [16], multipliers of the first search.

        Returns:
            int64 [b] classes, -1 where nothing fits; int32 [b, m] codes; float64 [b, 2] bits and
            squared steps of distortion.
        """
        from embcompress.kernels.viterbi import fit_lengths_at

        chosen = np.empty(len(rows), np.int64)
        codes = np.zeros(rows.shape, np.int32)
        found = np.zeros((len(rows), 2))
        tables, order, classes = self.tables, self.order, self.classes

        def one(some: slice) -> None:
            fit_lengths_at(
                rows[some], candidates[some], worth[some], order.tables, order.places,
                order.counts, classes.steps, classes.lengths, tables.most, tables.low, tables.rate,
                tables.shift, tables.quick, tables.levels, tables.bits, tables.origins,
                tables.butterflies, ladder, JITTER, tries, slack[some], chosen[some], codes[some],
                found[some],
            )  # fmt: skip

        for _ in ordered(one, chunks(len(rows)), self.threads):
            pass
        return chosen, codes, found

    def tally(
        self,
        rows: NDArray[np.float32],
        chosen: NDArray[np.int64],
        codes: NDArray[np.int32],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Counts of magnitudes, how often 1, 2, ≥ 3 came, and how far they lay below."""
        from embcompress.kernels.viterbi import tally_at

        tables, order = self.tables, self.order
        t, w = tables.wide.shape
        seen, times, away = np.zeros((t, w)), np.zeros((t, 4)), np.zeros((t, 4))
        tally_at(
            rows, codes, chosen, order.tables, order.places, order.counts, self.classes.steps,
            tables.most, tables.low, tables.moves, seen, times, away,
        )  # fmt: skip
        return seen, times, away


def chunks(count: int) -> Iterator[slice]:
    """Ranges of records that one thread takes at a time."""
    return (slice(a, min(a + _CHUNK, count)) for a in range(0, count, _CHUNK))


def natural_bits(curves: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bits at the usual multiplier: the slope of the curves there."""
    above, below = curves[..., _LANE + 1], curves[..., _LANE - 1]
    rise = float(LADDER[_LANE + 1]) - float(LADDER[_LANE - 1])
    with np.errstate(invalid="ignore"):
        return (above.astype(np.float64) - below) / rise


def bounds_at(curves: NDArray[np.float32], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least distortion of records at lengths, float64 [s, c]; see `embcompress.kernels.duals`.

    Args:
        curves: float32 [s, c, 16].
        lengths: float64 [s, c], bits.
    """
    from embcompress.kernels.duals import bounds_at_lengths

    found = np.empty(lengths.shape)
    bounds_at_lengths(curves, LADDER, np.ascontiguousarray(lengths), found)
    return found
