"""The rate-distortion bound against published figures and against a bisected water level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embcompress.report.limit import decibels_above, gaussian_bound

GLOVE = {1: 0.4236, 2: 0.1943, 3: 0.0936, 4: 0.0466, 8: 0.0029}

variances = st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1e12)), min_size=1, max_size=30)


def bisected(values, bits):
    """The bound by bisection of the water level."""
    values = np.array([v for v in values if v > 0])
    low, high = -400.0, np.log2(values.max())
    for _ in range(200):
        middle = (low + high) / 2
        rate = np.maximum(np.log2(values) - middle, 0).sum() / 2
        low, high = (low, middle) if rate < bits else (middle, high)
    return np.minimum(values, 2.0**high).sum()


def test_glove(glove):
    wide = glove.astype(np.float64)
    values = np.linalg.eigvalsh(wide.T @ wide / len(wide))
    for bits, expected in GLOVE.items():
        bound = gaussian_bound(values, bits * glove.shape[1])
        assert np.sqrt(bound / values.sum()) == pytest.approx(expected, abs=5e-5)


@given(variances.filter(lambda v: max(v) > 0), st.floats(0, 300))
def test_against_bisection(values, bits):
    assert gaussian_bound(values, bits) == pytest.approx(bisected(values, bits), rel=1e-9)


def test_no_bits_lose_everything():
    assert gaussian_bound([1.0, 2.0, 3.0], 0) == 6


def test_equal_variances_lose_6_db_a_bit():
    assert gaussian_bound(np.full(8, 3.0), 8 * 5) == pytest.approx(8 * 3.0 / 4**5)


def test_zeros_need_no_bits():
    assert gaussian_bound([0.0, -1e-20, 4.0], 3) == pytest.approx(4 / 64)
    assert gaussian_bound([0.0, 0.0], 3) == 0
    assert gaussian_bound([], 3) == 0


def test_infinite_bits_lose_nothing():
    assert gaussian_bound([1e300, 1e-300], float("inf")) == 0


@pytest.mark.parametrize("bits", [-1.0, float("nan")])
def test_impossible_bits(bits):
    with pytest.raises(ValueError, match="bits_per_row"):
        gaussian_bound([1.0], bits)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_rows_are_corrected(decay, bits):
    dim, rows = 256, 2 * 256
    truth = np.arange(1, dim + 1.0) ** -decay
    sample = np.random.default_rng(5).standard_normal((rows, dim)) * np.sqrt(truth)
    values = np.linalg.eigvalsh(sample.T @ sample / rows)
    exact = gaussian_bound(truth, bits * dim)
    plain = abs(decibels_above(gaussian_bound(values, bits * dim), exact))
    corrected = abs(decibels_above(gaussian_bound(values, bits * dim, rows), exact))
    assert corrected < 0.4
    assert corrected < plain


def test_decibels():
    assert decibels_above(4.0, 1.0) == pytest.approx(6.0206, abs=1e-4)
    assert decibels_above(0.0, 1.0) is None
    assert decibels_above(1.0, 0.0) is None
