"""Conjugate gradients for several right-hand sides at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def conjugate_gradients(
    product: Callable[[Float64], Float64],
    diagonal: Float64,
    wanted: Float64,
    rounds: int,
    tolerance: float,
) -> Float64:
    """Solve A·X = B for a positive semidefinite A and a B in its range, from X = 0.

    Preconditioned by A's diagonal. Ends when every column's residual, in the preconditioner's
    norm, is below ``tolerance`` times what it was.

    Args:
        product: Gives A·X for X float64 [k, c].
        diagonal: float64 [k], that of A; where it is 0, so is X.
        wanted: float64 [k, c], B.
        rounds: At most.
        tolerance: Relative.

    Returns:
        float64 [k, c], X.
    """
    inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)[:, None]
    found = np.zeros_like(wanted)
    left = wanted.copy()
    ahead = left * inverse
    size = (left * ahead).sum(axis=0)
    enough = size * tolerance**2
    for _ in range(rounds):
        if (size <= enough).all():
            break
        turned = product(ahead)
        bent = (ahead * turned).sum(axis=0)
        step = np.divide(size, bent, out=np.zeros_like(size), where=bent > 0)
        found += step * ahead
        left -= step * turned
        scaled = left * inverse
        smaller = (left * scaled).sum(axis=0)
        share = np.divide(smaller, size, out=np.zeros_like(size), where=size > 0)
        ahead = scaled + share * ahead
        size = smaller
    return found
