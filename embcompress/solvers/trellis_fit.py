"""Fit entropy-coded rows to a size or an error."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.trellis import Trellis
from embcompress.errors import UsageError
from embcompress.solvers.encoder import Elastic
from embcompress.solvers.trellis_design import Design, Designer, Sample
from embcompress.solvers.trellis_encoder import EFFORTS, Encoded, RecordEncoder, TrellisEncoder
from embcompress.solvers.trellis_frame import frame_of, water_level
from embcompress.solvers.trellis_lengths import ADDRESS_BITS, class_bits, solve_step
from embcompress.solvers.trellis_sampling import (
    Wish,
    moments_for,
    needs_of,
    rows_of_record,
    sampled,
)
from embcompress.solvers.trellis_weights import Graded, Grades

if TYPE_CHECKING:
    from embcompress.solvers.run import Run
    from embcompress.solvers.statistics import Statistics
    from embcompress.tables.rows import Rows, Tile

_FEW_ROWS, _FEW_WEIGHTS = 2000, 60_000
"""Tables of magnitudes follow a rule below."""
_VERY_FEW_ROWS = 32
"""Columns of fewer rows have one spread: a byte a column would be too much."""
_FIXED, _FAR = 24, 0.1
"""Bytes that a stream takes beside records, classes and addresses, about; and how far a size may
lie from that of the design, whose tables would not fit."""
_FINEST = 2.0**-15
"""The least step, over the largest spread: coordinates have 24 bits."""
_COARSE, _SHORT = 7, 0.002
"""Steps that are tried on few records, and how near a wish they have to come."""
_COUNTS = {1: (3, 7, 15, 31), 2: (3, 7, 15, 31, 63, 127), 4: (7, 15, 31, 63, 127)}
_MORE = (63,)
"""Classes that are tried besides for records of one row in several steps."""
_NEAR = 64
_AIMS, _CAUTION, _LEAST_SHARE = 6, 0.985, 0.8
_STRIDE, _REACH = 0.5, 4.0
"""Octaves that a step is changed by at once, and how far it may come from the designed one."""
_TRIED, _TRIED_WEIGHTS, _CLOSE = 1024, 1_500_000, 0.0005
"""Records that a design is tried on, at least, or as many as have so many numbers, and how near to
the wished bits they have to come."""
_LEAST = 8.0
_LEAST_HALVES = 3
_LARGEST = 1e37
"""Steps that classes have of their own are at most this."""
_FINE = 7
"""Bits of a weight from which raw rows are float32."""


class TrellisFit(TrellisEncoder, Elastic):
    """A fit, which encodes once it is told how large it may be."""

    def __init__(self, rows: Rows, wish: Wish, context: Run) -> None:
        """Fit to a sample.

        Args:
            rows: The rows.
            wish: What is wanted.
            context: Statistics and settings.
        """
        self._rows, self._wish, self._context = rows, wish, context
        self._effort = EFFORTS[wish.effort]
        self._fixed: float = _FIXED
        self._count = 0
        n, d = rows.shape
        found = context.statistics(rows, needs_of(wish.effort))
        assert found.mean is not None
        assert found.gram is not None
        assert found.sample is not None
        same = (found.sample == found.sample[:, :1]).all(axis=1) if d > 1 else np.zeros(1)
        constant = float(same.mean()) if len(same) else 0.0
        tried = rows_of_record(wish, rows, constant)
        r = max(tried)
        drawn, frequencies = sampled(rows, found, r, self._effort.records(r * d), context)
        bits = 8 * wish.nbytes / max(n, 1) if wish.nbytes is not None else self._bits_for(found)
        mean, gram = found.mean, found.gram
        if wish.weight != "none" or rows.weights is not None:
            mean, gram = moments_for(wish.weight, rows, context)
        self._frame = frame_of(found.largest, mean, gram, n, bits)
        self._constant = constant > 0
        self._small = n < _FEW_ROWS or n * d < _FEW_WEIGHTS
        self._raw = "fp16" if d >= _LEAST_HALVES and bits < _FINE * d else "fp32"
        coordinates = self._frame.coordinates(drawn)
        self._spare = self._outside(drawn, coordinates)
        # constant rows are stored apart
        same = (drawn == drawn[:, :1]).all(axis=1) if d > 1 else np.zeros(len(drawn), np.bool_)
        kept = ~np.repeat(same.reshape(-1, r).any(axis=1), r)
        plain, drawn = coordinates[kept], drawn[kept]
        self._logs = self._frame.log_norms(drawn)
        self._mean_log = 0.0
        if len(plain):
            whole = len(coordinates) >= n
            self._mean_log = float(self._logs.mean()) if whole else self._mean_of_logs()
        frequencies = None if frequencies is None else frequencies[kept]
        self._share = len(plain) / max(len(coordinates), 1)
        self._grades = {
            own: Grades.of(wish.weight, own, self._frame.unit, drawn, frequencies) for own in tried
        }
        samples = [
            self._graded(grades.graded(plain, drawn, frequencies), own)
            for own, grades in self._grades.items()
        ]
        with context.progress.stage("fitting", self._effort.rounds + _COARSE):
            self._sample = samples[0] if len(samples) == 1 else self._best_of(samples, bits)
            self._design = self._designed(bits)
        self._designed_step = self._design.step
        self._build()

    def _mean_of_logs(self) -> float:
        """Mean logarithm of the norms of all rows that are not constant."""
        d, frame = self._rows.shape[1], self._frame

        def one(tile: Tile) -> tuple[float, int]:
            rows = tile.rows
            if d > 1:
                rows = rows[(rows != rows[:, :1]).any(axis=1)]
            return float(frame.log_norms(rows).sum()), len(rows)

        totals = [*self._context.each(self._rows, one, "norms")]
        return sum(t for t, _ in totals) / max(sum(c for _, c in totals), 1)

    def _graded(self, graded: Graded, r: int) -> Sample:
        """A sample of records of r rows."""
        count, size = graded.records.shape
        wide = graded.scaled.reshape(count * r, size // r).astype(np.float64)
        spreads = np.sqrt((wide * wide).mean(axis=0)) if len(wide) else np.zeros(wide.shape[1])
        if self._rows.shape[0] < _VERY_FEW_ROWS:
            spreads[:] = math.sqrt(float((spreads * spreads).mean())) if len(spreads) else 0.0
        return Sample(graded, r, spreads, self._context.threads)

    def _bits_for(self, found: Statistics) -> float:
        """Bits of a row that a wished relative error needs, by the Gaussian bound."""
        assert found.gram is not None
        assert self._wish.error is not None
        variances = np.maximum(np.linalg.eigvalsh(found.gram), 0)
        wanted = self._wish.error**2 * float(variances.sum())
        low, high = 0.0, 32.0 * max(len(variances), 1)
        for _ in range(40):
            middle = 0.5 * (low + high)
            level = water_level(variances, middle)
            if float(np.minimum(variances, level).sum()) > wanted:
                low = middle
            else:
                high = middle
        return high + 1

    def _outside(self, drawn: NDArray[np.float32], coordinates: NDArray[np.float32]) -> float:
        """Mean squared error of rows that coordinates lose, over the square of the unit."""
        frame = self._frame
        if frame.basis is None or not len(drawn):
            return 0.0
        back = coordinates.astype(np.float64) @ frame.basis.matrix
        back += frame.offset.astype(np.float64) * float(frame.offset_unit)
        away = drawn.astype(np.float64) / frame.unit - back
        return float(np.einsum("ij,ij->i", away, away).mean())

    def _designer_of(self, sample: Sample) -> Designer:
        states, effort = self._wish.states, self._effort
        return Designer(sample, states, effort.scouts, effort.reach, small=self._small)

    @property
    def _records(self) -> int:
        return -(-self._rows.shape[0] // self._sample.rows)

    def _best_of(self, samples: list[Sample], bits: float) -> Sample:
        """The sample whose records have the best number of rows, at one step for all."""
        if not len(samples[0].records) or not (samples[0].spreads > 0).any():
            return samples[0]
        step = math.sqrt(max(water_level(samples[0].spreads ** 2, bits), 1e-24) / 0.3)
        scores = []
        for sample in samples:
            self._sample = sample
            designer = self._designer_of(sample)
            count = max(1, min(15 if sample.rows == 1 else 63, len(sample.records) // 8))
            design = designer.at(step, count, few=True)
            score = design.cost + 8 * self._shared_bytes(design) / self._records
            scores.append(score / sample.rows)
        return samples[int(np.argmin(scores))]

    def _designed(self, bits: float) -> Design:
        """The design for so many bits of a row, or for the wished error."""
        sample = self._sample
        self._designer = self._designer_of(sample)
        if not len(sample.records) or not (sample.spreads > 0).any():
            return self._idle()
        variances = sample.spreads**2
        level = water_level(variances, bits)
        guess = math.sqrt(max(level, 1e-24) / 0.3)
        limit = max(len(sample.records) // 8, 1)
        counts = [c for c in _COUNTS.get(sample.rows, (15, 31, 63, 127)) if c <= limit] or [limit]
        if sample.rows == 1 and sample.graded.grades.any():
            counts += [c for c in _MORE if c <= limit]
        usual = min(15, max(counts))
        step = self._solved(guess, usual, _COARSE, few=True)
        if self._effort.rounds > EFFORTS["fast"].rounds or sample.rows > 1:
            scores = {}
            for count in counts:
                self._designer.gains = None
                design = self._designer.at(step, count, few=True)
                scores[count] = design.cost + 8 * self._shared_bytes(design) / self._records
            usual = min(scores, key=lambda c: scores[c])
        self._designer.gains = None
        self._count = usual
        step = self._solved(step, usual, self._effort.rounds, few=False)
        design = self._designer.at(step, usual, few=False)
        design = self._designer.refined(design, self._effort.refinements)
        return self._designer.finish(design)

    def _solved(self, guess: float, count: int, rounds: int, *, few: bool) -> float:
        """The step whose design has the wished size or error."""
        designer = self._designer
        least = float(self._sample.spreads.max()) * _FINEST
        if self._wish.error is not None:
            wanted = self._wanted_error() / self._records - self._spare * self._sample.rows
            wanted = max(wanted, 1e-30)

            def exactness(step: float) -> float:
                design = designer.at(step, count, few=few, rounds=1)
                return -math.log2(max(design.distortion, 1e-30))

            return solve_step(exactness, -math.log2(wanted), guess, 2, rounds, _SHORT, least)

        def size(step: float) -> float:
            design = designer.at(step, count, few=few, rounds=1)
            self._design = design
            return design.bits + 8 * self._shared_bytes(design) / self._records

        assert self._wish.nbytes is not None
        wanted = 8 * max(self._wish.nbytes - self._fixed, 1) / self._records
        level = (guess / 2) ** 2
        active = self._sample.rows * max(int((self._sample.spreads**2 > level).sum()), 1)
        return solve_step(size, wanted, guess, active, rounds, _SHORT * wanted, least)

    def _wanted_error(self) -> float:
        """Squared error of all rows that the wish allows, over the square of the unit."""
        found = self._context.statistics(self._rows, needs_of(self._wish.effort))
        assert self._wish.error is not None
        energy = float(found.squares.sum()) / self._frame.unit**2
        return self._wish.error**2 * energy

    def _idle(self) -> Design:
        """A design for coordinates that are all 0."""
        from embcompress.codecs.trellis_tables import Classes, Tables

        n, r = len(self._sample.spreads), self._sample.rows
        tables = Tables(self._wish.states, 11, -6, (), np.zeros((0, 3), np.int64))
        classes = Classes(np.zeros((1, r), np.int64), np.ones(1, np.float32), np.zeros(1, np.int64))
        narrower = np.zeros(n, np.uint8)
        grades = np.zeros(1, np.int64)
        return Design(tables, classes, grades, 1.0, -(2**15), narrower, narrower == 0, 1.5, 0.0)

    def _shared_bytes(self, design: Design) -> int:
        return sum(a.nbytes for a in self._codec(design).shared().values())

    def _codec(self, design: Design) -> Trellis:
        frame, d = self._frame, self._rows.shape[1]
        unit = frame.unit
        numbers = np.array([frame.offset_unit * unit, design.step * unit, unit / 2**14], np.float32)
        steps = np.full(len(design.classes.lengths), numbers[1], np.float32)
        own_steps = bool(design.grades.any())
        if own_steps:
            scales = self._grades[self._sample.rows].scales[design.grades]
            steps = np.minimum(design.step * unit * scales, _LARGEST).astype(np.float32)
        classes = replace(design.classes, steps=steps)
        return Trellis(
            d, self._sample.rows, numbers, frame.offset, frame.basis, design.widest,
            design.narrower, design.tables, classes, own_steps,
            self._constant, self._raw,
        )  # fmt: skip

    def _build(self) -> None:
        self.codec = self._codec(self._design)
        grades = self._grades[self._sample.rows]
        coder = RecordEncoder(self.codec, self._frame, grades, self._design, self._effort)
        TrellisEncoder.__init__(self, coder)

    @property
    def open_ended(self) -> bool:
        """Whether a budget is to be filled."""
        return self._wish.open_ended

    @property
    def weights(self) -> int:
        """Numbers in the rows."""
        n, d = self._rows.shape
        return n * d

    @property
    def stream_bits(self) -> int:
        """Bits of all records."""
        return self._bits

    def fill(self, nbytes: int, *, at_most: bool) -> None:
        """Encode all rows so that the stream takes so many bytes."""
        self._fill(nbytes)
        n = self._rows.shape[0]
        taken = self.codec.stream.nbytes(n, self._bits)
        if at_most and taken > nbytes:
            raise UsageError(
                f"{self._rows.name}: a budget that leaves {nbytes:,} bytes for its {n:,} rows is"
                f" too small; they take {taken:,} or more"
            )

    def _fill(self, nbytes: int) -> None:
        room = 8 * (nbytes - self.codec.stream.nbytes(self._rows.shape[0], 0))
        near = 8.0 * _NEAR - _LEAST
        aim = float(room)
        for _ in range(_AIMS):
            self._approach_size(aim)
            self._bits = int(self.encode_all(self._rows, self._context, room, _bits_of, 1.5, near))
            if self._bits <= room:
                break
            # a sample of few records may promise too much
            aim *= _CAUTION * max(room / self._bits, _LEAST_SHARE)

    def fill_own(self, nbytes: int) -> None:
        """Encode so that streams and shared arrays together take so many bytes, or the fewest."""
        n = self._rows.shape[0]

        def room() -> int:
            shared = sum(a.nbytes for a in self.codec.shared().values())
            return max(nbytes - shared, self.codec.stream.nbytes(n, 0))

        for _ in range(_AIMS):
            wanted = 8 * (room() - self.codec.stream.nbytes(n, 0))
            promised = (self._design.bits - self._side_bits) * self._records
            if self._count == 0 or abs(promised - wanted) < _FAR * wanted:
                break
            # so few bytes that all but the records counts
            self._fixed += (promised - wanted) / 8
            step = self._solved(self._design.step, self._count, self._effort.rounds, few=False)
            design = self._designer.at(step, self._count, few=False)
            self._design = self._designer.finish(design)
            self._designed_step = step
            self._build()
        self._fill(room())

    @property
    def _side_bits(self) -> float:
        """Bits of a record beside its own: class and address."""
        return class_bits(len(self._design.classes.gains) + 1) + ADDRESS_BITS

    def _approach_size(self, room: float) -> None:
        """Change the step until the sample's records take the room's share."""
        design, designer = self._design, self._designer
        if not len(self._sample.records) or not len(design.tables.frequencies):
            return
        side = self._side_bits
        special = (1 - self._share) * (32 if self._constant else 16 * self._rows.shape[1])
        special *= self._sample.rows
        wanted = (room / self._records - special) / max(self._share, 1e-9)

        def bits(step: float) -> float:
            nonlocal design
            design = designer.relengthen(self._design, step)
            return design.bits - side

        size = max(self._sample.records.shape[1], 1)
        tried = self._sample.graded.some(slice(max(_TRIED, _TRIED_WEIGHTS // size)))
        active = max(self._sample.rows * int(design.active.sum()), 1)
        designed = self._designed_step
        step = solve_step(bits, wanted, self._design.step, active, _AIMS, _CLOSE * wanted)
        step = min(max(step, designed / _REACH), designed * _REACH)
        low, high = 0.0, math.inf
        for _ in range(2 * _AIMS):
            bits(step)
            self._design = design
            self._build()
            # what the design promises is a bound; searches come near to it
            over = self._corrected_mean(self._coder.lengths(tried)) - wanted
            if abs(over) < _CLOSE * wanted:
                break
            low, high = (step, high) if over > 0 else (low, step)
            step *= 2 ** min(max(over / active, -_STRIDE), _STRIDE)
            if not low < step < high:
                # raw records make the size of few bits steeper than coordinates do
                step = math.sqrt(low * high)
            step = min(max(step, designed / _REACH), designed * _REACH)

    def _corrected_mean(self, lengths: NDArray[np.float64]) -> float:
        """Mean length of all records by those of the sample's first: norms tell them apart."""
        logs = self._logs.reshape(-1, self._sample.rows)[: len(lengths)].mean(axis=1)
        away = logs - logs.mean()
        spread = float(away @ away)
        slope = float(away @ lengths) / spread if spread > 0 else 0.0
        return float(lengths.mean()) + slope * (self._mean_log - float(logs.mean()))

    def reach_error(self) -> None:
        """Encode within the wished error."""
        wanted = self._wanted_error()
        self.encode_all(self._rows, self._context, wanted, _errors_of, 1 / 1.5, 2e-5 * wanted)


def _bits_of(encoded: Encoded) -> NDArray[np.float64]:
    return encoded.lengths.astype(np.float64)


def _errors_of(encoded: Encoded) -> NDArray[np.float64]:
    return encoded.errors


def empty_codec(rows: int, dim: int) -> Trellis:
    """A codec of about the size of those that are fitted, for accounts."""
    from embcompress.codecs.trellis_tables import Classes, Tables

    tables = Tables(1, 11, -6, (), np.zeros((0, 3), np.int64))
    gains, lengths = np.zeros((15, 1), np.int64), np.zeros(15, np.int64)
    classes = Classes(gains, np.ones(15, np.float32), lengths)
    offset, narrower = np.zeros(dim, np.int16), np.zeros(dim, np.uint8)
    return Trellis(
        dim, 1, np.ones(3, np.float32), offset, None, 0, narrower, tables, classes, False, False,
        "fp16" if dim >= _LEAST_HALVES else "fp32",
    )  # fmt: skip
