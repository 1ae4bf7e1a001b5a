"""Additive codes: rows as sums of codewords, one of every codebook, and rows from them.

S books of K codewords of W columns lie behind one another: a ``table`` float32 [S * K * W + 16] in
which codeword k of book s begins at (s * K + k) * W; its last 16 numbers are not used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES, load, store
from embcompress.kernels.records import FLOAT32_1D, FLOAT32_OUT

CODES_2D: Final = "Array(uint16, 2, 'C', readonly=True)"
FLOAT64_1D: Final = "Array(float64, 1, 'C', readonly=True)"
FLOAT32_LINE: Final = "Array(float32, 1, 'C')"


@kernel(
    f"void({CODES_2D}, int64, int64, {FLOAT32_1D}, int64, int64, int64, {FLOAT32_LINE}, "
    f"{FLOAT32_OUT})"
)
def add_codewords(
    codes: NDArray[np.uint16],
    start: int,
    stop: int,
    table: NDArray[np.float32],
    k: int,
    first: int,
    width: int,
    spare: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write sums of codewords into some columns of rows.

    ``out[i, first:first + width] = codeword of book start + that of start + 1 + …``, from left to
    right in float32, every sum rounded: a row has the same bits in any batch. Sixteen columns at
    a time stay in a register through all books; the last sixteen may be computed twice.

    Args:
        codes: uint16 [b, S], each below K.
        start: First of the books that cover these columns.
        stop: The book after the last of them, above ``start``.
        table: float32 [(stop - start) * K * width + 16], the books.
        k: K.
        first: First column.
        width: Columns W.
        spare: float32 [16], scratch.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    count, d = out.shape
    step = np.int64(k * width)
    for i in range(count):
        target = i * d + first
        if width >= LANES:
            for column in range(0, width, LANES):
                j = min(column, width - LANES)
                total = load(table, codes[i, start] * width + j)
                base = step + j
                for s in range(start + 1, stop):
                    total = total + load(table, base + codes[i, s] * width)
                    base += step
                store(out, target + j, total)
        else:
            total = load(table, codes[i, start] * width)
            base = step
            for s in range(start + 1, stop):
                total = total + load(table, base + codes[i, s] * width)
                base += step
            store(spare, 0, total)
            for j in range(width):
                out[i, first + j] = spare[j]


@kernel(f"void({CODES_2D}, {FLOAT64_1D}, int64, {FLOAT32_LINE})")
def sum_products(
    codes: NDArray[np.uint16], table: NDArray[np.float64], k: int, out: NDArray[np.float32]
) -> None:
    """Add up one table entry a code, from the first book to the last, in float64.

    Args:
        codes: uint16 [b, S], each below K.
        table: float64 [S * K].
        k: K.
        out: float32 [b], written.
    """
    count, books = codes.shape
    for i in range(count):
        total = 0.0
        for s in range(books):
            total += table[s * k + codes[i, s]]
        out[i] = np.float32(total)


@kernel(f"void({CODES_2D}, {CODES_2D}, int64, int64, {FLOAT64_1D}, int64, Array(float64, 1, 'C'))")
def sum_cross_products(
    first: NDArray[np.uint16],
    second: NDArray[np.uint16],
    start: int,
    stop: int,
    table: NDArray[np.float64],
    k: int,
    out: NDArray[np.float64],
) -> None:
    """Add to pairs of rows the products of all codewords of one with all of the other.

    Args:
        first: uint16 [b, S], each below K.
        second: uint16 [b, S], likewise.
        start: First of the books whose products the table holds.
        stop: The book after the last of them.
        table: float64 [s(s + 1)/2 * K * K], s = stop - start: the inner products of book r and
            book t ≥ r begin at ((r * s - r(r - 1)/2) + t - r) * K * K.
        k: K.
        out: float64 [b], added to.
    """
    count = first.shape[0]
    books = stop - start
    for i in range(count):
        total = 0.0
        at = np.int64(0)
        for r in range(books):
            one = np.int64(first[i, start + r])
            other = np.int64(second[i, start + r])
            total += table[at + one * k + other]
            at += k * k
            for t in range(r + 1, books):
                total += table[at + one * k + second[i, start + t]]
                total += table[at + other * k + first[i, start + t]]
                at += k * k
        out[i] += total


@kernel(f"void({CODES_2D}, {FLOAT32_1D}, int64, {FLOAT32_OUT})")
def expand(
    codes: NDArray[np.uint16], table: NDArray[np.float32], k: int, out: NDArray[np.float32]
) -> None:
    """Sums of codewords of sixteen columns.

    Args:
        codes: uint16 [b, S], each below K.
        table: float32 [S * K * 16].
        k: K.
        out: float32 [b, 16], written.
    """
    count, books = codes.shape
    for i in range(count):
        total = load(table, codes[i, 0] * LANES)
        for s in range(1, books):
            total = total + load(table, (s * k + codes[i, s]) * LANES)
        store(out, i * LANES, total)


@kernel(f"void({CODES_2D}, Array(float32, 2, 'C', readonly=True), int64, {FLOAT32_LINE})")
def collect(
    codes: NDArray[np.uint16], rows: NDArray[np.float32], k: int, sums: NDArray[np.float32]
) -> None:
    """Add rows of sixteen columns to the sums of all their codewords: the reverse of `expand`.

    Args:
        codes: uint16 [b, S], each below K.
        rows: float32 [b, 16].
        k: K.
        sums: float32 [S * K * 16], added to.
    """
    count, books = codes.shape
    for i in range(count):
        row = load(rows, i * LANES)
        for s in range(books):
            place = (s * k + codes[i, s]) * LANES
            store(sums, place, load(sums, place) + row)
