"""Scalar codebooks that rows share: a few books, and a book for every row."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.solvers.scalar_kmeans import (
    BINS,
    EXACT_WORK,
    Codes,
    Float32,
    Float64,
    Int64,
    Solver,
    as_matrix,
    assign_each,
    check_arguments,
    checked_weights,
    edges_of,
    fit_values,
)

SHORTLIST: Final = 8
_ROUGH_BINS: Final = 1024
_GRID: Final = 1024
_QUANTILES: Final = 16
_GROUP_ROUNDS: Final = 10
_GROUP_VALUES: Final = 2**21
_LEAST_GAIN: Final = 1e-3
_LARGEST: Final = float(np.finfo(np.float32).max)
_SMALLEST: Final = float(np.finfo(np.float64).tiny)


def grouped_codebooks(
    sample: Float32,
    groups: int,
    k: int,
    weights: NDArray[np.floating] | None,
    solver: Solver,
    half: bool,
    seed: int,
) -> Float32:
    """Fit codebooks that rows share: rows whose values spread alike share one.

    Rows are clustered by 16 quantiles of their values. Then each row moves to the book of least
    squared error and each book is refitted to its rows, until the error falls by less than 0.1%,
    or 10 times; this on about 2 million values, or 64 rows a group, of evenly spaced rows, with
    refits on max(1,024, 16 k) bins. Last, all rows choose and all books are refitted in full. A
    group that loses its rows restarts from the worst fitted row.

    Args:
        sample: float32 [m, d], finite.
        groups: How many codebooks, at least 1. Rows that are permutations of each other count
            once: with fewer such classes than groups, the books found are repeated.
        k: Codewords, 1 to 256.
        weights: One a row, nonnegative; all zero counts as none.
        solver: ``exact`` or ``lloyd``, as in `codebooks_per_row`.
        half: Whether codewords are rounded to float16, past its range to ±65504.
        seed: Of the first clustering, which one machine and thread count repeat.

    Returns:
        float32 [groups, k], each ascending; zeros when the sample is empty.

    Raises:
        ValueError: k is not within 1 to 256, groups is below 1, the solver is unknown, or a weight
            is negative, not finite, or without a row.

    Source: Guan et al. (2019), KMEANS-CLS. There rows are clustered as vectors, here by what a
    scalar codebook can use, the distribution of their values.
    """
    check_arguments(k, solver)
    if groups < 1:
        raise ValueError(f"groups must be at least 1, not {groups}")
    sample = as_matrix(sample)
    m, d = sample.shape
    heft = np.ones(m) if weights is None else checked_weights(weights, (m,))
    if m == 0 or d == 0:
        return np.zeros((groups, k), np.float32)
    if heft.max() == 0:
        heft = np.ones(m)
    ordered = np.sort(sample, axis=1) + np.float32(0)
    used = _distinct(ordered, groups)
    stride = max(1, min(m * d // _GROUP_VALUES, m // (64 * used)))
    some, light = np.ascontiguousarray(ordered[::stride]), heft[::stride]
    if light.max() == 0:
        some, light = ordered, heft
    which = _cluster(some, used, light, seed)
    books = _refit(some, which, light, np.zeros((used, k), np.float32), solver, False, True)
    reached = np.inf
    for _ in range(_GROUP_ROUNDS):
        which, errors = _closest(some, books)
        total = float(np.sum(errors * light))
        if not total < reached * (1 - _LEAST_GAIN):
            break
        reached = total
        _refill(which, errors * light, used)
        books = _refit(some, which, light, books, solver, False, True)
    which, errors = _closest(ordered, books)
    _refill(which, errors * heft, used)
    books = _refit(ordered, which, heft, books, solver, half, False)
    return books[np.arange(groups) % used]


def choose_groups(rows: Float32, books: Float32) -> tuple[Int64, Codes]:
    """Choose for each row the codebook of least squared error, and code the row with it.

    Up to 8 books are all tried. Of more, those 8 are tried that leave the least squared error when
    the row's values are rounded to a grid of about 2,000 numbers, half of them as dense as all
    codewords together, half evenly spaced. A row's result does not depend on the rows beside it;
    ties among the books tried go to the lower group.

    Args:
        rows: float32 [b, d], finite.
        books: float32 [g, k], each ascending, k from 1 to 256, g at least 1.

    Returns:
        group int64 [b] and codes uint8 [b, d], ties to the lower code.

    Raises:
        ValueError: A wrong number of dimensions, books or codewords.
    """
    rows = as_matrix(rows)
    books = as_matrix(books)
    check_arguments(books.shape[1], "exact")
    if len(books) == 0:
        raise ValueError("there is no book to choose")
    which, _ = _closest(np.sort(rows, axis=1), books)
    codes = np.empty(rows.shape, np.uint8)
    assign_each(rows, books, which, codes)
    return which, codes


def _distinct(ordered: Float32, most: int) -> int:
    """How many different rows there are, counted up to a number."""
    seen: set[bytes] = set()
    for row in ordered:
        seen.add(row.tobytes())
        if len(seen) == most:
            break
    return len(seen)


def _cluster(ordered: Float32, groups: int, weights: Float64, seed: int) -> Int64:
    if groups == 1:
        return np.zeros(len(ordered), np.int64)
    import faiss

    places = np.linspace(0, ordered.shape[1] - 1, _QUANTILES).round().astype(np.int64)
    features = ordered[:, np.unique(places)]
    features = np.ascontiguousarray(features / max(np.abs(features).max(), np.float32(1e-38)))
    kmeans = faiss.Kmeans(
        features.shape[1], groups, niter=20, seed=seed % 2**31, min_points_per_centroid=1
    )
    kmeans.train(features, weights=(weights / weights.max()).astype(np.float32))
    which: Int64 = kmeans.index.search(features, 1)[1][:, 0].astype(np.int64)
    return which


def _closest(ordered: Float32, books: Float32) -> tuple[Int64, Float64]:
    """The book of least squared error of each row, and that error."""
    from embcompress.kernels.kmeans1d import choose_books

    b, d = ordered.shape
    g = len(books)
    edges = edges_of(books)
    which, errors = np.empty(b, np.int64), np.empty(b)
    grid = _error_grid(books) if g > SHORTLIST else None
    block = max(1, 2**20 // max(g, d))
    for start in range(0, b, block):
        part = ordered[start : start + block]
        if grid is None:
            candidates = np.tile(np.arange(g), (len(part), 1))
        else:
            candidates = _shortlist(part, *grid)
        stop = start + len(part)
        choose_books(part, books, edges, candidates, which[start:stop], errors[start:stop])
    return which, errors


def _error_grid(books: Float32) -> tuple[Float32, Float32]:
    """Cut the numbers into bins; return the ends [bins - 1] and squared errors [bins, g].

    Half of the bins are as fine as codewords lie dense, half even; a few lie beyond. Errors are of
    each bin's middle, over the largest of them.
    """
    g = len(books)
    known = np.unique(books).astype(np.float64)
    dense = np.interp(np.linspace(0, len(known) - 1, _GRID), np.arange(len(known)), known)
    inner = np.sort(np.concatenate([dense, np.linspace(known[0], known[-1], _GRID)]))
    beyond = (known[-1] - known[0]) * 2.0 ** np.arange(-6, 3)
    ends = np.concatenate([known[0] - beyond[::-1], inner, known[-1] + beyond])
    ends = ends.clip(-_LARGEST, _LARGEST)
    middles = np.concatenate([ends[:1], 0.5 * (ends[1:] + ends[:-1]), ends[-1:]])
    codes = np.empty((g, len(middles)), np.uint8)
    assign_each(np.tile(middles.astype(np.float32), (g, 1)), books, np.arange(g), codes)
    gaps = middles - np.take_along_axis(books, codes.astype(np.int64), axis=1)
    errors = np.ascontiguousarray((gaps * gaps).T)
    return ends.astype(np.float32), (errors / max(errors.max(), _SMALLEST)).astype(np.float32)


def _shortlist(rows: Float32, ends: Float32, errors: Float32) -> Int64:
    """The books of least error on the grid [b, SHORTLIST]."""
    from scipy.sparse import csr_array

    b, d = rows.shape
    bins = np.searchsorted(ends, rows.reshape(-1)).astype(np.int32)
    starts = np.arange(b + 1, dtype=np.int32) * np.int32(d)
    counts = csr_array((np.ones(b * d, np.float32), bins, starts), shape=(b, len(errors)))
    # Row times matrix adds up in the order of the row's entries, whatever rows stand beside it.
    rough = counts @ errors
    return np.ascontiguousarray(np.argpartition(rough, SHORTLIST, axis=1)[:, :SHORTLIST])


def _refill(which: Int64, errors: Float64, groups: int) -> None:
    """Move the worst fitted row into each empty group, unless it is alone in its own."""
    sizes = np.bincount(which, minlength=groups)
    empty = np.flatnonzero(sizes == 0).tolist()
    for row in np.argsort(-errors, kind="stable").tolist() if empty else ():
        if errors[row] == 0 or not empty:
            break
        if sizes[which[row]] > 1:
            sizes[which[row]] -= 1
            which[row] = empty.pop(0)


def _refit(
    ordered: Float32,
    which: Int64,
    weights: Float64,
    books: Float32,
    solver: Solver,
    half: bool,
    rough: bool,
) -> Float32:
    """Fit each book to its rows; a book without rows stays."""
    books = books.copy()
    k = books.shape[1]
    d = ordered.shape[1]
    bins, work = BINS, EXACT_WORK
    if rough:
        bins = max(_ROUGH_BINS, 16 * k)
        work = bins * max(k, 16)
    uniform = bool((weights == weights[0]).all())
    order = np.argsort(which, kind="stable")
    stops = np.cumsum(np.bincount(which, minlength=len(books)))
    for g, members in enumerate(np.split(order, stops[:-1])):
        if len(members):
            heft = None if uniform else np.repeat(weights[members], d)
            values = ordered[members].reshape(-1)
            books[g] = fit_values(values, k, heft, solver, half, bins, work)
    return books
