"""k-means of whole rows: in one level, or in two where there are many clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.row_sums import add_rows
from embcompress.solvers.nearest_rows import (
    Float32,
    Frame,
    Int64,
    assign_all,
    squared_lengths,
    take_best,
)
from embcompress.threads import one_blas_thread, ordered

ONE_LEVEL: Final = 1024
MOST_ROUNDS: Final = 100
_LEAST_ROUNDS: Final = 25
_LOCAL_ROUNDS: Final = 25
_LEAST_GAIN: Final = 1e-3
_COARSE_ROWS: Final = 256  # a coarse cluster, to learn it
_COARSE_CLUSTERS: Final = 64  # clusters in a coarse cluster
_COARSE_ROUNDS: Final = 10
_FINE_ROUNDS: Final = 6
_FAMILY: Final = 16  # centroids in a family
_MOST_FAMILIES: Final = 4096
_FAMILY_ROUNDS: Final = 4
_TRIED: Final = 512  # centroids that a row is compared with in a round, at least
_NEAR_FAMILIES: Final = 64
_ROWS: Final = 1024

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Weighted rows to cluster.

    Args:
        rows: float32 [m, D].
        weights: float64 [m], positive.
        frame: Where distances are computed.
        threads: Cores to use; they do not change the outcome.
        tick: Told of every round.
    """

    rows: Float32
    weights: Float64
    frame: Frame
    threads: int
    tick: Callable[[], None] = field(default=lambda: None)

    def some(self, index: NDArray[np.intp]) -> Cloud:
        """The cloud of some rows, for one thread."""
        return Cloud(self.rows[index], self.weights[index], self.frame, 1)

    def assign(self, book: Float32) -> tuple[Int64, Float64]:
        """Nearest centroids, and weighted squared distances."""
        codes, distances = assign_all(self.frame, book, self.rows, self.threads)
        return codes, distances * self.weights

    def pick(self, k: int, random: np.random.Generator) -> Float32:
        """Rows to begin with, drawn without replacement."""
        return self.rows[random.choice(len(self.rows), k, replace=False)]


def distinct_rows(rows: Float32, most: int) -> Int64:
    """The first row of each kind, until more than ``most`` kinds are found.

    Args:
        rows: float32 [m, D]; −0 and +0 are one.
        most: How many kinds are of interest.

    Returns:
        int64 [at most ``most`` + 1], ascending.
    """
    if not rows.size:
        return np.arange(min(len(rows), 1))
    kinds: dict[int, int] = {}
    for start in range(0, len(rows), _ROWS):
        tidy = rows[start : start + _ROWS] + np.float32(0)
        for i, raw in enumerate(tidy.view(f"V{4 * rows.shape[1]}")[:, 0].tolist(), start):
            kinds.setdefault(hash(raw), i)
        if len(kinds) > most:
            break
    return np.fromiter(kinds.values(), np.int64)[: most + 1]


