"""Inner products of float vectors with rows of signs, by look-up tables of bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_2D,
    FLOAT32_OUT,
    INT64_1D,
    number_at,
    uint8_at,
)

_AT_A_TIME = 1 << 20
"""Entries of tables made at a time."""


@kernel(f"void({BYTES_2D}, int64, int64, {FLOAT32_2D}, {INT64_1D}, {FLOAT32_OUT})")
def add_entries(
    records: NDArray[np.uint8],
    at: int,
    scale_bytes: int,
    tables: NDArray[np.float32],
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`sign_products` with ``tables`` float32 [q, h * 256]: entry 256 * j + v is for byte j = v."""
    size = np.int64(records.shape[1])
    h = tables.shape[1] >> 8
    for i in range(tables.shape[0]):
        for r in range(rows.size):
            start = rows[r] * size + at
            total = np.float32(0)
            for j in range(h):
                total += tables[i, (j << 8) + np.int64(uint8_at(records, start + j))]
            if scale_bytes:
                total *= number_at(records, start + h, scale_bytes == 2)
            out[i, r] = total


def sign_products(
    records: NDArray[np.uint8],
    at: int,
    scale_bytes: int,
    vectors: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Inner products of vectors with rows of ±1, times the scale behind a row's signs.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of its signs, packed as `embcompress.kernels.bits` draws it.
        scale_bytes: 0 without a scale, 2 for fp16, 4 for fp32.
        vectors: float64 [q, D].
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.

    Returns:
        float32 [q, b]: a row's bytes are added in order, whatever the batch.
    """
    count, d = vectors.shape
    h = (d + 7) // 8
    out = np.zeros((count, len(rows)), np.float32)
    if not out.size or not h:
        return out
    bits = np.arange(256)[None] >> np.arange(8)[:, None] & 1
    signs = (2 * bits - 1).astype(np.float64)
    step = max(1, _AT_A_TIME // (256 * h))
    for start in range(0, count, step):
        some = vectors[start : start + step]
        columns = np.zeros((len(some), 8 * h))
        columns[:, :d] = some
        by_byte = columns.reshape(len(some), 8, h).transpose(0, 2, 1)
        tables = (by_byte @ signs).astype(np.float32).reshape(len(some), -1)
        add_entries(records, at, scale_bytes, tables, rows, out[start : start + step])
    return out
