import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.bits import (
    pack_codes,
    packed_bytes,
    unpack_codes,
    unpack_parts,
    unpack_string,
)
from tests.kernels.walls import Output, walled


def reference_pack(codes, bits):
    count, d = codes.shape
    h = -(-d * bits // 8)
    if bits in (1, 2, 4, 8):
        out = np.zeros((count, h), np.uint8)
        for j in range(d):
            out[:, j % h] |= codes[:, j] << (j // h * bits)
        return out
    single = np.unpackbits(codes[:, :, None], axis=2, count=bits, bitorder="little")
    return np.packbits(single.reshape(count, d * bits), axis=1, bitorder="little")


@settings(deadline=None)  # the first call compiles
@given(st.integers(1, 8), st.integers(1, 70), st.integers(0, 40), st.integers(0, 2**32))
def test_pack_and_unpack(bits, d, count, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, (count, d)).astype(np.uint8)
    packed = pack_codes(codes, bits)
    assert packed.shape == (count, packed_bytes(d, bits))
    np.testing.assert_array_equal(packed, reference_pack(codes, bits))
    np.testing.assert_array_equal(unpack_codes(packed, d, bits), codes)

    out = Output(count, d, dtype=np.uint8)
    unpack = unpack_parts if bits in (1, 2, 4, 8) else unpack_string
    unpack(walled(packed), bits, out.array)
    np.testing.assert_array_equal(out.checked(), codes)


@pytest.mark.parametrize("bits", range(1, 9))
def test_wide_rows(bits):
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (3, 5003)).astype(np.uint8)
    packed = pack_codes(codes, bits)
    np.testing.assert_array_equal(packed, reference_pack(codes, bits))
    np.testing.assert_array_equal(unpack_codes(packed, 5003, bits), codes)


def test_the_layouts_that_the_docstring_draws():
    codes = np.array([[1, 2, 3, 4, 5, 6]], np.uint8)
    assert pack_codes(codes, 4).tolist() == [[0x41, 0x52, 0x63]]
    string = pack_codes(np.array([[1, 2, 3, 4, 5]], np.uint8), 3)
    assert string.tolist() == [[0b11_010_001, 0b0_101_100_0]]


def test_no_codes():
    assert pack_codes(np.empty((3, 0), np.uint8), 5).shape == (3, 0)
    assert unpack_codes(np.empty((3, 0), np.uint8), 0, 4).shape == (3, 0)
