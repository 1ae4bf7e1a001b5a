"""Hashes beside those of docs/format.md in numpy, and slots beside plain sums."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.kernels.hashing import add_to_slots, gather_slots, hash_numbers
from tests import reader

KEYS = np.array([0, 1, 2, 77, 2**31, 2**47 - 1])


@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_numbers(seed):
    out = np.empty((6, 9), np.float32)
    hash_numbers(KEYS, seed, out)
    assert np.array_equal(out, reader.units(seed, KEYS, 9))
    assert np.abs(out).max() <= 1


@pytest.mark.parametrize("seed", [0, 2**62])
@pytest.mark.parametrize("block", [1, 3, 7])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("slots", [1, 2, 5, 1000])
def test_slots(seed, block, signed, slots):
    d = 7
    words = reader.hashes(seed, KEYS, -(-d // block))[:, np.arange(d) // block]
    at = (words >> np.uint64(1)) % np.uint64(slots)
    at = (at.astype(np.int64) + np.arange(d) % block) % slots
    signs = np.where(signed & (words % np.uint64(2) == 1), -1.0, 1.0)
    memory = np.random.default_rng(0).standard_normal(slots).astype(np.float32)
    out = np.empty((6, d), np.float32)
    gather_slots(KEYS, seed, block, signed, memory, out)
    assert np.array_equal(out, (memory[at] * signs).astype(np.float32))
    for weights in (np.empty(0), np.arange(1.0, 7.0)):
        sums, masses = np.zeros(slots), np.zeros(slots)
        add_to_slots(KEYS, out, weights, seed, block, signed, sums, masses)
        given = weights[:, None] if len(weights) else np.ones((6, 1))
        expected = np.bincount(at.ravel(), (given * signs * out).ravel(), slots)
        assert np.allclose(sums, expected)
        assert np.allclose(masses, np.bincount(at.ravel(), (given + 0 * signs).ravel(), slots))


def test_hashes_spread():
    """Slots of neighbouring keys are filled evenly."""
    out = np.empty((20_000, 4), np.float32)
    hash_numbers(np.arange(20_000), 5, out)
    assert abs(out.mean()) < 0.01
    assert out.std() == pytest.approx(3**-0.5, rel=0.01)
    assert np.abs(np.corrcoef(out.T) - np.eye(4)).max() < 0.03
