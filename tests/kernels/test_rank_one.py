"""Directions of buckets beside numpy's singular vectors."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.kernels.rank_one import (
    add_bucket_grams,
    add_factor_terms,
    bucket_directions,
    deal_lanes,
    deal_rows,
    stretch,
)

random = np.random.default_rng(0)
NUMBERS = np.delete(np.arange(60), [3, 17, 41])
ROWS = random.standard_normal((57, 6)).astype(np.float32)
WEIGHTS = random.random(57) + 0.1


@pytest.mark.parametrize("weights", [np.empty(0), WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("scale", [1e-42, 1e-38, 1.0, 1e37])
@pytest.mark.parametrize(("low", "high"), [(2, 7), (0, 20), (19, 20)])
def test_directions(weights, scale, low, high):
    """Three laps of twenty."""
    rows, h = ROWS * np.float32(scale), high - low
    lanes, shares = np.zeros((-(-h // 16), 3, 6, 16), np.float32), np.zeros((-(-h // 16), 3, 16))
    deal_lanes(NUMBERS, rows, weights, 20, low, high, lanes, shares)
    found = np.empty((h, 6), np.float32)
    bucket_directions(lanes, shares, found)
    buckets, masses = np.zeros((h, 3, 6), np.float32), np.zeros((h, 3))
    deal_rows(NUMBERS, rows, weights, 20, low, high, buckets, masses)
    grams = np.zeros((h, 6, 6))
    add_bucket_grams(NUMBERS, rows, weights, 20, low, high, 1 / scale, grams)
    for r in range(h):
        own = r + low == NUMBERS % 20
        assert np.array_equal(buckets[r][masses[r] > 0], rows[own])
        root = np.sqrt(weights[own] if len(weights) else np.ones(own.sum()))
        wide = rows[own].astype(np.float64) / scale * root[:, None]
        assert np.allclose(grams[r], wide.T @ wide)
        first = np.linalg.svd(wide)[2][:1].astype(np.float64)
        length = np.abs(rows[own].astype(np.float64) @ first[0]).max()
        close = dict(rtol=1e-3, atol=1e-3 * length + 2e-45)
        assert np.allclose(np.abs(found[r]), np.abs(first[0] * length), **close)
        stretch(buckets[r : r + 1], first)
        assert np.allclose(np.linalg.norm(first), length)


def test_buckets_of_zeros():
    found = np.ones((2, 3), np.float32)
    bucket_directions(np.zeros((1, 4, 3, 16), np.float32), np.ones((1, 4, 16)), found)
    assert not found.any()


@pytest.mark.parametrize("weights", [np.empty(0), WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("by_lap", [False, True])
def test_factor_terms(weights, by_lap):
    other = random.standard_normal((5 if by_lap else 6, 6))
    above, below = np.zeros((2, 6 if by_lap else 5, 6))
    add_factor_terms(NUMBERS, ROWS, weights, 10, 2, 7, by_lap, other, above, below)
    given = weights if len(weights) else np.ones(57)
    for target in range(len(above)):
        inside = (NUMBERS % 10 >= 2) & (NUMBERS % 10 < 7)
        lap, own = NUMBERS // 10, NUMBERS % 10 - 2
        mine = inside & (lap == target if by_lap else own == target)
        factors = other[own[mine] if by_lap else lap[mine]]
        assert np.allclose(above[target], (given[mine, None] * ROWS[mine] * factors).sum(axis=0))
        assert np.allclose(below[target], (given[mine, None] * factors**2).sum(axis=0))
