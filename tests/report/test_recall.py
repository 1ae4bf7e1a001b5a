"""Exact search against brute force and faiss; recall and its interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from embcompress.report.recall import interval, neighbours, normalise, shares
from embcompress.report.sample import Kept


def unit_rows(rows, dim, seed=0):
    table = np.random.default_rng(seed).standard_normal((rows, dim))
    return (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)


def brute(base, queries, own, k):
    scores = queries.astype(np.float64) @ base.T.astype(np.float64)
    scores[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize(("rows", "k"), [(2, 1), (11, 10), (12, 10), (8191, 3), (20_000, 10)])
def test_against_brute_force(rows, k):
    base = unit_rows(rows, 8)
    own = np.arange(rows)[:: max(1, rows // 300)]
    found = neighbours(base, base[own], own, k, 2)
    assert np.array_equal(found, brute(base, base[own], own, k))


def test_query_outside_the_base():
    base, queries = unit_rows(500, 6), unit_rows(30, 6, seed=1)
    own = np.full(30, -1)
    assert np.array_equal(neighbours(base, queries, own, 10, 1), brute(base, queries, own, 10))


def test_lower_rows_win_ties():
    base = np.tile(unit_rows(3, 4), (5000, 1))
    own = np.array([0, 14_999])
    found = neighbours(base, base[own], own, 3, 1)
    assert found.tolist() == [[3, 6, 9], [2, 5, 8]]


def test_all_equal():
    base = np.ones((9000, 1), np.float32)
    assert neighbours(base, base[:2], np.array([0, 1]), 2, 1).tolist() == [[1, 2], [0, 2]]


def test_against_faiss(minilm):
    faiss = pytest.importorskip("faiss")
    base = minilm / np.linalg.norm(minilm, axis=1, keepdims=True)
    own = np.arange(0, len(base), 61)
    with threadpool_limits(1, user_api="blas"):
        found = neighbours(base, base[own], own, 10, 2)
    expected = faiss.knn(base[own], base, 11, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 1:]
    assert shares(found, expected).mean() > 0.999


def test_threads_do_not_matter():
    base = unit_rows(30_000, 24)
    own = np.arange(0, 30_000, 40)
    with threadpool_limits(1, user_api="blas"):
        found = [neighbours(base, base[own], own, 10, threads) for threads in (1, 2, 5)]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@given(st.integers(0, 6), st.integers(1, 8), st.integers(0, 10))
def test_shares(rows, k, seed):
    random = np.random.default_rng(seed)
    first, second = (
        np.array([random.permutation(12)[:k] for _ in range(rows)], np.int64).reshape(rows, k)
        for _ in range(2)
    )
    expected = [len(set(a) & set(b)) / k for a, b in zip(first, second, strict=True)]
    assert shares(first, second).tolist() == pytest.approx(expected)


def test_normalise_any_magnitude():
    kept = Kept(np.arange(4), 2)
    kept.original[:] = [[3e38, -3e38], [1e-45, 0], [0, 0], [3, 4]]
    normalise([kept], 1)
    half = np.float32(np.sqrt(0.5))
    expected = np.array([[half, -half], [1, 0], [0, 0], [0.6, 0.8]], np.float32)
    assert kept.original == pytest.approx(expected, abs=1e-7)


def test_interval():
    values = np.array([0.0, 0.5, 1.0, 0.5])
    half = 1.96 * values.std(ddof=1) / 2
    assert interval(values, whole=False) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert interval(values, whole=True) == (0.5, 0.5, 0.5)
    assert interval(np.array([1.0, 0.9]), whole=False)[2] == 1
    assert interval(np.array([0.4]), whole=False) == (0.4, 0, 1)
