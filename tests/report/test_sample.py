"""Which rows are sampled, and that they are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embcompress.report import sample
from embcompress.report.sample import Kept, proportional, spread


@given(st.integers(0, 10_000), st.integers(1, 200), st.integers(0, 5))
def test_spread(rows, count, seed):
    chosen = spread(rows, count, np.random.default_rng(seed))
    assert len(chosen) == min(rows, count)
    assert (np.diff(chosen) > 0).all()
    if len(chosen):
        assert chosen[0] >= 0
        assert chosen[-1] < rows


def test_spread_is_even():
    counts = np.zeros(10)
    for seed in range(3000):
        counts[spread(10, 3, np.random.default_rng(seed))] += 1
    assert counts / 3000 == pytest.approx(0.3, abs=0.04)


def test_spread_of_very_many_rows():
    chosen = spread(10**12, 1000, np.random.default_rng(0))
    assert chosen[-1] > 0.998e12


@given(
    st.lists(st.sampled_from([0.0, 1e-310, 1e-3, 1.0, 7.5, 1e300]), min_size=1, max_size=400),
    st.integers(1, 60),
)
def test_proportional(frequencies, count):
    frequencies = np.array(frequencies)
    frequencies[0] = 2.0
    rows, weights = proportional(frequencies, count, np.random.default_rng(1))
    assert (np.diff(rows) > 0).all()
    assert (frequencies[rows] > 0).all()
    assert weights.sum() == pytest.approx(1)


def test_proportional_takes_all_when_few():
    rows, weights = proportional(np.array([0.0, 3.0, 0.0, 1.0]), 10, np.random.default_rng(0))
    assert rows.tolist() == [1, 3]
    assert weights.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("block", [7, 2**20])
def test_proportional_is_unbiased(monkeypatch, block):
    monkeypatch.setattr(sample, "_BLOCK", block)
    frequencies = np.arange(30.0) ** 2
    drawn = np.zeros(30)
    for seed in range(400):
        rows, weights = proportional(frequencies, 10, np.random.default_rng(seed))
        drawn[rows] += weights
    assert drawn / 400 == pytest.approx(frequencies / frequencies.sum(), abs=0.01)


def test_kept_rows():
    table = np.arange(60, dtype=np.float32).reshape(20, 3)
    kept = Kept(np.array([0, 4, 5, 19]), 3)
    for start in (10, 0, 5):
        part = slice(start, start + (5 if start < 10 else 10))
        kept.put(start, table[part], -table[part])
    assert np.array_equal(kept.original, table[kept.ids])
    assert np.array_equal(kept.decoded, -table[kept.ids])
    own = kept.part(np.array([1, 3]))
    assert own.ids.tolist() == [4, 19]
    assert np.array_equal(own.original, table[[4, 19]])
