"""Stochastic rounding that depends on seed, row and column only, never on the batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def uniform_noise(seed: int, ids: NDArray[np.int64], columns: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) by SplitMix64 of (seed, row, column).

    Args:
        seed: Of the run.
        ids: int64 [b], original row numbers.
        columns: D.

    Returns:
        float64 [b, D].
    """
    with np.errstate(over="ignore"):
        start = _mix(np.uint64(seed) + _ODD)
        rows = _mix(ids.astype(np.uint64) * _ODD + start)
        state = _mix(rows[:, None] + np.arange(columns, dtype=np.uint64) * _ODD)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(state: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    state = np.asarray(state, np.uint64)
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))
