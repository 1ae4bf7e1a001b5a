"""Addresses instead of arrays in helpers of kernels."""

from __future__ import annotations

import numpy as np

from embcompress.kernels.jit import kernel
from embcompress.kernels.records import address, float32_at, keep, put_float32


@kernel("float64(int64)")
def by_address(count: int) -> float:
    """The sum of 0, 1, … written and read by the address of an array that is made here."""
    array = np.empty(count, np.float32)
    at = address(array)
    for i in range(count):
        put_float32(at, 4 * i, np.float32(i))
    total = 0.0
    for i in range(count):
        total += float32_at(at, 4 * i)
    keep(array)
    return total


def test_an_array_lives_as_long_as_it_is_kept():
    """So large an array is given back to the system once it is freed: touching it would crash."""
    count = 2**22
    assert by_address(count) == np.arange(count, dtype=np.float32).sum(dtype=np.float64)
