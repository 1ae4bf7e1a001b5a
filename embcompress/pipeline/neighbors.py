"""Nearest rows of queries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.reader import Artifact
from embcompress.artifact.similarity import DISTANCES, Metric, Scorer, checked_queries
from embcompress.artifact.table import CompressedTable
from embcompress.errors import BadInput, UsageError
from embcompress.kernels.nearest import NONE, in_order, keep_best
from embcompress.pipeline.reranking import finer_rows, rerank
from embcompress.pipeline.restore import pick_table
from embcompress.progress import Progress
from embcompress.tables.keys import Keys
from embcompress.tables.source import read_table
from embcompress.threads import one_blas_thread, ordered

_QUERIES = 1024  # asked in one pass over the table
_KEPT = 2**22  # rows kept for all queries of a pass
_SHORT = 2**24  # signs, in bytes, that one core compares before a second one is awake


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is looked for.

    Args:
        artifact: The compressed file.
        table: The table; needed when there are several.
        ids: int64 [q], rows whose neighbours are wanted; a row is no neighbour of itself.
        keys: Keys of rows in place of their numbers.
        queries: A file of float queries [q, D], when ``ids`` and ``keys`` are None.
        k: Neighbours a query; all rows when there are fewer.
        metric: How the artifact's rows are compared.
        rerank: A finer artifact, or the source, that puts the candidates in their final order.
        rerank_metric: How its rows are compared; ``metric``, or cosine after hamming.
        candidates: Rows a query that are ranked again; max(10·k, 100).
    """

    artifact: Path
    table: str | None = None
    ids: NDArray[np.int64] | None = None
    keys: list[str] | None = None
    queries: Path | None = None
    k: int = 10
    metric: Metric = "cosine"
    rerank: Path | None = None
    rerank_metric: Metric | None = None
    candidates: int | None = None


@dataclass(frozen=True)
class Neighbors:
    """What was found, nearest first.

    Args:
        queries: int64 [q], row numbers in the table or in the file of queries.
        ids: int64 [q, k].
        scores: float32 [q, k]; the smallest is nearest for l2 (squared) and hamming.
        keys: The keys of the rows in ``ids``, by row, where the table has keys.
    """

    queries: NDArray[np.int64]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    keys: dict[int, str] = field(default_factory=dict)

    def key_of(self, row: int) -> list[str]:
        """The key of a row that was found, or nothing."""
        key = self.keys.get(int(row))
        return [] if key is None else [key]


def neighbors(search: Search, threads: int, progress: Progress) -> Neighbors:
    """Find the nearest rows of queries.

    Args:
        search: What is looked for.
        threads: Cores to use.
        progress: Told of stages and rows.

    Raises:
        UsageError: Queries of another width, ids out of range, an unknown table, hamming on a
            table that stores no signs, or fewer candidates than neighbours.
        BadInput: A damaged file, queries that are not finite, or a finer table of another shape.
        IOFailure: The system refuses.
    """
    wanted = search.k if search.rerank is None else search.candidates or max(10 * search.k, 100)
    if wanted < search.k:
        raise UsageError(f"--candidates {wanted} are fewer than -k {search.k}")
    with Artifact(search.artifact, threads=threads) as artifact:
        table = pick_table(artifact, search.table)
        known = artifact.row_keys(table.name)
        if search.keys is not None:
            if known is None:
                raise UsageError(f"{search.artifact}: table '{table.name}' has no keys; use --ids")
            search = replace(search, ids=known.find(search.keys, table.name))
        queries, own = _queries(search, table)
        numbers = np.arange(len(queries)) if search.ids is None else search.ids
        if search.rerank is None:
            found = nearest(table, queries, own, wanted, search.metric, threads, progress)
            return Neighbors(numbers, *found, _keys(known, found[0]))
        with finer_rows(search.rerank, table) as rows:
            finer = queries if search.ids is None else rows(search.ids)
            bad = ~np.isfinite(finer).all(axis=1)
            if bad.any():
                raise BadInput(f"{search.rerank}: row {numbers[bad.argmax()]} is not finite")
            found = nearest(table, queries, own, wanted, search.metric, threads, progress)
            metric = search.rerank_metric or search.metric
            if metric == "hamming":
                metric = "cosine"
            found = rerank(rows, finer, found[0], search.k, metric, threads, progress)
        return Neighbors(numbers, *found, _keys(known, found[0]))


def _keys(known: Keys | None, ids: NDArray[np.int64]) -> dict[int, str]:
    """The keys of rows, by row."""
    if known is None:
        return {}
    rows = np.unique(ids)
    return dict(zip(rows.tolist(), known.of(rows), strict=True))


def _queries(
    search: Search, table: CompressedTable
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Queries float32 [q, D], and their own rows int64 [q], -1 for none."""
    if search.ids is not None:
        try:
            return table.lookup(search.ids), search.ids
        except IndexError as error:
            raise UsageError(str(error)) from error
    assert search.queries is not None
    queries = checked_queries(read_table(search.queries), table.shape[1], table.name)
    return queries, np.full(len(queries), -1, np.int64)


def nearest(
    table: CompressedTable,
    queries: NDArray[np.float32],
    own: NDArray[np.int64],
    k: int,
    metric: Metric,
    threads: int,
    progress: Progress,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest rows of each query, in passes over the table.

    Of rows with equal scores the lower row number comes first, whatever the thread count.

    Args:
        table: The table.
        queries: float32 [q, D].
        own: int64 [q], the row that a query must not find, or -1.
        k: Rows a query; less where the table has fewer.
        metric: How rows are compared.
        threads: Cores to use.
        progress: Told of a stage and its rows.

    Returns:
        int64 [q, k] rows and float32 [q, k] scores, nearest first.
    """
    n = len(table)
    k = min(k, n - bool((own >= 0).any()))
    step = max(1, min(_QUERIES, _KEPT // max(k, 1)))
    ids = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    if metric == "hamming" and n * len(queries) * (table.shape[1] // 8) <= _SHORT:
        threads = 1
    starts = range(0, len(queries), step)
    with progress.stage("searching", n * len(starts)) as stage, one_blas_thread():
        for start in starts:
            part = slice(start, start + step)
            scorer = table.scorer(queries[part], metric)
            sign = -1.0 if metric in DISTANCES else 1.0
            keys, ids[part] = _one_pass(scorer, n, own[part], k, sign, threads, stage)
            scores[part] = sign * keys
    return ids, scores


def _one_pass(
    scorer: Scorer,
    n: int,
    own: NDArray[np.int64],
    k: int,
    sign: float,
    threads: int,
    stage: Progress,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Keys float32 [q, k] and rows int64 [q, k] of the best; each thread at work keeps its own."""
    shape = (scorer.count, k)
    heaps: SimpleQueue[tuple[NDArray[np.float32], NDArray[np.int64]]] = SimpleQueue()
    for _ in range(threads):
        heaps.put((np.full(shape, -np.inf, np.float32), np.full(shape, NONE)))

    def one(first: int) -> int:
        stop = min(first + scorer.block_rows, n)
        found = scorer.block(first, stop)
        keys, rows = heaps.get()
        keep_best(found, sign, first, own, keys, rows)
        heaps.put((keys, rows))
        return stop - first

    for count in ordered(one, range(0, n, scorer.block_rows), threads):
        stage.advance(count)
    kept = [heaps.get() for _ in range(threads)]
    keys, rows = (np.concatenate(side, axis=1) for side in zip(*kept, strict=True))
    return in_order(keys, rows, k)
