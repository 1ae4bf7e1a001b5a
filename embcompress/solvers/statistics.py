"""Statistics of some rows, collected together in one streamed pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput
from embcompress.kernels.extremes import extremes
from embcompress.tables.rows import Tile

MOMENTS, GRAM, SAMPLE, HEAD = "moments", "gram", "sample", "head"
SAMPLE_ROWS = 65_536
_NAMED = 5


def sample_of(rows: int) -> str:
    """The need for a sample of up to so many rows; ``sample`` alone is one of 65,536."""
    return f"{SAMPLE}:{rows}"


def most_sampled(needs: Iterable[str]) -> int:
    """Rows that the sample of some needs has at most; 0 without one."""
    most = 0
    for need in needs:
        name, _, rows = need.partition(":")
        if name == SAMPLE:
            most = max(most, int(rows or SAMPLE_ROWS))
    return most


def gram_up_to(columns: int) -> str:
    """The need for ``gram`` where rows have no more columns than this."""
    return f"{GRAM}:{columns}"


def wants_gram(needs: Iterable[str], columns: int) -> bool:
    """Whether some needs ask for the Gram matrix of so many columns."""
    for need in needs:
        name, _, most = need.partition(":")
        if name == GRAM and columns <= int(most or columns):
            return True
    return False


def head_of(share: float) -> str:
    """The need that the sample is of the most frequent rows only, this share of all."""
    return f"{HEAD}:{share!r}"


def head_rows(rows: int, share: float) -> int:
    """How many rows a share is: at least one, if there are any."""
    return min(rows, max(1, round(share * rows)))


def head_weights(
    weights: NDArray[np.float64] | None, needs: Iterable[str]
) -> NDArray[np.float64] | None:
    """Weights with 0 for rows outside the head that some needs ask for, if they do.

    Args:
        weights: float64 [n]; of equal ones the lower row number is in the head. None has no head.
        needs: Which may hold that of `head_of`.
    """
    shares = [float(n.partition(":")[2]) for n in needs if n.startswith(HEAD + ":")]
    if weights is None or not shares:
        return weights
    head = np.argsort(-weights, kind="stable")[: head_rows(len(weights), max(shares))]
    kept = np.zeros(len(weights))
    kept[head] = weights[head]
    return kept


@dataclass(frozen=True)
class Statistics:
    """What one pass found.

    Args:
        rows: How many rows n.
        weight: Sum of their weights; n without frequencies.
        largest: Largest magnitude of a value.
        squares: float64 [D], sum of squares of every column, unweighted.
        mean: float64 [D], weighted; with need ``moments``.
        gram: float64 [D, D], weighted mean of eᵀe; with need ``gram``.
        sample: float32 [m, D], rows drawn in proportion to their weight; with need ``sample``.
        sample_weights: float64 [m]; all 1 unless every row is in the sample.
    """

    rows: int
    weight: float
    largest: float
    squares: NDArray[np.float64]
    mean: NDArray[np.float64] | None = None
    gram: NDArray[np.float64] | None = None
    sample: NDArray[np.float32] | None = None
    sample_weights: NDArray[np.float64] | None = None

    @property
    def root_mean_square(self) -> float:
        """Of all values, unweighted."""
        return float(np.sqrt(self.squares.sum() / max(self.rows * len(self.squares), 1)))


@dataclass(frozen=True)
class Drawn:
    """Which rows a sample holds.

    Args:
        positions: int64 [m], ascending, in the segment.
        weights: float64 [m].
    """

    positions: NDArray[np.int64]
    weights: NDArray[np.float64]


def draw(
    rows: int, weights: NDArray[np.float64] | None, seed: int, most: int = SAMPLE_ROWS
) -> Drawn:
    """Draw rows without replacement, in proportion to their weight (Efraimidis and Spirakis).

    Args:
        rows: How many there are.
        weights: float64 [rows] or None for equal weights.
        seed: Of the random choice.
        most: How many to draw; all when there are no more.
    """
    if rows <= most:
        own = np.ones(rows) if weights is None else np.asarray(weights, np.float64)
        return Drawn(np.arange(rows, dtype=np.int64), own)
    random = np.random.default_rng([seed, rows])
    if weights is None:
        positions = np.sort(random.choice(rows, most, replace=False, shuffle=False))
        return Drawn(positions.astype(np.int64), np.ones(most))
    with np.errstate(divide="ignore"):
        keys = np.log(random.random(rows)) / weights
    chosen = np.argpartition(-keys, most - 1)[:most]
    chosen = np.sort(chosen[np.isfinite(keys[chosen])])
    return Drawn(chosen.astype(np.int64), np.ones(len(chosen)))


@dataclass(frozen=True)
class Piece:
    """The statistics of one tile."""

    weight: float
    largest: float
    squares: NDArray[np.float64]
    total: NDArray[np.float64] | None
    gram: NDArray[np.float64] | None
    sample: NDArray[np.float32] | None
    bad: NDArray[np.int64] | None


def of_tile(tile: Tile, needs: frozenset[str], drawn: Drawn | None) -> Piece:
    """The statistics of one tile; safe from several threads."""
    rows = tile.rows
    tops, squares = np.zeros(rows.shape[1], np.float32), np.zeros(rows.shape[1])
    extremes(rows, tops, squares)
    largest = float(tops.max(initial=0))
    weight = float(len(rows)) if tile.weights is None else float(tile.weights.sum())
    if not np.isfinite(squares).all():
        bad = tile.ids[~np.isfinite(rows).all(axis=1)]
        return Piece(weight, largest, squares, None, None, None, bad)
    total = gram = sample = None
    wanted = wants_gram(needs, rows.shape[1])
    if MOMENTS in needs or wanted:
        wide = rows.astype(np.float64)
        scaled = wide if tile.weights is None else wide * tile.weights[:, None]
        total = scaled.sum(axis=0)
        gram = scaled.T @ wide if wanted else None
    if drawn is not None:
        a, b = np.searchsorted(drawn.positions, [tile.position, tile.position + len(rows)])
        sample = rows[drawn.positions[a:b] - tile.position]
    return Piece(weight, largest, squares, total, gram, sample, None)


def gather(
    pieces: Iterable[Piece],
    name: str,
    shape: tuple[int, int],
    needs: frozenset[str],
    drawn: Drawn | None,
) -> Statistics:
    """Put the pieces of all tiles together, in order.

    Args:
        pieces: One a tile.
        name: The table, for errors.
        shape: Rows n and columns D.
        needs: What was collected.
        drawn: The rows of the sample.

    Raises:
        BadInput: Some rows hold NaN or infinity; names the first rows and counts all.
    """
    n, d = shape
    weight = largest = 0.0
    squares = np.zeros(d)
    gram = np.zeros((d, d)) if wants_gram(needs, d) else None
    mean = np.zeros(d) if MOMENTS in needs or gram is not None else None
    sample = None if drawn is None else np.empty((len(drawn.positions), d), np.float32)
    filled = 0
    bad: list[int] = []
    count = 0
    for piece in pieces:
        if piece.bad is not None:
            bad += piece.bad[: _NAMED - len(bad)].tolist()
            count += len(piece.bad)
            continue
        weight += piece.weight
        largest = max(largest, piece.largest)
        squares += piece.squares
        if mean is not None and piece.total is not None:
            mean += piece.total
        if gram is not None and piece.gram is not None:
            gram += piece.gram
        if sample is not None and piece.sample is not None:
            sample[filled : filled + len(piece.sample)] = piece.sample
            filled += len(piece.sample)
    if count:
        first = ", ".join(map(str, bad)) + (", …" if count > len(bad) else "")
        raise BadInput(
            f"{name}: {count} row{'s hold' if count > 1 else ' holds'} NaN or infinity"
            f" (row {first}); --nonfinite zero replaces them by 0"
        )
    scale = 1.0 / weight if weight > 0 else 0.0
    return Statistics(
        rows=n,
        weight=weight,
        largest=largest,
        squares=squares,
        mean=None if mean is None else mean * scale,
        gram=None if gram is None else gram * scale,
        sample=sample,
        sample_weights=None if drawn is None else drawn.weights,
    )
