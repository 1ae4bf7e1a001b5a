"""Scalar codebooks by one-dimensional k-means: one a row, one a table, or one a group of rows."""

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
SHORTLIST: Final = 8
_EXACT_WORK: Final = 2**26
_ROUGH_BINS: Final = 1024
_GRID: Final = 1024
_BLOCK_VALUES: Final = 2**17
_QUANTILES: Final = 16
_LLOYD_ROUNDS: Final = 50
_LAST_ROUNDS: Final = 4
_GROUP_ROUNDS: Final = 10
_GROUP_VALUES: Final = 2**21
_LEAST_GAIN: Final = 1e-3
_LARGEST: Final = float(np.finfo(np.float32).max)
_SMALLEST: Final = float(np.finfo(np.float64).tiny)


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
    _check(k, solver)
    rows = _matrix(rows)
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
        _assign(part, found, np.arange(len(part)), codes[start : start + block])
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
    _check(k, solver)
    values = np.asarray(values, np.float32)
    heft = None if weights is None else _weights(weights, values.shape).reshape(-1)
    return _fit_one(values.reshape(-1), k, heft, solver, half, BINS, _EXACT_WORK)


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
    rows = _matrix(rows)
    books = _matrix(np.asarray(book)[None])
    _check(books.shape[1], "exact")
    codes = np.empty(rows.shape, np.uint8)
    _assign(rows, books, np.zeros(len(rows), np.int64), codes)
    return codes


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
    _check(k, solver)
    if groups < 1:
        raise ValueError(f"groups must be at least 1, not {groups}")
    sample = _matrix(sample)
    m, d = sample.shape
    heft = np.ones(m) if weights is None else _weights(weights, (m,))
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
    rows = _matrix(rows)
    books = _matrix(books)
    _check(books.shape[1], "exact")
    if len(books) == 0:
        raise ValueError("there is no book to choose")
    which, _ = _closest(np.sort(rows, axis=1), books)
    codes = np.empty(rows.shape, np.uint8)
    _assign(rows, books, which, codes)
    return which, codes


def _check(k: int, solver: str) -> None:
    if not 1 <= k <= 256:
        raise ValueError(f"a codebook holds 1 to 256 codewords, not {k}")
    if solver not in ("exact", "lloyd"):
        raise ValueError(f"unknown solver {solver!r}; there are exact and lloyd")


def _weights(weights: NDArray[np.floating], shape: tuple[int, ...]) -> Float64:
    heft = np.asarray(weights, np.float64)
    if heft.shape != shape:
        raise ValueError(f"weights are {heft.shape}, what they weigh is {shape}")
    if heft.size and not (heft.min() >= 0 and np.isfinite(heft.max())):
        raise ValueError("weights must be finite and nonnegative")
    return heft


def _matrix(rows: Float32) -> Float32:
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


def _fit_one(
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


def _edges(books: Float32) -> Float64:
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


def _assign(rows: Float32, books: Float32, which: Int64, codes: Codes) -> None:
    from embcompress.kernels.kmeans1d import assign_codes

    assign_codes(rows, _edges(books), which, codes)


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
    return kmeans.index.search(features, 1)[1][:, 0].astype(np.int64)


def _closest(ordered: Float32, books: Float32) -> tuple[Int64, Float64]:
    """The book of least squared error of each row, and that error."""
    from embcompress.kernels.kmeans1d import choose_books

    b, d = ordered.shape
    g = len(books)
    edges = _edges(books)
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
    _assign(np.tile(middles.astype(np.float32), (g, 1)), books, np.arange(g), codes)
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
    bins, work = BINS, _EXACT_WORK
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
            books[g] = _fit_one(values, k, heft, solver, half, bins, work)
    return books
