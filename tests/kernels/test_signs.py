import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.bits import pack_codes
from embcompress.kernels.signs import decode_signs, decode_signs_by_column, decode_signs_by_row
from tests.kernels.walls import Output, Records, walled

scales = st.sampled_from(["some", "zero", "minus zero"])


def draw(rng, shape, kind, dtype=np.float32):
    values = rng.standard_normal(shape).astype(dtype)
    zero = {"some": None, "zero": 0.0, "minus zero": -0.0}[kind]
    return values if zero is None else np.where(rng.random(shape) < 0.5, dtype(zero), values)


def reference(signs, scale):
    scale = np.broadcast_to(scale.astype(np.float32), signs.shape)
    return np.where(signs, scale, -scale) + np.float32(0)


@pytest.mark.parametrize("kind", ["one", "fp16 row", "fp32 row", "column"])
@settings(deadline=None)  # the first call compiles
@given(
    d=st.integers(1, 300),
    n=st.integers(1, 40),
    count=st.integers(0, 60),
    before=st.integers(0, 5),
    behind=st.integers(0, 5),
    values=scales,
    seed=st.integers(0, 2**32),
)
def test_same_bits_as_numpy(kind, d, n, count, before, behind, values, seed):
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (n, d)).astype(np.uint8)
    packed = pack_codes(signs, 1)
    layout = Records(rng, before, behind)
    rows = rng.integers(0, n, count)
    out = Output(count, d)
    if kind == "one":
        scale = draw(rng, (1, 1), values)
        decode_signs(layout.lay(packed), layout.at, float(scale[0, 0]), rows, out.array)
    elif kind == "column":
        scale = draw(rng, (1, d), values)
        decode_signs_by_column(layout.lay(packed), layout.at, walled(scale[0]), rows, out.array)
    else:
        half = kind == "fp16 row"
        scale = draw(rng, (n, 1), values, np.float16 if half else np.float32)
        decode_signs_by_row(layout.lay(packed, scale), layout.at, half, rows, out.array)
    expected = reference(signs, scale)[rows]
    np.testing.assert_array_equal(out.checked().view(np.uint32), expected.view(np.uint32))


def test_bit_1_is_plus():
    out = np.empty((1, 9), np.float32)
    decode_signs(np.array([[1, 2]], np.uint8), 0, 1.0, np.zeros(1, np.int64), out)
    assert out.tolist() == [[1, -1, -1, 1, -1, -1, -1, -1, -1]]
