"""Step, tables and classes of entropy-coded rows, fitted to a sample of records."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.trellis_tables import OCTAVE, Classes, Order, Tables
from embcompress.solvers.trellis_search import (
    LADDER,
    LAMBDA,
    SLACK,
    Searcher,
    bounds_at,
    natural_bits,
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
ADDRESS_BITS = 0.5
"""Of a record: its share of an address."""
_FEW = 3072
_WINDOW = 16
_LEAST_RECORDS = 8
"""Records of a class from which its length is fitted."""
_ACTIVE = 0.55
"""Squared spread over squared step from which a coordinate tells of a row's gain."""
_TINY = 1e-12
_MOST_OCTAVES = 6.0
"""How far a step may lie from its first guess."""
_PADDING = 0.6
"""Bits that the codes of a record leave over, as lengths are reckoned with."""
_IMPOSSIBLE = 1e7
"""Costs of records with magnitudes that a class cannot hold."""


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
    def spreads(self) -> NDArray[np.int64]:
        """Of every coordinate over the step, in 1/24 octave."""
        return self.widest - self.narrower.astype(np.int64)

    def searcher(self, threads: int) -> Searcher:
        """A search with this design."""
        order = Order.of(self.tables, self.spreads, self.classes.gains)
        return Searcher(self.tables, order, self.classes, threads)


