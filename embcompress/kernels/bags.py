"""Sums of rows over bags: bag b holds the entries ``offsets[b]`` to ``offsets[b + 1] - 1``."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.bits import packed_bytes
from embcompress.kernels.jit import Kernel, kernel
from embcompress.kernels.lanes import LANES, splat, store, store_first
from embcompress.kernels.prefetch import prefetch, rows_ahead
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_1D,
    FLOAT32_2D,
    FLOAT32_OUT,
    INT64_1D,
    float32_at,
    half_pair_at,
    int64_at,
    uint8_at,
)
from embcompress.kernels.unpacking import bytes_at, part

_SIGNATURE = (
    f"void({BYTES_2D}, int64, {INT64_1D}, {INT64_1D}, {FLOAT32_1D}, boolean, {FLOAT32_OUT})"
)
RUN = 16
_MOST_LINES = 2048  # bytes of a record that are asked for ahead


@cache
def _uniform_kernel(bits: int, blocks: int, half: bool, weighted: bool) -> Kernel[..., None]:
    """The kernel of `sum_uniform` for one kind of record.

    Up to four sums of sixteen columns stay in registers while a bag's records pass. What is given
    here is constant to the compiler: tests of it inside the loop took a third of the time.

    Args:
        bits: 1, 2, 4 or 8.
        blocks: runs of sixteen bytes that are summed together: 1, 2 or 4 at 8 bits, 1 or 2 at 4
            bits, else 1. At 4 bits each gives two sums, at 2 bits four, at 1 bit twice four.
        half: whether scales and biases are fp16.
        weighted: whether entries have weights.
    """
    wide = blocks * LANES
    second, third = blocks * (8 // bits) > 1, blocks * (8 // bits) > 2
    # where the sums lie: bytes from the first block, and the shift of their codes
    o1, o2, o3 = {8: (16, 32, 48), 4: (16, 0, 16)}.get(bits, (0, 0, 0))
    s1, s2, s3 = {8: (0, 0, 0), 4: (0, 4, 4)}.get(bits, (bits, 2 * bits, 3 * bits))
    if (bits, blocks) == (4, 1):
        o1, s1 = 0, 4
    turns = 2 if bits == 1 else 1
    mask = (1 << bits) - 1
    numbers = 4 if half else 8

    @kernel(_SIGNATURE)
    def sum_parts(
        records: NDArray[np.uint8],
        at: int,
        rows: NDArray[np.int64],
        offsets: NDArray[np.int64],
        weights: NDArray[np.float32],
        mean: bool,
        out: NDArray[np.float32],
    ) -> None:
        count, d = out.shape
        size = records.shape[1]
        h = (d * bits + 7) // 8
        p1, p2, p3 = s1 // bits * h, s2 // bits * h, s3 // bits * h
        span = h + numbers
        # sixteen bytes are read at a time, past the end of a record; near the end of the array
        # a bag is summed code by code
        last_record = records.size - (h + wide - 1) // wide * wide
        furthest = 0
        for e in range(len(rows)):
            furthest = max(furthest, int64_at(rows, 8 * e))
        safe = furthest * size + at <= last_record
        ahead = rows_ahead(span)
        end = len(rows) - 1
        scale: Any = np.float32(0)
        bias: Any = np.float32(0)
        weight: Any = np.float32(1)
        # -0 is the number that changes nothing it is added to
        zero: Any = np.float32(-0.0)
        nothing = splat(zero)
        for i in range(count):
            first, stop = int64_at(offsets, 8 * i), int64_at(offsets, 8 * i + 8)
            length: Any = np.float32(stop - first)
            inside = True
            if not safe:
                for e in range(first, stop):
                    inside &= int64_at(rows, 8 * e) * size + at <= last_record
            if first == stop:
                for j in range(d):
                    out[i, j] = np.float32(0)
            elif not inside:
                for j in range(d):
                    sum_so_far = zero
                    for run in range(first, stop, RUN):
                        value, total = zero, zero
                        for e in range(run, min(run + RUN, stop)):
                            start = int64_at(rows, 8 * e) * size + at
                            if half:
                                scale, bias = half_pair_at(records, start + h)
                            else:
                                scale = float32_at(records, start + h)
                                bias = float32_at(records, start + h + 4)
                            if weighted:
                                weight = float32_at(weights, 4 * e)
                                scale, bias = scale * weight, bias * weight
                            code = (uint8_at(records, start + j % h) >> (j // h * bits)) & mask
                            value = value + np.float32(np.int32(code)) * scale
                            total = total + bias
                        sum_so_far = sum_so_far + (value + total)
                    out[i, j] = sum_so_far / length if mean else sum_so_far
            else:
                for turn in range(turns):
                    s0 = turn * 4
                    p0 = s0 // bits * h
                    for j in range(0, h, wide):
                        a, b, c, f = nothing, nothing, nothing, nothing
                        for run in range(first, stop, RUN):
                            p, q, r, s = nothing, nothing, nothing, nothing
                            total = zero
                            for e in range(run, min(run + RUN, stop)):
                                if j == 0:
                                    line = int64_at(rows, 8 * min(e + ahead, end)) * size + at
                                    prefetch(records, line)
                                    prefetch(records, line + span - 1)
                                    if span > 128:
                                        for o in range(64, min(span - 1, _MOST_LINES), 64):
                                            prefetch(records, line + o)
                                start = int64_at(rows, 8 * e) * size + at
                                if half:
                                    scale, bias = half_pair_at(records, start + h)
                                else:
                                    scale = float32_at(records, start + h)
                                    bias = float32_at(records, start + h + 4)
                                if weighted:
                                    weight = float32_at(weights, 4 * e)
                                    scale, bias = scale * weight, bias * weight
                                total = total + bias
                                by = splat(scale)
                                start += j
                                p = p + part(bytes_at(records, start), s0, mask) * by
                                if second:
                                    q = q + part(bytes_at(records, start + o1), s0 + s1, mask) * by
                                if third:
                                    r = r + part(bytes_at(records, start + o2), s0 + s2, mask) * by
                                    s = s + part(bytes_at(records, start + o3), s0 + s3, mask) * by
                            by = splat(total)
                            a, b, c, f = a + (p + by), b + (q + by), c + (r + by), f + (s + by)
                        if mean:
                            by = splat(length)
                            a, b, c, f = a / by, b / by, c / by, f / by
                        # a run of columns ends with its part of the row, and with the row
                        left = min(h, d - p0) - j
                        if left >= LANES:
                            store(out, i * d + p0 + j, a)
                        else:
                            store_first(out, i * d + p0 + j, a, left)
                        if second:
                            left = min(h, d - p0 - p1) - j - o1
                            if left >= LANES:
                                store(out, i * d + p0 + p1 + j + o1, b)
                            else:
                                store_first(out, i * d + p0 + p1 + j + o1, b, left)
                        if third:
                            left = min(h, d - p0 - p2) - j - o2
                            if left >= LANES:
                                store(out, i * d + p0 + p2 + j + o2, c)
                            else:
                                store_first(out, i * d + p0 + p2 + j + o2, c, left)
                            left = min(h, d - p0 - p3) - j - o3
                            if left >= LANES:
                                store(out, i * d + p0 + p3 + j + o3, f)
                            else:
                                store_first(out, i * d + p0 + p3 + j + o3, f, left)

    return sum_parts


def sum_uniform(
    records: NDArray[np.uint8],
    at: int,
    bits: int,
    half: bool,
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float32],
    mean: bool,
    out: NDArray[np.float32],
) -> None:
    """Sums over bags of uniformly quantized rows with one scale and bias each.

    A column is summed in runs of 16 rows: code times scale over the rows of a run, in order, plus
    the sum of their biases, added to what the runs before gave; all in float32 and each step
    rounded. A weight multiplies scale and bias first. A bag of one row without a weight has that
    row's bits, an empty bag is 0.

    Biases apart save an addition a column. Kept apart over a whole bag, both sums would grow far
    beyond what they add up to.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of the first code.
        bits: bits per code: 1, 2, 4 or 8.
        half: whether scales and biases are fp16, else fp32.
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.
        offsets: int64 [bags + 1], ascending, within 0 to b, checked by the caller.
        weights: float32 [b], or empty for none.
        mean: whether a sum is divided by its bag's length.
        out: float32 [bags, D], C-contiguous, the caller's, written.
    """
    if out.size:
        wide = min(packed_bytes(out.shape[1], bits) + LANES - 1, bits * 8) // LANES
        blocks = 4 if wide > 2 else max(wide, 1)
        total = _uniform_kernel(bits, blocks, half, len(weights) > 0)
        total(records, at, rows, offsets, weights, mean, out)


@kernel(f"void({FLOAT32_2D}, int64, {INT64_1D}, int64, {FLOAT32_1D}, boolean, {FLOAT32_OUT})")
def add_rows(
    rows: NDArray[np.float32],
    first: int,
    offsets: NDArray[np.int64],
    bag: int,
    weights: NDArray[np.float32],
    largest: bool,
    out: NDArray[np.float32],
) -> None:
    """Add decoded rows to the sums of their bags in order, or keep the largest values.

    The first row of a bag replaces what its sum held.

    Args:
        rows: float32 [b, D], of the entries from ``first`` on.
        first: number of the first entry.
        offsets: int64 [bags + 1], ascending.
        bag: a bag that begins at or before entry ``first``.
        weights: float32, one an entry, or empty for none; multiplies a row, rounded.
        largest: whether columns keep their largest value instead of the sum.
        out: float32 [bags, D], C-contiguous, the caller's, added to.
    """
    weighted = len(weights) > 0
    for k in range(len(rows)):
        entry = first + k
        while entry >= offsets[bag + 1]:
            bag += 1
        weight: Any = weights[entry] if weighted else np.float32(1)
        if entry == offsets[bag]:
            for j in range(rows.shape[1]):
                out[bag, j] = rows[k, j] * weight
        elif largest:
            for j in range(rows.shape[1]):
                out[bag, j] = max(out[bag, j], rows[k, j])
        else:
            for j in range(rows.shape[1]):
                out[bag, j] += rows[k, j] * weight
