"""aq: the bar, what each search gives beside faiss, and tables that leave nothing to learn."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.errors import IOFailure, UsageError
from embcompress.methods.aq import AQ
from embcompress.pipeline.memory import compress
from embcompress.solvers import product
from embcompress.solvers.additive_refit import refit
from tests.methods.test_quantize import relative_error


def error_of(rows, method, **settings):
    return relative_error(rows, compress(rows, method, **settings).restore())


@pytest.mark.slow
def test_bar_on_glove(glove):
    rows = glove[:100_000]
    assert error_of(rows, AQ(codebooks=13, bits=8)) <= 0.204


def test_better_than_faiss(glove_slice):
    faiss = pytest.importorskip("faiss")
    theirs = faiss.ResidualQuantizer(50, 6, 6)
    theirs.train_type = faiss.ResidualQuantizer.Train_default
    theirs.max_beam_size = 8
    theirs.train(glove_slice)
    peer = relative_error(glove_slice, theirs.decode(theirs.compute_codes(glove_slice)))
    assert error_of(glove_slice, AQ(codebooks=6, bits=6)) < 0.985 * peer


def test_searches_in_order(glove_slice):
    rows = glove_slice[:5000]
    error = {
        search: error_of(rows, AQ(codebooks=8, bits=6, search=search))
        for search in ("lsq", "residual", "product-residual")
    }
    assert error["lsq"] < error["residual"] < error["product-residual"]


def test_rounds_and_a_wider_beam_help(glove_slice):
    rows = glove_slice[:5000]
    error = [
        error_of(rows, AQ(codebooks=6, bits=6, rounds=r, beam=b))
        for r, b in [(0, 1), (0, 8), (4, 8), (4, 32)]
    ]
    assert error == sorted(error, reverse=True)
    assert error[2] < 0.97 * error[1]


def test_refit_is_the_least_squares_solution():
    random = np.random.default_rng(0)
    rows = random.standard_normal((600, 21)).astype(np.float32)
    weights = random.uniform(0.5, 2, 600)
    codes = random.integers(0, 8, (600, 3)).astype(np.uint16)
    books = random.standard_normal((3, 8, 21)).astype(np.float32)
    ones = np.zeros((600, 24))
    for s in range(3):
        ones[np.arange(600), 8 * s + codes[:, s]] = 1
    root = np.sqrt(weights)[:, None]
    best = np.linalg.lstsq(ones * root, rows * root)[0]
    found = refit(rows, weights, codes, books, 2)
    assert np.array_equal(found, refit(rows, weights, codes, books, 1))
    errors = [
        (weights[:, None] * (rows - ones @ words) ** 2).sum()
        for words in (best, found.reshape(24, 21))
    ]
    assert errors[1] <= errors[0] * (1 + 1e-5)


def test_answers_on_codes(glove_slice):
    """Look-up tables give what decoded rows give."""
    for method in (AQ(codebooks=6, bits=5), AQ(codebooks=9, bits=4, search="product-residual")):
        table = compress(glove_slice[:9000], method)
        codec = table.form.segments[0].codec
        parts = table.encoded(0, 0, len(table))
        random = np.random.default_rng(0)
        one, other = random.integers(0, len(table), (2, 9000))
        dense = table.restore().astype(np.float64)
        queries = random.standard_normal((3, 50)).astype(np.float32)
        close = {"rtol": 1e-5, "atol": 1e-4}
        np.testing.assert_allclose(codec.dots(parts, queries, one), queries @ dense[one].T, **close)
        assert codec.dots(parts, queries, one[:4]) is None
        norms = (dense[one] ** 2).sum(1)
        np.testing.assert_allclose(codec.squared_norms(parts, one), norms, **close)
        products = (dense[one] * dense[other]).sum(1)
        np.testing.assert_allclose(codec.pair_dots(parts, one, other), products, **close)


def test_defaults_follow_the_table():
    random = np.random.default_rng(0)
    for shape, books, bits in [((5000, 50), 13, 7), ((300, 7), 2, 6), ((3, 8), 2, 1)]:
        rows = random.standard_normal(shape).astype(np.float32)
        resolved = compress(rows, AQ()).form.method["resolved"][0]
        assert (resolved["codebooks"], resolved["bits"]) == (books, bits)


@pytest.mark.parametrize("search", ["residual", "lsq", "product-residual"])
@pytest.mark.parametrize(
    "rows",
    [
        np.repeat(np.arange(12, dtype=np.float32).reshape(4, 3), 100, axis=0),
        np.zeros((50, 6), np.float32),
        np.full((50, 6), 7.5, np.float32),
        np.ones((1, 4), np.float32),
    ],
    ids=["duplicates", "zeros", "constant", "one row"],
)
def test_few_distinct_rows_are_exact(rows, search):
    np.testing.assert_allclose(compress(rows, AQ(search=search)).restore(), rows, atol=4e-3)


@pytest.mark.parametrize("size", [1e-42, 1e-30, 1e-6, 1e6, 1e30])
def test_any_magnitude(size):
    rows = (np.random.default_rng(0).uniform(-1, 1, (600, 6)) * size).astype(np.float32)
    assert error_of(rows, AQ(codebooks=3, bits=6)) < 0.25


def test_an_offset_costs_nothing(glove_slice):
    """Rows far from 0 are searched around their mean."""
    rows = glove_slice[:3000]
    method = AQ(codebooks=4, bits=5, codebook_dtype="fp32")
    moved = compress(rows + np.float32(100), method).restore() - np.float32(100)
    assert relative_error(rows, moved) == pytest.approx(error_of(rows, method), rel=0.02)


def test_frequent_rows_come_back_better(glove_slice):
    rows = glove_slice[:5000]
    heavy = np.where(np.arange(len(rows)) < 100, 1e4, 1.0)
    method = AQ(codebooks=4, bits=5)
    plain = compress(rows, method).restore()
    weighted = compress(rows, method, frequencies=heavy).restore()
    assert relative_error(rows[:100], weighted[:100]) < 0.8 * relative_error(
        rows[:100], plain[:100]
    )


def test_nothing_on_the_screen(capfd):
    compress(np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32), AQ(bits=5))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_more_codewords_than_rows():
    rows = np.zeros((9, 4), np.float32)
    with pytest.raises(UsageError, match="--bits 8 makes more codewords than its 9 rows; use --b"):
        compress(rows, AQ(bits=8))
    with pytest.raises(UsageError, match="than --sample 300 of its 600 rows; use --bits 8"):
        compress(np.zeros((600, 4), np.float32), AQ(bits=9, sample=300))


def test_too_many_codewords_together():
    with pytest.raises(UsageError, match=r"64 codebooks of 256 codewords .* the most are 8192"):
        compress(np.zeros((900, 4), np.float32), AQ(codebooks=64, bits=8))


def test_too_little_memory(monkeypatch):
    monkeypatch.setattr(product, "physical_memory", lambda: 10**4)
    with pytest.raises(IOFailure, match=r"training on 600 rows takes .* smaller --sample"):
        compress(np.zeros((600, 4), np.float32), AQ())


def test_values_too_large_to_add():
    with pytest.raises(UsageError, match=r"values as large as 3e\+38"):
        compress(np.full((9, 4), 3e38, np.float32), AQ())
