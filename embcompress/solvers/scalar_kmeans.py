"""Scalar codebooks by one-dimensional k-means: one a row, or one for many values."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Solver = Literal["exact", "lloyd"]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Codes = NDArray[np.uint8]

BINS: Final = 65_536
EXACT_WORK: Final = 2**26
_BLOCK_VALUES: Final = 2**17
_LLOYD_ROUNDS: Final = 50
_LAST_ROUNDS: Final = 4


def codebooks_per_row(rows: Float32, k: int, solver: Solver, half: bool) -> tuple[Codes, Float32]:
    """Fit a codebook to each row and code the row with it.

    A row with at most k distinct values is exact up to the rounding of the codewords; its last
    codeword is repeated. A row's result does not depend on the rows beside it.

    Args:
        rows: float32 [b, d], finite.
        k: Codewords, 1 to 256.
        solver: ``exact``, the optimum by dynamic programming, O(d log d) a row; or ``lloyd``, the
            better of two starts (equal steps in value, equal counts), O(d + k) a round, until the
            error stands still or for 50 rounds.
        half: Whether codewords are rounded to float16, past its range to ±65504; they are then
            improved among its numbers by up to 4 rounds, and values take the nearest one.

    Returns:
        codes uint8 [b, d], the nearest codeword, ties to the lower code; and codebooks
        float32 [b, k], ascending.

    Raises:
        ValueError: k is not within 1 to 256, the solver is unknown, or rows are not 2-D.

    Source: Guan, Malevich, Yang, Park, Yuen: Post-training 4-bit quantization on embedding tables
    (2019), KMEANS. Exact: see ``embcompress.kernels.kmeans1d``.
    """
    check_arguments(k, solver)
    rows = as_matrix(rows)
    b, d = rows.shape
    books = np.zeros((b, k), np.float32)
    codes = np.zeros((b, d), np.uint8)
    if d == 0:
        return codes, books
    ones = np.ones(d)
    block = max(1, _BLOCK_VALUES // d)
    for start in range(0, b, block):
        part = rows[start : start + block]
        found = _fit(np.sort(part, axis=1).astype(np.float64), ones, k, solver, half)
        books[start : start + block] = found
        assign_each(part, found, np.arange(len(part)), codes[start : start + block])
    return codes, books


def codebook(
    values: Float32,
    k: int,
    weights: NDArray[np.floating] | None = None,
    solver: Solver = "exact",
    half: bool = False,
) -> Float32:
    """Fit one codebook to many values.

    The exact solver is exact while distinct values times max(k, 16) is at most 2^26 (it then
    touches about 150 bytes a distinct value, and reserves 8·k). Above that, sorted values are
    gathered in at most 65,536 bins, which hold weight and weighted mean; a bin's spread about its
    mean does not depend on the codebook. The optimum with borders between bins is found, and
    improved on the values themselves by up to 4 of Lloyd's rounds. (10.4 million distinct values:
    squared error within 2e-6 of the least at k = 256, 1e-8 at 16.)

    Args:
        values: float32, any shape, finite.
        k: Codewords, 1 to 256.
        weights: One a value, same shape, nonnegative; all zero counts as none.
        solver: ``exact`` or ``lloyd``, as in `codebooks_per_row`.
        half: Whether codewords are rounded to float16, past its range to ±65504.

    Returns:
        float32 [k], ascending, the last repeated when there are fewer than k distinct values;
        zeros when there is no value.

    Raises:
        ValueError: k is not within 1 to 256, the solver is unknown, or a weight is negative, not
            finite, or without a value.
    """
    check_arguments(k, solver)
    values = np.asarray(values, np.float32)
    heft = None if weights is None else checked_weights(weights, values.shape).reshape(-1)
    return fit_values(values.reshape(-1), k, heft, solver, half, BINS, EXACT_WORK)


def assign(rows: Float32, book: Float32) -> Codes:
    """Code every value by the nearest codeword of one codebook.

    Args:
        rows: float32 [b, d], finite.
        book: float32 [k], ascending, k from 1 to 256.

    Returns:
        uint8 [b, d], ties to the lower code.

    Raises:
        ValueError: A wrong number of dimensions or codewords.
    """
    rows = as_matrix(rows)
    books = as_matrix(np.asarray(book)[None])
    check_arguments(books.shape[1], "exact")
    codes = np.empty(rows.shape, np.uint8)
    assign_each(rows, books, np.zeros(len(rows), np.int64), codes)
    return codes


def check_arguments(k: int, solver: str) -> None:
    """Refuse a number of codewords or a solver that there is not.

    Raises:
        ValueError: k is not within 1 to 256, or the solver is unknown.
    """
    if not 1 <= k <= 256:
        raise ValueError(f"a codebook holds 1 to 256 codewords, not {k}")
    if solver not in ("exact", "lloyd"):
        raise ValueError(f"unknown solver {solver!r}; there are exact and lloyd")


def checked_weights(weights: NDArray[np.floating], shape: tuple[int, ...]) -> Float64:
    """Weights as float64, of the shape of what they weigh, finite and nonnegative.

    Raises:
        ValueError: They are not.
    """
    heft = np.asarray(weights, np.float64)
    if heft.shape != shape:
        raise ValueError(f"weights are {heft.shape}, what they weigh is {shape}")
    if heft.size and not (heft.min() >= 0 and np.isfinite(heft.max())):
        raise ValueError("weights must be finite and nonnegative")
    return heft


def as_matrix(rows: Float32) -> Float32:
    """Rows as C-contiguous float32 [b, d].

    Raises:
        ValueError: Another number of dimensions.
    """
    rows = np.ascontiguousarray(rows, np.float32)
    if rows.ndim != 2:
        raise ValueError(f"expected a matrix, not {rows.ndim} dimensions")
    return rows


def _fit(points: Float64, weights: Float64, k: int, solver: Solver, half: bool) -> Float32:
    """Fit a book to each row of ascending points [b, n]."""
    books = np.empty((len(points), k))
    steps = points[:, 1:] != points[:, :-1]
    many = np.count_nonzero(steps, axis=1) >= k
    if not many.all():
        few = np.flatnonzero(~many)
        books[few] = points[few, -1:]
        books[few, 0] = points[few, 0]
        books[few[:, None], np.cumsum(steps[few], axis=1)] = points[few, 1:]
    if many.any():
        chosen = points if many.all() else points[many]
        find = _cut if solver == "exact" else _lloyd
        books[many] = find(chosen, weights, k)
    return _improve(points, weights, books, half)


def fit_values(
    values: Float32,
    k: int,
    weights: Float64 | None,
    solver: Solver,
    half: bool,
    bins: int,
    work: int,
) -> Float32:
    """Fit a book to all values: on bins, if the exact solver has more work than allowed."""
    if values.size == 0:
        return np.zeros(k, np.float32)
    points, mass, counts = _merge(values, weights)
    if solver == "lloyd" or len(points) * max(k, 16) <= work:
        return _fit(points[None], mass, k, solver, half).reshape(k)
    starts = _bins(points, mass, counts, bins)
    share = np.add.reduceat(mass, starts)
    means = np.add.reduceat(mass * points, starts) / share
    books = _cut(means[None], share, k)
    return _improve(points[None], mass, books, half).reshape(k)


def _cut(points: Float64, weights: Float64, k: int) -> Float64:
    from embcompress.kernels.kmeans1d import cut_sorted

    b, n = points.shape
    books = np.empty((b, k))
    real = np.empty((5, n + 1))
    whole = np.empty((7, n + 1), np.int64)
    cut_sorted(points, weights, books, real, whole, np.empty(k * (n + 1), np.int64))
    return books


def _lloyd(points: Float64, weights: Float64, k: int) -> Float64:
    from embcompress.kernels.kmeans1d import REAL, improve_sorted

    b, n = points.shape
    least, most = points[:, :1], points[:, -1:]
    books = least + (most - least) * ((np.arange(k) + 0.5) / k)
    total = np.cumsum(weights)
    places = np.searchsorted(total, (np.arange(k) + 0.5) / k * total[-1])
    other = np.ascontiguousarray(points[:, np.minimum(places, n - 1)])
    cost, other_cost = np.empty(b), np.empty(b)
    improve_sorted(points, weights, REAL, _LLOYD_ROUNDS, books, cost)
    improve_sorted(points, weights, REAL, _LLOYD_ROUNDS, other, other_cost)
    return np.where((other_cost < cost)[:, None], other, books)


def _improve(points: Float64, weights: Float64, books: Float64, half: bool) -> Float32:
    from embcompress.kernels.kmeans1d import HALF, SINGLE, improve_sorted

    costs = np.empty(len(points))
    improve_sorted(points, weights, HALF if half else SINGLE, _LAST_ROUNDS, books, costs)
    return books.astype(np.float32) + np.float32(0)  # turns -0.0 into 0.0


def edges_of(books: Float32) -> Float64:
    """Midpoints above each codeword; a repeated codeword takes that of its last copy.

    Rows are filled with infinity up to a power of two.
    """
    g, k = books.shape
    edges = np.full((g, 1 << (k - 1).bit_length()), np.inf)
    if k > 1:
        wide = books.astype(np.float64)
        middle = 0.5 * (wide[:, :-1] + wide[:, 1:])
        same = wide[:, :-1] == wide[:, 1:]
        if same.any():
            middle[same] = np.inf
            middle = np.minimum.accumulate(middle[:, ::-1], axis=1)[:, ::-1]
        edges[:, : k - 1] = middle
    return edges


def assign_each(rows: Float32, books: Float32, which: Int64, codes: Codes) -> None:
    """Code each row by its own book: fills ``codes`` uint8 [b, d] from ``books[which]``."""
    from embcompress.kernels.kmeans1d import assign_codes

    assign_codes(rows, edges_of(books), which, codes)


def _merge(values: Float32, weights: Float64 | None) -> tuple[Float64, Float64, Int64]:
    """Distinct values in order, with their weights and counts; values of no weight are dropped."""
    if weights is not None:
        largest = weights.max()
        if largest == 0:
            weights = None
        else:
            weights = weights / largest
            kept = weights > 0
            values, weights = values[kept], weights[kept]
    if weights is None:
        values = np.sort(values)
    else:
        order = np.argsort(values)
        values, weights = values[order], weights[order]
    fresh = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=fresh[1:])
    starts = np.flatnonzero(fresh)
    counts = np.diff(starts, append=len(values))
    mass = counts.astype(np.float64) if weights is None else np.add.reduceat(weights, starts)
    return values[starts].astype(np.float64), mass, counts


def _bins(points: Float64, mass: Float64, counts: Int64, bins: int) -> Int64:
    """Starts of at most so many runs of points: half of them share out the count, half the spread.

    An optimal codebook is as dense as the cube root of the values are. A point's cube root of
    weight·(gap to the next)² adds up to that, so that bins are finer than codewords everywhere;
    equal counts alone left tails so coarse that 256 codewords had 1.4 times the least error.
    """
    even = np.minimum(counts, len(points) // bins + 1).astype(np.float64)
    spread = np.cbrt(mass * np.diff(points, append=points[-1]) ** 2)
    total = np.inf
    while spread.sum() < 0.5 * total:  # what is a bin by itself must not thin out the others
        total = float(spread.sum())
        np.minimum(spread, 2 * total / bins, out=spread)
    level = np.cumsum(even) / even.sum() + np.cumsum(spread) / spread.sum()
    level = np.concatenate([[0.0], level[:-1]]) * (bins / 2)
    return np.flatnonzero(np.diff(np.floor(level), prepend=-1.0))
