"""Rows near the rate-distortion limit: entropy-coded, each record readable alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Parts, Stream, StreamRows
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.codecs.trellis_basis import Basis
from embcompress.codecs.trellis_tables import MOST_SYMBOLS, Classes, Order, Tables
from embcompress.errors import BadInput
from embcompress.kernels.machine import STATES

_BATCH = 512
_MOST_CLASSES = 2**16
RECORDS = "records"
CONSTANT = np.uint16(0x7FFF)
"""A raw row of fp16 that begins so is constant: its number is the float32 in the next two."""
_RAW = {"fp16": 16, "fp32": 32}


@dataclass(frozen=True, eq=False)
class Trellis(Codec):
    """row = offset + coordinates · basis, the coordinates of r rows in a record of exact length.

    Shared: ``numbers`` float32 [3]: the unit of the offset, the step, the unit of raw rows;
    ``offset`` int16 [D]; ``spreads`` uint8 [n]; ``gains`` int16 [G, r]; ``lengths`` uint32 [G];
    with steps of their own ``steps`` float32 [G]; ``symbols`` uint8 [T], ``frequencies`` uint16,
    ``shifts`` int8 [T, 3]; with a basis its bits, scales and codes. Stream: ``records``.
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
        return self.offsets.astype(np.float32) * self.numbers[0]

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
        return {
            "rows": self.rows,
            "coordinates": self.coordinates,
            "basis": int(self.basis is not None),
            "widest": self.widest,
            "states": self.tables.states,
            "precision": self.tables.precision,
            "lowest": self.tables.lowest,
            "tables": self.tables.idle,
            "classes": len(self.classes.lengths),
            "steps": int(self.own_steps),
            "constant": int(self.constant),
            "raw": self.raw,
        }

    @cached_property
    def _shared(self) -> dict[str, Array]:
        tables = self.tables
        counts = [len(f) - 1 for f in tables.frequencies]
        flat = np.concatenate([np.empty(0, np.int64), *tables.frequencies])
        found: dict[str, Array] = {
            "numbers": self.numbers,
            "offset": self.offsets,
            "spreads": self.narrower,
            "gains": self.classes.gains.astype("<i2"),
            "lengths": self.classes.lengths.astype("<u4"),
            "symbols": np.array(counts, np.uint8),
            # frequencies of a table with escape alone are 2**P, which is below 2**16
            "frequencies": flat.astype("<u2"),
            "shifts": tables.shifts.astype("i1"),
        }
        if self.own_steps:
            found["steps"] = self.classes.steps
        if self.basis is not None:
            found |= self.basis.shared()
        return found

    def shared(self) -> dict[str, Array]:
        return self._shared

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Trellis:
        rows = config.integer("rows", 1, 4096)
        n = config.integer("coordinates", 0, dim)
        with_basis = config.integer("basis", 0, 1)
        widest = config.integer("widest", -(2**15), 2**15)
        states = config.integer("states", 1, 32)
        precision = config.integer("precision", 6, 12)
        lowest = config.integer("lowest", -64, 64)
        count = config.integer("tables", 0, 1024)
        g = config.integer("classes", 0, _MOST_CLASSES)
        own_steps = bool(config.integer("steps", 0, 1))
        constant = bool(config.integer("constant", 0, 1))
        raw = config.choice("raw", *_RAW)
        if states not in STATES:
            raise BadInput(f"{config.where}: no state machine has {states} states")
        if not with_basis and n != dim:
            raise BadInput(f"{config.where}: {n} coordinates of {dim} without a basis")
        if count % (2 if states > 1 else 1):
            raise BadInput(f"{config.where}: {count} tables for two quantizers")
        numbers = shared.array("numbers", "<f4", (3,))
        symbols = shared.array("symbols", "u1", (count,)).astype(np.int64)
        if count and not 1 <= symbols.min() <= symbols.max() <= MOST_SYMBOLS:
            raise BadInput(f"{config.where}: a table has no magnitudes, or too many")
        flat = shared.array("frequencies", "<u2", (int(symbols.sum()) + count,)).astype(np.int64)
        frequencies = tuple(np.split(flat, np.cumsum(symbols + 1)[:-1]) if count else ())
        for f in frequencies:
            if f.min() < 1 or f.sum() != 1 << precision:
                raise BadInput(f"{config.where}: frequencies do not sum to 2**{precision}")
        shifts = shared.array("shifts", "i1", (count, 3)).astype(np.int64)
        if (shifts == -128).any():
            raise BadInput(f"{config.where}: a shift is -128")
        lengths = shared.array("lengths", "<u4", (g,)).astype(np.int64)
        gains = shared.array("gains", "<i2", (g, rows)).astype(np.int64)
        if 32 * rows * dim >= 2**26 or lengths.max(initial=0) >= 2**26:
            raise BadInput(f"{config.where}: a record is longer than 2**26 bits")
        if g + constant >= _MOST_CLASSES:
            raise BadInput(f"{config.where}: too many classes")
        steps = np.full(g, numbers[1], np.float32)
        if own_steps:
            steps = shared.array("steps", "<f4", (g,))
        return cls(
            dim,
            rows,
            numbers,
            shared.array("offset", "<i2", (dim,)),
            Basis.load(n, dim, shared) if with_basis else None,
            widest,
            shared.array("spreads", "u1", (n,)),
            Tables(states, precision, lowest, frequencies, shifts),
            Classes(gains, steps, lengths),
            own_steps,
            constant,
            raw,
        )

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
        coordinates = coordinates.reshape(-1, self.coordinates)
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
        from embcompress.kernels.stream import joined

        count = self.stream.lengths[kind]
        string = joined([(data, begin, count)], 0)[: count // 8]
        if kind == self.constant_class:
            return np.repeat(string.view("<f4")[:, None], self.dim, axis=1)
        if self.raw == "fp32":
            return string.view("<f4").reshape(self.rows, self.dim)
        halves = string.view("<u2").reshape(self.rows, self.dim)
        values = halves.view("<f2").astype(np.float32) * self.numbers[2]
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
