"""Decode uniformly quantized rows: ``out = float32(code) * scale + bias``, in float32.

A record's fields, from byte ``at``, G being the number of groups of ``group`` columns:

    codes [h] | scale [G] | bias [G]        scale and bias fp16 or fp32

with codes packed as `embcompress.kernels.bits` draws it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.bits import by_parts, code_at_string, packed_bytes
from embcompress.kernels.halves import from_half
from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES, load, splat, store
from embcompress.kernels.prefetch import prefetch_span, rows_ahead
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_OUT,
    INT64_1D,
    float32_at,
    number_at,
    uint8_at,
    uint16_at,
    uint64_at,
)
from embcompress.kernels.unpacking import bytes_at, part, string

_SIGNATURE = f"void({BYTES_2D}, int64, int64, int64, {INT64_1D}, {FLOAT32_OUT})"


@kernel(_SIGNATURE)
def decode_parts(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    number_bytes: int,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Decode codes of 1, 2, 4 or 8 bits with one scale and bias a row.

    As `decode_uniform`; ``number_bytes`` is 2 for fp16 scales, 4 for fp32, and 0 to write the
    codes themselves.
    """
    count, d = out.shape
    size = np.int64(records.shape[1])
    h = (d * bits + 7) // 8
    mask = (1 << bits) - 1
    # Rows are written 16 columns at a time, past the end of a part and of the row: what follows
    # is written later. Near the ends of both arrays, code by code.
    padded = (h + LANES - 1) // LANES * LANES
    last_record = records.size - padded
    last_row = out.size - (8 // bits - 1) * h - padded
    span = max(padded, h + 2 * number_bytes)
    ahead = rows_ahead(span)
    scale: Any = np.float32(1)
    bias: Any = np.float32(0)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        if number_bytes == 2:
            scale = from_half(uint16_at(records, start + h))
            bias = from_half(uint16_at(records, start + h + 2))
        elif number_bytes == 4:
            scale = float32_at(records, start + h)
            bias = float32_at(records, start + h + 4)
        if start <= last_record and i * d <= last_row:
            target = i * d
            packed = bytes_at(records, start)
            for shift in range(0, 8, bits):
                store(out, target, part(packed, shift, mask) * splat(scale) + splat(bias))
                for j in range(LANES, h, LANES):
                    codes = part(bytes_at(records, start + j), shift, mask)
                    store(out, target + j, codes * splat(scale) + splat(bias))
                target += h
        else:
            first = 0
            for shift in range(0, 8, bits):
                for j in range(min(h, d - first)):
                    code = (uint8_at(records, start + j) >> shift) & mask
                    out[i, first + j] = np.float32(np.int32(code)) * scale + bias
                first += h


@kernel(_SIGNATURE)
def decode_string(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    number_bytes: int,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`decode_parts` for codes of 3, 5, 6 or 7 bits."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    h = (d * bits + 7) // 8
    # As above; 16 codes are read as two words of 8 bytes, `bits` bytes apart.
    chunks = (d + LANES - 1) // LANES
    padded = chunks * 2 * bits - bits + 8
    last_record = records.size - padded
    last_row = out.size - chunks * LANES
    span = max(padded, h + 2 * number_bytes)
    ahead = rows_ahead(span)
    scale: Any = np.float32(1)
    bias: Any = np.float32(0)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        start = rows[i] * size + at
        if number_bytes == 2:
            scale = from_half(uint16_at(records, start + h))
            bias = from_half(uint16_at(records, start + h + 2))
        elif number_bytes == 4:
            scale = float32_at(records, start + h)
            bias = float32_at(records, start + h + 4)
        if start <= last_record and i * d <= last_row:
            source = start
            for j in range(0, d, LANES):
                low = uint64_at(records, source)
                high = uint64_at(records, source + bits)
                codes = string(low, high, bits)
                store(out, i * d + j, codes * splat(scale) + splat(bias))
                source += 2 * bits
        else:
            for j in range(d):
                code = code_at_string(records, start, h, bits, j)
                out[i, j] = np.float32(np.int32(code)) * scale + bias


@kernel(f"void({BYTES_2D}, int64, int64, boolean, {INT64_1D}, {FLOAT32_OUT})")
def scale_groups(
    records: NDArray[np.uint8],
    at: int,
    group: int,
    half: bool,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Turn ``out`` from codes to values; ``at`` is the byte offset of a record's first scale."""
    count, d = out.shape
    size = np.int64(records.shape[1])
    groups = (d + group - 1) // group
    number = 2 if half else 4
    span = 2 * groups * number
    ahead = rows_ahead(span)
    for i in range(count):
        if i + ahead < count:
            prefetch_span(records, rows[i + ahead] * size + at, span)
        scales = rows[i] * size + at
        biases = scales + groups * number
        for g in range(groups):
            scale = number_at(records, scales + g * number, half)
            bias = number_at(records, biases + g * number, half)
            first = g * group
            end = min(first + group, d)
            for j in range(first, end - LANES + 1, LANES):
                codes = load(out, i * d + j)
                store(out, i * d + j, codes * splat(scale) + splat(bias))
            for j in range(end - (end - first) % LANES, end):
                out[i, j] = out[i, j] * scale + bias


def decode_uniform(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    group: int,
    half: bool,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Decode record ``rows[i]`` into ``out[i]``.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of the first code.
        bits: bits per code, 1 to 8.
        group: columns that share a scale and a bias, at least 1; D or more for one per row.
        half: whether scales and biases are fp16, else fp32.
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    count, d = out.shape
    decode = decode_parts if by_parts(bits) else decode_string
    if d == 0:
        return
    if group >= d:
        decode(records, at, bits, 2 if half else 4, rows, out)
        return
    block = max(1, 65536 // d)  # codes stay in the cache until they are scaled
    for i in range(0, count, block):
        some, target = rows[i : i + block], out[i : i + block]
        decode(records, at, bits, 0, some, target)
        scale_groups(records, at + packed_bytes(d, bits), group, half, some, target)