def row_centroids(
    rows: Float32,
    weights: Float64,
    k: int,
    largest: float,
    seed: int,
    threads: int,
    tick: Callable[[], None] = lambda: None,
) -> Float32:
    """Centroids of k clusters of rows, of small weighted squared error.

    Up to 1,024 clusters: k-means from rows drawn at random, until a round gains less than 0.1%,
    25 to 100 rounds. More are made in two levels: k-means into k/64 coarse clusters, then each of
    these into its share of the k, which is its share of the error. After that rounds of k-means
    over all of them, in which a row is compared with the 512 centroids or more of the families
    nearest to its own; families of 16 centroids are made anew each round, so that no row stays
    behind a border. They end when one gains less than 0.1%, or after 25. A centroid that loses its
    rows moves to the row that is farthest from its own.

    Args:
        rows: float32 [m, D], finite.
        weights: float64 [m], nonnegative; rows of weight 0 do not count unless all are.
        k: How many clusters.
        largest: Magnitude that no row to be assigned later exceeds.
        seed: Of the rows that are drawn.
        threads: Cores to use; they do not change the outcome.
        tick: Told of every round.

    Returns:
        float32 [k, D]; fewer when there are fewer distinct rows, which then are the centroids.
    """
    if not rows.size:
        return np.zeros((1, rows.shape[1]), np.float32)
    if weights.any() and not weights.all():
        rows, weights = rows[weights > 0], weights[weights > 0]
    elif not weights.any():
        weights = np.ones(len(rows))
    kinds = distinct_rows(rows, k)
    if len(kinds) <= k:
        return rows[kinds]
    cloud = Cloud(rows, weights, Frame.around(rows, largest), threads, tick)
    random = np.random.default_rng([seed, k])
    with one_blas_thread():
        if k <= ONE_LEVEL:
            return _rounds(cloud, cloud.pick(k, random), _LEAST_ROUNDS, MOST_ROUNDS)
        book, codes, costs = _two_levels(cloud, k, random)
        return _local_rounds(cloud, book, codes, costs, random)


def _rounds(cloud: Cloud, book: Float32, least: int, most: int) -> Float32:
    """Rounds of k-means over all rows and centroids."""
    reached = np.inf
    for number in range(most):
        codes, costs = cloud.assign(book)
        cloud.tick()
        error = float(costs.sum())
        if error == 0 or error == reached:
            break
        if number >= least and error > reached * (1 - _LEAST_GAIN):
            break
        reached = error
        book = _means(cloud, book, codes, costs)
    return book


def _means(cloud: Cloud, book: Float32, codes: Int64, costs: Float64) -> Float32:
    """Weighted means of the clusters; empty ones move to the rows that cost most."""
    sums, masses = np.zeros(book.shape), np.zeros(len(book))
    add_rows(cloud.rows, codes, cloud.weights, sums, masses)
    full = masses > 0
    moved = book.copy()
    moved[full] = sums[full] / masses[full, None]
    empty = np.flatnonzero(~full)[: len(costs)]
    if len(empty):
        worst = np.argpartition(-costs, len(empty) - 1)[: len(empty)]
        worst = worst[np.lexsort((worst, -costs[worst]))]
        worst = worst[costs[worst] > 0]
        moved[empty[: len(worst)]] = cloud.rows[worst]
    return moved


