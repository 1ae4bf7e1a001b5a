"""What dependent quantization shares among rows: tables of magnitudes, and a plan of each class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.machine import butterflies, machine, origins
from embcompress.kernels.rans_reading import SLOW
from embcompress.kernels.viterbi import ESCAPED, FAR

OCTAVE = 24
"""Units of spreads and gains in a factor of two."""
_THIRD = OCTAVE // 3
SHIFT_UNIT = np.float32(1 / 128)
MOST_SYMBOLS = 100


def raw_bits(spread_class: int) -> int:
    """Low bits of a magnitude that are stored raw in a class of spreads, thirds of an octave."""
    return max(0, spread_class // 3 - 4)


_CUBE_ROOTS = (65536, 82570, 104032)
"""Powers of two to 0, 1/3 and 2/3, in 1/65536."""


@dataclass(frozen=True)
class Family:
    """Frequencies of all tables by a rule: those of a Student distribution, in whole numbers.

    Args:
        shape: Its exponent k: shares of a level are (σ² / (σ² + level²))^k; 1 to 64.
        width: σ over the class's spread, in 1/16; 1 to 255.
        zero: What the share of magnitude 0 is multiplied by, in 1/16; 1 to 255.
    """

    shape: int
    width: int
    zero: int

    @lru_cache(maxsize=2**14)  # noqa: B019 - families are few and small
    def frequencies(self, spread_class: int, quantizer: int, precision: int) -> NDArray[np.int64]:
        """Of magnitudes 0, 1, … and the escape; they sum to 2**precision."""
        octaves, third = divmod(spread_class, 3)
        octaves -= raw_bits(spread_class)
        root = _CUBE_ROOTS[third]
        spread = root << octaves if octaves >= 0 else root >> -octaves
        count = min(MOST_SYMBOLS, (12 * spread // 5 + 163840) >> 16)
        scaled = spread * self.width >> 4
        square = max(scaled * scaled >> 16, 1)
        shares = []
        for m in range(count + 1):
            level = 2 * m - quantizer if m else 0
            ratio = (square << 16) // (square + (level * level << 16))
            share = 65536
            for _ in range(self.shape):
                share = share * ratio >> 16
            shares.append(share)
        shares[0] = shares[0] * self.zero >> 4
        whole, room = sum(shares), (1 << precision) - len(shares)
        found = np.array([1 + share * room // whole for share in shares], np.int64)
        found[0] += (1 << precision) - found.sum()
        return found

    @lru_cache(maxsize=2**14)  # noqa: B019
    def costs(self, spread_class: int, quantizer: int, precision: int) -> NDArray[np.float64]:
        """Bits of magnitudes 0, 1, … and the escape, without signs and raw bits."""
        found: NDArray[np.float64] = precision - np.log2(
            self.frequencies(spread_class, quantizer, precision)
        )
        return found

    def tables(self, states: int, precision: int, lowest: int, count: int) -> Tables:
        """All tables."""
        quantizers = 2 if states > 1 else 1
        found = tuple(
            self.frequencies(lowest + t // quantizers, t % quantizers, precision)
            for t in range(count)
        )
        return Tables(states, precision, lowest, found, np.zeros((count, 3), np.int64), self)


@dataclass(frozen=True, eq=False)
class Tables:
    """Frequencies of magnitudes by class of spread and quantizer.

    Args:
        states: Of the state machine.
        precision: Frequencies of a table sum to 2**precision.
        lowest: The first class: spread over step in thirds of an octave.
        frequencies: Of each table: int64, of magnitudes 0, 1, …, the last of the escape. Tables of
            quantizers 0 and 1 alternate; with one state there is only quantizer 0.
        shifts: int64 [T, 3], how far magnitudes 1, 2, ≥ 3 are moved towards 0, in 1/128.
        family: The rule that they follow, or None when they are stored.
    """

    states: int
    precision: int
    lowest: int
    frequencies: tuple[NDArray[np.int64], ...]
    shifts: NDArray[np.int64]
    family: Family | None = None

    @property
    def quantizers(self) -> int:
        """Tables of a class."""
        return 2 if self.states > 1 else 1

    @property
    def classes(self) -> int:
        """Classes of spread."""
        return len(self.frequencies) // self.quantizers

    @property
    def idle(self) -> int:
        """The table of one magnitude, 0, that follows the others, once for each quantizer."""
        return len(self.frequencies)

    @property
    def _count(self) -> int:
        return self.idle + self.quantizers

    @cached_property
    def moves(self) -> NDArray[np.int64]:
        """The next state by state and parity, int64 [S, 2]."""
        return machine(self.states)

    @cached_property
    def origins(self) -> NDArray[np.int64]:
        """See `embcompress.kernels.machine.origins`."""
        return origins(self.moves)

    @cached_property
    def butterflies(self) -> NDArray[np.int64]:
        """See `embcompress.kernels.machine.butterflies`."""
        return butterflies(self.moves)

    @cached_property
    def most(self) -> NDArray[np.int64]:
        """The escape of every table, int64 [T + 2]."""
        return np.array([len(f) - 1 for f in self.frequencies] + [1] * self.quantizers, np.int64)

    @cached_property
    def low(self) -> NDArray[np.int64]:
        """Raw low bits of every table, int64 [T + 2]."""
        own = [raw_bits(self.lowest + i // self.quantizers) for i in range(self.idle)]
        return np.array([*own, *[0] * self.quantizers], np.int64)

    @cached_property
    def wide(self) -> NDArray[np.int64]:
        """All frequencies, int64 [T + 2, W], zeros after a table's escape."""
        width = max([len(f) for f in self.frequencies], default=1)
        wide = np.zeros((self._count, max(width, 2)), np.int64)
        for own, f in zip(wide, self.frequencies, strict=False):
            own[: len(f)] = f
        wide[self.idle :, 0] = 1 << self.precision
        return wide

    @cached_property
    def rate(self) -> NDArray[np.float32]:
        """Bits of magnitudes, raw bits and those after an escape counted, without signs."""
        with np.errstate(divide="ignore"):
            bits = self.precision - np.log2(self.wide)
        bits[~np.isfinite(bits)] = FAR
        bits[np.arange(len(bits)), self.most] += ESCAPED
        return (bits + self.low[:, None]).astype(np.float32)

    @cached_property
    def shift(self) -> NDArray[np.float32]:
        """float32 [T + 2, 4]: what is taken from levels of magnitude 0, 1, 2, ≥ 3."""
        shift = np.zeros((self._count, 4), np.float32)
        shift[: self.idle, 1:] = self.shifts.astype(np.float32) * SHIFT_UNIT
        return shift

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """float32 [T + 2, W]: what magnitudes without raw bits stand for, in steps."""
        m = np.arange(self.wide.shape[1])
        z = np.arange(self._count) % self.quantizers
        levels = (2 * m[None] - z[:, None]).astype(np.float32)
        values: NDArray[np.float32] = levels - self.shift[:, np.minimum(m, 3)]
        values[:, 0] = 0
        values[self.idle :] = 0
        return values

    @cached_property
    def quick(self) -> NDArray[np.int64]:
        """Magnitudes below it have all neighbours in `levels` and `bits`, int64 [T + 2]."""
        return np.where(self.low > 0, 0, self.most - 1)

    @cached_property
    def levels(self) -> NDArray[np.float32]:
        """What magnitudes -2, -1, 0, … stand for, in steps, float32 [T + 2, W + 2]."""
        return np.ascontiguousarray(np.pad(self.values, ((0, 0), (2, 0))))

    @cached_property
    def bits(self) -> NDArray[np.float32]:
        """Bits of magnitudes -2, -1, 0, …, signs counted, float32 [T + 2, W + 2]."""
        signed = self.rate + (np.arange(self.rate.shape[1]) > 0)
        return np.pad(signed, ((0, 0), (2, 0)), constant_values=FAR).astype(np.float32)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Where slots of a magnitude begin in `ranked`, int64 [T + 2, W]."""
        return np.ascontiguousarray(np.cumsum(self.wide, axis=1) - self.wide)

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """Entries in the order of their slots, int64 [T + 2, 2**P], counted by magnitude."""
        size = 1 << self.precision
        order = np.empty((self._count, size), np.int64)
        for own, f, first in zip(order, self.wide, self.first, strict=True):
            m = np.repeat(np.arange(len(f)), f)
            rank = np.arange(size) - first[m]
            # a magnitude of frequency f has slots near (rank + 1/2) / f of the whole
            own[:] = np.argsort((2 * rank + 1) / (2 * f[m]), kind="stable")
        return order

    @cached_property
    def ranked(self) -> NDArray[np.int64]:
        """The slot of every entry, int64 [T + 2, 2**P]: for encoding."""
        ranked = np.empty_like(self._order)
        np.put_along_axis(ranked, self._order, np.arange(1 << self.precision)[None], axis=1)
        return ranked

    @cached_property
    def slots(self) -> NDArray[np.uint32]:
        """What slots hold, uint32 [T + 2, 2**P]; see `embcompress.kernels.rans_reading`."""
        size = 1 << self.precision
        slots = np.empty((self._count, size), np.uint32)
        for t, (f, order) in enumerate(zip(self.wide, self._order, strict=True)):
            m = np.repeat(np.arange(len(f)), f)[order]
            rank = order - self.first[t][m]
            slow = (m == self.most[t]) | (self.low[t] > 0)
            name = m + SLOW * slow
            slots[t] = (name | (f[m] - 1) << 8 | rank << 20).astype(np.uint32)
        return slots


@dataclass(frozen=True, eq=False)
class Classes:
    """What a record's class says: its rows' gains, its step and its length.

    Args:
        gains: int64 [G, r], gain of each row of a record over the spreads, in 1/24 octave.
        steps: float32 [G].
        lengths: int64 [G], bits.
    """

    gains: NDArray[np.int64]
    steps: NDArray[np.float32]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Order:
    """In which order, and with which tables, classes code the coordinates of a record.

    Args:
        tables: int64 [G, r·n], the table in quantizer 0; the idle table after the last.
        places: int64 [G, r·n], where coordinates lie in a record: a permutation.
        counts: int64 [G], coordinates that are coded; the others are 0.
    """

    tables: NDArray[np.int64]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, tables: Tables, spreads: NDArray[np.int64], gains: NDArray[np.int64]) -> Order:
        """Coordinates are coded row by row, those with a spread too small for any class left out.

        Args:
            tables: The tables.
            spreads: int64 [n], spread of every coordinate over the step, in 1/24 octave.
            gains: int64 [G, r].
        """
        whole = (gains[:, :, None] + spreads + _THIRD // 2).reshape(len(gains), -1) // _THIRD
        own = np.minimum(whole - tables.lowest, tables.classes - 1)
        coded = own >= 0
        places = np.argsort(~coded, axis=1, kind="stable")
        found = np.where(coded, own * tables.quantizers, tables.idle)
        ordered = np.take_along_axis(found, places, axis=1)
        return cls(ordered, places, coded.sum(axis=1))
