"""Least-squares fits of rows that many numbers share: means of buckets, and sums of several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.hashed import Hashed, Sharing
from embcompress.kernels.shared_rows import add_laps, add_normal_products, add_to_shared_rows
from embcompress.progress import Progress
from embcompress.solvers.conjugate import conjugate_gradients
from embcompress.solvers.encoder import Encoder
from embcompress.solvers.laps import Laps, Numbering, counted
from embcompress.tables.rows import Rows
from embcompress.threads import ordered

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_LARGEST_HALF = 65504.0
_COLUMNS = 16  # solved together
_ROUNDS = 200
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class HashedEncoder(Encoder):
    """Encodes scales, the least-squares ones; without scales there is nothing to encode."""

    codec: Hashed

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        """Scales, if rows have them."""
        if self.codec.scale == "none":
            return {}
        wide = self.codec.wide
        shared = wide[(ids - self.codec.first) % len(wide)].astype(np.float64)
        lengths = np.einsum("ij,ij->i", shared, shared)
        products = np.einsum("ij,ij->i", shared, rows.astype(np.float64))
        scales = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
        return {"scale": np.clip(scales, -_LARGEST_HALF, _LARGEST_HALF)}


def stored(table: NDArray[Any], *, half: bool) -> NDArray[Any]:
    """Numbers as they are stored, fp16 or fp32; fp16 holds magnitudes up to 65,504."""
    if half:
        table = np.clip(table, -_LARGEST_HALF, _LARGEST_HALF)
    return np.ascontiguousarray(table, np.float16 if half else np.float32)


def bucket_means(
    laps: Laps, threads: int, progress: Progress, *, with_laps: bool = False
) -> tuple[Float32, Float64]:
    """Weighted means of the rows that share a remainder.

    Args:
        laps: The rows.
        threads: Cores to use; they do not change the outcome.
        progress: Told of rows.
        with_laps: Whether the sums of every lap's rows are wanted too.

    Returns:
        float32 [m, D] means, 0 where there are no rows, and float64 [laps or 0, D] sums.
    """
    d = laps.rows.shape[1]
    many = laps.count if with_laps else 0

    def work(low: int, high: int) -> tuple[Float32, Float64]:
        sums, masses = np.zeros((high - low, d)), np.zeros(high - low)
        totals = np.zeros((many, d))
        for tile in laps.tiles(low, high):
            numbers = tile.ids - laps.numbering.first
            weights = counted(tile.weights, laps.rows)
            add_laps(numbers, tile.rows, weights, laps.size, low, high, sums, masses, totals)
        masses[masses == 0] = 1
        return (sums / masses[:, None]).astype(np.float32), totals

    means = np.empty((laps.size, d), np.float32)
    totals = np.zeros((many, d))
    at = 0
    for some, added in laps.each(work, 12 * d, "means", threads, progress):
        means[at : at + len(some)] = some
        totals += added
        at += len(some)
    return means, totals


def even_sums(laps: Laps, threads: int, progress: Progress) -> Float64:
    """Rows a of remainders and b of laps with the least squared error of x ≈ a + b.

    Closed form for rows of equal weight without gaps: with Q laps, of which the last is of t rows,
    and g the sum of what the remainders' means leave of a lap's rows,
    m·b = g + (t/Q + (m - t)/(Q - 1))·s, s = Q·Σg/t over all laps but the last, whose b is 0.

    Args:
        laps: Rows without weights or gaps.
        threads: Cores to use; they do not change the outcome.
        progress: Told of rows.

    Returns:
        float64 [m + Q, D], remainders first; b has mean 0 over the laps.
    """
    means, totals = bucket_means(laps, threads, progress, with_laps=True)
    n, m, q = laps.rows.shape[0], laps.size, laps.count
    last = n - (q - 1) * m
    table = np.zeros((m + q, laps.rows.shape[1]))
    if q > 1:
        left = totals[:-1] - means.sum(axis=0, dtype=np.float64)
        shift = (last / q + (m - last) / (q - 1)) * (q / last) * left.sum(axis=0)
        table[m:-1] = (left + shift) / m
    table[m:] -= table[m:].mean(axis=0)
    table[:m] = means
    table[:last] -= table[m:].sum(axis=0) / q
    if q > 1:
        table[last:m] -= table[m:-1].sum(axis=0) / (q - 1)
    return table


def summed_rows(
    pieces: Iterable[tuple[NDArray[np.int64], Float32, Float64]],
    rows: Rows,
    numbering: Numbering,
    sharing: Sharing,
    threads: int,
    progress: Progress,
) -> Float64:
    """Shared rows with the least squared error of x ≈ their sum, by conjugate gradients.

    Args:
        pieces: Numbers, rows and weights of every tile, in order.
        rows: The same rows.
        numbering: Their numbers.
        sharing: Which rows a number has.
        threads: Cores to use; they do not change the outcome.
        progress: Told of columns.

    Returns:
        float64 [K, D].
    """
    d = rows.shape[1]
    sums, masses = np.zeros((sharing.rows, d)), np.zeros(sharing.rows)
    design = sharing.count, sharing.size, sharing.bits
    for numbers, some, weights in pieces:
        add_to_shared_rows(numbers, some, weights, *design, sums, masses)
    numbers = np.empty(0, np.int64)
    if numbering.gaps:
        numbers = np.concatenate([rows.ids(i) for i in range(rows.tiles)]) - numbering.first
    weights = counted(rows.weights, rows)
    total = rows.shape[0]

    def product(table: Float64) -> Float64:
        out = np.zeros_like(table)
        add_normal_products(numbers, total, weights, *design, table, out)
        return out

    def solve(first: int) -> Float64:
        wanted = np.ascontiguousarray(sums[:, first : first + _COLUMNS])
        return conjugate_gradients(product, masses, wanted, _ROUNDS, _TOLERANCE)

    table = np.empty_like(sums)
    starts = range(0, d, _COLUMNS)
    with progress.stage("least squares", d) as told:
        for first, found in zip(starts, ordered(solve, starts, threads), strict=True):
            table[:, first : first + _COLUMNS] = found
            told.advance(found.shape[1])
    return table
