"""Encode rows near the rate-distortion limit, within a size or an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.stream import StreamPiece
from embcompress.codecs.trellis import CONSTANT, RECORDS, Trellis
from embcompress.solvers.encoder import Encoder
from embcompress.solvers.spool import Spool
from embcompress.solvers.trellis_design import Design
from embcompress.solvers.trellis_frame import Frame
from embcompress.solvers.trellis_gains import log_gains, nearest_classes
from embcompress.solvers.trellis_search import LADDER, LAMBDA, SLACK, STEEP
from embcompress.solvers.trellis_weights import Graded, Grades
from embcompress.threads import one_blas_thread, ordered

if TYPE_CHECKING:
    from embcompress.solvers.run import Run
    from embcompress.tables.rows import Rows

_SLACKS = (SLACK, 0.8, 2.0)
"""Bits left over in a first try, and in those of records that came out too long."""
_HALF = 65504.0
_STEEP_REACH = 12
"""Classes that are tried for a record that is too long for those nearest."""


@dataclass(frozen=True)
class Effort:
    """How hard is searched.

    Args:
        states: Of the state machine, unless others are asked for.
        scouts: States, at most, of the one with which classes are designed.
        reach: Classes that are tried for a record.
        tries: Searches of the chosen one.
        sample: Records that are fitted to, at most.
        weights: Numbers of a sample, about: fewer records if they are long.
        rounds: Steps that are tried on all of them.
        refinements: How often classes move to the records that chose them.
    """

    states: int
    scouts: int
    reach: int
    tries: int
    sample: int
    weights: int
    rounds: int
    refinements: int

    def records(self, size: int) -> int:
        """Records of a sample, ``size`` numbers each."""
        return min(self.sample, max(_LEAST_SAMPLE, self.weights // max(size, 1)))


_LEAST_SAMPLE = 3072
EFFORTS = {
    "fast": Effort(
        states=8, scouts=8, reach=2, tries=1, sample=6144, weights=400_000, rounds=3, refinements=1
    ),
    "normal": Effort(
        states=32, scouts=8, reach=3, tries=1, sample=12288, weights=800_000, rounds=4,
        refinements=1,
    ),
    "best": Effort(
        states=32, scouts=32, reach=7, tries=12, sample=24576, weights=4_000_000, rounds=6,
        refinements=4,
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Encoded:
    """Encoded records with what they cost.

    Args:
        piece: Their classes and bits.
        lengths: int64 [m], bits.
        errors: float64 [m], squared error, over the square of the frame's unit; empty unless
            asked for.
    """

    piece: StreamPiece
    lengths: NDArray[np.int64]
    errors: NDArray[np.float64]

    @property
    def begins(self) -> NDArray[np.int64]:
        """First bits of records, and the bit after the last."""
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(self.lengths)))


def mixed(first: Encoded, second: Encoded, count: int) -> Encoded:
    """The first records of one encoding and the others of another."""
    from embcompress.kernels.stream_records import joined

    a, b = first.begins, second.begins
    pieces = [
        (first.piece.data, 0, int(a[count])),
        (second.piece.data, int(b[count]), int(b[-1] - b[count])),
    ]
    classes = np.concatenate((first.piece.classes[:count], second.piece.classes[count:]))
    bits = pieces[0][2] + pieces[1][2]
    return Encoded(
        StreamPiece(classes, joined(pieces, 0), bits),
        np.concatenate((first.lengths[:count], second.lengths[count:])),
        np.concatenate((first.errors[:count], second.errors[count:])),
    )


class RecordEncoder:
    """Turns rows into records of a codec."""

    def __init__(
        self, codec: Trellis, frame: Frame, grades: Grades, design: Design, effort: Effort
    ) -> None:
        """Prepare the search.

        Args:
            codec: Decodes the records.
            frame: Rows to coordinates.
            grades: Weights of rows to steps.
            design: What the codec was built from.
            effort: How hard is searched.
        """
        self.codec = codec
        self._frame = frame
        self._grades = grades
        self._design = design
        self._effort = effort
        self._spreads = np.maximum(np.exp2(design.spreads / 24) * design.step, 1e-30)
        self._searcher = replace(
            design.searcher(effort.scouts, 1),
            classes=replace(
                design.classes,
                steps=(design.step * grades.scales[design.grades]).astype(np.float32),
            ),
        )

    def encode(
        self,
        rows: NDArray[np.float32],
        frequencies: NDArray[np.float64] | None,
        price: float,
        *,
        errors: bool = False,
    ) -> Encoded:
        """Encode the rows of a tile.

        Args:
            rows: float32 [b, D], whole records but for the last.
            frequencies: float64 [b], or None.
            price: What a bit is worth, over the usual.
            errors: Whether errors are measured.
        """
        codec, r = self.codec, self.codec.rows
        count = -(-len(rows) // r)
        if len(rows) % r:
            more = count * r - len(rows)
            rows = np.concatenate((rows, np.repeat(rows[-1:], more, axis=0)))
            if frequencies is not None:
                frequencies = np.concatenate((frequencies, np.repeat(frequencies[-1:], more)))
        classes = np.full(count, codec.raw_class, np.int64)
        free = ~self._constant(rows, classes)
        codes = np.zeros((count, r * codec.coordinates), np.int32)
        bits = np.zeros(count)
        graded = self._grades.graded(self._frame.coordinates(rows), rows, frequencies)
        self._choose(graded, np.flatnonzero(free), price, classes, codes, bits)
        encoded = self._written(rows, classes, codes, bits, graded, price)
        if not errors:
            return encoded
        return self._measured(rows, encoded)

    def lengths(self, graded: Graded) -> NDArray[np.float64]:
        """Lengths of records, float64 [m], in bits."""
        count = len(graded.records)
        classes = np.full(count, self.codec.raw_class, np.int64)
        codes, bits = np.zeros(graded.records.shape, np.int32), np.zeros(count)
        self._choose(graded, np.arange(count), 1.0, classes, codes, bits)
        found: NDArray[np.float64] = np.array(self.codec.stream.lengths, np.float64)[classes]
        return found

    def _constant(self, rows: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Records with constant rows, which are kept exactly; their classes are set."""
        codec = self.codec
        if codec.dim < 2:
            return np.zeros(len(classes), np.bool_)
        same = (rows == rows[:, :1]).all(axis=1).reshape(-1, codec.rows)
        if codec.constant:
            classes[same.all(axis=1)] = codec.constant_class
        found: NDArray[np.bool_] = same.any(axis=1)
        return found

    def _choose(
        self,
        graded: Graded,
        which: NDArray[np.int64],
        price: float,
        classes: NDArray[np.int64],
        codes: NDArray[np.int32],
        bits: NDArray[np.float64],
        slack: float = SLACK,
    ) -> None:
        """Classes and codes of some records; those that fit nowhere stay raw."""
        classes_known = self._design.classes
        reach = self._effort.reach
        raw_bits = self.codec.stream.lengths[self.codec.raw_class]
        for last in (False, True):
            if not len(which) or not len(classes_known.gains):
                return
            some, grades = graded.records[which], graded.grades[which]
            near = self._near(some, grades, _STEEP_REACH if last else reach)
            worth = np.full(near.shape, 1 / (LAMBDA * price), np.float32)
            worth *= graded.worths[which, None] * self._relative(near, grades)
            slacks = np.full(len(near), slack, np.float32)
            got, own, found = self._searcher.paths(
                some, near, worth, slacks, self._effort.tries, STEEP if last else LADDER
            )
            # a record that loses much is better kept raw
            picked = (near == got[:, None]).argmax(axis=1)
            own_worth = worth[np.arange(len(near)), picked]
            total = found[:, 1] * own_worth + classes_known.lengths[np.maximum(got, 0)]
            fits = (got >= 0) & (total < raw_bits)
            classes[which[fits]] = got[fits]
            codes[which[fits]] = own[fits]
            bits[which[fits]] = found[fits, 0]
            which = which[~fits]

    def _near(
        self, records: NDArray[np.float32], grades: NDArray[np.int64], reach: int
    ) -> NDArray[np.int64]:
        """Classes to try: those of a record's grade, and one of either grade beside it."""
        design, steps = self._design, self._grades.steps
        logs = log_gains(records, self.codec.rows, self._spreads, design.active)
        known = design.classes.gains, design.grades
        near = nearest_classes(logs - steps[grades, None], grades, *known, reach)
        if not design.grades.any():
            return near
        found = [near]
        for beside in (grades - 1, grades + 1):
            other = np.clip(beside, 0, len(steps) - 1)
            one = nearest_classes(logs - steps[other, None], other, *known, 1)
            found.append(np.where((other == beside)[:, None], one, -1))
        return np.concatenate(found, axis=1)

    def _relative(self, near: NDArray[np.int64], grades: NDArray[np.int64]) -> NDArray[np.float32]:
        """Squares of classes' steps over those of records' grades, float32 [b, c]."""
        scales = self._grades.scales
        relative = scales[self._design.grades[near]] / scales[grades, None]
        return (relative * relative).astype(np.float32)

    def _written(
        self,
        rows: NDArray[np.float32],
        classes: NDArray[np.int64],
        codes: NDArray[np.int32],
        bits: NDArray[np.float64],
        graded: Graded,
        price: float,
    ) -> Encoded:
        """Write records, again with some bits left over where they came out too long.

        Those that never come out at their length are raw in the end.
        """
        lengths_of = np.array(self.codec.stream.lengths, np.int64)
        slacks = list(_SLACKS[1:])
        while True:
            lengths = lengths_of[classes]
            string, begins, written = self._write(classes, codes, bits, lengths)
            failed = np.flatnonzero((classes < len(self._design.classes.lengths)) & (written == 0))
            if not len(failed):
                break
            classes[failed] = self.codec.raw_class
            if slacks:
                self._choose(graded, failed, price, classes, codes, bits, slacks.pop(0))
        for record in np.flatnonzero(classes >= len(self._design.classes.lengths)):
            self._put_special(rows, int(record), classes, string, int(begins[record]))
        total = int(lengths.sum())
        return Encoded(StreamPiece(classes, string, total), lengths, np.empty(0))

    def _write(
        self,
        classes: NDArray[np.int64],
        codes: NDArray[np.int32],
        bits: NDArray[np.float64],
        lengths: NDArray[np.int64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8]]:
        from embcompress.kernels.rans import write_records

        design, tables, order = self._design, self._design.tables, self._searcher.order
        begins = np.cumsum(lengths) - lengths
        string = np.zeros((int(lengths.sum()) + 7) // 8 + 16, np.uint8)
        written = np.zeros(len(classes), np.uint8)
        plain = np.where(classes < len(design.classes.lengths), classes, -1)
        write_records(
            codes, plain, order.tables, order.counts, design.classes.lengths, bits, tables.moves,
            tables.most, tables.low, tables.wide, tables.first, tables.ranked, tables.precision,
            begins, string, written,
        )  # fmt: skip
        return string[: len(string) - 8], begins, written

    def _put_special(
        self,
        rows: NDArray[np.float32],
        record: int,
        classes: NDArray[np.int64],
        string: NDArray[np.uint8],
        begin: int,
    ) -> None:
        from embcompress.kernels.stream_records import copy_bits

        codec = self.codec
        own = rows[record * codec.rows : (record + 1) * codec.rows]
        if classes[record] == codec.constant_class:
            raw = np.ascontiguousarray(own[:, 0], "<f4").view(np.uint8)
        elif codec.raw == "fp32":
            raw = np.ascontiguousarray(own, "<f4").reshape(-1).view(np.uint8)
        else:
            scaled = own.astype(np.float64) / float(codec.numbers[2])
            halves = np.clip(scaled, -_HALF, _HALF).astype("<f2").view("<u2")
            for i in np.flatnonzero((own == own[:, :1]).all(axis=1)):
                halves[i, 0] = CONSTANT
                halves[i, 1:3] = own[i, :1].astype("<f4").view("<u2")
            raw = np.ascontiguousarray(halves).reshape(-1).view(np.uint8)
        padded = np.concatenate((raw, np.zeros(8, np.uint8)))
        copy_bits(padded, 0, 8 * len(raw), string, begin)

    def _measured(self, rows: NDArray[np.float32], encoded: Encoded) -> Encoded:
        from embcompress.codecs.base import Parts
        from embcompress.codecs.stream import StreamRows

        codec = self.codec
        stream = StreamRows.build(codec.stream, encoded.piece.classes, encoded.piece.data)
        parts = Parts(np.empty((len(rows), 0), np.uint8), streams={RECORDS: stream})
        decoded = np.empty_like(rows)
        codec.decode(parts, np.arange(len(rows), dtype=np.int64), decoded)
        away = (rows.astype(np.float64) - decoded) / self._frame.unit
        squares = np.einsum("ij,ij->i", away, away).reshape(-1, codec.rows).sum(axis=1)
        return Encoded(encoded.piece, encoded.lengths, squares)


class TrellisEncoder(Encoder):
    """Hands out records that were encoded beforehand, within a size or an error."""

    codec: Trellis

    def __init__(self, coder: RecordEncoder) -> None:
        self.codec = coder.codec
        self._coder = coder
        self._spool = Spool()
        self._tiles: dict[tuple[int, int], int] = {}

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        """The records of a tile as they were settled; others are encoded as they come."""
        number = self._tiles.get((int(ids[0]), len(ids))) if len(ids) else None
        if number is None:
            return {RECORDS: self._coder.encode(rows, None, 1.0).piece}
        return {RECORDS: self._spool.get(number)}

    def encode_all(
        self,
        rows: Rows,
        context: Run,
        wanted: float,
        cost: Callable[[Encoded], NDArray[np.float64]],
        cheaper: float,
        near: float,
    ) -> float:
        """Encode all rows so that a cost stays below a bound, and as near to it as can be.

        All records are encoded at the usual price of a bit; then records of as many tiles as
        needed are encoded at another price, in a fixed order, up to the record that matters.

        Args:
            rows: The rows.
            context: Threads and progress.
            wanted: The bound.
            cost: Of every record: its bits or its error.
            cheaper: Factor of the price that lowers the cost.
            near: How far below the bound is near enough.

        Returns:
            The cost.
        """
        errors = cheaper < 1
        totals: list[float] = []

        def fresh(price: float) -> Callable[[Any], tuple[tuple[int, int], Encoded]]:
            def one(tile: Any) -> tuple[tuple[int, int], Encoded]:
                key = (int(tile.ids[0]), len(tile.ids))
                return key, self._coder.encode(tile.rows, tile.weights, price, errors=errors)

            return one

        for number, (key, encoded) in enumerate(context.each(rows, fresh(1.0), "encoding")):
            self._tiles[key] = number
            self._spool.put(number, encoded.piece)
            totals.append(float(cost(encoded).sum()))
        with one_blas_thread():
            return self._approach(rows, context, totals, wanted, cost, cheaper, near, errors=errors)

    def _approach(
        self,
        rows: Rows,
        context: Run,
        totals: list[float],
        wanted: float,
        cost: Callable[[Encoded], NDArray[np.float64]],
        cheaper: float,
        near: float,
        *,
        errors: bool,
    ) -> float:
        order = np.random.Generator(np.random.PCG64(5)).permutation(len(totals)).tolist()
        price = 1.0

        def again(number: int) -> tuple[int, Encoded]:
            tile = rows.tile(number)
            return number, self._coder.encode(tile.rows, tile.weights, price, errors=errors)

        over = sum(totals) > wanted
        for _ in range(_ROUNDS):
            if (over and sum(totals) <= wanted) or (
                not over and wanted - near <= sum(totals) <= wanted
            ):
                break
            old, price = price, price * (cheaper if over else 1 / cheaper)
            for number, other in ordered(again, order, context.threads):
                left = sum(totals) - totals[number]
                changed = left + float(cost(other).sum())
                if (over and changed > wanted) or (not over and changed <= wanted):
                    self._spool.put(number, other.piece)
                    totals[number] = changed - left
                    continue
                # the bound lies within this tile: some records at either price
                tile = rows.tile(number)
                kept = self._coder.encode(tile.rows, tile.weights, old, errors=errors)
                dear, cheap = (kept, other) if over else (other, kept)
                ahead = np.concatenate((np.zeros(1), np.cumsum(cost(dear))))
                behind = np.concatenate((np.cumsum(cost(cheap)[::-1])[::-1], np.zeros(1)))
                fits = np.flatnonzero(left + ahead + behind <= wanted)
                count = int(fits[-1]) if len(fits) else 0
                both = mixed(dear, cheap, count)
                self._spool.put(number, both.piece)
                totals[number] = float(cost(both).sum())
                return sum(totals)
        return sum(totals)


_ROUNDS = 12
