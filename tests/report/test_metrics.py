"""Every figure against brute force, in any order of tiles, on ordinary and odd tables."""

import threading
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from threadpoolctl import threadpool_limits

from embcompress.report import metrics
from embcompress.report.metrics import Comparison
from tests.report.making import MEMORY, compared, rounded

FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e-45, -1e-38, 3.4e38, -3.4e38]),
    st.floats(-1e3, 1e3, width=32),
)


def brute(x, y, bits, frequencies=None, k=10):
    """Every figure over all rows, written down from its definition."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    n, d = x.shape
    norm, other = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    both = norm * other
    cosine = np.where(both > 0, (x * y).sum(axis=1) / np.where(both > 0, both, 1), norm == other)
    error = ((x - y) ** 2).sum(axis=1)
    worst = np.abs(x - y).max(axis=1)
    units = [t / np.where(s > 0, s, 1)[:, None] for t, s in ((x, norm), (y, other))]
    near = []
    for unit in units:
        scores = unit @ unit.T
        np.fill_diagonal(scores, -np.inf)
        near.append(np.argsort(-scores, axis=1, kind="stable")[:, : min(k, n - 1)])
    shares = np.array([len(set(a) & set(b)) / len(a) for a, b in zip(*near, strict=True)])
    pairs = ~np.eye(n, dtype=bool)
    p, q = (x @ x.T)[pairs], (y @ y.T)[pairs]
    values = np.linalg.eigvalsh(x.T @ x / n)
    level = bisected_level(values, bits / n)
    found = {
        "relative_error": np.sqrt(error.sum() / (norm**2).sum()),
        "mse": error.sum() / n / d,
        "max_abs_error": worst.max(),
        "max_abs_error_row": worst.argmax(),
        "cosine_mean": cosine.mean(),
        "cosine_p1": np.quantile(cosine, 0.01),
        "cosine_lowest": cosine.min(),
        "cosine_lowest_row": cosine.argmin(),
        "norm_ratio": (other[norm > 0] / norm[norm > 0]).mean(),
        "recall": shares.mean(),
        "recall_low": shares.mean(),
        "recall_high": shares.mean(),
        "product_correlation": np.corrcoef(p, q)[0, 1],
        "product_error": np.sqrt(((p - q) ** 2).mean()) / p.std(),
        "decibels_above_limit": 10 * np.log10(error.sum() / n / np.minimum(values, level).sum()),
        "squared_error": error.sum(),
        "squared_norm": (norm**2).sum(),
    }
    if frequencies is not None:
        weights = frequencies / frequencies.sum()
        w = np.outer(weights, weights)[pairs]
        mean = np.average(p, weights=w)
        spread = np.average((p - mean) ** 2, weights=w)
        found |= {
            "weighted_relative_error": np.sqrt((weights @ error) / (weights @ norm**2)),
            "weighted_cosine": weights @ cosine,
            "weighted_recall": weights @ shares,
            "weighted_product_error": np.sqrt(np.average((p - q) ** 2, weights=w) / spread),
        }
    return found


def bisected_level(values, bits):
    low, high = -300.0, np.log2(values.max())
    for _ in range(200):
        middle = (low + high) / 2
        rate = np.maximum(np.log2(np.maximum(values, 1e-300)) - middle, 0).sum() / 2
        low, high = (low, middle) if rate < bits else (middle, high)
    return 2.0**high


@pytest.mark.parametrize("weighted", [False, True])
def test_every_figure(weighted):
    random = np.random.default_rng(0)
    original = random.standard_normal((900, 12)).astype(np.float32)
    original[:, 3] *= 3
    decoded = rounded(original, 3)
    decoded[5] = 0
    frequencies = random.random(900) ** 4 if weighted else None
    bits = 900 * 12 * 3.5
    found = compared(original, decoded, tile=128, frequencies=frequencies).result(bits)
    for name, expected in brute(original, decoded, bits, frequencies).items():
        assert getattr(found, name) == pytest.approx(expected, rel=1e-6), name
    assert (found.rows, found.recall_queries, found.recall_rows, found.recall_k) == (
        900,
        900,
        900,
        10,
    )
    assert found.product_pairs == 900 * 899
    assert (found.nonfinite_rows, found.nonfinite_row) == (0, None)


def test_glove(glove):
    decoded = rounded(glove, 4)
    found = compared(glove, decoded).result(29 * 8 * len(glove))
    assert found.relative_error == pytest.approx(0.0876, abs=5e-5)
    assert found.recall_low < 0.806 < found.recall_high
    assert found.decibels_above_limit == pytest.approx(9.33, abs=0.01)
    assert found.limit_rows == found.recall_rows == len(glove)
    assert found.recall_queries == 1000


def test_sampled_recall_and_limit_stay_near(glove):
    decoded = rounded(glove, 4)
    whole = compared(glove, decoded).result(29 * 8 * len(glove))
    small = compared(glove, decoded, memory=20_000_000).result(29 * 8 * len(glove))
    assert 20_000 < small.recall_rows < 60_000
    assert small.recall_queries == 1000
    assert small.recall == pytest.approx(whole.recall, abs=0.05)
    assert small.product_correlation == pytest.approx(whole.product_correlation, abs=0.002)
    assert small.relative_error == whole.relative_error


def test_weighted_recall_of_a_sample(glove_slice):
    frequencies = 1 / np.arange(1, len(glove_slice) + 1.0)
    decoded = rounded(glove_slice, 2)
    exact = compared(glove_slice, decoded, queries=20_000, frequencies=frequencies).result(1)
    drawn = compared(glove_slice, decoded, frequencies=frequencies).result(1)
    assert drawn.recall_queries == 1000
    assert drawn.weighted_recall == pytest.approx(exact.weighted_recall, abs=0.02)
    assert drawn.weighted_product_error == pytest.approx(exact.weighted_product_error, rel=0.1)


def test_order_of_tiles_does_not_matter():
    random = np.random.default_rng(0)
    original = random.standard_normal((20_000, 70)).astype(np.float32)
    decoded = rounded(original, 2)
    options = {"tile": 512, "frequencies": random.random(20_000)}
    ways = (None, lambda n: range(n - 1, -1, -1), lambda n: np.random.default_rng(1).permutation(n))
    results = [compared(original, decoded, order=way, **options).result(1e6) for way in ways]
    assert results[0] == results[1] == results[2]


def test_threads_do_not_matter():
    original = np.random.default_rng(0).standard_normal((20_000, 40)).astype(np.float32)
    decoded = rounded(original, 2)
    alone = compared(original, decoded, tile=256).result(1e6, threads=1)
    comparison = Comparison(*original.shape, frequencies=None, seed=0, memory=MEMORY)

    def work(first):
        for start in range(first * 256, 20_000, 4 * 256):
            part = slice(start, start + 256)
            comparison.add(start, original[part], decoded[part])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert comparison.result(1e6, threads=3) == alone


def test_seed_moves_only_sampled_figures(glove_slice):
    decoded = rounded(glove_slice, 3)
    first, second = (compared(glove_slice, decoded, seed=s).result(1e6) for s in (0, 1))
    assert first.recall != second.recall
    assert first.recall == pytest.approx(second.recall, abs=0.05)
    assert first.relative_error == second.relative_error
    assert first.decibels_above_limit == second.decibels_above_limit


def test_settled_early_and_asked_twice(glove_slice):
    comparison = compared(glove_slice, rounded(glove_slice, 4))
    comparison.settle(threads=2)
    first, second = comparison.result(4e6), comparison.result(8e6)
    assert first.recall == second.recall
    assert first.decibels_above_limit < second.decibels_above_limit


def test_only_the_cheap_sums(glove_slice):
    decoded = rounded(glove_slice, 4)
    whole = compared(glove_slice, decoded).result(4e6)
    cheap = compared(glove_slice, decoded, full=False).result(4e6)
    for name in ("relative_error", "mse", "max_abs_error", "cosine_mean", "cosine_lowest_row"):
        assert getattr(cheap, name) == getattr(whole, name)
    assert cheap.norm_ratio == whole.norm_ratio
    assert cheap.recall is cheap.cosine_p1 is cheap.decibels_above_limit is None
    assert cheap.product_error is None


def test_lossless(glove_slice):
    found = compared(glove_slice, glove_slice.copy()).result(1e6)
    assert found.relative_error == found.mse == found.max_abs_error == found.product_error == 0
    assert found.cosine_mean == found.cosine_lowest == found.recall == found.norm_ratio == 1
    assert found.decibels_above_limit is None


def test_zero_rows():
    original = np.array([[0, 0], [0, 0], [3, 4]], np.float32)
    decoded = np.array([[0, 0], [1, 0], [0, 0]], np.float32)
    found = compared(original, decoded).result(100)
    assert found.cosine_mean == pytest.approx(1 / 3)
    assert (found.cosine_lowest, found.cosine_lowest_row) == (0, 1)
    assert found.norm_ratio == 0


def test_all_zero_table():
    zeros = np.zeros((50, 3), np.float32)
    kept = compared(zeros, zeros).result(100)
    assert (kept.relative_error, kept.cosine_mean, kept.norm_ratio) == (0, 1, None)
    assert kept.decibels_above_limit is None
    lost = compared(zeros, zeros + 1).result(100)
    assert (lost.relative_error, lost.cosine_mean) == (None, 0)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_empty_tables(shape):
    empty = np.empty(shape, np.float32)
    found = compared(empty, empty, frequencies=np.ones(shape[0])).result(64)
    assert found.rows == shape[0]
    assert found.relative_error is found.mse is found.cosine_mean is found.recall is None
    assert found.decibels_above_limit is found.max_abs_error is None


def test_one_weight():
    one = np.array([[2.0]], np.float32)
    found = compared(one, one * np.float32(0.5)).result(4)
    assert (found.relative_error, found.cosine_mean, found.norm_ratio) == (0.5, 1, 0.5)
    assert found.recall is found.product_error is None
    assert found.decibels_above_limit == pytest.approx(10 * np.log10(0.25 * 4**4))


def test_fewer_rows_than_neighbours():
    random = np.random.default_rng(0)
    original = random.standard_normal((4, 3)).astype(np.float32)
    found = compared(original, original + np.float32(0.1)).result(100)
    assert (found.recall, found.recall_k, found.recall_queries) == (1, 3, 4)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_nonfinite_rows_are_counted_and_left_out(poison):
    random = np.random.default_rng(0)
    original = random.standard_normal((500, 6)).astype(np.float32)
    decoded = rounded(original, 4)
    good = np.ones(500, bool)
    good[[3, 140, 141]] = False
    clean = compared(original[good], decoded[good], tile=64).result(1e4 * 497 / 500)
    decoded[3, 1] = decoded[140] = poison
    original[141, 0] = poison
    found = compared(original, decoded, tile=64, frequencies=np.ones(500)).result(1e4)
    assert (found.rows, found.nonfinite_rows, found.nonfinite_row) == (497, 2, 3)
    assert found.relative_error == pytest.approx(clean.relative_error, rel=1e-12)
    assert found.cosine_p1 == pytest.approx(clean.cosine_p1, abs=1e-6)
    assert found.weighted_relative_error == pytest.approx(clean.relative_error, rel=1e-12)
    assert found.decibels_above_limit == pytest.approx(clean.decibels_above_limit, rel=1e-9)
    assert 0 < found.recall <= 1


def test_nothing_finite():
    original = np.ones((5, 2), np.float32)
    found = compared(original, original * np.nan, frequencies=np.ones(5)).result(10)
    assert (found.rows, found.nonfinite_rows, found.nonfinite_row) == (0, 5, 0)
    assert found.relative_error is found.recall is found.weighted_recall is None


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 14), st.integers(0, 5)), elements=FLOATS),
    st.integers(0, 3),
    st.sampled_from([1, 3, 4096]),
    st.booleans(),
)
def test_odd_tables(original, change, tile, weighted):
    decoded = [original, original * 0, original[::-1].copy(), np.ones_like(original)][change]
    frequencies = np.linspace(0, 1e-310, len(original) + 1)[1:] if weighted else None
    found = compared(original, decoded, tile=tile, frequencies=frequencies).result(100)
    for value in vars(found).values():
        assert value is None or np.isfinite(value)
    assert found.rows == len(original)
    if original.size:
        assert -1 <= found.cosine_lowest <= found.cosine_mean <= 1
        assert found.max_abs_error_row is not None
    if original.size and len(original) > 1:
        assert 0 <= found.recall_low <= found.recall <= found.recall_high <= 1


def test_many_rows_use_the_histogram(monkeypatch, glove_slice):
    decoded = rounded(glove_slice, 2)
    exact = compared(glove_slice, decoded).result(1e6)
    monkeypatch.setattr("embcompress.report.cosines._EXACT_ROWS", 1000)
    assert compared(glove_slice, decoded).result(1e6).cosine_p1 == pytest.approx(
        exact.cosine_p1, abs=1e-4
    )


def test_wide_or_tight_tables_go_without_a_limit(monkeypatch):
    original = np.random.default_rng(0).standard_normal((50, 30)).astype(np.float32)
    tight = compared(original, rounded(original, 4), memory=10_000).result(1e4)
    assert tight.decibels_above_limit is tight.limit_rows is None
    assert tight.recall is not None
    monkeypatch.setattr(metrics, "MOST_DIM", 29)
    wide = compared(original, rounded(original, 4)).result(1e4)
    assert wide.decibels_above_limit is None


def test_misuse():
    rows = np.ones((4, 2), np.float32)
    comparison = Comparison(8, 2, frequencies=None, seed=0, memory=MEMORY)
    with pytest.raises(ValueError, match="D is 2"):
        comparison.add(0, np.ones((4, 3), np.float32), np.ones((4, 3), np.float32))
    comparison.add(0, rows, rows)
    with pytest.raises(ValueError, match="came before"):
        comparison.add(0, rows, rows)
    with pytest.raises(ValueError, match="have not come"):
        comparison.result(10)
    with pytest.raises(ValueError, match="rows up to 10 of 8"):
        comparison.add(6, rows, rows)


@pytest.mark.parametrize("frequencies", [None, np.arange(30_000.0)])
def test_memory_is_kept(frequencies):
    memory = 24_000_000
    original = np.random.default_rng(0).standard_normal((30_000, 256)).astype(np.float32)
    decoded = rounded(original, 4)
    tracemalloc.start()
    try:
        compared(original, decoded, memory=memory, frequencies=frequencies).result(1e6, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < memory + 40_000_000  # blocks that two threads work on, whatever the table


def test_full_comparison_is_quick(glove):
    decoded = rounded(glove, 4)
    with threadpool_limits(1, user_api="blas"):
        before = time.process_time()
        compared(glove, decoded).result(1e6)
        assert time.process_time() - before < 8
