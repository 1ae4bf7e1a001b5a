"""Decode rows of a scalar codebook: ``out = book[code]``.

A record's fields, from byte ``at``, with the book in the record or shared by all rows:

    codes [h] | book [k]                    k fp16 or fp32 numbers
    codes [h] | group                       none, uint8 or uint16; then out = books[group][code]

with codes packed as `embcompress.kernels.bits` draws it. Codes and groups come out of a file: a
code of k or more decodes to 0, and a group past the last one has the last one's book.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.bits import by_parts, code_at_string
from embcompress.kernels.halves import from_half
from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.lanes import LANES, store
from embcompress.kernels.prefetch import prefetch_span, rows_ahead
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_2D,
    FLOAT32_OUT,
    INT64_1D,
    float32_at,
    uint8_at,
    uint16_at,
    uint64_at,
)
from embcompress.kernels.unpacking import bytes_at, part, pick, string


@inlined
def _look_up(
    records: NDArray[np.uint8],
    start: int,
    bits: int,
    parts: bool,
    books: NDArray[np.float32],
    book: int,
    out: NDArray[np.float32],
    i: int,
) -> None:
    """Decode the codes from byte ``start`` into out[i] by a row of ``books`` [g, 2**bits].

    Sixteen columns at a time, as in `embcompress.kernels.uniform`.
    """
    d = out.shape[1]
    h = (d * bits + 7) // 8
    mask = (1 << bits) - 1
    base = book << bits
    target = i * d
    if parts:
        padded = (h + LANES - 1) // LANES * LANES
        reach = (8 // bits - 1) * h + padded
        if start + padded <= records.size and target + reach <= out.size:
            for shift in range(0, 8, bits):
                for j in range(0, h, LANES):
                    codes = part(bytes_at(records, start + j), shift, mask)
                    store(out, target + j, pick(books, base, codes))
                target += h
        else:
            first = 0
            for shift in range(0, 8, bits):
                for j in range(min(h, d - first)):
                    code = (uint8_at(records, start + j) >> shift) & mask
                    out[i, first + j] = books[book, code]
                first += h
    else:
        chunks = (d + LANES - 1) // LANES
        padded = chunks * 2 * bits - bits + 8
        if start + padded <= records.size and target + chunks * LANES <= out.size:
            for j in range(0, d, LANES):
                low = uint64_at(records, start)
                high = uint64_at(records, start + bits)
                store(out, target + j, pick(books, base, string(low, high, bits)))
                start += 2 * bits
        else:
            for j in range(d):
                out[i, j] = books[book, code_at_string(records, start, h, bits, j)]


@kernel(
    f"void({BYTES_2D}, int64, int64, boolean, int64, boolean, {FLOAT32_OUT}, {INT64_1D}, "
    f"{FLOAT32_OUT})"
)
def decode_own_books(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    parts: bool,
    k: int,
    half: bool,
    book: NDArray[np.float32],
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`decode_book`; ``parts``: packed by parts; ``book``: scratch, zeros [1, 2**bits]."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    h = (d * bits + 7) // 8
    number = 2 if half else 4
    span = h + k * number
    ahead = rows_ahead(span)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        first = start + h
        if half:
            for c in range(k):
                book[0, c] = from_half(uint16_at(records, first + 2 * c))
        else:
            for c in range(k):
                book[0, c] = float32_at(records, first + 4 * c)
        _look_up(records, start, bits, parts, book, 0, out, i)


@kernel(f"void({BYTES_2D}, int64, int64, boolean, {FLOAT32_2D}, int64, {INT64_1D}, {FLOAT32_OUT})")
def decode_shared_books(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    parts: bool,
    books: NDArray[np.float32],
    index_bytes: int,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`decode_shared_book`; ``parts`` is whether codes are packed by parts."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    h = (d * bits + 7) // 8
    span = h + index_bytes
    ahead = rows_ahead(span)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        group: Any = np.int64(0)
        if index_bytes == 1:
            group = np.int64(uint8_at(records, start + h))
        elif index_bytes == 2:
            group = np.int64(uint16_at(records, start + h))
        group = min(group, np.int64(books.shape[0] - 1))
        _look_up(records, start, bits, parts, books, group, out, i)


def decode_book(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    k: int,
    half: bool,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Decode record ``rows[i]`` into ``out[i]`` by the codebook in the record itself.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of the first code.
        bits: bits per code, 1 to 8.
        k: numbers in a codebook.
        half: whether they are fp16, else fp32.
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    if out.size:
        book = np.zeros((1, max(k, 1 << bits)), np.float32)
        decode_own_books(records, at, bits, by_parts(bits), k, half, book, rows, out)


def decode_shared_book(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    books: NDArray[np.float32],
    index_bytes: int,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Decode record ``rows[i]`` into ``out[i]`` by one of the codebooks that all rows share.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of the first code.
        bits: bits per code, 1 to 8.
        books: float32 [g, 2**bits], g at least 1, C-contiguous, may be read-only.
        index_bytes: bytes of the record's book number, 0 (always book 0), 1 or 2.
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.
        out: float32 [b, D], C-contiguous, the caller's, written.

    Raises:
        ValueError: ``books`` has another shape.
    """
    if books.shape[0] < 1 or books.shape[1] != 1 << bits:
        raise ValueError(f"books must be [g, {1 << bits}], not {list(books.shape)}")
    if out.size:
        decode_shared_books(records, at, bits, by_parts(bits), books, index_bytes, rows, out)