def _two_levels(
    cloud: Cloud, k: int, random: np.random.Generator
) -> tuple[Float32, Int64, Float64]:
    """Clusters of clusters: centroids, and for every row its code and cost in its own cluster."""
    coarse = max(16, k // _COARSE_CLUSTERS)
    m = len(cloud.rows)
    few = np.sort(random.choice(m, min(m, coarse * _COARSE_ROWS), replace=False))
    learned = Cloud(cloud.rows[few], cloud.weights[few], cloud.frame, cloud.threads)
    book = _rounds(learned, learned.pick(coarse, random), _COARSE_ROUNDS, _COARSE_ROUNDS)
    codes, costs = cloud.assign(book)
    sizes = np.bincount(codes, minlength=coarse)
    errors = np.bincount(codes, costs, minlength=coarse).astype(np.float64)
    shares = _shares(errors, sizes, k)
    order = np.argsort(codes, kind="stable")
    edges = np.concatenate(([0], np.cumsum(sizes)))
    firsts = np.concatenate(([0], np.cumsum(shares)))
    seeds = random.integers(0, 2**63, coarse)

    def one(c: int) -> Float32:
        if not shares[c]:
            return np.empty((0, book.shape[1]), np.float32)
        index = order[edges[c] : edges[c + 1]]
        own = cloud.some(index)
        fine = own.pick(int(shares[c]), np.random.default_rng(seeds[c]))
        fine = _rounds(own, fine, _FINE_ROUNDS, _FINE_ROUNDS)
        own_codes, costs[index] = own.assign(fine)
        codes[index] = own_codes + firsts[c]
        return fine

    fine = list(ordered(one, range(coarse), cloud.threads))
    cloud.tick()
    return np.concatenate(fine), codes, costs


def _shares(errors: Float64, sizes: Int64, k: int) -> Int64:
    """Deal k clusters out in proportion to error: at least 1 to any rows, at most one a row."""
    shares = np.minimum(sizes, 1)
    while (left := k - int(shares.sum())) > 0:
        room = sizes - shares
        wanted = np.where(room > 0, errors, 0.0)
        wanted = wanted if wanted.any() else (room > 0).astype(np.float64)
        exact = wanted / wanted.sum() * left
        whole = np.minimum(exact.astype(np.int64), room)
        if not whole.any():
            order = np.argsort(-exact, kind="stable")
            whole[order[room[order] > 0][:left]] = 1
        shares = shares + whole
    return shares


def _local_rounds(
    cloud: Cloud, book: Float32, codes: Int64, costs: Float64, random: np.random.Generator
) -> Float32:
    """Rounds of k-means in which a row is compared with the centroids around its own."""
    reached = float(costs.sum())
    for _ in range(_LOCAL_ROUNDS):
        book = _means(cloud, book, codes, costs)
        codes, costs = _reassigned(cloud, book, codes, random)
        cloud.tick()
        error = float(costs.sum())
        if error > reached * (1 - _LEAST_GAIN):
            break
        reached = error
    return _means(cloud, book, codes, costs)


def _reassigned(
    cloud: Cloud, book: Float32, codes: Int64, random: np.random.Generator
) -> tuple[Int64, Float64]:
    """Codes and costs of rows among the centroids of the families nearest to their own."""
    k = len(book)
    count = min(k // _FAMILY, _MOST_FAMILIES)
    tried = max(_TRIED, 4 * k // count)
    centroids = Cloud(book, np.ones(k), cloud.frame, cloud.threads)
    heads = _rounds(centroids, centroids.pick(count, random), _FAMILY_ROUNDS, _FAMILY_ROUNDS)
    family, _ = centroids.assign(heads)
    members = _by_label(family, count)
    sizes = np.bincount(family, minlength=count)
    mine = _by_label(family[codes], count)
    head_scores = cloud.frame.lift(heads), cloud.frame.table(heads)
    table = np.ascontiguousarray(cloud.frame.table(book).T)
    codes, costs = codes.copy(), np.empty(len(codes))

    def one(f: int) -> None:
        if not len(mine[f]):
            return
        scores = (head_scores[0][f : f + 1] @ head_scores[1])[0]
        near = np.argpartition(-scores, min(_NEAR_FAMILIES, count) - 1)[:_NEAR_FAMILIES]
        near = near[np.argsort(-scores[near], kind="stable")]
        enough = int(np.searchsorted(np.cumsum(sizes[near]), tried)) + 1
        candidates = np.sort(np.concatenate([members[n] for n in near[:enough]]))
        columns = np.ascontiguousarray(table[candidates].T)
        for start in range(0, len(mine[f]), _ROWS):
            some = mine[f][start : start + _ROWS]
            lifted = cloud.frame.lift(cloud.rows[some])
            best = np.full(len(some), -np.inf, np.float32)
            found = np.zeros(len(some), np.int64)
            take_best(lifted @ columns, 0, best, found)
            codes[some] = candidates[found]
            distances = np.maximum(squared_lengths(lifted) - 2 * best, 0)
            costs[some] = distances * cloud.weights[some]

    for _ in ordered(one, range(count), cloud.threads):
        pass
    return codes, costs


def _by_label(labels: Int64, count: int) -> list[NDArray[np.intp]]:
    """The places of every label, ascending."""
    order = np.argsort(labels, kind="stable")
    edges = np.concatenate(([0], np.cumsum(np.bincount(labels, minlength=count))))
    return [order[a:b] for a, b in pairwise(edges)]
