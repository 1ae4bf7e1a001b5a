"""Decode rows of signs: ``out = scale`` where the bit is 1, ``-scale`` where it is 0.

A record's fields, from byte ``at``:

    codes [h] | scale                       none, fp16 or fp32

with codes of one bit packed as `embcompress.kernels.bits` draws it. A scale of 0 or -0 gives +0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES, load, splat, store
from embcompress.kernels.prefetch import prefetch_span, rows_ahead
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_1D,
    FLOAT32_OUT,
    INT64_1D,
    number_at,
    uint8_at,
)
from embcompress.kernels.unpacking import bytes_at, choose, part


@kernel(f"void({BYTES_2D}, int64, int64, float32, {INT64_1D}, {FLOAT32_OUT})")
def decode_row_scales(
    records: NDArray[np.uint8],
    at: int,
    scale_bytes: int,
    scale: float,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`decode_signs` (``scale_bytes`` 0) and `decode_signs_by_row` (2 or 4, ``scale`` unused)."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    h = (d + 7) // 8
    padded = (h + LANES - 1) // LANES * LANES
    last_record = records.size - padded
    last_row = out.size - 7 * h - padded
    span = max(padded, h + scale_bytes)
    ahead = rows_ahead(span)
    zero: Any = np.float32(0)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        if scale_bytes:
            scale = number_at(records, start + h, scale_bytes == 2)
        plus = scale + zero  # -0 becomes +0
        minus = zero - scale
        if start <= last_record and i * d <= last_row:
            target = i * d
            for shift in range(8):
                for j in range(0, h, LANES):
                    positive = part(bytes_at(records, start + j), shift, 1)
                    store(out, target + j, choose(positive, splat(plus), splat(minus)))
                target += h
        else:
            first = 0
            for shift in range(8):
                for j in range(min(h, d - first)):
                    positive_bit = (uint8_at(records, start + j) >> shift) & 1
                    out[i, first + j] = plus if positive_bit else minus
                first += h


@kernel(f"void({BYTES_2D}, int64, {FLOAT32_1D}, {INT64_1D}, {FLOAT32_OUT})")
def decode_column_scales(
    records: NDArray[np.uint8],
    at: int,
    scales: NDArray[np.float32],
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`decode_signs_by_column`, with room for reading past the end: ``scales`` [8 * h + 16]."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    h = (d + 7) // 8
    padded = (h + LANES - 1) // LANES * LANES
    last_record = records.size - padded
    last_row = out.size - 7 * h - padded
    ahead = rows_ahead(padded)
    zero: Any = np.float32(0)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, padded)
        start = rows[i] * size + at
        if start <= last_record and i * d <= last_row:
            first = 0
            for shift in range(8):
                for j in range(0, h, LANES):
                    positive = part(bytes_at(records, start + j), shift, 1)
                    scale = load(scales, first + j)
                    signed = choose(positive, scale + splat(zero), splat(zero) - scale)
                    store(out, i * d + first + j, signed)
                first += h
        else:
            first = 0
            for shift in range(8):
                for j in range(min(h, d - first)):
                    column = scales[first + j]
                    positive_bit = (uint8_at(records, start + j) >> shift) & 1
                    out[i, first + j] = column + zero if positive_bit else zero - column
                first += h


def decode_signs(
    records: NDArray[np.uint8],
    at: int,
    scale: float,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Decode record ``rows[i]`` into ``out[i]``, all rows having one scale, such as 1.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of its signs.
        scale: rounded to float32.
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    if out.size:
        decode_row_scales(records, at, 0, scale, rows, out)


def decode_signs_by_row(
    records: NDArray[np.uint8],
    at: int,
    half: bool,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """As `decode_signs`, with a scale behind the signs of each record: fp16 (``half``) or fp32."""
    if out.size:
        decode_row_scales(records, at, 2 if half else 4, 0.0, rows, out)


def decode_signs_by_column(
    records: NDArray[np.uint8],
    at: int,
    columns: NDArray[np.float32],
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """As `decode_signs`, with a scale per column: ``columns`` float32 [D]."""
    if out.size:
        scales = np.zeros(columns.size + 8 + LANES, np.float32)
        scales[: columns.size] = columns
        decode_column_scales(records, at, scales, rows, out)
