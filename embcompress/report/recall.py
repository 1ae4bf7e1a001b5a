"""Recall@k of cosine neighbours: exact search, the same bits for any number of threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.report.sample import Kept
from embcompress.threads import ordered

_QUERIES = 125
_BLOCK = 8192
_NORMALISED = 2**19
"""Weights that one step widens to float64."""


def normalise(kept: list[Kept], threads: int) -> None:
    """Divide every row by its norm, in place; zero rows stay zero.

    Args:
        kept: Rows of any magnitude.
        threads: Cores to use.
    """

    def one(block: NDArray[np.float32]) -> None:
        wide = block.astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        wide /= np.where(norms > 0, norms, 1.0)[:, None]
        block[:] = wide

    blocks = (
        rows[start : start + step]
        for some in kept
        for rows in (some.original, some.decoded)
        for step in [max(1, _NORMALISED // rows.shape[1])]
        for start in range(0, len(rows), step)
    )
    for _ in ordered(one, blocks, threads):
        pass


def neighbours(
    base: NDArray[np.float32],
    queries: NDArray[np.float32],
    own: NDArray[np.int64],
    k: int,
    threads: int,
) -> NDArray[np.int64]:
    """The k rows of the base with the largest inner product with each query.

    Blocks of scores have one fixed shape, whatever the thread count, so call it under one BLAS
    thread and the bits repeat. Of rows with equal scores the lower position comes first.

    Args:
        base: float32 [m, D], normalised.
        queries: float32 [q, D], normalised.
        own: int64 [q], the query's own position in the base, which is left out; -1 for none.
        k: At most m, and at most m - 1 when queries are in the base.
        threads: Cores to use.

    Returns:
        int64 [q, k], positions in the base, best first.
    """

    def one(first: int) -> NDArray[np.int64]:
        part = slice(first, first + _QUERIES)
        return _search(base, queries[part], own[part], k)

    starts = range(0, len(queries), _QUERIES)
    return np.concatenate([np.empty((0, k), np.int64), *ordered(one, starts, threads)])


def _search(
    base: NDArray[np.float32], queries: NDArray[np.float32], own: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    q = len(queries)
    query = np.empty(0, np.int64)
    found = np.empty(0, np.int64)
    score = np.empty(0, np.float32)
    to_beat = np.full(q, -np.inf, np.float32)
    scratch = np.empty((q, _BLOCK), np.float32)
    for start in range(0, len(base), _BLOCK):
        block = base[start : start + _BLOCK]
        scores = np.matmul(queries, block.T, out=scratch[:, : len(block)])
        here = np.flatnonzero((own >= start) & (own < start + len(block)))
        scores[here, own[here] - start] = -np.inf
        if start == 0 and k < len(block):
            least = np.partition(scores, -k, axis=1)[:, -k]
            better = scores >= least[:, None]
        else:
            better = scores > to_beat[:, None]
        rows, columns = np.divmod(np.flatnonzero(better), len(block))
        if not len(rows):
            continue
        query = np.concatenate([query, rows])
        found = np.concatenate([found, columns + start])
        score = np.concatenate([score, scores[rows, columns]])
        order = np.lexsort((-score, query))
        query, found, score = query[order], found[order], score[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        kept = rank < k
        query, found, score, rank = query[kept], found[kept], score[kept], rank[kept]
        last = rank == k - 1
        to_beat[query[last]] = score[last]
    return found.reshape(q, k)


def shares(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each row's entries that are in the same row of the other array.

    Args:
        first: int64 [q, k], distinct within a row.
        second: int64 [q, k], distinct within a row.

    Returns:
        float64 [q].
    """
    k = first.shape[1]
    both = np.sort(np.concatenate([first, second], axis=1), axis=1)
    return np.asarray((both[:, 1:] == both[:, :-1]).sum(axis=1) / k)


def interval(values: NDArray[np.float64], whole: bool) -> tuple[float, float, float]:
    """A mean within [0, 1] and its 95% confidence interval, mean ± 1.96·sd/√q.

    Args:
        values: float64 [q], each within [0, 1].
        whole: Whether they are all there are: the interval is then the mean itself.

    Returns:
        The mean, the interval's lower and its upper end.
    """
    mean = float(values.mean())
    if whole:
        return mean, mean, mean
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 1.0
    return mean, max(0.0, mean - half), min(1.0, mean + half)
