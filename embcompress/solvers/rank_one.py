"""Rank-one fits: a direction for each bucket of rows, and factors of remainders and laps."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.lanes import LANES
from embcompress.kernels.rank_one import (
    add_bucket_grams,
    add_factor_terms,
    bucket_directions,
    deal_lanes,
    deal_rows,
    stretch,
)
from embcompress.progress import Progress
from embcompress.solvers.laps import Laps, counted

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_SQUARED = 64  # most laps whose Gram matrices are squared by the kernel
_TOGETHER = 256  # matrices whose eigenvectors LAPACK finds in a call
_ROUNDS = 20
_LEAST_GAIN = 1e-4


def directions(laps: Laps, largest: float, threads: int, progress: Progress) -> Float32:
    """For each remainder the best rank-one factor of its weighted rows.

    Args:
        laps: The rows.
        largest: Their largest magnitude.
        threads: Cores to use; they do not change the outcome.
        progress: Told of rows.

    Returns:
        float32 [m, D]: the direction of the first singular vector, as long as the longest
        coordinate along it (the root mean square one where there are more than 2·D laps), so that
        scales are about 1.
    """
    q, d = laps.count, laps.rows.shape[1]
    local = threading.local()
    scale = 1 / largest if largest else 1.0

    def deal(into: Any, low: int, high: int, buckets: Float32, masses: Float64) -> None:
        for tile in laps.tiles(low, high):
            numbers = tile.ids - laps.numbering.first
            weights = counted(tile.weights, laps.rows)
            into(numbers, tile.rows, weights, laps.size, low, high, buckets, masses)

    def kept(low: int, high: int) -> Float32:
        groups = -(-(high - low) // LANES)
        size = groups * q * d * LANES
        held = getattr(local, "held", None)
        if held is None or len(held) < size:  # kept from block to block: new pages cost as much
            held = local.held = np.empty(size + 2 * LANES * q * d, np.float32)
        buckets = held[:size].reshape(groups, q, d, LANES)
        masses = np.zeros((groups, q, LANES))
        deal(deal_lanes, low, high, buckets, masses)
        found = np.empty((high - low, d), np.float32)
        bucket_directions(buckets, masses, found)
        return found

    def factored(low: int, high: int) -> Float32:
        buckets = np.zeros((high - low, q, d), np.float32)
        masses = np.zeros((high - low, q))
        deal(deal_rows, low, high, buckets, masses)
        found = np.empty((high - low, d))
        for at in range(0, high - low, _TOGETHER):
            some = slice(at, at + _TOGETHER)
            found[some] = _by_lapack(buckets[some], masses[some])
        stretch(buckets, found)
        return found.astype(np.float32)

    def summed(low: int, high: int) -> Float32:
        grams = np.zeros((high - low, d, d))
        counts = np.zeros(high - low)
        for tile in laps.tiles(low, high):
            numbers = tile.ids - laps.numbering.first
            weights = counted(tile.weights, laps.rows)
            add_bucket_grams(numbers, tile.rows, weights, laps.size, low, high, scale, grams)
            own = numbers % laps.size
            mine = (own >= low) & (own < high)
            masses = weights[mine] if len(weights) else None
            counts += np.bincount(own[mine] - low, masses, high - low)
        energies, vectors = np.linalg.eigh(grams)
        lengths = np.sqrt(np.maximum(energies[:, -1], 0) / np.maximum(counts, 1e-300))
        found: Float64 = vectors[:, :, -1] * (lengths / scale)[:, None]
        return found.astype(np.float32)

    if q <= min(_SQUARED, 2 * d):
        work, bytes_each = kept, 8 * q * d
    elif q <= 2 * d:
        work, bytes_each = factored, 16 * q * d
    else:
        work, bytes_each = summed, 16 * d * d
    found = list(laps.each(work, bytes_each, "directions", threads, progress))
    return np.concatenate([np.empty((0, d), np.float32), *found])


def _by_lapack(buckets: Float32, masses: Float64) -> Float64:
    """First singular directions of [h, laps, D] rows of weight [h, laps]; float64 [h, D]."""
    wide: Any = buckets * np.sqrt(masses)[:, :, None]
    tops = np.abs(wide).max(axis=(1, 2), initial=0)
    wide /= np.where(tops > 0, tops, 1)[:, None, None]
    if wide.shape[1] <= wide.shape[2]:
        _, vectors = np.linalg.eigh(wide @ wide.transpose(0, 2, 1))
        found: Any = (vectors[:, None, :, -1] @ wide)[:, 0]
    else:
        found = np.linalg.eigh(wide.transpose(0, 2, 1) @ wide)[1][:, :, -1]
    lengths = np.linalg.norm(found, axis=1)
    return np.where((tops > 0)[:, None], found / np.where(lengths > 0, lengths, 1)[:, None], 0.0)


def factors(laps: Laps, threads: int, progress: Progress) -> Float64:
    """Factors a of remainders and b of laps with the least squared error of x ≈ a·b by column.

    Alternating least squares from b = 1, until a round explains less than 0.01% more, at most 20.

    Args:
        laps: The rows.
        threads: Cores to use; they do not change the outcome.
        progress: Told of rows.

    Returns:
        float64 [m + laps, D], remainders first; b has root mean square 1 in every column.
    """
    q, d = laps.count, laps.rows.shape[1]
    others = np.ones((q, d))
    own = np.zeros((laps.size, d))

    def work(low: int, high: int) -> tuple[Float64, float, Float64, Float64]:
        def add(by_lap: bool, given: Float64, above: Float64, below: Float64) -> None:
            for tile in laps.tiles(low, high):
                numbers = tile.ids - laps.numbering.first
                weights = counted(tile.weights, laps.rows)
                add_factor_terms(
                    numbers, tile.rows, weights, laps.size, low, high, by_lap, given, above, below
                )

        above, below = np.zeros((high - low, d)), np.zeros((high - low, d))
        add(False, others, above, below)
        found = _divided(above, below)
        above_laps, below_laps = np.zeros((q, d)), np.zeros((q, d))
        add(True, found, above_laps, below_laps)
        return found, float((above * found).sum()), above_laps, below_laps

    reached = -np.inf
    for number in range(_ROUNDS):
        above, below = np.zeros((q, d)), np.zeros((q, d))
        explained, at = 0.0, 0
        for found, gain, some, more in laps.each(work, 32 * d, "factors", threads, progress):
            own[at : at + len(found)] = found
            explained += gain
            above += some
            below += more
            at += len(found)
        if number == _ROUNDS - 1 or explained <= reached * (1 + _LEAST_GAIN):
            break
        reached = explained
        better = _divided(above, below)
        sizes = np.sqrt((better**2).mean(axis=0))
        others = np.where(sizes > 0, better / np.where(sizes > 0, sizes, 1), others)
    return np.concatenate([own, others])


def _divided(above: Float64, below: Float64) -> Float64:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
