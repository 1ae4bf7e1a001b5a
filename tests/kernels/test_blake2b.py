"""blake2b side by side equals hashlib's."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from embcompress.artifact import checksums
from embcompress.kernels.blake2b import BLOCK, DIGEST, LANES, digests_of


@pytest.mark.parametrize("blocks", [1, 2, 3, 2048])
def test_equals_hashlib(blocks):
    length = blocks * BLOCK
    data = np.random.default_rng(blocks).integers(0, 256, LANES * length + 1).astype(np.uint8)
    for begin in (0, 1):  # at any address
        some = data[begin : begin + LANES * length]
        some.flags.writeable = False
        wanted = b"".join(
            hashlib.blake2b(some[i * length : (i + 1) * length], digest_size=DIGEST).digest()
            for i in range(LANES)
        )
        assert digests_of(some, length) == wanted


@pytest.mark.parametrize("size", [0, 1, checksums.CHUNK, 8 * checksums.CHUNK,
                                  8 * checksums.CHUNK + 5, 17 * checksums.CHUNK - 1])  # fmt: skip
def test_digests_of_chunks(size):
    data = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    wanted = b"".join(
        checksums.digest(data[at : at + checksums.CHUNK]) for at in range(0, size, checksums.CHUNK)
    )
    assert checksums.digests(data) == wanted
