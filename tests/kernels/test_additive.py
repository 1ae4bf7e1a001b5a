import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.additive import (
    add_codewords,
    collect,
    expand,
    sum_cross_products,
    sum_products,
)
from embcompress.kernels.additive_search import beam_search, local_search
from tests.kernels.walls import Output, walled


def codes_of(rng, count, books, k):
    return rng.integers(0, k, (count, books)).astype(np.uint16)


@settings(deadline=None)  # the first call compiles
@given(
    books=st.integers(1, 6),
    k=st.sampled_from([1, 2, 5, 32]),
    width=st.integers(1, 50),
    count=st.integers(0, 30),
    before=st.integers(0, 3),
    first=st.integers(0, 5),
    behind=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_sums_of_codewords(books, k, width, count, before, first, behind, seed):
    rng = np.random.default_rng(seed)
    words = rng.standard_normal((books, k, width)).astype(np.float32)
    table = walled(np.concatenate([words.ravel(), np.zeros(16, np.float32)]))
    codes = codes_of(rng, count, before + books, k)
    out = Output(count, first + width + behind)
    add_codewords(
        walled(codes), before, before + books, table, k, first, width, np.empty(16, np.float32),
        out.array,
    )  # fmt: skip
    expected = np.full(out.array.shape, 77, np.float32)
    for s in range(books):
        own = words[s][codes[:, before + s]]
        expected[:, first : first + width] = expected[:, first : first + width] + own if s else own
    np.testing.assert_array_equal(out.checked(), expected)


def test_tables_of_products():
    rng = np.random.default_rng(0)
    books, k = 4, 8
    words = rng.standard_normal((books, k, 9))
    one, other = codes_of(rng, 50, books + 1, k), codes_of(rng, 50, books + 1, k)
    rows, others = (sum(words[s][c[:, s + 1]] for s in range(books)) for c in (one, other))
    tables = [words[r] @ words[t].T for r in range(books) for t in range(r, books)]
    sums = np.zeros(50)
    sum_cross_products(one, other, 1, books + 1, np.stack(tables).reshape(-1), k, sums)
    np.testing.assert_allclose(sums, (rows * others).sum(1))
    query = rng.standard_normal(9)
    found = np.empty(50, np.float32)
    sum_products(np.ascontiguousarray(one[:, 1:]), (words @ query).reshape(-1), k, found)
    np.testing.assert_allclose(found, rows @ query, rtol=1e-6, atol=1e-6)


def test_collect_is_the_reverse_of_expand():
    rng = np.random.default_rng(1)
    books, k = 3, 7
    codes = codes_of(rng, 40, books, k)
    ones = np.zeros((40, books * k))
    for s in range(books):
        ones[np.arange(40), s * k + codes[:, s]] = 1
    table = rng.standard_normal((books * k, 16)).astype(np.float32)
    rows = np.empty((40, 16), np.float32)
    expand(codes, table.reshape(-1), k, rows)
    np.testing.assert_allclose(rows, ones @ table, rtol=1e-5, atol=1e-5)
    sums = np.zeros(books * k * 16, np.float32)
    collect(codes, rows, k, sums)
    np.testing.assert_allclose(sums.reshape(-1, 16), ones.T @ rows, rtol=1e-5, atol=1e-4)


def search_tables(rng, books, k, count, width=6):
    """Rows, codewords and the tables of a search."""
    lanes = -(-k // 16) * 16
    words = np.zeros((books, lanes, width), np.float32)
    words[:, :k] = rng.standard_normal((books, k, width))
    rows = rng.standard_normal((count, width)).astype(np.float32) * 2
    flat = words.reshape(-1, width)
    norms = (words**2).sum(2)
    norms[:, k:] = np.inf
    singles = norms.reshape(-1) - 2 * rows @ flat.T
    return rows, words[:, :k], np.ascontiguousarray(singles), 2 * flat @ flat.T, lanes


def costs(rows, words, codes):
    return ((rows - sum(w[codes[:, s]] for s, w in enumerate(words))) ** 2).sum(1)


@pytest.mark.parametrize("k", [1, 2, 4, 16, 32])
def test_a_wide_beam_finds_the_best_codes(k):
    rng = np.random.default_rng(k)
    books = 2 if k > 4 else 3
    rows, words, singles, pairs, lanes = search_tables(rng, books, k, 25)
    codes = np.empty((25, books), np.uint16)
    beam_search(singles, pairs, lanes, k ** (books - 1), codes)
    every = np.array(list(itertools.product(range(k), repeat=books)), np.uint16)
    best = [costs(row[None], words, every).min() for row in rows]
    np.testing.assert_allclose(costs(rows, words, codes), best, rtol=1e-5, atol=1e-5)


def test_a_narrow_beam_is_greedy():
    rows, words, singles, pairs, lanes = search_tables(np.random.default_rng(3), 4, 32, 30)
    codes = np.empty((30, 4), np.uint16)
    beam_search(singles, pairs, lanes, 1, codes)
    rest = rows.copy()
    for s, book in enumerate(words):
        nearest = ((rest[:, None] - book) ** 2).sum(2).argmin(1)
        assert np.array_equal(nearest, codes[:, s])
        rest -= book[nearest]


@pytest.mark.parametrize("k", [2, 32])
def test_local_search_ends_where_no_code_alone_helps(k):
    rows, words, singles, pairs, lanes = search_tables(np.random.default_rng(4), 4, k, 30)
    codes = np.empty((30, 4), np.uint16)
    beam_search(singles, pairs, lanes, 2, codes)
    before = costs(rows, words, codes)
    local_search(singles, pairs, lanes, k, 6, 2, codes)
    after = costs(rows, words, codes)
    assert (after <= before + 1e-5).all()
    for s, word in itertools.product(range(4), range(k)):
        other = codes.copy()
        other[:, s] = word
        assert (costs(rows, words, other) >= after - 1e-4).all()


def test_what_is_not_finite_still_gets_codes():
    codes = np.empty((3, 2), np.uint16)
    beam_search(np.full((3, 32), np.nan, np.float32), np.zeros((32, 32), np.float32), 16, 4, codes)
    assert (codes == 0).all()