def log_gains(
    records: NDArray[np.float32], rows: int, spreads: NDArray[np.float64], active: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Gain of every row of records over the spreads, in 1/24 octave, float64 [s, r].

    Args:
        records: float32 [s, r·n].
        rows: r.
        spreads: float64 [n].
        active: bool [n], coordinates that count.
    """
    n = len(spreads)
    scaled = records.reshape(len(records) * rows, n)[:, active] / spreads[active].astype(np.float32)
    squares = np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64) / max(int(active.sum()), 1)
    logs: NDArray[np.float64] = 0.5 * OCTAVE * np.log2(np.maximum(squares, _TINY))
    return logs.reshape(-1, rows)


def nearest_gains(
    logs: NDArray[np.float64], gains: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The classes with the nearest gains, int64 [s, count], nearest first; -1 beyond all."""
    found = np.full((len(logs), count), -1, np.int64)
    kept = min(count, len(gains))
    for start in range(0, len(logs), 4096):
        some = logs[start : start + 4096]
        away = np.zeros((len(some), len(gains)), np.float32)
        for j in range(gains.shape[1]):
            away += (some[:, j, None].astype(np.float32) - gains[:, j].astype(np.float32)) ** 2
        if kept < len(gains):
            near = np.argpartition(away, kept - 1, axis=1)[:, :kept]
        else:
            near = np.tile(np.arange(kept), (len(some), 1))
        order = np.argsort(np.take_along_axis(away, near, axis=1), axis=1, kind="stable")
        found[start : start + len(some), :kept] = np.take_along_axis(near, order, axis=1)
    return found


def nearest_classes(
    logs: NDArray[np.float64],
    grades: NDArray[np.int64],
    gains: NDArray[np.int64],
    own: NDArray[np.int64],
    count: int,
) -> NDArray[np.int64]:
    """The classes of a record's grade with the nearest gains, as `nearest_gains` has them.

    Args:
        logs: float64 [s, r], gains of records.
        grades: int64 [s], of records.
        gains: int64 [G, r], of classes.
        own: int64 [G], grades of classes; every grade has one.
        count: Classes at most.
    """
    if not own.any():
        return nearest_gains(logs, gains, count)
    found = np.full((len(logs), count), -1, np.int64)
    for grade in np.unique(grades):
        mine, theirs = np.flatnonzero(grades == grade), np.flatnonzero(own == grade)
        near = nearest_gains(logs[mine], gains[theirs], count)
        found[mine] = np.where(near >= 0, theirs[near], -1)
    return found


def graded_classes(
    logs: NDArray[np.float64], grades: NDArray[np.int64], count: int, floor: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gains and grades of classes: clusters within grades, more where gains differ more.

    Args:
        logs: float64 [s, r].
        grades: int64 [s].
        count: Classes at most, but each grade has one.
        floor: Gains below are all alike.

    Returns:
        int64 [G, r], int64 [G].
    """
    if not grades.any():
        gains = gain_classes(logs, count, floor)
        return gains, np.zeros(len(gains), np.int64)
    each = [np.maximum(logs[grades == g], floor) for g in range(int(grades.max()) + 1)]
    each = [e if len(e) else np.zeros((1, logs.shape[1])) for e in each]
    # what clusters lose falls as a power -2/r of their number
    power = logs.shape[1] / (logs.shape[1] + 2)
    shares = np.array([(len(e) * float(e.var(axis=0).sum())) ** power for e in each])
    counts = np.ones(len(each), np.int64)
    for _ in range(count - len(each)):
        room = counts * _LEAST_RECORDS < [len(e) for e in each]
        if not room.any():
            break
        counts[np.where(room, shares / counts, -1).argmax()] += 1
    found = [gain_classes(e, int(c), floor) for e, c in zip(each, counts, strict=True)]
    return np.concatenate(found), np.repeat(np.arange(len(each)), [len(g) for g in found])


def gain_classes(logs: NDArray[np.float64], count: int, floor: float) -> NDArray[np.int64]:
    """Gains of classes: clusters of the records' gains.

    Args:
        logs: float64 [s, r].
        count: Classes at most.
        floor: Gains below are all alike.

    Returns:
        int64 [G, r], without repetition, ascending.
    """
    points = np.maximum(logs, floor)
    random = np.random.Generator(np.random.PCG64(count))
    if points.shape[1] == 1:
        low, high = np.quantile(points, [0.002, 0.998])
        centres = np.linspace(low, high, count)[:, None]
    else:
        centres = points[random.choice(len(points), min(count, len(points)), replace=False)]
    for _ in range(8 if points.shape[1] > 1 else 3):
        own = nearest_gains(points, centres.astype(np.float64), 1)[:, 0]
        sums = np.zeros_like(centres)
        np.add.at(sums, own, points)
        times = np.bincount(own, minlength=len(centres))[:, None]
        centres = np.where(times > 0, sums / np.maximum(times, 1), centres)
    return np.unique(np.rint(centres).astype(np.int64), axis=0)


class Designer:
    """Fits designs for steps to a sample, the last one's tables being the next one's first."""

    def __init__(self, sample: Sample, states: int, reach: int, *, small: bool) -> None:
        """Begin with tables that nothing was counted for.

        Args:
            sample: The records.
            states: Of the state machine.
            reach: Classes that are tried for a record.
            small: Whether tables follow a rule, since storing them costs too much.
        """
        self.sample = sample
        self.reach = reach
        self.small = small
        self.tables = first_tables(states, PRECISION, LOWEST)
        self.states = states
        self.gains: NDArray[np.int64] | None = None
        self._grades = np.zeros(0, np.int64)
        self._seen = np.zeros((1, 1))

    def at(self, step: float, count: int, *, few: bool, rounds: int = 2) -> Design:
        """The design of a step.

        Args:
            step: Half the distance of levels.
            count: Classes at most.
            few: Whether a few records do.
            rounds: Searches, each followed by new tables.
        """
        sample = self.sample.some(slice(_FEW)) if few else self.sample
        spreads = np.maximum(sample.spreads, _TINY)
        units = np.rint(OCTAVE * np.log2(spreads / step)).astype(np.int64)
        widest = int(units.max())
        narrower = np.minimum(widest - units, 255).astype(np.uint8)
        spread = widest - narrower.astype(np.int64)
        active = sample.spreads**2 >= _ACTIVE * step * step
        if not active.any():
            active[sample.spreads.argmax()] = True
        logs = log_gains(sample.records, sample.rows, sample.spreads, active)
        if self.gains is None or len(self.gains) > count or not few:
            whole = log_gains(self.sample.records, sample.rows, sample.spreads, active)
            floor = OCTAVE / 3 * LOWEST - widest
            self.gains, self._grades = graded_classes(
                whole, self.sample.graded.grades, count, floor
            )
        gains, grades = self.gains, self._grades
        highest = _highest(widest + int(gains.max()))
        if highest >= self.tables.lowest + self.tables.classes:
            self.tables = self._wider(highest)
        steps = np.full(len(gains), step, np.float32)
        near = nearest_classes(logs, sample.graded.grades, gains, grades, self.reach)
        for _ in range(rounds):
            order = Order.of(self.tables, spread, gains)
            blank = Classes(gains, steps, np.zeros(len(gains), np.int64))
            searcher = Searcher(self.tables, order, blank, sample.threads)
            curves = searcher.curves(sample.records, near)
            # what no class can hold is kept raw
            holds = curves[:, :, 0].min(axis=1) < _IMPOSSIBLE
            if not holds.all() and holds.any():
                sample = sample.some(holds)
                near, curves = near[holds], curves[holds]
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
            design.searcher(sample.threads), classes=replace(design.classes, steps=steps)
        )
        logs = log_gains(sample.records, sample.rows, sample.spreads, design.active)
        near = nearest_classes(logs, sample.graded.grades, gains, design.grades, self.reach)
        curves = searcher.curves(sample.records, near)
        holds = curves[:, :, 0].min(axis=1) < _IMPOSSIBLE
        if not holds.any():
            return replace(design, step=step, classes=replace(design.classes, steps=steps))
        sample = sample.some(holds)
        near, curves = near[holds], curves[holds]
        lengths, chosen = settle_lengths(curves, near, first_lengths(curves, near, len(gains)))
        pick = (near == chosen[:, None]).argmax(axis=1)
        mine = curves[np.arange(len(near)), pick]
        own = lengths[chosen].astype(np.float64) - _PADDING
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


def first_lengths(
    curves: NDArray[np.float32], near: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Lengths to begin with: a bit more than the mean bits of the records nearest to a class.

    Of few records a class must hold the longest.

    Args:
        curves: float32 [s, c, 16].
        near: int64 [s, c], classes, nearest first.
        count: Classes.
    """
    good = curves[:, 0, 0] < _IMPOSSIBLE
    natural = np.maximum(natural_bits(curves[good, 0]), 0)
    sums = np.bincount(near[good, 0], natural, count)
    times = np.bincount(near[good, 0], minlength=count)
    mean = float(natural.mean()) if len(natural) else 0.0
    means: NDArray[np.float64] = np.where(times > 0, sums / np.maximum(times, 1), mean)
    longest = np.zeros(count)
    np.maximum.at(longest, near[good, 0], natural)
    few = (times > 0) & (times < _LEAST_RECORDS)
    found: NDArray[np.int64] = np.ceil(np.where(few, longest, means) + 1).astype(np.int64)
    return found


def settle_lengths(
    curves: NDArray[np.float32],
    near: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rounds: int = 4,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes of records by the dual bound, and the best length of every class, in turn.

    Args:
        curves: float32 [s, c, 16].
        near: int64 [s, c], classes; -1 for none.
        lengths: int64 [G], to begin with.
        rounds: How often.
    """
    from embcompress.kernels.duals import bounds_of_classes

    chosen = near[:, 0]
    everyone = np.arange(len(near))
    offsets = np.arange(-_WINDOW, _WINDOW + 1)
    for _ in range(rounds):
        own = np.where(near >= 0, lengths[near], 0).astype(np.float64)
        total = bounds_at(curves, own - _PADDING) / LAMBDA + own
        total[near < 0] = np.inf
        pick = total.argmin(axis=1)
        chosen = near[everyone, pick]
        sums = np.zeros((len(lengths), len(offsets)))
        mine = np.ascontiguousarray(curves[everyone, pick])
        bounds_of_classes(mine, LADDER, chosen, lengths, _PADDING, _WINDOW, sums)
        times = np.bincount(chosen, minlength=len(lengths))
        tried = lengths[:, None] + offsets
        score = np.where(tried >= 0, sums / LAMBDA + tried * times[:, None], np.inf)
        best = tried[np.arange(len(lengths)), score.argmin(axis=1)]
        lengths = np.where(times >= _LEAST_RECORDS, best, lengths)
    return lengths, chosen


def class_bits(count: int) -> int:
    """Bits of a class among so many."""
    return max(1, (count - 1).bit_length())


def solve_step(
    function: Callable[[float], float],
    wanted: float,
    step: float,
    slope: float,
    rounds: int,
    near: float,
    least: float = 0,
) -> float:
    """The step at which a falling function reaches a value, by secants over its logarithm.

    Args:
        function: Of the step; falling.
        wanted: Its value.
        step: A first guess.
        slope: About how much the function falls when the step doubles.
        rounds: Calls at most.
        near: How far off the value may be.
        least: The least step.
    """
    at, last = math.log2(max(step, least)), None
    low, high = at - _MOST_OCTAVES, at + _MOST_OCTAVES
    if least > 0:
        low = max(low, math.log2(least))
    fall = slope
    for _ in range(rounds):
        over = function(2**at) - wanted
        if abs(over) <= near:
            break
        if last is not None and last[0] != at:
            fall = min(max((last[1] - over) / (at - last[0]), slope / 8), 2 * slope)
        last = at, over
        at = min(max(at + over / fall, low), high)
    return float(2**at)
