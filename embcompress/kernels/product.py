"""Product codes: a codeword for every segment of a row; the nearest ones, and rows from them.

A row of D columns has S segments, of which the first D % S are one column longer than the others.
A record holds S codes from byte ``at`` on: by parts at 1, 2, 4 and 8 bits, as one bit string at
other widths up to 12, as `embcompress.kernels.bits` draws them; at 0 bits every code is 0.
Codes come out of a file: one of K or more counts as K - 1.

``table`` holds the codewords segment by segment: float32 [K * D + 16], in which codeword k of a
segment of w columns from column c on lies from K * c + k * w; the last 16 numbers are not used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcompress.kernels.bits import by_parts
from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES, load, lower, select, splat, store
from embcompress.kernels.prefetch import prefetch_span, rows_ahead
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_1D,
    FLOAT32_2D,
    FLOAT32_OUT,
    INT64_1D,
    uint8_at,
)

MOST_BITS: Final = 12
CODES_2D: Final = "Array(uint16, 2, 'C', readonly=True)"
CODES_OUT: Final = "Array(uint16, 2, 'C')"


def _copier(count: int) -> Callable[[Any, int, Any, int], None]:
    """``copy(table, source, out, target)``: ``count`` float32 numbers; nothing checks bounds."""

    def copy(typing: Any, table: Any, source: Any, out: Any, target: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            numbers = ir.VectorType(ir.FloatType(), count)

            def place(kind: Any, array: Any, index: Any) -> Any:
                data = context.make_array(kind)(context, builder, array).data
                return builder.bitcast(builder.gep(data, [index]), numbers.as_pointer())

            kinds = signature.args
            values = builder.load(place(kinds[0], *arguments[:2]), align=4)
            builder.store(values, place(kinds[2], *arguments[2:]), align=4)
            return context.get_dummy_value()

        return types.void(table, types.int64, out, types.int64), generate

    made: Callable[[Any, int, Any, int], None] = intrinsic(copy)
    return made


copy_4, copy_8, copy_16 = _copier(4), _copier(8), _copier(LANES)


@kernel(f"void({BYTES_2D}, int64, int64, boolean, int64, {INT64_1D}, {CODES_OUT})")
def read_codes(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    parts: bool,
    k: int,
    rows: NDArray[np.int64],
    out: NDArray[np.uint16],
) -> None:
    """`codes_of`; ``parts`` is whether codes are packed by parts.

    One loop a packing, and no helper that is handed ``records``: the compiler counts references
    to an array at every such call, which cost 12 ns a code.
    """
    count, segments = out.shape
    size = np.int64(records.shape[1])
    h = (segments * bits + 7) // 8
    ahead = rows_ahead(h)
    mask = np.int64((1 << bits) - 1)
    most = np.int64(k - 1)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, h)
        start = rows[i] * size + at
        if bits == 8:
            for s in range(segments):
                out[i, s] = min(np.int64(uint8_at(records, start + s)), most)
        elif parts:
            first = 0
            for shift in range(0, 8, bits):
                for j in range(min(h, segments - first)):
                    code = (np.int64(uint8_at(records, start + j)) >> shift) & mask
                    out[i, first + j] = min(code, most)
                first += h
        else:
            byte = start
            word = np.int64(0)
            held = 0
            for s in range(segments):
                while held < bits:
                    word |= np.int64(uint8_at(records, byte)) << held
                    byte += 1
                    held += 8
                out[i, s] = min(word & mask, most)
                word >>= bits
                held -= bits


def codes_of(
    records: NDArray[np.uint8], at: int, bits: int, segments: int, k: int, rows: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """Codes of some records.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of the first code.
        bits: bits per code, 0 to 12.
        segments: S.
        k: codes of ``k`` or more count as ``k - 1``.
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.

    Returns:
        uint16 [b, S].
    """
    if not bits:
        return np.zeros((len(rows), segments), np.uint16)
    out = np.empty((len(rows), segments), np.uint16)
    if out.size:
        read_codes(records, at, bits, by_parts(bits), k, rows, out)
    return out


@kernel(f"void({CODES_2D}, {FLOAT32_1D}, int64, {FLOAT32_OUT})")
def decode_codes(
    codes: NDArray[np.uint16], table: NDArray[np.float32], k: int, out: NDArray[np.float32]
) -> None:
    """Write the codewords of codes into rows.

    Codewords are copied sixteen numbers at a time; what a copy writes past its segment is written
    again by the segments and rows that follow, and the last rows are copied one by one.

    Args:
        codes: uint16 [b, S], each below K.
        table: float32 [K * D + 16], the codewords, see above.
        k: K.
        out: float32 [b, D], D at least S, C-contiguous, the caller's, written.
    """
    count, d = out.shape
    segments = codes.shape[1]
    narrow = d // segments
    longer = d % segments
    widest = narrow + 1 if longer else narrow
    roomy = max(0, count - (d + LANES - 1) // d)
    for i in range(roomy):
        target = i * d
        base = np.int64(0)
        width = narrow + 1
        if widest <= 4:
            for s in range(segments):
                if s == longer:
                    width = narrow
                copy_4(table, base + codes[i, s] * width, out, target)
                target += width
                base += k * width
        elif widest <= 8:
            for s in range(segments):
                if s == longer:
                    width = narrow
                copy_8(table, base + codes[i, s] * width, out, target)
                target += width
                base += k * width
        else:
            for s in range(segments):
                if s == longer:
                    width = narrow
                source = base + codes[i, s] * width
                copy_16(table, source, out, target)
                for j in range(LANES, width, LANES):
                    copy_16(table, source + j, out, target + j)
                target += width
                base += k * width
    for i in range(roomy, count):
        first = 0
        for s in range(segments):
            width = narrow + 1 if s < longer else narrow
            source = k * first + codes[i, s] * width
            for j in range(width):
                out[i, first + j] = table[source + j]
            first += width


@kernel(f"void({CODES_2D}, {FLOAT32_1D}, int64, Array(float32, 1, 'C'))")
def sum_entries(
    codes: NDArray[np.uint16], table: NDArray[np.float32], k: int, out: NDArray[np.float32]
) -> None:
    """Add up one table entry a code, from the first segment to the last.

    Args:
        codes: uint16 [b, S], each below K.
        table: float32 [S * K].
        k: K.
        out: float32 [b], written.
    """
    count, segments = codes.shape
    for i in range(count):
        total = np.float32(0)
        for s in range(segments):
            total += table[s * k + codes[i, s]]
        out[i] = total


@kernel(f"void({CODES_2D}, {CODES_2D}, {FLOAT32_1D}, int64, Array(float32, 1, 'C'))")
def sum_pairs(
    first: NDArray[np.uint16],
    second: NDArray[np.uint16],
    table: NDArray[np.float32],
    k: int,
    out: NDArray[np.float32],
) -> None:
    """Add up products of codewords made beforehand, S a pair of rows.

    Args:
        first: uint16 [b, S], each below K.
        second: uint16 [b, S], likewise.
        table: float32 [S * K * K], inner products of the codewords of each segment.
        k: K.
        out: float32 [b], written.
    """
    count, segments = first.shape
    for i in range(count):
        total = np.float32(0)
        for s in range(segments):
            total += table[(s * k + first[i, s]) * k + second[i, s]]
        out[i] = total


@kernel("void(Array(uint16, 2, 'C', readonly=True), int64, boolean, Array(uint8, 2, 'C'))")
def pack_segments(
    codes: NDArray[np.uint16], bits: int, parts: bool, out: NDArray[np.uint8]
) -> None:
    """`pack_product`: codes uint16 [b, S] into the caller's zeroed uint8 [b, h]."""
    count, segments = codes.shape
    h = out.shape[1]
    for i in range(count):
        if parts:
            for s in range(segments):
                out[i, s % h] |= np.uint8(codes[i, s] << np.uint16(s // h * bits))
        else:
            word = np.int64(0)
            held = 0
            byte = 0
            for s in range(segments):
                word |= np.int64(codes[i, s]) << held
                held += bits
                while held >= 8:
                    out[i, byte] = np.uint8(word & 255)
                    word >>= 8
                    held -= 8
                    byte += 1
            if held:
                out[i, byte] = np.uint8(word & 255)


def pack_product(codes: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """Pack rows of codes.

    Args:
        codes: uint16 [b, S], each below 2**bits.
        bits: bits per code, 0 to 12.

    Returns:
        uint8 [b, h], h = ceil(S * bits / 8).
    """
    count, segments = codes.shape
    out = np.zeros((count, (segments * bits + 7) // 8), np.uint8)
    if out.size:
        pack_segments(np.ascontiguousarray(codes), bits, by_parts(bits), out)
    return out


@kernel(
    f"void({FLOAT32_2D}, int64, int64, int64, int64, {FLOAT32_2D}, int64, "
    "Array(uint16, 1, 'C'), Array(float32, 1, 'C'))"
)
def nearest(
    columns: NDArray[np.float32],
    first: int,
    width: int,
    start: int,
    stop: int,
    book: NDArray[np.float32],
    k: int,
    codes: NDArray[np.uint16],
    distances: NDArray[np.float32],
) -> None:
    """Find the nearest codeword of sixteen rows at a time.

    A distance is the sum of squared differences from the first column to the last in float32,
    every operation rounded: a row's code does not depend on the rows beside it. Ties go to the
    lower code. On 65,536 rows of 4 columns and 256 codewords this takes a third of the time of
    faiss's search, which multiplies matrices.

    Args:
        columns: float32 [D, n], rows as columns, n a multiple of 16.
        first: First column of the segment.
        width: Columns of the segment.
        start: First row, a multiple of 16.
        stop: Row after the last, a multiple of 16.
        book: float32 [at least k, width].
        k: Codewords that may be used, at least 1.
        codes: uint16 [n], written from ``start`` to ``stop``.
        distances: float32 [n], the squared distances, likewise.
    """
    n = columns.shape[1]
    for i in range(start, stop, LANES):
        least = splat(np.inf)
        place = splat(0.0)
        for c in range(0, k - 1, 2):
            low = splat(0.0)
            high = splat(0.0)
            for j in range(width):
                values = load(columns, (first + j) * n + i)
                left = values - splat(book[c, j])
                right = values - splat(book[c + 1, j])
                low = low + left * left
                high = high + right * right
            place = select(low < least, splat(float(c)), place)
            least = lower(low, least)
            place = select(high < least, splat(float(c + 1)), place)
            least = lower(high, least)
        if k & 1:
            low = splat(0.0)
            for j in range(width):
                left = load(columns, (first + j) * n + i) - splat(book[k - 1, j])
                low = low + left * left
            place = select(low < least, splat(float(k - 1)), place)
            least = lower(low, least)
        store(distances, i, place)
        for lane in range(LANES):
            codes[i + lane] = np.uint16(distances[i + lane])
        store(distances, i, least)


@kernel(
    f"void({FLOAT32_2D}, int64, int64, Array(uint16, 1, 'C', readonly=True), "
    "Array(float64, 1, 'C', readonly=True), Array(float64, 2, 'C'), Array(float64, 1, 'C'))"
)
def add_up(
    columns: NDArray[np.float32],
    first: int,
    width: int,
    codes: NDArray[np.uint16],
    weights: NDArray[np.float64],
    sums: NDArray[np.float64],
    masses: NDArray[np.float64],
) -> None:
    """Add weighted rows to the sums of their codewords, in the order of the rows.

    Args:
        columns: float32 [D, at least n], rows as columns.
        first: First column of the segment.
        width: Columns of the segment.
        codes: uint16 [n].
        weights: float64 [n].
        sums: float64 [K, width], added to.
        masses: float64 [K], added to.
    """
    for i in range(weights.shape[0]):
        masses[codes[i]] += weights[i]
        for j in range(width):
            sums[codes[i], j] += weights[i] * columns[first + j, i]
