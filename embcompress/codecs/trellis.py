"""Rows near the rate-distortion limit: entropy-coded, each record readable alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Parts
from embcompress.codecs.hostile import Array, Config, Json, Packing, Shared
from embcompress.codecs.stream import Stream, StreamRows
from embcompress.codecs.trellis_basis import Basis
from embcompress.codecs.trellis_tables import MOST_SYMBOLS, Classes, Family, Order, Tables
from embcompress.errors import BadInput
from embcompress.kernels.machine import STATES

_BATCH = 512
_MOST_CLASSES = 2**16
RECORDS = "records"
CONSTANT = np.uint16(0x7FFF)
"""A raw row of fp16 that begins so is constant: its number is the float32 in the next two."""
_RAW = {"fp16": 16, "fp32": 32}
_LEAST_HALVES = 3
"""Columns of a row of fp16 that can hold the mark and number of a constant one."""
_LENGTHS = {2: "<u2", 4: "<u4"}
_GAINS = {1: "i1", 2: "<i2"}


@dataclass(frozen=True, eq=False)
class Trellis(Codec):
    """row = offset + coordinates · basis, the coordinates of r rows in a record of exact length.

    Shared: ``model`` uint8: numbers, offset, spreads, classes, tables and basis, one after the
    other as docs/format.md lists them. Stream: ``records``.
    """

    name = "trellis"

    dim: int
    rows: int
    numbers: NDArray[np.float32]
    offsets: NDArray[np.int16]
    basis: Basis | None
    widest: int
    narrower: NDArray[np.uint8]
    tables: Tables
    classes: Classes
    own_steps: bool
    constant: bool
    raw: str

    @property
    def coordinates(self) -> int:
        """Coordinates n of a row."""
        return len(self.narrower)

    @cached_property
    def stream(self) -> Stream:
        """The stream of records: trellis classes, then constant rows, then raw rows."""
        lengths = self.classes.lengths.tolist()
        if self.constant:
            lengths.append(32 * self.rows)
        lengths.append(_RAW[self.raw] * self.dim * self.rows)
        return Stream(RECORDS, tuple(lengths), self.rows)

    @property
    def constant_class(self) -> int:
        """The class of records whose rows are constant; -1 if there is none."""
        return len(self.classes.lengths) if self.constant else -1

    @property
    def raw_class(self) -> int:
        """The class of raw records."""
        return len(self.classes.lengths) + int(self.constant)

    @cached_property
    def offset(self) -> NDArray[np.float32]:
        """float32 [D]."""
        offset: NDArray[np.float32] = self.offsets.astype(np.float32) * self.numbers[0]
        return offset

    @cached_property
    def spreads(self) -> NDArray[np.int64]:
        """Spread of each coordinate over the step, in 1/24 octave, int64 [n]."""
        return self.widest - self.narrower.astype(np.int64)

    @cached_property
    def order(self) -> Order:
        """How classes code coordinates."""
        return Order.of(self.tables, self.spreads, self.classes.gains)

    def layout(self) -> Layout:
        return Layout(streams=(self.stream,))

    def config(self) -> dict[str, Json]:
        family = self.tables.family
        return {
            "rows": self.rows,
            "coordinates": self.coordinates,
            "basis": int(self.basis is not None),
            "offset": int(self.offsets.any()),
            "even": int(not self.narrower.any()),
            "widest": self.widest,
            "states": self.tables.states,
            "precision": self.tables.precision,
            "lowest": self.tables.lowest,
            "tables": self.tables.idle,
            "shape": family.shape if family else 0,
            "width": family.width if family else 0,
            "zero": family.zero if family else 0,
            "classes": len(self.classes.lengths),
            "steps": int(self.own_steps),
            "constant": int(self.constant),
            "raw": self.raw,
            "length_bytes": self.widths[0],
            "gain_bytes": self.widths[1],
        }

    @cached_property
    def _shared(self) -> dict[str, Array]:
        tables, classes = self.tables, self.classes
        counts = [len(f) - 1 for f in tables.frequencies]
        flat = np.concatenate([np.empty(0, np.int64), *tables.frequencies])
        pieces = [
            self.numbers,
            self.offsets[: self.dim * self.offsets.any()],
            self.narrower[: self.coordinates * self.narrower.any()],
            classes.lengths.astype(_LENGTHS[self.widths[0]]),
            classes.gains.astype(_GAINS[self.widths[1]]),
            classes.steps if self.own_steps else np.empty(0, np.float32),
            np.array(counts, np.uint8),
            tables.shifts.astype("i1"),
            flat.astype("<u2"),
            *([] if self.basis is None else self.basis.pieces()),
        ]
        if tables.family is not None:
            pieces[6:9] = []
        raw = b"".join(np.ascontiguousarray(piece).tobytes() for piece in pieces)
        return {"model": np.frombuffer(raw, np.uint8)}

    @property
    def widths(self) -> tuple[int, int]:
        """Bytes of a stored length, and of a gain."""
        long = self.classes.lengths.max(initial=0) >= 2**16
        far = np.abs(self.classes.gains).max(initial=0) >= 2**7
        return 4 if long else 2, 2 if far else 1

    def shared(self) -> dict[str, Array]:
        return self._shared

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Trellis:
        where = config.where
        rows = config.integer("rows", 1, 4096)
        n = config.integer("coordinates", 0, dim)
        with_basis = config.integer("basis", 0, 1)
        with_offset, even = config.integer("offset", 0, 1), config.integer("even", 0, 1)
        widest = config.integer("widest", -(2**15), 2**15)
        states = config.integer("states", 1, 32)
        precision = config.integer("precision", 6, 12)
        lowest = config.integer("lowest", -64, 64)
        count = config.integer("tables", 0, 256)
        shape = config.integer("shape", 0, 64)
        least = min(shape, 1)
        width = config.integer("width", least, 255 * least)
        zero = config.integer("zero", least, 255 * least)
        g = config.integer("classes", 0, _MOST_CLASSES - 2)
        own_steps = bool(config.integer("steps", 0, 1))
        constant = bool(config.integer("constant", 0, 1))
        raw = config.choice("raw", *_RAW)
        lengths_of = _LENGTHS.get(config.integer("length_bytes", 2, 4))
        gains_of = _GAINS.get(config.integer("gain_bytes", 1, 2))
        if states not in STATES:
            raise BadInput(f"{where}: no state machine has {states} states")
        if not with_basis and n != dim:
            raise BadInput(f"{where}: {n} coordinates of {dim} without a basis")
        if count % (2 if states > 1 else 1):
            raise BadInput(f"{where}: {count} tables for two quantizers")
        if lengths_of is None or gains_of is None:
            raise BadInput(f"{where}: lengths or gains of a width that none have")
        model = Packing(shared, "model")
        numbers = model.take("<f4", 3)
        offsets = model.take("<i2", dim) if with_offset else np.zeros(dim, "<i2")
        narrower = np.zeros(n, "u1") if even else model.take("u1", n)
        lengths = model.take(lengths_of, g).astype(np.int64)
        gains = model.take(gains_of, g * rows).astype(np.int64).reshape(g, rows)
        steps = model.take("<f4", g) if own_steps else np.full(g, numbers[1], np.float32)
        if 32 * rows * dim >= 2**26 or lengths.max(initial=0) >= 2**26:
            raise BadInput(f"{where}: a record is longer than 2**26 bits")
        if raw == "fp16" and dim < _LEAST_HALVES:
            raise BadInput(f"{where}: raw rows of {dim} columns are fp32")
        if shape:
            tables = Family(shape, width, zero).tables(states, precision, lowest, count)
        else:
            tables = cls._load_tables(model, states, precision, lowest, count)
        basis = Basis.take(n, dim, model) if with_basis else None
        model.end()
        return cls(
            dim, rows, numbers, offsets, basis, widest, narrower, tables,
            Classes(gains, steps, lengths), own_steps, constant, raw,
        )  # fmt: skip

    @staticmethod
    def _load_tables(
        model: Packing, states: int, precision: int, lowest: int, count: int
    ) -> Tables:
        symbols = model.take("u1", count).astype(np.int64)
        if count and not 1 <= symbols.min() <= symbols.max() <= MOST_SYMBOLS:
            raise BadInput(f"{model.where}: a table has no magnitudes, or too many")
        shifts = model.take("i1", 3 * count).astype(np.int64).reshape(count, 3)
        if (shifts == -128).any():
            raise BadInput(f"{model.where}: a shift is -128")
        flat = model.take("<u2", int(symbols.sum()) + count).astype(np.int64)
        frequencies = tuple(np.split(flat, np.cumsum(symbols + 1)[:-1]) if count else ())
        for f in frequencies:
            if f.min() < 1 or f.sum() != 1 << precision:
                raise BadInput(f"{model.where}: frequencies do not sum to 2**{precision}")
        return Tables(states, precision, lowest, frequencies, shifts)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        stream = parts.streams[RECORDS]
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            self._decode_batch(stream, some, out[start : start + _BATCH])

    def _decode_batch(
        self, stream: StreamRows, rows: NDArray[np.int64], out: NDArray[np.float32]
    ) -> None:
        from embcompress.kernels.project import project, shift

        records = stream.records(rows)
        which = None
        if self.rows > 1:
            # neighbours share a record, which is read once
            fresh = np.concatenate(([True], records[1:] != records[:-1]))
            which = (np.cumsum(fresh) - 1) * self.rows + (rows + stream.first) % self.rows
            records = np.ascontiguousarray(records[fresh])
        classes, begins = stream.locate(records)
        special = np.flatnonzero(classes >= len(self.classes.lengths))
        coordinates = np.empty((len(records), self.rows * self.coordinates), np.float32)
        if len(special):
            coordinates[:] = 0
            plain = np.flatnonzero(classes < len(self.classes.lengths))
            if len(plain):
                found = np.empty((len(plain), coordinates.shape[1]), np.float32)
                self._read(stream.data, begins[plain], classes[plain], found)
                coordinates[plain] = found
        else:
            self._read(stream.data, begins, classes, coordinates)
        coordinates = coordinates.reshape(len(records) * self.rows, self.coordinates)
        if which is not None:
            coordinates = coordinates[which]
        if self.basis is None:
            shift(coordinates, self.offset, out)
        else:
            project(coordinates, self.basis.matrix, self.offset, out)
        if len(special):
            own = np.arange(len(rows)) if which is None else which
            for record in special:
                values = self.special(stream.data, int(begins[record]), int(classes[record]))
                mine = np.flatnonzero(own // self.rows == record)
                out[mine] = values[own[mine] % self.rows]

    def _read(
        self,
        data: NDArray[np.uint8],
        begins: NDArray[np.int64],
        classes: NDArray[np.int64],
        out: NDArray[np.float32],
    ) -> None:
        from embcompress.kernels.rans_reading import read_records_at

        tables, order = self.tables, self.order
        read_records_at(
            data, begins, classes, self.classes.lengths, order.tables, order.places, order.counts,
            self.classes.steps, tables.slots, tables.low, tables.most, tables.values, tables.shift,
            tables.moves, tables.precision, tables.idle, out,
        )  # fmt: skip

    def special(self, data: NDArray[np.uint8], begin: int, kind: int) -> NDArray[np.float32]:
        """Rows of a record of constant or raw rows, float32 [r, D].

        Args:
            data: The stream's bytes.
            begin: First bit of the record.
            kind: Its class.
        """
        from embcompress.kernels.stream_records import joined

        count = self.stream.lengths[kind]
        string = joined([(data, begin, count)], 0)[: count // 8]
        if kind == self.constant_class:
            return np.repeat(string.view("<f4")[:, None], self.dim, axis=1)
        if self.raw == "fp32":
            return string.view("<f4").reshape(self.rows, self.dim)
        halves = string.view("<u2").reshape(self.rows, self.dim)
        with np.errstate(invalid="ignore"):  # of a damaged file
            values: NDArray[np.float32] = halves.view("<f2").astype(np.float32) * self.numbers[2]
        for row in np.flatnonzero(halves[:, 0] == CONSTANT):
            values[row] = halves[row, 1:3].copy().view("<f4")[0]
        return values

    def check(self, parts: Parts, start: int, stop: int) -> None:
        stream = parts.streams[RECORDS]
        if stop == start:
            return
        ends = stream.records(np.array([start, stop - 1], np.int64))
        records = np.arange(ends[0], ends[1] + 1)
        classes, begins = stream.locate(records)
        for i in np.flatnonzero(classes >= len(self.classes.lengths)):
            values = self.special(stream.data, int(begins[i]), int(classes[i]))
            if not np.isfinite(values).all():
                row = max(start, int(records[i]) * self.rows - stream.first)
                raise BadInput(f"row {row}: a raw value is not finite")
