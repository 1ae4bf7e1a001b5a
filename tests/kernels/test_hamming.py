import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.bits import pack_codes
from embcompress.kernels.hamming import pair_distances, sign_distances, sign_words
from embcompress.kernels.sign_products import sign_products
from tests.kernels.walls import Records


def spoilt(packed, d, rng):
    """Codes of one bit whose unused bits are set: a forger's work, which must not count."""
    padded = np.unpackbits(packed, axis=1, bitorder="little")
    h = packed.shape[1]
    for j in range(d, 8 * h):
        padded[:, j % h * 8 + j // h] = rng.integers(0, 2)
    return np.packbits(padded, axis=1, bitorder="little")


shapes = given(
    d=st.one_of(st.integers(1, 20), st.integers(1, 300)),
    n=st.integers(1, 40),
    q=st.integers(0, 4),
    before=st.integers(0, 5),
    behind=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)


@settings(deadline=None)  # the first call compiles
@shapes
def test_hamming_is_numpys(d, n, q, before, behind, seed):
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (n, d)).astype(np.uint8)
    asked = rng.integers(0, 2, (q, d)).astype(np.uint8)
    layout = Records(rng, before, behind)
    records = layout.lay(spoilt(pack_codes(signs, 1), d, rng))
    words = sign_words(asked.astype(bool))
    wanted = (asked[:, None] != signs).sum(axis=2)
    assert np.array_equal(sign_distances(records, layout.at, words, d, None), wanted)
    rows, others = rng.integers(0, n, (2, 50))
    assert np.array_equal(sign_distances(records, layout.at, words, d, rows), wanted[:, rows])
    between = (signs[rows] != signs[others]).sum(axis=1)
    assert np.array_equal(pair_distances(records, layout.at, d, rows, others), between)


@pytest.mark.parametrize("scale", [0, 2, 4])
@settings(deadline=None)
@shapes
def test_sign_products(scale, d, n, q, before, behind, seed):
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (n, d)).astype(np.uint8)
    scales = rng.standard_normal((n, 1)).astype({0: "f8", 2: "f2", 4: "f4"}[scale])
    layout = Records(rng, before, behind)
    packed = spoilt(pack_codes(signs, 1), d, rng)
    records = layout.lay(packed, scales) if scale else layout.lay(packed)
    vectors = rng.standard_normal((q, d))
    rows = rng.integers(0, n, 50)
    found = sign_products(records, layout.at, scale, vectors, rows)
    wanted = vectors @ (2.0 * signs[rows] - 1).T
    sizes = np.abs(vectors).sum(axis=1)[:, None]
    if scale:
        wanted *= scales[rows, 0].astype(np.float64)
        sizes = sizes * np.abs(scales[rows, 0].astype(np.float64))
    assert found.dtype == np.float32
    assert (abs(found - wanted) <= 1e-6 * sizes).all()
