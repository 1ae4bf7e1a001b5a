import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.compare import row_errors
from tests.kernels.walls import Output, walled


def lane_sum(terms):
    """Sixteen running sums over the columns, then joined in halves."""
    count, d = terms.shape
    chunks = np.zeros((count, -(-d // 16) * 16))
    chunks[:, :d] = terms
    lanes = np.zeros((count, 16))
    for chunk in np.split(chunks, chunks.shape[1] // 16, axis=1):
        lanes = lanes + chunk
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 12), st.integers(1, 70), st.integers(0, 2**32))
def test_same_bits_as_numpy(count, d, seed):
    rng = np.random.default_rng(seed)
    original = rng.standard_normal((count, d)).astype(np.float32)
    decoded = (original + rng.standard_normal((count, d)) * 0.1).astype(np.float32)
    out = Output(count, 5, dtype=np.float64)
    row_errors(walled(original), walled(decoded), out.array)
    x, y = original.astype(np.float64), decoded.astype(np.float64)
    expected = [lane_sum(terms) for terms in ((x - y) ** 2, x * x, y * y, x * y)]
    expected.append(abs(x - y).max(1))
    assert out.checked().tobytes() == np.stack(expected, 1).tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_rows_show(bad):
    original = np.ones((1, 40), np.float32)
    decoded = original.copy()
    decoded[0, 35] = bad
    out = np.empty((1, 5))
    row_errors(original, decoded, out)
    assert not np.isfinite(out[0, 0])
    assert not np.isfinite(out[0, 2])


def test_no_columns():
    out = np.empty((2, 5))
    row_errors(np.empty((2, 0), np.float32), np.empty((2, 0), np.float32), out)
    assert (out == 0).all()
