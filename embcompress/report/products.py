"""Inner products between sampled rows, original against reconstructed: what scores will feel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.report.sample import Kept
from embcompress.threads import ordered

_BLOCK = 256
_FLOPS = 5e9


@dataclass(frozen=True)
class ProductErrors:
    """How well inner products survive.

    Args:
        pairs: Pairs of different rows.
        correlation: Pearson's, original against reconstructed; None when either has no spread.
        error: Root mean square error over the originals' standard deviation; None without spread.
    """

    pairs: int
    correlation: float | None
    error: float | None


def partners(rows: int, dim: int) -> int:
    """How many rows to pair with each of ``rows`` rows of D weights: at most 10,000."""
    return int(min(10_000, max(_FLOPS // (2 * max(rows, 1) * max(dim, 1)), 2)))


def product_errors(
    left: Kept,
    right: Kept,
    weights: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    threads: int,
) -> ProductErrors:
    """Compare the inner products of every left row with every right row but itself.

    Args:
        left: q rows.
        right: m rows.
        weights: float64 [q] and [m]; a pair weighs their product. None for equal weights.
        threads: Cores to use; the result does not depend on it under one BLAS thread.
    """
    rows = range(0, len(left.ids), _BLOCK)
    blocks = [(i, j) for j in range(0, len(right.ids), _BLOCK) for i in rows]
    first = _wide(left.original, 0) @ _wide(right.original, 0).T
    shift = float(first.mean()) if first.size else 0.0

    def one(block: tuple[int, int]) -> NDArray[np.float64]:
        i, j = (slice(start, start + _BLOCK) for start in block)
        weight = (left.ids[i, None] != right.ids[j]).astype(np.float64)
        pairs = weight.sum()
        if weights is not None:
            weight *= weights[0][i, None] * weights[1][j]
        x = _wide(left.original, block[0]) @ _wide(right.original, block[1]).T
        y = _wide(left.decoded, block[0]) @ _wide(right.decoded, block[1]).T
        off = y - x
        x -= shift
        y -= shift
        terms = ((x, None), (y, None), (x, x), (y, y), (x, y), (off, off))
        sums = [
            np.einsum("ij,ij->", weight, a) if b is None else np.einsum("ij,ij,ij->", weight, a, b)
            for a, b in terms
        ]
        return np.array([pairs, weight.sum(), *sums])

    parts = ordered(one, blocks, threads)
    pairs, weight, x, y, xx, yy, xy, off = np.sum([np.zeros(8), *parts], axis=0).tolist()
    if not weight > 0:
        return ProductErrors(int(pairs), None, None)
    variance = xx / weight - (x / weight) ** 2
    other = yy / weight - (y / weight) ** 2
    if not variance > _least(xx / weight, shift):
        return ProductErrors(int(pairs), None, None)
    error = (off / weight / variance) ** 0.5
    if not other > _least(yy / weight, shift):
        return ProductErrors(int(pairs), None, error)
    covariance = xy / weight - (x / weight) * (y / weight)
    correlation = covariance / (variance**0.5 * other**0.5)
    return ProductErrors(int(pairs), max(-1.0, min(1.0, correlation)), error)


def _wide(rows: NDArray[np.float32], start: int) -> NDArray[np.float64]:
    return rows[start : start + _BLOCK].astype(np.float64)


def _least(mean_square: float, shift: float) -> float:
    """A variance below this is rounding."""
    return 1e-24 * (mean_square + shift * shift)
