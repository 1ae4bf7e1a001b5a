"""Records of an exact number of bits: a static range coder (rANS) whose state is a bit string.

The state is a number below 2**64; while it is 2**32 or more, 32 bits at a time go to the record. A
record of L bits begins with the final state, its top bit implied: L mod 32 + 32 bits, or all of L
when L is below 32; 32-bit words follow in the order in which the decoder needs them. Magnitudes
come first, then one raw bit for the sign of each that is not 0. The encoder runs backwards from a
start state that is chosen so that the record takes exactly its length.

Slots of a table are spread: a magnitude of probability p owns a slot near 1/p, so that a state
that is still small loses nothing.

Source: Duda 2013, Asymmetric numeral systems.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.records import uint64_at
from embcompress.kernels.viterbi import ESCAPED, INT64_1D, INT64_2D

TAIL: Final = 8
"""Zero bytes after the records, for reads of 8 bytes."""
_TRIES: Final = 40


@inlined
def put_bits(string: Any, at: Any, value: Any, count: Any) -> None:
    """Write up to 32 bits into a string of zeros."""
    byte = at >> 3
    left = (value & ((np.uint64(1) << np.uint64(count)) - np.uint64(1))) << np.uint64(at & 7)
    while left:
        string[byte] |= np.uint8(left & np.uint64(255))
        left >>= np.uint64(8)
        byte += 1


@inlined
def width_of(x: Any) -> int:
    """Bits below the top one of a state."""
    width = 0
    if x >> np.uint64(32):
        x >>= np.uint64(32)
        width += 32
    if x >> np.uint64(16):
        x >>= np.uint64(16)
        width += 16
    if x >> np.uint64(8):
        x >>= np.uint64(8)
        width += 8
    while x > np.uint64(1):
        x >>= np.uint64(1)
        width += 1
    return width


@inlined
def push(x: Any, words: Any, count: Any, value: Any, bits: Any) -> Any:
    """Put raw bits, fewer than 32, into a state; the state and the count of words."""
    if x >> np.uint64(64 - bits):
        words[count] = x & np.uint64(0xFFFFFFFF)
        count += 1
        x >>= np.uint64(32)
    return (x << np.uint64(bits)) | np.uint64(value), count


@inlined
def run(
    codes: Any, tables: Any, count: Any, quantizers: Any, most: Any, low: Any, frequencies: Any,
    first: Any, slots: Any, precision: Any, x: Any, words: Any, filled: Any,
) -> Any:  # fmt: skip
    """Put a record into a start state; the final state and how many words were filled."""
    full = np.uint64(1) << np.uint64(precision)
    for q in range(count - 1, -1, -1):
        if codes[q] != 0:
            x, filled = push(x, words, filled, np.int64(codes[q] < 0), 1)
    for q in range(count - 1, -1, -1):
        table = tables[q] + quantizers[q]
        m = abs(np.int64(codes[q]))
        raw = low[table]
        high = m >> raw
        if raw:
            x, filled = push(x, words, filled, m & ((1 << raw) - 1), raw)
        if high >= most[table]:
            x, filled = push(x, words, filled, high - most[table], ESCAPED)
            high = most[table]
        f = np.uint64(frequencies[table, high])
        if f < full:
            if x >= f << np.uint64(64 - precision):
                words[filled] = x & np.uint64(0xFFFFFFFF)
                filled += 1
                x >>= np.uint64(32)
            slot = slots[table, first[table, high] + np.int64(x % f)]
            x = ((x // f) << np.uint64(precision)) + np.uint64(slot)
    return x, filled


@kernel(
    f"void(Array(int32, 2, 'C', readonly=True), {INT64_1D}, {INT64_2D}, {INT64_1D}, {INT64_1D},"
    " Array(float64, 1, 'C', readonly=True),"
    f" {INT64_2D}, {INT64_1D}, {INT64_1D}, {INT64_2D}, {INT64_2D}, {INT64_2D}, int64,"
    f" {INT64_1D}, Array(uint8, 1, 'C'), Array(uint8, 1, 'C'))"
)
def write_records(
    codes: NDArray[np.int32],
    classes: NDArray[np.int64],
    tables: NDArray[np.int64],
    counts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    bits: NDArray[np.float64],
    moves: NDArray[np.int64],
    most: NDArray[np.int64],
    low: NDArray[np.int64],
    frequencies: NDArray[np.int64],
    first: NDArray[np.int64],
    slots: NDArray[np.int64],
    precision: int,
    begins: NDArray[np.int64],
    string: NDArray[np.uint8],
    written: NDArray[np.uint8],
) -> None:
    """Write records into a string of zeros, each exactly as long as its class says.

    Args:
        codes: int32 [b, m], signed magnitudes in coded order.
        classes: int64 [b]; a record of class -1 is left out.
        tables: int64 [G, m], table of each coordinate in quantizer 0.
        counts: int64 [G], coordinates that are coded.
        lengths: int64 [G], bits.
        bits: float64 [b], the records' bits without padding.
        moves: int64 [S, 2], the next state by parity.
        most: int64 [T], as in `embcompress.kernels.viterbi`.
        low: int64 [T].
        frequencies: int64 [T, W], of magnitudes, summing to 2**precision.
        first: int64 [T, W], where a magnitude's slots begin in ``slots``.
        slots: int64 [T, 2**precision], slots in the order of magnitudes.
        precision: Bits of a table.
        begins: int64 [b], first bit of each record.
        string: uint8, zeros where records lie.
        written: uint8 [b], set to 1 where a record came out at its length.
    """
    m, states = codes.shape[1], moves.shape[0]
    quantizers = np.empty(m, np.int64)
    words = np.empty(4 * m + 4096, np.uint64)
    for i in range(codes.shape[0]):
        g = classes[i]
        written[i] = 0
        if g < 0:
            continue
        count, length = counts[g], lengths[g]
        s = 0
        for q in range(count):
            quantizers[q] = s & 1 if states > 1 else 0
            s = moves[s, abs(np.int64(codes[i, q])) & 1]
        wanted = length + 0.5 - bits[i]
        spare = max(wanted, 0.0)
        filled = 0
        x = np.uint64(1)
        total = -1
        upper, lower = -1.0, 0.0
        for attempt in range(_TRIES):
            filled = 0
            left = spare
            while left >= 64 and filled < len(words) - m:
                words[filled] = np.uint64(0)
                filled += 1
                left -= 32
            x = np.uint64(2.0**left)
            x, filled = run(
                codes[i], tables[g], count, quantizers, most, low, frequencies, first, slots,
                precision, x, words, filled,
            )  # fmt: skip
            total = 32 * filled + width_of(x)
            if total == length:
                break
            if total > length:
                if spare == 0:
                    break
                upper = spare
                spare = max(spare - 0.3 * (total - length), 0.0)
                if spare <= lower and attempt > 0:
                    spare = 0.5 * (lower + upper)
            else:
                lower = spare
                spare += max(0.3, length - total - 0.5)
                if 0 <= upper <= spare:
                    spare = 0.5 * (lower + upper)
        if total != length:
            continue
        written[i] = 1
        at = begins[i]
        start = width_of(x)
        put_bits(string, at, x & np.uint64(0xFFFFFFFF), min(start, 32))
        if start > 32:
            put_bits(string, at + 32, x >> np.uint64(32), start - 32)
        at += start
        for word in range(filled - 1, -1, -1):
            put_bits(string, at, words[word], 32)
            at += 32


@inlined
def bits_at(string: Any, at: Any) -> Any:
    """32 bits from a bit of a string."""
    both = uint64_at(string, at >> 3) >> np.uint64(at & 7)
    return both & np.uint64(0xFFFFFFFF)
