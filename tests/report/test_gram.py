"""The second moment: exact for what is affordable, sampled by stripes beyond."""

import numpy as np
import pytest

from embcompress.report import gram
from embcompress.report.gram import Gram


def collected(table, tile=4096, seed=0):
    found = Gram(*table.shape, np.random.default_rng(seed))
    for start in range(0, len(table), tile):
        rows = table[start : start + tile]
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        share = found.of_tile(start, rows, squares)
        if share is not None:
            found.fold(share)
    return found.spectrum(len(table))


@pytest.mark.parametrize("dim", [3, 64, 65, 200])
def test_eigenvalues(dim):
    table = np.random.default_rng(0).standard_normal((9000, dim)).astype(np.float32)
    table *= np.linspace(0.1, 3, dim, dtype=np.float32)
    wide = table.astype(np.float64)
    expected = np.linalg.eigvalsh(wide.T @ wide / len(wide))
    found = collected(table, tile=1000)
    assert found.eigenvalues == pytest.approx(expected, rel=1e-5)
    assert (found.rows, found.sampled) == (9000, False)


@pytest.mark.parametrize("dim", [16, 100])
@pytest.mark.parametrize("scale", [1e-42, 3e38])
def test_any_magnitude(dim, scale):
    signs = np.sign(np.random.default_rng(0).standard_normal((300, dim)))
    found = collected((signs * scale).astype(np.float32))
    assert np.isfinite(found.eigenvalues).all()
    stored = float(np.float32(scale))
    assert found.eigenvalues.sum() == pytest.approx(dim * stored**2, rel=1e-5)


def test_lost_directions_are_zero():
    random = np.random.default_rng(0)
    table = (random.standard_normal((5000, 8)) @ random.standard_normal((8, 100))).astype(
        np.float32
    )
    values = collected(table).eigenvalues
    assert np.count_nonzero(values) == 8


def test_stripes_are_sampled(monkeypatch):
    monkeypatch.setattr(gram, "_FLOPS", 20_000 * 10**2)
    table = np.random.default_rng(0).standard_normal((100_000, 10)).astype(np.float32)
    found = collected(table, tile=1024)
    assert found.sampled
    assert found.rows == 5 * 4096
    assert found.eigenvalues == pytest.approx(1, abs=0.05)
    assert np.array_equal(found.eigenvalues, collected(table, tile=1024).eigenvalues)
    other = collected(table, tile=1024, seed=1).eigenvalues
    assert not np.array_equal(found.eigenvalues, other)


def test_wide_tables_keep_enough_rows(monkeypatch):
    monkeypatch.setattr(gram, "_FLOPS", 0)
    table = np.random.default_rng(0).standard_normal((20_000, 1000)).astype(np.float32)
    assert collected(table).rows >= 2000


def test_zeros_have_no_bound():
    assert collected(np.zeros((10, 3), np.float32)).relative_error(3.0) is None
