"""Columns kept and columns filled: values from a file, and scores on codes."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.codecs.base import Parts
from embcompress.codecs.binary import Binary
from embcompress.codecs.columns import Columns
from embcompress.codecs.dense import Dense
from embcompress.codecs.load import describe, load_codec
from embcompress.errors import BadInput

D = 11
KEPT = np.array([0, 3, 4, 10])
FILL = np.linspace(-1, 1, D - 4).astype(np.float32)
INNER = {"codec": "dense", "version": 1, "config": {"numbers": "fp32"}}
MASK = np.array([0b00011001, 0b00000100], np.uint8)


def loaded(config, arrays):
    values = {"codec": "columns", "version": 1, "config": config}
    return load_codec(D, values, arrays, "file")


def test_what_was_stored_comes_back():
    codec = Columns(D, KEPT, FILL, Dense(4, "fp32"))
    assert codec.shared()["kept"].tolist() == MASK.tolist()
    again = load_codec(D, describe(codec), codec.shared(), "file")
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    parts = Parts(values.view(np.uint8).reshape(3, 16))
    wanted = np.empty((3, D), np.float32)
    wanted[:, KEPT] = values
    wanted[:, np.delete(np.arange(D), KEPT)] = FILL
    for reader in (codec, again):
        out = np.empty((3, D), np.float32)
        reader.decode(parts, np.arange(3), out)
        assert np.array_equal(out, wanted)


HOSTILE = [
    ({"fill": "zero", "inner": INNER}, {}),
    ({"fill": "zero", "inner": INNER}, {"kept": MASK[:1]}),
    ({"fill": "zero", "inner": INNER}, {"kept": MASK.astype(np.uint16)}),
    ({"fill": "zero", "inner": INNER}, {"kept": np.array([1, 8], np.uint8)}),
    ({"fill": "mean", "inner": INNER}, {"kept": MASK}),
    ({"inner": INNER}, {"kept": MASK}),
    ({"fill": "values", "inner": INNER}, {"kept": MASK}),
    ({"fill": "values", "inner": INNER}, {"kept": MASK, "fill": FILL[1:]}),
    ({"fill": "values", "inner": INNER}, {"kept": MASK, "fill": FILL * np.float32(np.nan)}),
    ({"fill": "zero"}, {"kept": MASK}),
    ({"fill": "zero", "inner": 3}, {"kept": MASK}),
    ({"fill": "zero", "inner": INNER, "more": 1}, {"kept": MASK}),
]


@pytest.mark.parametrize(("config", "arrays"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values(config, arrays):
    with pytest.raises(BadInput):
        loaded(config, arrays)


def test_nested_too_deeply():
    config = {"fill": "zero", "inner": INNER}
    for _ in range(9):
        config = {"fill": "zero", "inner": {"codec": "columns", "version": 1, "config": config}}
    arrays = {"inner." * i + "kept": np.array([255, 7], np.uint8) for i in range(12)}
    with pytest.raises(BadInput, match="nested deeper"):
        loaded(config, arrays)


@pytest.mark.parametrize("fill", [None, FILL])
def test_scores_on_codes(fill):
    codec = Columns(D, KEPT, fill, Binary(4, "row32", None))
    random = np.random.default_rng(1)
    scales = random.random((50, 1)).astype(np.float32).view(np.uint8)
    signs = random.integers(0, 16, (50, 1), np.uint8)
    parts = Parts(np.concatenate([signs, scales], axis=1))
    rows = random.integers(0, 50, 40)
    out = np.empty((40, D), np.float32)
    codec.decode(parts, rows, out)
    queries = random.standard_normal((3, D)).astype(np.float32)
    wide = out.astype(np.float64)
    assert np.allclose(codec.dots(parts, queries, rows), queries @ wide.T, atol=1e-5)
    assert np.allclose(codec.squared_norms(parts, rows), (wide**2).sum(axis=1), rtol=1e-5)
    pairs = codec.pair_dots(parts, rows, np.ascontiguousarray(rows[::-1]))
    assert np.allclose(pairs, (wide * wide[::-1]).sum(axis=1), atol=1e-5)


def test_no_column_kept_has_no_codes_to_score():
    codec = Columns(D, KEPT[:0], np.zeros(D, np.float32), Dense(0, "fp32"))
    parts = Parts(np.empty((5, 0), np.uint8))
    rows = np.arange(5)
    assert codec.dots(parts, np.ones((2, D), np.float32), rows) is None
    assert codec.squared_norms(parts, rows) is None
    assert codec.pair_dots(parts, rows, rows) is None
