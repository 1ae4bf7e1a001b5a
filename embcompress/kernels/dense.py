"""Decode rows stored as numbers: fp32, fp16, bf16, or int16 with a scale per row.

A record's fields, from byte ``at``, little endian and at any alignment:

    values [D]                              float32, float16 or bfloat16
    values [D] | scale                      int16; scale fp32; out = float32(value) * scale
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.halves import from_bfloat, from_half
from embcompress.kernels.jit import kernel
from embcompress.kernels.prefetch import prefetch_span, rows_ahead
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_OUT,
    INT64_1D,
    float32_at,
    int16_at,
    uint16_at,
)

_SIGNATURE = f"void({BYTES_2D}, int64, {INT64_1D}, {FLOAT32_OUT})"


@kernel(_SIGNATURE)
def decode_float32(
    records: NDArray[np.uint8], at: int, rows: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Copy fp32 values; see `decode_dense`."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    span = 4 * d
    ahead = rows_ahead(span)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        for j in range(d):
            out[i, j] = float32_at(records, start + 4 * j)


@kernel(_SIGNATURE)
def decode_float16(
    records: NDArray[np.uint8], at: int, rows: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Widen fp16 values; see `decode_dense`."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    span = 2 * d
    ahead = rows_ahead(span)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        for j in range(d):
            out[i, j] = from_half(uint16_at(records, start + 2 * j))


@kernel(_SIGNATURE)
def decode_bfloat16(
    records: NDArray[np.uint8], at: int, rows: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Widen bf16 values; see `decode_dense`."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    span = 2 * d
    ahead = rows_ahead(span)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        for j in range(d):
            out[i, j] = from_bfloat(uint16_at(records, start + 2 * j))


@kernel(_SIGNATURE)
def decode_int16(
    records: NDArray[np.uint8], at: int, rows: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Scale int16 values; see `decode_dense`."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    span = 2 * d + 4
    ahead = rows_ahead(span)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        scale = float32_at(records, start + 2 * d)
        for j in range(d):
            out[i, j] = np.float32(int16_at(records, start + 2 * j)) * scale


_DECODERS = {
    "float32": decode_float32,
    "float16": decode_float16,
    "bfloat16": decode_bfloat16,
    "int16": decode_int16,
}


def decode_dense(
    records: NDArray[np.uint8],
    at: int,
    dtype: str,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Decode record ``rows[i]`` into ``out[i]``.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of the first value.
        dtype: "float32", "float16", "bfloat16" or "int16".
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    if out.size:
        _DECODERS[dtype](records, at, rows, out)
