"""Rotations that suit product codes."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.product import segment_edges
from embcompress.progress import Progress
from embcompress.solvers.product import (
    CHUNK,
    ROUNDS,
    Books,
    Float32,
    Float64,
    Points,
    Tier,
    assign,
    first_book,
    move,
    power_of_two,
)
from embcompress.threads import one_blas_thread, ordered

_LEAST_GAIN: Final = 1e-4
_WORK: Final = 2**33  # rounds times D³: an SVD of 1,024 columns takes a second
_FEWEST: Final = 5


def balanced_order(energies: Float64, segments: int) -> NDArray[np.int64]:
    """Deal axes out to segments so that the products of their energies are alike.

    Strongest first, each axis goes to the segment with room whose product is smallest.

    Args:
        energies: float64 [D], descending.
        segments: S.

    Returns:
        int64 [D], the axis of every column.

    Source: Ge et al. 2013, Optimized product quantization, section 3.2 (eigenvalue allocation).
    """
    edges = segment_edges(len(energies), segments)
    sizes = np.diff(edges)
    floor = max(float(energies.max(initial=0)) * 1e-12, np.finfo(float).tiny)
    logs = np.log(np.maximum(energies / floor, 1.0))
    totals = np.zeros(segments)
    dealt: list[list[int]] = [[] for _ in range(segments)]
    for axis, gain in enumerate(logs):
        free = [s for s in range(segments) if len(dealt[s]) < sizes[s]]
        best = min(free, key=lambda s: (totals[s], s))
        dealt[best].append(axis)
        totals[best] += gain
    return np.array([axis for axes in dealt for axis in axes], np.int64)


def learn_rotation(
    rows: Float32,
    weights: Float64,
    basis: Float32,
    segments: int,
    codewords: int,
    size: float,
    seed: int,
    threads: int,
    progress: Progress,
) -> Float32:
    """Turn a basis so that product codes fit better.

    Alternates one round of k-means in every segment and the rotation nearest to its outcome
    (Procrustes, by SVD) until a round gains less than 0.01%, 25 to 100 rounds. Past 440 columns
    there are fewer, 8 at 1,024, since an SVD then takes long and principal axes are near already.

    Args:
        rows: float32 [m, D], centred.
        weights: float64 [m].
        basis: float32 [D, D] to begin with, one axis a row, orthonormal.
        segments: S.
        codewords: K.
        size: Root mean square of the rows' values.
        seed: Of the first codewords.
        threads: Cores to use.
        progress: Told of rounds, as the stage "rotation".

    Returns:
        float32 [D, D].

    Source: Ge et al. 2013, Optimized product quantization, section 3.1.
    """
    d = rows.shape[1]
    most = min(ROUNDS[1], max(_FEWEST, _WORK // d**3))
    edges = segment_edges(d, segments)
    every = range(segments)
    blocks = [slice(a, a + CHUNK) for a in range(0, len(rows), CHUNK)]
    heavy = np.sqrt(weights / max(weights.max(initial=0), np.finfo(float).tiny))
    turned = np.empty_like(rows)
    wanted = np.empty_like(rows)
    books: Books = []
    least = np.inf

    def turn(block: slice) -> None:
        turned[block] = rows[block] @ basis.T

    near_one = power_of_two(size)  # a factor leaves the nearest rotation as it is

    def correlate(block: slice) -> Float64:
        own = (near_one * heavy[block, None]).astype(np.float32)
        product: Float32 = (wanted[block] * own).T @ (rows[block] * own)
        return product.astype(np.float64)

    with progress.stage("rotation", most) as stage:
        for number in range(most):
            with one_blas_thread():
                for _ in ordered(turn, blocks, threads):
                    pass
            points = Points.of([Tier(turned, weights, codewords)], power_of_two(size))
            if not books:
                books = [
                    first_book(points, a, b, np.random.default_rng([seed, s]), False)[0]
                    for s, (a, b) in enumerate(pairwise(edges.tolist()))
                ]
            assigned = assign(points, edges, books, every, threads)
            error = sum(assigned.error(points, s) for s in every)
            stage.advance(1)
            if error == 0 or (number >= ROUNDS[0] and least - error <= _LEAST_GAIN * least):
                stage.advance(most - 1 - number)
                break
            least = error
            move(points, edges, books, every, assigned, threads)
            for s, (a, b) in enumerate(pairwise(edges.tolist())):
                wanted[:, a:b] = books[s][assigned.codes[s][: len(rows)]]
            with one_blas_thread():
                total = np.zeros(basis.shape)
                for part in ordered(correlate, blocks, threads):
                    total += part
                left, _, right = np.linalg.svd(total)
            basis = np.ascontiguousarray(left @ right, np.float32)
    return basis
