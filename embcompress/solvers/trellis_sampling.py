"""What entropy-coded rows are fitted to: the wish, rows of a record, a sample, moments for axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embcompress.solvers.statistics import sample_of
from embcompress.solvers.trellis_encoder import EFFORTS

if TYPE_CHECKING:
    from embcompress.solvers.run import Run
    from embcompress.solvers.statistics import Statistics
    from embcompress.tables.rows import Rows, Tile

_WIDE = 64
"""Coordinates that a record should hold; four times as many in tables of few rows."""
_FEW = 2**14
_MOST_DOUBLINGS = 4
_OFTEN = 0.002
"""Share of constant rows from which records hold one row each."""
_LEAST_RECORDS = 16
"""Records from which several rows are tried in one."""


@dataclass(frozen=True)
class Wish:
    """What a fit aims at, and how.

    Args:
        states: Of the state machine.
        effort: A key of `EFFORTS`.
        rows: Rows of a record, or None to choose.
        open_ended: Whether the size is settled later, near ``nbytes``.
        nbytes: Of the rows' own tensors.
        error: Relative error instead of ``nbytes``.
        weight: What a row's squared error counts: one of `WEIGHTS` of trellis_weights.
    """

    states: int
    effort: str
    rows: int | None
    open_ended: bool = False
    nbytes: float | None = None
    error: float | None = None
    weight: str = "none"


def needs_of(effort: str) -> frozenset[str]:
    """Statistics that a fit uses."""
    return frozenset({"moments", "gram", sample_of(EFFORTS[effort].sample)})


def rows_of_record(wish: Wish, rows: Rows, constant: float) -> list[int]:
    """Rows of a record: as asked for, or those worth a try.

    Args:
        wish: What is wanted.
        rows: The rows.
        constant: Share of them that are constant.
    """
    n, d = rows.shape
    if wish.rows is not None:
        tried = [wish.rows]
    elif constant > _OFTEN:
        tried = [1]
    else:
        wide = _WIDE if n > _FEW else 4 * _WIDE
        most = min(round(math.log2(wide / max(d, 1))), _MOST_DOUBLINGS)
        tried = [1 << i for i in range(max(most, 0) + 1)]
        if n > _FEW and most <= 0:
            tried = [1]
    return [r for r in tried if r <= max(n // _LEAST_RECORDS, 1) and rows.aligned(r)] or [1]


def sampled(
    rows: Rows, found: Statistics, r: int, count: int, context: Run
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Rows of records drawn at random, in random order, float32 [s·r, D], and their frequencies.

    Args:
        rows: The rows.
        found: Their statistics.
        r: Rows of a record.
        count: Records at most.
        context: Threads and seed.
    """
    n = rows.shape[0]
    random = np.random.default_rng([context.seed, n, r])
    if r == 1 and rows.weights is None:
        assert found.sample is not None
        return found.sample[random.permutation(len(found.sample))[:count]], None
    records = max(n // r, 1)
    chosen = np.sort(random.permutation(records)[:count]) * r

    def one(tile: Tile) -> NDArray[np.float32]:
        a, b = np.searchsorted(chosen, [tile.position, tile.position + len(tile.rows)])
        mine = (chosen[a:b, None] - tile.position + np.arange(r)).reshape(-1)
        found: NDArray[np.float32] = tile.rows[np.minimum(mine, len(tile.rows) - 1)]
        return found

    parts = [*context.each(rows, one, "sampling")]
    drawn = np.concatenate([np.empty((0, rows.shape[1]), np.float32), *parts])
    order = random.permutation(len(drawn) // r)
    drawn = drawn.reshape(-1, r, drawn.shape[1])[order].reshape(-1, drawn.shape[1])
    if rows.weights is None:
        return drawn, None
    return drawn, rows.weights[np.minimum(chosen[order, None] + np.arange(r), n - 1)].reshape(-1)


def moments_for(
    weight: str, rows: Rows, context: Run
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the rows and of eᵀe for axes of weighted rows, float64 [D] and [D, D].

    Frequencies do not count: steps make what rows lose as large as their frequency allows, and a
    few frequent rows would settle the axes of all. With row-norm rows of any norm count alike.
    """
    d = rows.shape[1]
    mean, gram, whole = np.zeros(d), np.zeros((d, d)), 0.0

    def one(tile: Tile) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        wide = tile.rows.astype(np.float64)
        if weight == "row-norm":
            squares = np.einsum("ij,ij->i", wide, wide)
            wide, squares = wide[squares > 0], squares[squares > 0]
            own = 1 / squares
        else:
            own = np.ones(len(wide))
        scaled = wide * own[:, None]
        return scaled.sum(axis=0), scaled.T @ wide, float(own.sum())

    for total, square, some in context.each(rows, one, "axes"):
        mean += total
        gram += square
        whole += some
    return (mean / whole, gram / whole) if whole > 0 else (mean, gram)
