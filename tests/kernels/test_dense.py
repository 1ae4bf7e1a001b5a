import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.dense import decode_dense
from embcompress.kernels.halves import halves, to_bfloat
from tests.kernels.walls import Output, Records


def stored(rng, n, d, dtype):
    """Random bit patterns, and the float32 values that they stand for."""
    if dtype == "float32":
        bits = rng.integers(0, 2**32, (n, d), dtype=np.uint32)
        return [bits], bits.view(np.float32)
    bits = rng.integers(0, 2**16, (n, d), dtype=np.uint16)
    if dtype == "float16":
        return [bits], bits.view(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        return [bits], (bits.astype(np.uint32) << 16).view(np.float32)
    scale = rng.standard_normal((n, 1)).astype(np.float32)
    return [bits, scale], bits.view(np.int16).astype(np.float32) * scale


def assert_same(got, expected):
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(got[numbers].view(np.uint32), expected[numbers].view(np.uint32))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy, on signalling NaN
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int16"])
@settings(deadline=None)  # the first call compiles
@given(
    d=st.integers(1, 70),
    n=st.integers(1, 40),
    count=st.integers(0, 60),
    before=st.integers(0, 5),
    behind=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_same_bits_as_numpy(dtype, d, n, count, before, behind, seed):
    rng = np.random.default_rng(seed)
    fields, values = stored(rng, n, d, dtype)
    layout = Records(rng, before, behind)
    rows = rng.integers(0, n, count)
    out = Output(count, d)
    decode_dense(layout.lay(*fields), layout.at, dtype, rows, out.array)
    assert_same(out.checked(), values[rows])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_every_half():
    bits = np.arange(65536, dtype=np.uint16)
    out = np.empty((1, 65536), np.float32)
    decode_dense(bits.view(np.uint8)[None], 0, "float16", np.zeros(1, np.int64), out)
    assert_same(out[0], bits.view(np.float16).astype(np.float32))
    assert_same(halves(), out[0])
    assert not halves().flags.writeable


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_to_bfloat_rounds_to_nearest_even(patterns):
    values = np.array(patterns, np.uint32).view(np.float32)
    got = (to_bfloat(values).astype(np.uint32) << 16).view(np.float32)
    largest = np.array([0x7F7F0000], np.uint32).view(np.float32)[0]
    for value, rounded in zip(values, got, strict=True):
        if np.isnan(value):
            assert np.isnan(rounded)
        elif np.isinf(value) or abs(value) >= largest:
            assert rounded == (value if np.isinf(value) else np.copysign(largest, value))
        else:
            down = (value.view(np.uint32) >> 16 << 16).view(np.float32)
            up = ((value.view(np.uint32) >> 16) + 1 << 16).view(np.float32)
            below, above = abs(float(value) - float(down)), abs(float(up) - float(value))
            even = down if (down.view(np.uint32) >> 16) % 2 == 0 else up
            nearest = down if below < above else up if above < below else even
            assert rounded.view(np.uint32) == np.float32(nearest).view(np.uint32)


def test_to_bfloat_keeps_the_shape():
    assert to_bfloat(np.zeros((2, 0, 3), np.float32)).shape == (2, 0, 3)
    assert to_bfloat(np.ones((4, 6), np.float32)[:, ::2]).tolist() == [[0x3F80] * 3] * 4
