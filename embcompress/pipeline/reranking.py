"""Candidates in their final order, by the rows of a finer table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.form import KEY
from embcompress.artifact.reader import Artifact
from embcompress.artifact.similarity import DISTANCES, Metric, Queries
from embcompress.artifact.table import CompressedTable
from embcompress.errors import BadInput, UsageError
from embcompress.kernels.nearest import in_order
from embcompress.progress import Progress
from embcompress.tables.base import Table
from embcompress.tables.source import Source, open_source
from embcompress.threads import one_blas_thread, ordered

_WEIGHTS = 2**20  # weights of candidates read at a time

FinerRows = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Gives the rows of int64 [b] row numbers, float32 [b, D]; any thread may ask."""


@contextmanager
def finer_rows(path: Path, table: CompressedTable) -> Iterator[FinerRows]:
    """Open what candidates are ranked with.

    Args:
        path: An artifact, or a source of float tables.
        table: The table whose rows are ranked; the other one has its name, or is the only one.

    Raises:
        UsageError: There are several tables and none has the name.
        BadInput: The file is damaged or of another kind, or the table has another shape.
        IOFailure: The system refuses.
    """
    with open_source(path) as source:
        if KEY in source.metadata:
            with Artifact(path, threads=1) as artifact:
                found = artifact[_name(path, list(artifact), table.name)]
                _check_shape(path, found.shape, table)
                yield found.lookup
            return
        original = _original(path, source, table)
        yield lambda ids: gather(original, ids)
        source.unchanged()


def _original(path: Path, source: Source, table: CompressedTable) -> Table:
    found = source.table(_name(path, [c.name for c in source.tables], table.name))
    _check_shape(path, found.shape, table)
    return found


def _name(path: Path, names: list[str], wanted: str) -> str:
    if wanted in names:
        return wanted
    if len(names) != 1:
        raise UsageError(f"--rerank {path}: no table '{wanted}'; it has {names}")
    return names[0]


def _check_shape(path: Path, shape: tuple[int, int], table: CompressedTable) -> None:
    if shape != table.shape:
        raise BadInput(
            f"{path}: its table is {shape[0]}×{shape[1]}, that of the artifact"
            f" {table.shape[0]}×{table.shape[1]}"
        )


def gather(table: Table, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read rows from a source, neighbours together.

    Args:
        table: The source.
        ids: int64 [b], in range.

    Returns:
        float32 [b, D].
    """
    wanted, where = np.unique(ids, return_inverse=True)
    rows = np.empty((len(wanted), table.shape[1]), np.float32)
    at = 0
    for run in np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1):
        if len(run):
            table.read(int(run[0]), int(run[-1]) + 1, rows[at : at + len(run)])
        at += len(run)
    return rows[where.reshape(-1)]


def rerank(
    rows: FinerRows,
    queries: NDArray[np.float32],
    candidates: NDArray[np.int64],
    k: int,
    metric: Metric,
    threads: int,
    progress: Progress,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest candidates of each query by exact scores.

    Args:
        rows: Gives finer rows.
        queries: float32 [q, D], finite.
        candidates: int64 [q, c], distinct within a query.
        k: Rows a query; less where there are fewer candidates.
        metric: How rows are compared.
        threads: Cores to use.
        progress: Told of a stage and its queries.

    Returns:
        int64 [q, k] rows and float32 [q, k] scores, nearest first.
    """
    count, c = candidates.shape
    k = min(k, c)
    sign = np.float32(-1 if metric in DISTANCES else 1)
    height = max(1, _WEIGHTS // max(queries.shape[1], 1))

    def one(i: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        asked = Queries(queries[i : i + 1], metric)
        keys = np.empty((1, c), np.float32)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for at in range(0, c, height):
                finer = rows(candidates[i, at : at + height]).astype(np.float64)
                keys[:, at : at + height] = sign * asked.against(finer)
        keys[np.isnan(keys)] = -np.inf
        best, found = in_order(keys, candidates[i : i + 1], k)
        return found[0], sign * best[0]

    ids = np.empty((count, k), np.int64)
    scores = np.empty((count, k), np.float32)
    with progress.stage("ranking again", count) as stage, one_blas_thread():
        for i, (found, best) in enumerate(ordered(one, range(count), threads)):
            ids[i], scores[i] = found, best
            stage.advance(1)
    return ids, scores
