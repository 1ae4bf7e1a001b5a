"""Rows of a table that many numbers share: which ones a number has, their sums, rows from them.

A number i has ``count`` shared rows. With ``bits`` above 0, row k is the k-th group of that many
bits of i, lowest first. With 0 bits, row 0 is i mod m, and row 1 is m + i div m.

Everything here does what a loop over the numbers does, in their order.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.records import BYTES_2D, FLOAT32_2D, FLOAT32_OUT, INT64_1D, number_at

INT64_2D: Final = "Array(int64, 2, 'C', readonly=True)"
FLOAT64_1D: Final = "Array(float64, 1, 'C', readonly=True)"
FLOAT64_2D: Final = "Array(float64, 2, 'C', readonly=True)"


@inlined
def shared_row(number: Any, k: Any, m: Any, bits: Any) -> Any:
    """Shared row k of a number, which is at least 0."""
    if bits > 0:
        return (number >> (k * bits)) & ((np.int64(1) << bits) - 1)
    if k == 0:
        return number % m
    return m + number // m


@kernel(
    f"void({BYTES_2D}, int64, int64, {INT64_2D}, int64, int64, int64, int64, int64, boolean,"
    f" {FLOAT32_2D}, {FLOAT32_OUT})"
)
def decode_shared_rows(
    records: NDArray[np.uint8],
    at: int,
    scale: int,
    rows: NDArray[np.int64],
    first: int,
    span: int,
    count: int,
    m: int,
    bits: int,
    product: bool,
    table: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Decode row ``rows[i]`` into ``out[i]``: its shared rows added or multiplied, then scaled.

    Args:
        records: uint8 [n, R].
        at: Byte of a record at which its scale begins.
        scale: Bytes of a scale, 0, 2 or 4.
        rows: int64 [b, 2], original row numbers and positions; positions are checked by the caller.
        first: Original number of number 0.
        span: Numbers there are; what lies outside counts as the last.
        count: Shared rows of a number.
        m: Rows that remainders have.
        bits: Of a group, or 0.
        product: Whether shared rows are multiplied.
        table: float32 [K, D], which holds every shared row of every number below ``span``.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    d = out.shape[1]
    size = np.int64(records.shape[1])
    for i in range(out.shape[0]):
        number = rows[i, 0] - first
        if number < 0 or number >= span:
            number = span - 1
        own = shared_row(number, 0, m, bits)
        for j in range(d):
            out[i, j] = table[own, j]
        for k in range(1, count):
            own = shared_row(number, k, m, bits)
            if product:
                for j in range(d):
                    out[i, j] *= table[own, j]
            else:
                for j in range(d):
                    out[i, j] += table[own, j]
        if scale:
            factor = number_at(records, rows[i, 1] * size + at, scale == 2)
            for j in range(d):
                out[i, j] *= factor


@kernel(
    f"void({INT64_1D}, {FLOAT32_2D}, {FLOAT64_1D}, int64, int64, int64,"
    " Array(float64, 2, 'C'), Array(float64, 1, 'C'))"
)
def add_to_shared_rows(
    numbers: NDArray[np.int64],
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    count: int,
    m: int,
    bits: int,
    sums: NDArray[np.float64],
    masses: NDArray[np.float64],
) -> None:
    """Add weighted rows to the sums of their shared rows.

    Args:
        numbers: int64 [b], at least 0.
        rows: float32 [b, D].
        weights: float64 [b], or [0] for weights of 1.
        count: Shared rows of a number.
        m: Rows that remainders have.
        bits: Of a group, or 0.
        sums: float64 [K, D], the caller's, added to.
        masses: float64 [K], the caller's; weights are added to it.
    """
    d = rows.shape[1]
    weighted = len(weights) > 0
    for i in range(len(numbers)):
        weight = weights[i] if weighted else 1.0
        for k in range(count):
            own = shared_row(numbers[i], k, m, bits)
            masses[own] += weight
            if weighted:
                for j in range(d):
                    sums[own, j] += weight * rows[i, j]
            else:
                for j in range(d):
                    sums[own, j] += rows[i, j]


@kernel(
    f"void({INT64_1D}, int64, {FLOAT64_1D}, int64, int64, int64, {FLOAT64_2D},"
    " Array(float64, 2, 'C'))"
)
def add_normal_products(
    numbers: NDArray[np.int64],
    total: int,
    weights: NDArray[np.float64],
    count: int,
    m: int,
    bits: int,
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Add AᵀWA·table to ``out``, where row i of A counts how often number i has each shared row.

    Args:
        numbers: int64 [n], or [0] for 0, 1, …, total - 1.
        total: Numbers there are, n.
        weights: float64 [n], the diagonal of W, or [0] for weights of 1.
        count: Shared rows of a number.
        m: Rows that remainders have.
        bits: Of a group, or 0.
        table: float64 [K, c].
        out: float64 [K, c], the caller's, added to.
    """
    columns = table.shape[1]
    row = np.empty(columns, np.float64)
    for i in range(total):
        number = numbers[i] if len(numbers) else np.int64(i)
        weight = weights[i] if len(weights) else 1.0
        for j in range(columns):
            row[j] = 0.0
        for k in range(count):
            own = shared_row(number, k, m, bits)
            for j in range(columns):
                row[j] += table[own, j]
        for k in range(count):
            own = shared_row(number, k, m, bits)
            for j in range(columns):
                out[own, j] += weight * row[j]


@kernel(
    f"void({INT64_1D}, {FLOAT32_2D}, {FLOAT64_1D}, int64, int64, int64,"
    " Array(float64, 2, 'C'), Array(float64, 1, 'C'), Array(float64, 2, 'C'))"
)
def add_laps(
    numbers: NDArray[np.int64],
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    m: int,
    low: int,
    high: int,
    sums: NDArray[np.float64],
    masses: NDArray[np.float64],
    laps: NDArray[np.float64],
) -> None:
    """Add weighted rows to the sums of their remainders, and of their laps.

    Args:
        numbers: int64 [b], at least 0.
        rows: float32 [b, D].
        weights: float64 [b], or [0] for weights of 1.
        m: What remainders are of.
        low: Rows with smaller remainders are left out.
        high: Rows with this remainder and larger ones are left out.
        sums: float64 [high - low, D], the caller's, added to.
        masses: float64 [high - low], the caller's; weights are added to it.
        laps: float64 [laps, D], the caller's, added to; [0, D] leaves laps out.
    """
    d = rows.shape[1]
    weighted = len(weights) > 0
    for i in range(len(numbers)):
        own = numbers[i] % m
        if own < low or own >= high:
            continue
        own -= low
        if weighted:
            masses[own] += weights[i]
            for j in range(d):
                sums[own, j] += weights[i] * rows[i, j]
        else:
            masses[own] += 1.0
            for j in range(d):
                sums[own, j] += rows[i, j]
        if len(laps):
            lap = numbers[i] // m
            weight = weights[i] if weighted else 1.0
            for j in range(d):
                laps[lap, j] += weight * rows[i, j]
