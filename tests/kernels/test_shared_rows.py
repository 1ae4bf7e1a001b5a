"""Shared rows beside their definition in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.kernels.shared_rows import (
    add_laps,
    add_normal_products,
    add_to_shared_rows,
    decode_shared_rows,
)

SHARINGS = {"remainder": (1, 7, 0), "quotient": (2, 7, 0), "bits": (3, 0, 2)}
SPAN, D = 40, 5
random = np.random.default_rng(0)
NUMBERS = np.sort(random.choice(SPAN, 25, replace=False))
ROWS = random.standard_normal((25, D)).astype(np.float32)
WEIGHTS = random.random(25)


def design(name):
    """How often a number has each shared row, [25, 13]."""
    picks = {
        "remainder": [NUMBERS % 7],
        "quotient": [NUMBERS % 7, 7 + NUMBERS // 7],
        "bits": [NUMBERS & 3, NUMBERS >> 2 & 3, NUMBERS >> 4],
    }[name]
    matrix = np.zeros((25, 13))
    for pick in picks:
        matrix[np.arange(25), pick] += 1
    return matrix


@pytest.mark.parametrize("name", SHARINGS)
@pytest.mark.parametrize("weights", [np.empty(0), WEIGHTS], ids=["plain", "weighted"])
def test_sums_and_normal_products(name, weights):
    matrix = design(name)
    given = weights if len(weights) else np.ones(25)
    sums, masses = np.zeros((13, D)), np.zeros(13)
    add_to_shared_rows(NUMBERS, ROWS, weights, *SHARINGS[name], sums, masses)
    assert np.allclose(sums, (matrix * given[:, None]).T @ ROWS)
    assert np.allclose(masses, matrix.T @ given)
    table, out = random.standard_normal((13, D)), np.zeros((13, D))
    add_normal_products(NUMBERS, 25, weights, *SHARINGS[name], table, out)
    assert np.allclose(out, matrix.T @ (given[:, None] * (matrix @ table)))


@pytest.mark.parametrize("name", SHARINGS)
@pytest.mark.parametrize("scale", [0, 2, 4])
def test_decoding(name, scale):
    table = random.standard_normal((13, D)).astype(np.float32)
    factors = random.standard_normal(25).astype(np.float16 if scale == 2 else np.float32)
    records = np.zeros((25, 3 + scale), np.uint8)
    if scale:
        records[:, 3:] = factors[:, None].view(np.uint8)
    rows = np.stack([NUMBERS + 9, np.arange(25)], axis=1)
    out = np.empty((25, D), np.float32)
    decode_shared_rows(records, 3, scale, rows, 9, SPAN, *SHARINGS[name], False, table, out)
    expected = design(name) @ table * (factors[:, None].astype(np.float64) if scale else 1)
    assert np.allclose(out, expected, rtol=1e-5, atol=1e-5)


def test_products():
    table = random.standard_normal((13, D)).astype(np.float32)
    rows = np.stack([NUMBERS, NUMBERS], axis=1)
    out = np.empty((25, D), np.float32)
    records = np.empty((SPAN, 0), np.uint8)
    decode_shared_rows(records, 0, 0, rows, 0, SPAN, *SHARINGS["quotient"], True, table, out)
    assert np.array_equal(out, table[NUMBERS % 7] * table[7 + NUMBERS // 7])


@pytest.mark.parametrize("weights", [np.empty(0), WEIGHTS], ids=["plain", "weighted"])
def test_laps(weights):
    given = weights if len(weights) else np.ones(25)
    sums, masses, laps = np.zeros((3, D)), np.zeros(3), np.zeros((6, D))
    add_laps(NUMBERS, ROWS, weights, 7, 2, 5, sums, masses, laps)
    mine = (NUMBERS % 7 >= 2) & (NUMBERS % 7 < 5)
    for r in range(3):
        own = r + 2 == NUMBERS % 7
        assert np.allclose(sums[r], given[own] @ ROWS[own])
        assert masses[r] == pytest.approx(given[own].sum())
    for lap in range(6):
        own = mine & (lap == NUMBERS // 7)
        assert np.allclose(laps[lap], given[own] @ ROWS[own])
