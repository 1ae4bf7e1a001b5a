"""binarize: least-squares scales, and ITQ's promise."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.methods import Binarize
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings
from tests.methods.test_quantize import relative_error


def error(rows, **options):
    return relative_error(rows, compress(rows, Binarize(**options)).restore())


def test_row_scale_is_the_mean_magnitude(glove_slice):
    rows = glove_slice[:500]
    restored = compress(rows, Binarize()).restore()
    scale = np.abs(rows).mean(1).astype(np.float16).astype(np.float32)[:, None]
    wanted = np.where(rows >= 0, scale, -scale)
    assert np.allclose(restored, wanted, rtol=2e-3)
    assert np.array_equal(np.sign(restored), np.where(rows >= 0, 1, -1))


def test_glove_error_is_that_of_the_peer(glove):
    """Sign and mean magnitude: 0.6022 in 9 bytes a row."""
    assert error(glove) == pytest.approx(0.6022, abs=2e-4)


@pytest.mark.parametrize("scale", ["row", "column", "field"])
def test_a_scale_is_the_least_squares_scale(scale, glove_slice):
    """No other scale along the same signs has less error."""
    rows = glove_slice[:800].astype(np.float64)
    restored = compress(glove_slice[:800], Binarize(scale=scale)).restore().astype(np.float64)
    for factor in (0.97, 1.03):
        assert ((rows - restored) ** 2).sum() < ((rows - factor * restored) ** 2).sum()


def test_itq_beats_signs_of_principal_axes(glove_slice):
    rows = glove_slice - glove_slice.mean(0)
    itq = error(rows, rotate="itq")
    _, _, axes = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
    turned = (rows @ axes.T).astype(np.float32)
    assert itq < error(turned)
    assert itq < error(rows)


def test_itq_codes_are_balanced_and_decorrelated(glove_slice):
    table = compress(glove_slice, Binarize(rotate="itq", scale="none"))
    codec = table.form.segments[0].codec
    coordinates = (glove_slice - codec.offset) @ codec.basis.T
    signs = np.where(coordinates >= 0, 1.0, -1.0)
    assert np.abs(signs.mean(0)).max() < 0.2
    correlation = np.corrcoef(signs.T) - np.eye(50)
    assert np.abs(correlation).mean() < 0.08
    assert np.allclose(codec.basis @ codec.basis.T, np.eye(50), atol=1e-5)


@pytest.mark.parametrize("center", ["mean", "median"])
def test_centring(center, glove_slice):
    rows = glove_slice[:2000] + 3
    table = compress(rows, Binarize(center=center))
    restored = table.restore()
    offset = table.form.segments[0].codec.offset
    wanted = np.mean(rows, 0) if center == "mean" else np.median(rows, 0)
    assert np.allclose(offset, wanted, atol=3e-3)
    assert np.array_equal(restored > offset, rows >= offset)
    assert relative_error(rows, restored) < 0.3


def test_a_scale_a_field(glove_slice):
    rows = glove_slice[:1000].copy()
    rows[400:] *= 50
    fields = {"a": (0, 400), "b": (400, 1000)}
    table = compress(rows, Binarize(scale="field"), fields=fields)
    sizes = np.abs(table.restore())
    for start, stop in fields.values():
        assert np.unique(sizes[start:stop]).size == 1
        assert sizes[start, 0] == pytest.approx(np.abs(rows[start:stop]).mean(), rel=1e-5)


def test_dfm_rotates_each_field(glove_slice):
    rows = glove_slice[:2000]
    fields = {"a": (0, 700), "b": (700, 2000)}
    table = compress(rows, Binarize(rotate="itq"), fields=fields, settings=Settings(per_field=True))
    first, second = (s.codec.basis for s in table.form.segments)
    assert not np.allclose(first, second)
