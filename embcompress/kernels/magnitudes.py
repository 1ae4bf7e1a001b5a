"""Magnitudes as whole numbers: the bits of a float32 without its sign order as the values do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel

_ROWS = "Array(uint32, 2, 'C', readonly=True)"
_UNITS = "Array(int64, 1, 'C', readonly=True)"
_KEYS = "Array(uint32, 1, 'C', readonly=True)"


@kernel(f"int64({_ROWS}, uint32, uint32, Array(uint32, 1, 'C'), Array(int64, 1, 'C'))")
def near_magnitudes(
    rows: NDArray[np.uint32],
    low: int,
    high: int,
    found: NDArray[np.uint32],
    above: NDArray[np.int64],
) -> int:
    """Magnitudes between two bounds, and how many lie above.

    Args:
        rows: uint32 [b, D], bits of float32.
        low: Least magnitude to give back.
        high: Magnitudes from this one on are counted.
        found: uint32 [b * D + 1], the caller's; the magnitudes found, in order.
        above: int64 [1], the count is added.

    Returns:
        How many were found.
    """
    count = 0
    more = 0
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            size = rows[i, j] & np.uint32(0x7FFFFFFF)
            found[count] = size
            more += size >= high
            count += (size >= low) & (size < high)
    above[0] += more
    return count


@kernel(f"void({_ROWS}, {_UNITS}, {_KEYS}, int64, int64, Array(int64, 2, 'C'))")
def count_digits(
    rows: NDArray[np.uint32],
    units: NDArray[np.int64],
    prefixes: NDArray[np.uint32],
    shift: int,
    bits: int,
    counts: NDArray[np.int64],
) -> None:
    """Histogram of the next digit of magnitudes above 0 that begin as a prefix says.

    Args:
        rows: uint32 [b, D], bits of float32.
        units: int64 [D], the histogram of every column.
        prefixes: uint32 [U], the bits above the digit that a magnitude of each histogram has.
        shift: Bits below the digit.
        bits: Bits of the digit.
        counts: int64 [U, 2**bits], added to.
    """
    mask = (np.uint32(1) << np.uint32(bits)) - np.uint32(1)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            size = rows[i, j] & np.uint32(0x7FFFFFFF)
            unit = units[j]
            if size and size >> np.uint32(shift + bits) == prefixes[unit]:
                counts[unit, (size >> np.uint32(shift)) & mask] += 1
