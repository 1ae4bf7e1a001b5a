"""Rows from the cores of a tensor train, every sum in one stated order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.lanes import LANES, load, splat, store
from embcompress.kernels.records import FLOAT32_1D, FLOAT32_OUT, INT64_1D


@inlined
def multiply_wide(
    left: NDArray[np.float32], height: int, depth: int,
    numbers: NDArray[np.float32], at: int, width: int, out: NDArray[np.float32], to: int,
) -> None:  # fmt: skip
    """``left`` [height, depth] by the matrix [depth, width] at ``at``, 16 columns or more."""
    last = width - LANES
    for p in range(height):
        for column in range(0, width, 4 * LANES):
            first0 = min(column, last)
            first1 = min(column + LANES, last)
            first2 = min(column + 2 * LANES, last)
            first3 = min(column + 3 * LANES, last)
            part0 = splat(0.0)
            part1 = part0
            part2 = part0
            part3 = part0
            for rho in range(depth):
                factor = splat(left[p * depth + rho])
                row = at + rho * width
                part0 = part0 + factor * load(numbers, row + first0)
                part1 = part1 + factor * load(numbers, row + first1)
                part2 = part2 + factor * load(numbers, row + first2)
                part3 = part3 + factor * load(numbers, row + first3)
            store(out, to + p * width + first0, part0)
            store(out, to + p * width + first1, part1)
            store(out, to + p * width + first2, part2)
            store(out, to + p * width + first3, part3)


@inlined
def multiply_narrow(
    turned: NDArray[np.float32], height: int, lanes: int, depth: int,
    numbers: NDArray[np.float32], at: int, width: int, out: NDArray[np.float32], to: int,
    column: NDArray[np.float32],
) -> None:  # fmt: skip
    """`multiply_wide` to few columns: ``turned`` [depth, lanes] lies on its side, 0 past height."""
    for j in range(width):
        for first in range(0, lanes, LANES):
            part = splat(0.0)
            for rho in range(depth):
                factor = splat(numbers[at + rho * width + j])
                part = part + factor * load(turned, rho * lanes + first)
            store(column, first, part)
        for p in range(height):
            out[to + p * width + j] = column[p]


@kernel(
    f"void({FLOAT32_1D}, {INT64_1D}, {INT64_1D}, {INT64_1D}, {INT64_1D}, {INT64_1D}, {FLOAT32_OUT})"
)
def decode_train(
    numbers: NDArray[np.float32],
    starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    ranks: NDArray[np.int64],
    slots: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Decode the row in slot ``slots[i]`` into ``out[i]``.

    A slot's digits in the mixed radix n1, n2, … (the last one fastest) choose a slab [r, d·r'] of
    each core. The row starts as the first slab [d1, r1]; each core turns [p, r] into [p, d·r'] by
    a sum over r from 0 on that begins at 0, every product and every sum rounded to float32, which
    is then read as [p·d, r']. What begins with the digits of the row before is not computed again.

    Args:
        numbers: float32, the cores [n, r, d, r'] back to back, may be read-only, as the others.
        starts: int64 [K], where each core begins.
        rows: int64 [K], n of each core.
        columns: int64 [K], d of each core; their product is at least D.
        ranks: int64 [K + 1], 1 at both ends.
        slots: int64 [b]; one past the last slot is read as another slot, never outside a core.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    count, d = out.shape
    cores = len(rows)
    at = np.zeros(cores + 1, np.int64)
    sides = np.zeros(cores + 1, np.int64)
    heights = np.ones(cores + 1, np.int64)
    tallest = 0
    for k in range(cores):
        heights[k + 1] = heights[k] * columns[k]
        at[k + 1] = at[k] + heights[k + 1] * ranks[k + 1]
        lanes = (heights[k] + LANES - 1) // LANES * LANES
        sides[k + 1] = sides[k] + lanes * ranks[k]
        tallest = max(tallest, lanes)
    state = np.zeros(at[cores], np.float32)
    turned = np.zeros(sides[cores], np.float32)
    column = np.zeros(tallest, np.float32)
    digits = np.full(cores, -1, np.int64)
    for i in range(count):
        rest = slots[i]
        changed = cores
        for k in range(cores - 1, -1, -1):
            digit = rest % rows[k]
            rest //= rows[k]
            if digit != digits[k]:
                digits[k] = digit
                changed = k
        for k in range(changed, cores):
            depth, height = ranks[k], heights[k]
            width = columns[k] * ranks[k + 1]
            slab = starts[k] + digits[k] * depth * width
            if k == 0:
                for j in range(width):
                    state[j] = numbers[slab + j]
            elif width >= LANES:
                multiply_wide(
                    state[at[k - 1] : at[k]], height, depth, numbers, slab, width, state, at[k]
                )
            else:
                lanes = (height + LANES - 1) // LANES * LANES
                side = turned[sides[k] : sides[k + 1]]
                if k > changed:
                    before = at[k - 1]
                    for p in range(height):
                        for rho in range(depth):
                            side[rho * lanes + p] = state[before + p * depth + rho]
                multiply_narrow(
                    side, height, lanes, depth, numbers, slab, width, state, at[k], column
                )
        for j in range(d):
            out[i, j] = state[at[cores - 1] + j]
