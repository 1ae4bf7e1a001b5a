"""Step, tables and classes of entropy-coded rows, fitted to a sample of records."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.trellis_tables import OCTAVE, Classes, Order, Tables
from embcompress.solvers.trellis_gains import (
    graded_classes,
    log_gains,
    nearest_classes,
)
from embcompress.solvers.trellis_lengths import (
    ADDRESS_BITS,
    IMPOSSIBLE,
    PADDING,
    class_bits,
    first_lengths,
    settle_lengths,
)
from embcompress.solvers.trellis_search import (
    LAMBDA,
    SLACK,
    Searcher,
    bounds_at,
)
from embcompress.solvers.trellis_tables import (
    HIGHEST,
    LOWEST,
    counted_tables,
    family_tables,
    first_tables,
    trimmed_tables,
)
from embcompress.solvers.trellis_weights import Graded

PRECISION = 11
_FEW = 3072
_ACTIVE = 0.55
"""Squared spread over squared step from which a coordinate tells of a row's gain."""
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Sample:
    """Records that a design is fitted to.

    Args:
        graded: Records of r·n coordinates.
        rows: Rows of a record r.
        spreads: float64 [n], root mean square of every coordinate.
        threads: Cores to use.
    """

    graded: Graded
    rows: int
    spreads: NDArray[np.float64]
    threads: int

    @property
    def records(self) -> NDArray[np.float32]:
        """Records over the steps of their grades, float32 [s, r·n]."""
        return self.graded.scaled

    def some(self, which: NDArray[np.bool_] | slice) -> Sample:
        """Some records; they are in random order."""
        return replace(self, graded=self.graded.some(which))


@dataclass(frozen=True, eq=False)
class Design:
    """What a codec holds beside offset and basis, and how well it does on the sample.

    Args:
        tables: Of magnitudes.
        classes: Gains, steps and lengths; steps before grades are told apart.
        grades: int64 [G], of the classes' steps.
        step: The common one.
        widest: Largest spread over the step, in 1/24 octave.
        narrower: uint8 [n], how much less the others are.
        active: bool [n], coordinates that tell of a row's gain.
        bits: Mean bits of a record, class and address counted.
        distortion: Mean squared error of a record, weighted.
    """

    tables: Tables
    classes: Classes
    grades: NDArray[np.int64]
    step: float
    widest: int
    narrower: NDArray[np.uint8]
    active: NDArray[np.bool_]
    bits: float
    distortion: float

    @property
    def cost(self) -> float:
        """Bits of a record, and its distortion in what bits are worth."""
        return self.bits + self.distortion / (self.step * self.step * LAMBDA)

    @property
    def spreads(self) -> NDArray[np.int64]:
        """Of every coordinate over the step, in 1/24 octave."""
        return self.widest - self.narrower.astype(np.int64)

    def searcher(self, scouts: int, threads: int) -> Searcher:
        """A search with this design."""
        order = Order.of(self.tables, self.spreads, self.classes.gains)
        return Searcher(self.tables, order, self.classes, scouts, threads)


