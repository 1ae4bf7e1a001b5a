"""rotate: orthonormal axes, the inner method's own errors, and the composition asked for."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.codecs.dense import Dense
from embcompress.codecs.projected import Projected
from embcompress.methods import Rotate
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings
from tests.methods.test_quantize import relative_error


@pytest.mark.parametrize("basis", ["pca", "random", "itq"])
def test_axes_are_orthonormal_and_lossless(basis, glove_slice):
    rows = glove_slice[:3000]
    table = compress(rows, Rotate(basis=basis, then="cast --to fp32"))
    codec = table.form.segments[0].codec
    assert np.allclose(codec.basis @ codec.basis.T, np.eye(50), atol=1e-5)
    assert np.allclose(table.restore(), rows, atol=2e-5)


def test_pca_axes_are_the_eigenvectors(glove_slice):
    table = compress(glove_slice, Rotate(basis="pca"))
    codec = table.form.segments[0].codec
    coordinates = (glove_slice.astype(np.float64) - codec.offset) @ codec.basis.T
    covariance = np.cov(coordinates.T)
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 1e-4 * covariance.max()
    assert (np.diff(np.diag(covariance)) <= 1e-6).all()


def test_a_random_rotation_helps_two_bits(glove_slice):
    """Peers' finding: at 2 bits rotated rows quantize better than plain ones."""
    from embcompress.methods import Quantize

    rotated = compress(glove_slice, Rotate(basis="random", then="quantize --bits 2")).restore()
    plain = compress(glove_slice, Quantize(bits=2)).restore()
    assert relative_error(glove_slice, rotated) < relative_error(glove_slice, plain)


def test_hot_rows_dense_the_rest_rotated_and_quantized(glove_slice):
    rows = glove_slice[:5000]
    frequencies = np.arange(5000.0)[::-1]
    fields = {"a": (0, 1000), "b": (1000, 5000)}
    table = compress(
        rows, Rotate(then="quantize --bits 3"), frequencies=frequencies, fields=fields,
        settings=Settings(keep_hot=0.02, hot_as="fp32", per_field=True),
    )  # fmt: skip
    kinds = [type(s.codec) for s in table.form.segments]
    assert kinds == [Dense, Projected, Projected]
    assert np.array_equal(table.lookup(np.arange(100)), rows[:100])
    assert 0.02 < relative_error(rows[100:], table.restore()[100:]) < 0.3
