"""Read records of `embcompress.kernels.rans`, four at a time.

The chain of states in a record is serial; four records in lockstep keep the processor busy. Every
slot of a table is a valid magnitude and lengths are known beforehand, so that any bytes decode to
something without a read outside the string.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.bitstring import BYTES_1D
from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.prefetch import prefetch
from embcompress.kernels.rans import bits_at
from embcompress.kernels.records import (
    FLOAT32_1D,
    FLOAT32_2D,
    FLOAT32_OUT,
    address,
    float32_at,
    int64_at,
    put_float32,
    uint32_at,
)
from embcompress.kernels.viterbi import ESCAPED, INT64_1D, INT64_2D

SLOW: Final = 128
"""Added to a slot's magnitude when raw bits follow it."""
_AHEAD: Final = 8
UINT32_2D: Final = "Array(uint32, 2, 'C', readonly=True)"


@inlined
def start(string: Any, at: Any, length: Any) -> Any:
    """The first state of a record, its words, and where they begin."""
    words = (length - 32) >> 5 if length >= 32 else 0
    width = length - 32 * words
    low = bits_at(string, at)
    if width < 32:
        x = (low & ((np.uint64(1) << np.uint64(width)) - np.uint64(1))) | (
            np.uint64(1) << np.uint64(width)
        )
    else:
        rest = np.uint64(width - 32)
        high = bits_at(string, at + 32) & ((np.uint64(1) << rest) - np.uint64(1))
        x = low | ((high | (np.uint64(1) << rest)) << np.uint64(32))
    return x, words, at + width


@inlined
def refill(x: Any, words: Any, at: Any, string: Any) -> Any:
    """Take 32 bits when the state has become small."""
    if x >> np.uint64(32) == 0 and words > 0:
        x = (x << np.uint64(32)) | bits_at(string, at)
        at += 32
        words -= 1
    return x, words, at


@inlined
def take(
    x: Any, words: Any, at: Any, s: Any, table: Any, string: Any, slots: Any, low: Any, most: Any,
    values: Any, width: Any, shift: Any, moves: Any, mask: Any, precision: Any,
) -> Any:  # fmt: skip
    """One magnitude: the state, where the words are, the quantizer's state, what it stands for.

    Arrays are addresses; ``width`` is the length of a row of ``values``.
    """
    own = table + (s & 1)
    slot = np.uint64(uint32_at(slots, ((own << precision) + np.int64(x & mask)) << 2))
    m = np.int64(slot & np.uint64(0xFF))
    x = (((slot >> np.uint64(8)) & np.uint64(0xFFF)) + np.uint64(1)) * (
        x >> np.uint64(precision)
    ) + (slot >> np.uint64(20))
    x, words, at = refill(x, words, at, string)
    if m < SLOW:
        value: Any = float32_at(values, (own * width + m) << 2)
    else:
        m -= SLOW
        if m == int64_at(most, own << 3):
            m += np.int64(x & np.uint64((1 << ESCAPED) - 1))
            x, words, at = refill(x >> np.uint64(ESCAPED), words, at, string)
        raw = int64_at(low, own << 3)
        if raw:
            m = (m << raw) | np.int64(x & ((np.uint64(1) << np.uint64(raw)) - np.uint64(1)))
            x, words, at = refill(x >> np.uint64(raw), words, at, string)
        value = np.float32(0)
        if m > 0:
            value = np.float32(2 * m - (s & 1)) - float32_at(shift, ((own << 2) + min(m, 3)) << 2)
    return x, words, at, int64_at(moves, ((s << 1) | (m & 1)) << 3), value


@inlined
def signs(
    x: Any, words: Any, at: Any, places: Any, count: Any, step: Any, string: Any, row: Any
) -> None:
    """Take the signs of a row's values and scale them."""
    for q in range(count):
        place = int64_at(places, q << 3) << 2
        value = float32_at(row, place)
        # without a branch, which chance would decide
        some = np.uint64(value != 0)
        sign = np.float32(1) - np.float32(2) * np.float32(x & some)
        put_float32(row, place, sign * (value * step))
        x, words, at = refill(x >> some, words, at, string)


