"""All codebooks of additive codes by one least-squares problem."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.additive import collect, expand
from embcompress.kernels.lanes import LANES
from embcompress.threads import ordered

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MOST_STEPS: Final = 25
ENOUGH: Final = 1e-3  # of the gradient's norm to begin with
_RIDGE = 1e-3  # of a mean codeword's weight


def refit(
    rows: Float32, weights: Float64, codes: NDArray[np.uint16], books: Float32, threads: int
) -> Float32:
    """Move all codewords together to lessen the squared error of rows, given their codes.

    With B the [m, S·K] matrix that has a one for every code, and C the codewords, it solves
    (BᵀWB + ridge)·Δ = BᵀW(X − BC) by conjugate gradients, preconditioned by the diagonal. B stays
    the codes it is; columns are solved sixteen at a time, so that threads change nothing. Codewords
    that no row uses stay where they are.

    Args:
        rows: float32 [m, W].
        weights: float64 [m], not all 0.
        codes: uint16 [m, S].
        books: float32 [S, K, W].
        threads: Cores to use.

    Returns:
        float32 [S, K, W].

    Source: Babenko and Lempitsky 2014, Additive quantization, section 3.3.
    """
    count, k, width = books.shape
    heft = (weights / weights.mean()).astype(np.float32)
    masses = np.concatenate([np.bincount(codes[:, s], heft, minlength=k) for s in range(count)])
    ridge = np.float32(_RIDGE * len(rows) / k)
    inverse = (1 / (masses + ridge)).astype(np.float32)[:, None]

    def block(first: int) -> Float32:
        columns = slice(first, min(first + LANES, width))
        words = np.zeros((count * k, LANES), np.float32)
        words[:, : columns.stop - first] = books[:, :, columns].reshape(count * k, -1)
        rest = np.empty((len(rows), LANES), np.float32)
        expand(codes, words.reshape(-1), k, rest)
        np.negative(rest, out=rest)
        rest[:, : columns.stop - first] += rows[:, columns]
        return words + _solve(codes, heft, k, rest, inverse, ridge)

    moved = np.empty_like(books)
    firsts = range(0, width, LANES)
    for first, words in zip(firsts, ordered(block, firsts, threads), strict=True):
        own = moved[:, :, first : first + LANES]
        own[:] = words.reshape(count, k, LANES)[:, :, : own.shape[2]]
    return moved


def _solve(
    codes: NDArray[np.uint16],
    heft: Float32,
    k: int,
    rest: Float32,
    inverse: Float32,
    ridge: np.float32,
) -> Float32:
    """Steps of codewords for what is left of sixteen columns, which is overwritten."""

    def gather(rows: Float32) -> Float32:
        rows *= heft[:, None]
        sums = np.zeros((len(inverse), LANES), np.float32)
        collect(codes, rows, k, sums.reshape(-1))
        return sums

    gradient = gather(rest)
    step = np.zeros_like(gradient)
    direction = inverse * gradient
    power = _dots(gradient, direction)
    enough = ENOUGH**2 * power
    for _ in range(MOST_STEPS):
        if (power <= enough).all():
            break
        expand(codes, direction.reshape(-1), k, rest)
        image = gather(rest) + ridge * direction
        length = _ratio(power, _dots(direction, image))
        step += length * direction
        gradient -= length * image
        smoothed = inverse * gradient
        before, power = power, _dots(gradient, smoothed)
        direction = smoothed + _ratio(power, before) * direction
    return step


def _dots(one: Float32, other: Float32) -> Float64:
    """Products of columns, float64 [16]."""
    found: Float64 = np.einsum("kc,kc->c", one, other, dtype=np.float64)
    return found


def _ratio(above: Float64, below: Float64) -> Float32:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0).astype(np.float32)