class Designer:
    """Fits designs for steps to a sample, the last one's tables being the next one's first."""

    def __init__(
        self, sample: Sample, states: int, scouts: int, reach: int, *, small: bool
    ) -> None:
        """Begin with tables that nothing was counted for.

        Args:
            sample: The records.
            states: Of the state machine.
            scouts: States, at most, of the one with which classes are compared.
            reach: Classes that are tried for a record.
            small: Whether tables follow a rule, since storing them costs too much.
        """
        self.sample = sample
        self.reach = reach
        self.small = small
        self.tables = first_tables(states, PRECISION, LOWEST)
        self.states = states
        self.scouts = scouts
        self.gains: NDArray[np.int64] | None = None
        self._grades = np.zeros(0, np.int64)
        self._seen = np.zeros((1, 1))
        self._logs, self._chosen = np.zeros((0, 1)), np.zeros(0, np.int64)

    def at(self, step: float, count: int, *, few: bool, rounds: int = 2) -> Design:
        """The design of a step.

        Args:
            step: Half the distance of levels.
            count: Classes at most.
            few: Whether a few records do.
            rounds: Searches, each followed by new tables.
        """
        sample = self.sample.some(slice(_FEW)) if few else self.sample
        widest, _, active = self._spread_over(step)
        if self.gains is None or len(self.gains) > count or not few:
            whole = self.sample
            logs = log_gains(whole.records, whole.rows, whole.spreads, active)
            floor = OCTAVE / 3 * LOWEST - widest
            self.gains, self._grades = graded_classes(logs, whole.graded.grades, count, floor)
        return self._with_gains(sample, self.gains, step, few=few, rounds=rounds)

    def refined(self, design: Design, rounds: int) -> Design:
        """The last design, its classes moved to the records that chose them while that pays."""
        for _ in range(rounds):
            kept = self.tables, self._seen, self.gains
            gains = design.classes.gains
            away = self._logs - gains[self._chosen]
            times = np.maximum(np.bincount(self._chosen, minlength=len(gains)), 1)
            moves = [np.bincount(self._chosen, a, len(gains)) / times for a in away.T]
            self.gains = gains + np.rint(np.stack(moves, axis=1)).astype(np.int64)
            tried = self._with_gains(self.sample, self.gains, design.step, few=False, rounds=2)
            if tried.cost >= design.cost:
                self.tables, self._seen, self.gains = kept
                break
            design = tried
        return design

    def _spread_over(self, step: float) -> tuple[int, NDArray[np.uint8], NDArray[np.bool_]]:
        """The largest spread over a step, how much less others are, and which tell of gains."""
        spreads = self.sample.spreads
        units = np.rint(OCTAVE * np.log2(np.maximum(spreads, _TINY) / step)).astype(np.int64)
        widest = int(units.max())
        active = spreads**2 >= _ACTIVE * step * step
        if not active.any():
            active[spreads.argmax()] = True
        return widest, np.minimum(widest - units, 255).astype(np.uint8), active

    def _with_gains(
        self, sample: Sample, gains: NDArray[np.int64], step: float, *, few: bool, rounds: int
    ) -> Design:
        grades = self._grades
        widest, narrower, active = self._spread_over(step)
        spread = widest - narrower.astype(np.int64)
        logs = log_gains(sample.records, sample.rows, sample.spreads, active)
        highest = _highest(widest + int(gains.max()))
        if highest >= self.tables.lowest + self.tables.classes:
            self.tables = self._wider(highest)
        steps = np.full(len(gains), step, np.float32)
        near = nearest_classes(logs, sample.graded.grades, gains, grades, self.reach)
        for _ in range(rounds):
            order = Order.of(self.tables, spread, gains)
            blank = Classes(gains, steps, np.zeros(len(gains), np.int64))
            tables = self.tables
            if few:
                tables = replace(tables, states=min(self.states, self.scouts))
            searcher = Searcher(tables, order, blank, self.scouts, sample.threads)
            curves = searcher.curves(sample.records, near)
            # what no class can hold is kept raw
            holds = curves[:, :, 0].min(axis=1) < IMPOSSIBLE
            if not holds.all() and holds.any():
                sample = sample.some(holds)
                near, curves, logs = near[holds], curves[holds], logs[holds]
            first = first_lengths(curves, near, len(gains))
            lengths, chosen = settle_lengths(curves, near, first)
            own = Classes(gains, steps, lengths)
            searcher = replace(searcher, classes=own)
            worth = np.full((len(near), 1), 1 / LAMBDA, np.float32)
            slack = np.full(len(near), SLACK, np.float32)
            picked = np.ascontiguousarray(chosen[:, None])
            got, codes, found = searcher.paths(sample.records, picked, worth, slack, 1)
            seen, times, away = searcher.tally(sample.records, got, codes)
            self._seen = seen
            if self.small:
                self.tables = family_tables(self.tables, seen)
            else:
                self.tables = counted_tables(self.tables, seen, times, away)
        self._logs, self._chosen = logs, chosen
        fits = got >= 0
        lost = self._uncoded(sample, order, got)
        away = found[fits, 1] * step * step + lost[fits]
        distortion = float((away * sample.graded.worths[fits]).mean()) if fits.any() else 0.0
        bits = float(lengths[chosen].mean()) + class_bits(len(gains) + 1) + ADDRESS_BITS
        return Design(self.tables, own, grades, step, widest, narrower, active, bits, distortion)

    def finish(self, design: Design) -> Design:
        """The design with tables as small as they can be stored."""
        top = int(design.spreads.max(initial=0)) + int(design.classes.gains.max())
        highest = _highest(top)
        return replace(design, tables=trimmed_tables(design.tables, self._seen, highest))

    def relengthen(self, design: Design, step: float) -> Design:
        """A finished design at another step near its own: only lengths change, by the sample."""
        sample, gains = self.sample, design.classes.gains
        steps = np.full(len(gains), step, np.float32)
        searcher = replace(
            design.searcher(self.scouts, sample.threads),
            classes=replace(design.classes, steps=steps),
        )
        logs = log_gains(sample.records, sample.rows, sample.spreads, design.active)
        near = nearest_classes(logs, sample.graded.grades, gains, design.grades, self.reach)
        curves = searcher.curves(sample.records, near)
        holds = curves[:, :, 0].min(axis=1) < IMPOSSIBLE
        if not holds.any():
            return replace(design, step=step, classes=replace(design.classes, steps=steps))
        sample = sample.some(holds)
        near, curves = near[holds], curves[holds]
        lengths, chosen = settle_lengths(curves, near, first_lengths(curves, near, len(gains)))
        pick = (near == chosen[:, None]).argmax(axis=1)
        mine = curves[np.arange(len(near)), pick]
        own = lengths[chosen].astype(np.float64) - PADDING
        bound = bounds_at(np.ascontiguousarray(mine[:, None]), own[:, None])[:, 0]
        lost = self._uncoded(sample, searcher.order, chosen)
        away = bound * step * step + lost
        return replace(
            design,
            classes=Classes(gains, steps, lengths),
            step=step,
            bits=float(lengths[chosen].mean()) + class_bits(len(gains) + 1) + ADDRESS_BITS,
            distortion=float((away * sample.graded.worths).mean()),
        )

    def _wider(self, highest: int) -> Tables:
        fresh = first_tables(self.states, PRECISION, highest)
        old = self.tables
        if old.family is not None:
            count = len(fresh.frequencies)
            return old.family.tables(self.states, PRECISION, LOWEST, count)
        kept = old.idle if self._seen.size > 1 else 0
        shifts = fresh.shifts.copy()
        shifts[:kept] = old.shifts[:kept]
        return replace(
            fresh, frequencies=(*old.frequencies[:kept], *fresh.frequencies[kept:]), shifts=shifts
        )

    def _uncoded(
        self, sample: Sample, order: Order, chosen: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Squares of the coordinates that classes leave out, float64 [s]."""
        lost = np.zeros(len(chosen))
        for g in range(len(order.counts)):
            mine = np.flatnonzero(chosen == g)
            left = order.places[g, order.counts[g] :]
            if len(mine) and len(left):
                lost[mine] = (sample.records[mine][:, left].astype(np.float64) ** 2).sum(axis=1)
        return lost


def _highest(spread: int) -> int:
    """The class of spread that the largest one of all rows belongs to."""
    return min(max(LOWEST, (spread + OCTAVE // 6) // (OCTAVE // 3)), HIGHEST)