@kernel(
    f"void({BYTES_1D}, {INT64_1D}, {INT64_1D}, {INT64_1D}, {INT64_2D}, {INT64_2D}, {INT64_1D},"
    f" {FLOAT32_1D}, {UINT32_2D}, {INT64_1D}, {INT64_1D}, {FLOAT32_2D}, {FLOAT32_2D}, {INT64_2D},"
    f" int64, int64, {FLOAT32_OUT})"
)
def read_records_at(
    string: NDArray[np.uint8],
    begins: NDArray[np.int64],
    classes: NDArray[np.int64],
    lengths: NDArray[np.int64],
    tables: NDArray[np.int64],
    places: NDArray[np.int64],
    counts: NDArray[np.int64],
    steps: NDArray[np.float32],
    slots: NDArray[np.uint32],
    low: NDArray[np.int64],
    most: NDArray[np.int64],
    values: NDArray[np.float32],
    shift: NDArray[np.float32],
    moves: NDArray[np.int64],
    precision: int,
    idle: int,
    out: NDArray[np.float32],
) -> None:
    """Coordinates of records of trellis classes.

    Args:
        string: uint8, with 8 bytes after the last record.
        begins: int64 [b], first bits.
        classes: int64 [b], below G.
        lengths: int64 [at least G], bits of a record by class.
        tables: int64 [G, m], table of each coordinate in quantizer 0; ``idle`` after the last.
        places: int64 [G, m], where coordinates go: a permutation.
        counts: int64 [G], coordinates that are coded.
        steps: float32 [G].
        slots: uint32 [T, 2**precision]: magnitude, its frequency less 1, rank, from bit 0, 8, 20.
        low: int64 [T], raw low bits of a magnitude.
        most: int64 [T], the escape's magnitude.
        values: float32 [T, W], what magnitudes stand for.
        shift: float32 [T, 4], as in `embcompress.kernels.viterbi`.
        moves: int64 [S, 2], the next state by parity.
        precision: Bits of a table.
        idle: A table of one magnitude, 0.
        out: float32 [b, m], written.
    """
    b, m = out.shape
    mask = (np.uint64(1) << np.uint64(precision)) - np.uint64(1)
    width = values.shape[1]
    bytes_at, slots_at, values_at = address(string), address(slots), address(values)
    low_at, most_at, shift_at, moves_at = (
        address(low),
        address(most),
        address(shift),
        address(moves),
    )
    tables_at, places_at, out_at = address(tables), address(places), address(out)
    last = b - 1
    for i in range(0, b, 4):
        i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        for ahead in range(i + _AHEAD, min(i + _AHEAD + 4, b)):
            prefetch(bytes_at, begins[ahead] >> 3)
        g0, g1, g2, g3 = classes[i], classes[i1], classes[i2], classes[i3]
        x0, w0, a0 = start(bytes_at, begins[i], lengths[g0])
        x1, w1, a1 = start(bytes_at, begins[i1], lengths[g1])
        x2, w2, a2 = start(bytes_at, begins[i2], lengths[g2])
        x3, w3, a3 = start(bytes_at, begins[i3], lengths[g3])
        s0, s1, s2, s3 = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        t0, t1 = tables_at + 8 * m * g0, tables_at + 8 * m * g1
        t2, t3 = tables_at + 8 * m * g2, tables_at + 8 * m * g3
        p0, p1 = places_at + 8 * m * g0, places_at + 8 * m * g1
        p2, p3 = places_at + 8 * m * g2, places_at + 8 * m * g3
        r0, r1 = out_at + 4 * m * i, out_at + 4 * m * i1
        r2, r3 = out_at + 4 * m * i2, out_at + 4 * m * i3
        count = max(max(counts[g0], counts[g1]), max(counts[g2], counts[g3]))
        for q in range(count):
            here = q << 3
            x0, w0, a0, s0, v0 = take(
                x0, w0, a0, s0, int64_at(t0, here), bytes_at, slots_at, low_at, most_at, values_at,
                width, shift_at, moves_at, mask, precision,
            )  # fmt: skip
            put_float32(r0, int64_at(p0, here) << 2, v0)
            x1, w1, a1, s1, v1 = take(
                x1, w1, a1, s1, int64_at(t1, here), bytes_at, slots_at, low_at, most_at, values_at,
                width, shift_at, moves_at, mask, precision,
            )  # fmt: skip
            put_float32(r1, int64_at(p1, here) << 2, v1)
            x2, w2, a2, s2, v2 = take(
                x2, w2, a2, s2, int64_at(t2, here), bytes_at, slots_at, low_at, most_at, values_at,
                width, shift_at, moves_at, mask, precision,
            )  # fmt: skip
            put_float32(r2, int64_at(p2, here) << 2, v2)
            x3, w3, a3, s3, v3 = take(
                x3, w3, a3, s3, int64_at(t3, here), bytes_at, slots_at, low_at, most_at, values_at,
                width, shift_at, moves_at, mask, precision,
            )  # fmt: skip
            put_float32(r3, int64_at(p3, here) << 2, v3)
        for q in range(count, m):
            here = q << 3
            put_float32(r0, int64_at(p0, here) << 2, np.float32(0))
            put_float32(r1, int64_at(p1, here) << 2, np.float32(0))
            put_float32(r2, int64_at(p2, here) << 2, np.float32(0))
            put_float32(r3, int64_at(p3, here) << 2, np.float32(0))
        signs(x0, w0, a0, p0, counts[g0], steps[g0], bytes_at, r0)
        if i1 > i:
            signs(x1, w1, a1, p1, counts[g1], steps[g1], bytes_at, r1)
        if i2 > i1:
            signs(x2, w2, a2, p2, counts[g2], steps[g2], bytes_at, r2)
        if i3 > i2:
            signs(x3, w3, a3, p3, counts[g3], steps[g3], bytes_at, r3)
