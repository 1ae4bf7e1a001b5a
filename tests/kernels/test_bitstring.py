"""Bit strings over all rows: packing from any bit, and taking codes back."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.kernels.bitstring import TAIL, pack_bit_string, take_codes


@pytest.mark.parametrize("bits", [1, 3, 8, 12, 17, 31, 32])
@pytest.mark.parametrize("first", [0, 1, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 77])
def test_beside_numpy(bits, first, count):
    random = np.random.default_rng([bits, count])
    codes = random.integers(0, 2**bits, count)
    string = pack_bit_string(codes, bits, first)
    assert not string[len(string) - TAIL :].any()
    planes = codes[:, None] >> np.arange(bits) & 1
    wanted = np.packbits(np.array([0] * first + [*planes.ravel()], np.uint8), bitorder="little")
    assert np.array_equal(string[:-TAIL], wanted)
    string.flags.writeable = False
    rows = random.integers(0, max(count, 1), 50 if count else 0)
    assert np.array_equal(take_codes(string, first, bits, rows), codes[rows])
