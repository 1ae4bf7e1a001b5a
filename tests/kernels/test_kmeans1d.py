"""Kernels of one-dimensional k-means against an O(k·n²) program and brute force in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.kmeans1d import (
    HALF,
    REAL,
    SINGLE,
    assign_codes,
    choose_books,
    cut_sorted,
    improve_sorted,
)


def median(x, w):
    return x[np.searchsorted(np.cumsum(w), np.sum(w) / 2)]


def reference_costs(x, w):
    """Least costs of 1, 2, … runs of sorted points, every border tried, each run about its mean."""
    n = len(x)
    run = np.full((n + 1, n + 1), np.inf)
    for j in range(n):
        part, heft = x[j:], w[j:]
        means = part[0] + np.cumsum(heft * (part - part[0])) / np.cumsum(heft)
        gaps = np.tril(part[None] - means[:, None])
        run[j, j + 1 :] = np.sum(heft * gaps**2, axis=1)
    best = run[0]
    while True:
        yield best[n]
        best = np.min(best[:, None] + run, axis=0)


def cost_of(x, w, book):
    return float(np.sum(w * np.min((x[:, None] - book[None]) ** 2, axis=1)))


def cut(points, weights, k):
    b, n = points.shape
    books = np.empty((b, k))
    scratch = np.empty((5, n + 1)), np.empty((7, n + 1), np.int64), np.empty(k * (n + 1), np.int64)
    cut_sorted(points, weights, books, *scratch)
    return books


def check_optimal(x, w, ks):
    digits = 1e-12 * float(np.sum(w * (x - median(x, w)) ** 2))
    for k, least in zip(range(1, max(ks) + 1), reference_costs(x, w), strict=False):
        if k in ks:
            book = cut(x[None], w, k)[0]
            assert (np.diff(book) >= 0).all()
            assert cost_of(x, w, book) <= least + digits


@pytest.mark.parametrize("n", [9, 50, 300])
@pytest.mark.parametrize("draw", ["normal", "laplace", "uniform", "lognormal", "cauchy", "lattice"])
def test_the_cut_is_the_best_one(n, draw):
    rng = np.random.default_rng(n)
    x = {
        "normal": lambda: rng.standard_normal(n),
        "laplace": lambda: rng.laplace(size=n),
        "uniform": lambda: rng.random(n),
        "lognormal": lambda: rng.lognormal(sigma=3, size=n),
        "cauchy": lambda: rng.standard_cauchy(n),
        "lattice": lambda: rng.integers(0, 40, n).astype(float),
    }[draw]()
    x = np.sort(x)
    for w in (np.ones(n), rng.gamma(0.3, size=n) + 1e-6):
        check_optimal(x, w, {1, 2, 3, 4, 5, 8, 16, 64, 200, 256} & set(range(len(np.unique(x)))))


@given(
    x=st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=40),
    heavy=st.lists(st.floats(1e-3, 1e3), min_size=40, max_size=40),
    k=st.integers(1, 39),
)
@settings(deadline=None, max_examples=300)
def test_the_cut_is_the_best_one_for_any_points(x, heavy, k):
    x = np.sort(np.array(x))
    distinct = len(np.unique(x))
    if distinct > 1:
        check_optimal(x, np.array(heavy[: len(x)]), {min(k, distinct - 1)})


def test_an_outlier_or_an_offset_hides_nothing():
    rng = np.random.default_rng(0)
    x = np.sort(rng.standard_normal(200))
    plain = cut(x[None], np.ones(200), 15)[0]
    for far in (1e6, 3e38):
        both = np.concatenate([[-far], x, [far]])
        assert np.allclose(cut(both[None], np.ones(202), 17)[0, 1:-1], plain, atol=1e-9)
    shifted = cut(x[None] + 2.0**20, np.ones(200), 15)[0]
    assert np.allclose(shifted - 2.0**20, plain, atol=1e-8)


def test_denormals_and_the_largest_numbers_keep_their_order_of_magnitude():
    rng = np.random.default_rng(1)
    whole = np.sort(rng.integers(-99, 99, 120)).astype(float)
    plain = cut(whole[None], np.ones(120), 16)[0]
    for scale in (2.0**-149, 2.0**121):
        assert np.allclose(cut(whole[None] * scale, np.ones(120), 16)[0] / scale, plain)


@given(x=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4))
@settings(deadline=None)
def test_books_ascend_where_digits_are_lost(x):
    x = np.sort(np.array(x))
    k = min(5, len(np.unique(x)) - 1)
    if k > 0:
        book = cut(x[None], np.ones(len(x)), k)
        assert (np.diff(book) >= 0).all()
        improve_sorted(x[None], np.ones(len(x)), REAL, 50, book, np.empty(1))
        assert (np.diff(book) >= 0).all()


def test_rows_are_independent_of_each_other():
    x = np.sort(np.random.default_rng(2).standard_normal((40, 96)), axis=1)
    for k in (3, 16, 90):
        together = cut(x, np.ones(96), k)
        alone = np.concatenate([cut(x[i : i + 1].copy(), np.ones(96), k) for i in range(40)])
        assert np.array_equal(together, alone)


def test_rounds_never_raise_the_cost_and_end_in_a_fixed_point():
    rng = np.random.default_rng(3)
    x = np.sort(rng.standard_normal((20, 200)), axis=1)
    w = rng.random(200) + 0.1
    start = np.sort(rng.standard_normal((20, 12)), axis=1)
    before = np.full(20, np.inf)
    for rounds in (1, 2, 5, 20, 1000):
        books, costs = start.copy(), np.empty(20)
        improve_sorted(x, w, REAL, rounds, books, costs)
        assert (costs <= before).all()
        assert np.allclose(costs, [cost_of(x[r], w, books[r]) for r in range(20)])
        before = costs
    again = books.copy()
    improve_sorted(x, w, REAL, 1000, again, costs)
    assert np.array_equal(again, books)
    for r in range(20):
        codes = np.argmin(np.abs(x[r][:, None] - books[r]), axis=1)
        for c in np.unique(codes):
            mean = np.average(x[r][codes == c], weights=w[codes == c])
            assert np.isclose(books[r, c], mean, rtol=1e-12)


@pytest.mark.parametrize(("grid", "dtype"), [(SINGLE, np.float32), (HALF, np.float16)])
def test_codewords_are_rounded_to_the_nearest_number_of_the_grid(grid, dtype):
    rng = np.random.default_rng(4)
    info = np.finfo(dtype)
    span = np.log2(float(info.smallest_subnormal)) - 2, np.log2(float(info.max))
    values = 2.0 ** rng.uniform(*span, (1, 20_000)) * rng.choice([-1, 1], (1, 20_000))
    edge = [float(info.smallest_normal) * f for f in (1 - 2.0**-30, 1.0, 1 + 2.0**-30)]
    values[0, :8] = [*edge, float(info.max), -float(info.max), 0.0, -0.0, 1.0]
    values.sort()
    books = values.copy()
    improve_sorted(np.zeros((1, 1)), np.ones(1), grid, 1, books, np.empty(1))
    expected = values.astype(dtype).astype(np.float64)
    assert np.array_equal(books.astype(dtype).astype(np.float64), books)
    assert np.array_equal(np.abs(books - values), np.abs(expected - values))


def test_codewords_past_the_grid_stop_at_its_largest_number():
    books = np.array([[-1e30, -65519.0, 65505.0, 1e30]])
    improve_sorted(np.zeros((1, 1)), np.ones(1), HALF, 1, books, np.empty(1))
    assert books.tolist() == [[-65504.0, -65504.0, 65504.0, 65504.0]]


@pytest.mark.parametrize("k", [1, 2, 3, 16, 255, 256])
def test_codes_count_the_edges_below(k):
    rng = np.random.default_rng(k)
    rows = rng.standard_normal((30, 50)).astype(np.float32)
    size = 1 << (k - 1).bit_length()
    edges = np.full((4, size), np.inf)
    edges[:, : k - 1] = np.sort(rng.standard_normal((4, k - 1)), axis=1)
    edges[:, : (k - 1) // 2] = edges[:, :1]
    rows[0, : min(k - 1, 50)] = edges[0, : min(k - 1, 50)]
    which = rng.integers(0, 4, 30)
    codes = np.empty(rows.shape, np.uint8)
    assign_codes(rows, edges, which, codes)
    assert np.array_equal(codes, (rows[..., None] > edges[which][:, None]).sum(-1))


def test_the_book_of_least_squared_error_is_chosen():
    rng = np.random.default_rng(5)
    ordered = np.sort(rng.standard_normal((25, 40)).astype(np.float32), axis=1)
    books = np.sort(rng.standard_normal((9, 8)).astype(np.float32), axis=1)
    books[6] = books[2]
    edges = np.full((9, 8), np.inf)
    edges[:, :7] = (books[:, :-1].astype(float) + books[:, 1:]) / 2
    candidates = np.array([rng.permutation(9)[:5] for _ in range(25)])
    which, errors = np.empty(25, np.int64), np.empty(25)
    choose_books(ordered, books, edges, candidates, which, errors)
    for r in range(25):
        every = [cost_of(ordered[r].astype(float), 1.0, book.astype(float)) for book in books]
        assert which[r] == min(candidates[r], key=lambda c: (every[c], c))
        assert np.isclose(errors[r], every[which[r]])
