"""Rows as sums of a few anchors, each times a number: decoding, and non-negative pursuit."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES, any_lane, equal, load, splat, store, upper
from embcompress.kernels.product import CODES_2D, CODES_OUT
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_2D,
    FLOAT32_OUT,
    INT64_1D,
    number_at,
    uint8_at,
)
from embcompress.kernels.shared_rows import FLOAT64_1D, FLOAT64_2D

_GAIN: Final = 1e-6  # of the largest correlation: what is left is rounding
_DEPENDENT: Final = 1e-5  # of an anchor's squared length


@kernel(f"void({BYTES_2D}, int64, boolean, {INT64_1D}, {CODES_2D}, {FLOAT32_2D}, {FLOAT32_OUT})")
def combine_anchors(
    records: NDArray[np.uint8],
    at: int,
    half: bool,
    rows: NDArray[np.int64],
    codes: NDArray[np.uint16],
    book: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Decode row ``rows[i]`` into ``out[i]``: value times anchor, added up from first to last.

    Args:
        records: uint8 [n, R].
        at: Byte of a record at which its values begin: s fp16 numbers, or s bytes followed by an
            fp16 scale that each is multiplied by first.
        half: Whether values are fp16.
        rows: int64 [b], positions, checked by the caller.
        codes: uint16 [b, s], each below K.
        book: float32 [K, D].
        out: float32 [b, D], the caller's, written.
    """
    count, d = out.shape
    s = codes.shape[1]
    size = np.int64(records.shape[1])
    for i in range(count):
        start = rows[i] * size + at
        scale = 0.0 if half else number_at(records, start + s, True)
        for t in range(s):
            if half:
                value = number_at(records, start + 2 * t, True)
            else:
                value = float(np.float32(uint8_at(records, start + t)) * np.float32(scale))
            code = codes[i, t]
            if t == 0:
                for j in range(d):
                    out[i, j] = np.float32(value) * book[code, j]
            else:
                for j in range(d):
                    out[i, j] += np.float32(value) * book[code, j]


@kernel(f"void({FLOAT32_2D}, {FLOAT32_2D}, {CODES_OUT}, Array(float64, 2, 'C'))")
def pursue(
    products: NDArray[np.float32],
    gram: NDArray[np.float32],
    codes: NDArray[np.uint16],
    values: NDArray[np.float64],
) -> None:
    """Non-negative orthogonal matching pursuit.

    The anchor that correlates most with what is left of a row joins its support; then the
    non-negative least squares of the row on the support are found (Lawson and Hanson), which may
    drop anchors again; until there are s of them, or none would help.

    Args:
        products: float32 [b, Kp], rows times anchors of length 1; Kp is K filled up with zeros to
            a multiple of 16.
        gram: float32 [K, Kp], anchors times anchors; all 0 for an anchor that is 0.
        codes: uint16 [b, s], the caller's, written; 0 where fewer than s anchors serve.
        values: float64 [b, s], the caller's, written; 0 likewise.
    """
    count, k = products.shape
    s = codes.shape[1]
    left = np.empty(k, np.float32)
    sixteen = np.empty(LANES, np.float32)
    refused = np.empty(4 * s, np.int64)
    support = np.empty(s, np.int64)
    x = np.empty(s, np.float64)
    z = np.empty(s, np.float64)
    factor = np.empty((s, s), np.float64)
    for i in range(count):
        used = 0
        factored = 0
        no = 0
        least = np.float32(-1)
        for _ in range(4 * s):
            if used == s:
                break
            for a in range(0, k, LANES):
                rest = load(products, i * k + a)
                for p in range(used):
                    rest = rest - splat(x[p]) * load(gram, support[p] * k + a)
                store(left, a, rest)
            for p in range(used):
                left[support[p]] = 0
            for p in range(no):
                left[refused[p]] = 0
            highest = splat(0.0)
            for a in range(0, k, LANES):
                highest = upper(highest, load(left, a))
            store(sixteen, 0, highest)
            top = np.float32(0)
            for lane in range(LANES):
                top = max(top, sixteen[lane])
            if least < 0:
                least = top * np.float32(_GAIN)
            if not top > least:
                break
            best = 0
            for a in range(0, k, LANES):
                if any_lane(equal(load(left, a), splat(float(top)))):
                    best = a
                    break
            while left[best] != top:
                best += 1
            support[used] = best
            x[used] = 0.0
            used += 1
            joined = True
            while used:
                for p in range(factored, used):
                    for q in range(p + 1):
                        total = np.float64(gram[support[p], support[q]])
                        for r in range(q):
                            total -= factor[p, r] * factor[q, r]
                        if p == q:
                            if total < _DEPENDENT:
                                joined = False
                                break
                            factor[p, p] = np.sqrt(total)
                        else:
                            factor[p, q] = total / factor[q, q]
                    if not joined:
                        break
                if not joined:
                    used -= 1
                    break
                factored = used
                for p in range(used):
                    total = np.float64(products[i, support[p]])
                    for r in range(p):
                        total -= factor[p, r] * z[r]
                    z[p] = total / factor[p, p]
                for p in range(used - 1, -1, -1):
                    total = z[p]
                    for r in range(p + 1, used):
                        total -= factor[r, p] * z[r]
                    z[p] = total / factor[p, p]
                step = 1.0
                for p in range(used):
                    if z[p] <= 0.0:
                        step = min(step, x[p] / (x[p] - z[p]) if x[p] > z[p] else 0.0)
                kept = 0
                for p in range(used):
                    moved = x[p] + step * (z[p] - x[p])
                    if moved > 0.0 and (z[p] > 0.0 or step < x[p] / (x[p] - z[p])):
                        support[kept] = support[p]
                        x[kept] = moved
                        kept += 1
                if kept == used:
                    break
                joined = kept > 0 and support[kept - 1] == best
                used = kept
                factored = 0
                if not joined:
                    break
            if not joined:
                refused[no] = best
                no += 1
        for t in range(s):
            codes[i, t] = support[t] if t < used else 0
            values[i, t] = x[t] if t < used else 0.0


@kernel(
    f"void({CODES_2D}, {FLOAT64_2D}, {FLOAT32_2D}, {FLOAT64_1D}, Array(float64, 2, 'C'),"
    " Array(float64, 2, 'C'))"
)
def add_anchor_terms(
    codes: NDArray[np.uint16],
    values: NDArray[np.float64],
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    normal: NDArray[np.float64],
    cross: NDArray[np.float64],
) -> None:
    """Add what the least-squares anchors of weighted rows with given codes are made of.

    Args:
        codes: uint16 [b, s].
        values: float64 [b, s].
        rows: float32 [b, D].
        weights: float64 [b].
        normal: float64 [K, K], the caller's: XᵀWX is added.
        cross: float64 [K, D], the caller's: XᵀW·rows is added.
    """
    s = codes.shape[1]
    for i in range(len(codes)):
        for t in range(s):
            value = weights[i] * values[i, t]
            if value == 0.0:
                continue
            own = codes[i, t]
            for other in range(s):
                normal[own, codes[i, other]] += value * values[i, other]
            for j in range(rows.shape[1]):
                cross[own, j] += value * rows[i, j]
