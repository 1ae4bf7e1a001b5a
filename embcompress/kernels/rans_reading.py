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
from embcompress.kernels.records import FLOAT32_1D, FLOAT32_2D, FLOAT32_OUT
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
    values: Any, shift: Any, moves: Any, two: Any, mask: Any, precision: Any,
) -> Any:  # fmt: skip
    """One magnitude: the state, where the words are, the quantizer's state, what it stands for."""
    z = (s & 1) & two
    own = table + z
    slot = slots[own, np.int64(x & mask)]
    m = np.int64(slot & np.uint32(0xFF))
    x = np.uint64(((slot >> np.uint32(8)) & np.uint32(0xFFF)) + np.uint32(1)) * (
        x >> precision
    ) + np.uint64(slot >> np.uint32(20))
    x, words, at = refill(x, words, at, string)
    if m < SLOW:
        value = values[own, m]
    else:
        m -= SLOW
        if m == most[own]:
            m += np.int64(x & np.uint64((1 << ESCAPED) - 1))
            x, words, at = refill(x >> np.uint64(ESCAPED), words, at, string)
        raw = low[own]
        if raw:
            m = (m << raw) | np.int64(x & ((np.uint64(1) << np.uint64(raw)) - np.uint64(1)))
            x, words, at = refill(x >> np.uint64(raw), words, at, string)
        value = np.float32(0)
        if m > 0:
            value = np.float32(2 * m - z) - shift[own, min(m, 3)]
    return x, words, at, moves[s, m & 1], value


@inlined
def signs(
    x: Any, words: Any, at: Any, places: Any, count: Any, step: Any, string: Any, row: Any
) -> None:
    """Take the signs of a row's values and scale them."""
    for q in range(count):
        value = row[places[q]]
        if value != 0:
            size = value * step
            row[places[q]] = -size if x & np.uint64(1) else size
            x, words, at = refill(x >> np.uint64(1), words, at, string)


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
    shifted = np.uint64(precision)
    mask = (np.uint64(1) << shifted) - np.uint64(1)
    two = np.int64(1) if moves.shape[0] > 1 else np.int64(0)
    last = b - 1
    for i in range(0, b, 4):
        i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        for ahead in range(i + _AHEAD, min(i + _AHEAD + 4, b)):
            prefetch(string, begins[ahead] >> 3)
        g0, g1, g2, g3 = classes[i], classes[i1], classes[i2], classes[i3]
        x0, w0, a0 = start(string, begins[i], lengths[g0])
        x1, w1, a1 = start(string, begins[i1], lengths[g1])
        x2, w2, a2 = start(string, begins[i2], lengths[g2])
        x3, w3, a3 = start(string, begins[i3], lengths[g3])
        s0, s1, s2, s3 = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        t0, t1, t2, t3 = tables[g0], tables[g1], tables[g2], tables[g3]
        p0, p1, p2, p3 = places[g0], places[g1], places[g2], places[g3]
        r0, r1, r2, r3 = out[i], out[i1], out[i2], out[i3]
        count = max(max(counts[g0], counts[g1]), max(counts[g2], counts[g3]))
        for q in range(count):
            x0, w0, a0, s0, v0 = take(
                x0, w0, a0, s0, t0[q], string, slots, low, most, values, shift, moves, two, mask,
                shifted,
            )  # fmt: skip
            r0[p0[q]] = v0
            x1, w1, a1, s1, v1 = take(
                x1, w1, a1, s1, t1[q], string, slots, low, most, values, shift, moves, two, mask,
                shifted,
            )  # fmt: skip
            r1[p1[q]] = v1
            x2, w2, a2, s2, v2 = take(
                x2, w2, a2, s2, t2[q], string, slots, low, most, values, shift, moves, two, mask,
                shifted,
            )  # fmt: skip
            r2[p2[q]] = v2
            x3, w3, a3, s3, v3 = take(
                x3, w3, a3, s3, t3[q], string, slots, low, most, values, shift, moves, two, mask,
                shifted,
            )  # fmt: skip
            r3[p3[q]] = v3
        for q in range(count, m):
            r0[p0[q]] = np.float32(0)
            r1[p1[q]] = np.float32(0)
            r2[p2[q]] = np.float32(0)
            r3[p3[q]] = np.float32(0)
        signs(x0, w0, a0, p0, counts[g0], steps[g0], string, r0)
        if i1 > i:
            signs(x1, w1, a1, p1, counts[g1], steps[g1], string, r1)
        if i2 > i1:
            signs(x2, w2, a2, p2, counts[g2], steps[g2], string, r2)
        if i3 > i2:
            signs(x3, w3, a3, p3, counts[g3], steps[g3], string, r3)
