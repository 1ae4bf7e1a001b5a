"""Errors of inner products against all pairs spelled out."""

import numpy as np
import pytest

from embcompress.report.products import partners, product_errors
from embcompress.report.sample import Kept


def kept(ids, original, decoded):
    own = Kept(np.asarray(ids), original.shape[1])
    own.original[:] = original[ids]
    own.decoded[:] = decoded[ids]
    return own


def brute(left, right, original, decoded, weights):
    x, y, w = [], [], []
    for a, i in enumerate(left):
        for b, j in enumerate(right):
            if i != j:
                x.append(original[i].astype(np.float64) @ original[j])
                y.append(decoded[i].astype(np.float64) @ decoded[j])
                w.append(1.0 if weights is None else weights[0][a] * weights[1][b])
    x, y, w = map(np.array, (x, y, w))
    mean = np.average(x, weights=w)
    spread = np.sqrt(np.average((x - mean) ** 2, weights=w))
    other = np.average(y, weights=w)
    covariance = np.average((x - mean) * (y - other), weights=w)
    error = np.sqrt(np.average((x - y) ** 2, weights=w)) / spread
    deviation = np.sqrt(np.average((y - other) ** 2, weights=w))
    return len(x), covariance / spread / deviation, error


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_against_brute_force(weighted, scale):
    random = np.random.default_rng(3)
    original = ((random.standard_normal((90, 5)) + 2) * scale).astype(np.float32)
    decoded = (original * (1 + 0.1 * random.standard_normal((90, 5)))).astype(np.float32)
    left, right = np.arange(0, 90, 1), np.arange(0, 90, 2)
    weights = (random.random(90), random.random(45)) if weighted else None
    found = product_errors(
        kept(left, original, decoded), kept(right, original, decoded), weights, 2
    )
    pairs, correlation, error = brute(left, right, original, decoded, weights)
    assert found.pairs == pairs
    assert found.correlation == pytest.approx(correlation, rel=1e-9)
    assert found.error == pytest.approx(error, rel=1e-9)


def test_largest_magnitudes():
    signs = np.sign(np.random.default_rng(0).standard_normal((20, 4))).astype(np.float32)
    rows = signs * np.float32(3.4e38)
    both = kept(np.arange(20), rows, -rows)
    found = product_errors(both, both, None, 1)
    assert found.correlation == pytest.approx(1)
    assert found.error == pytest.approx(0, abs=1e-12)


def test_no_spread():
    ones = np.ones((5, 3), np.float32)
    both = kept(np.arange(5), ones, ones)
    found = product_errors(both, both, None, 1)
    assert (found.pairs, found.correlation, found.error) == (20, None, None)


def test_reconstruction_without_spread():
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    both = kept(np.arange(4), rows, np.zeros_like(rows))
    found = product_errors(both, both, None, 1)
    assert found.correlation is None
    assert found.error > 1


def test_one_row_has_no_pair():
    row = kept(np.array([0]), np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
    assert product_errors(row, row, None, 1).error is None


def test_partners_cost_a_bounded_time():
    assert partners(1000, 50) == 10_000
    assert 500 < partners(1000, 4096) < 1000
    assert partners(1000, 10**9) == 2
