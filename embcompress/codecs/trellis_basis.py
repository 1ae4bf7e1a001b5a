"""A basis in few bits, some for each of its vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.hostile import Array, Packing
from embcompress.errors import BadInput

LEAST_BITS, MOST_BITS = 2, 12
_HALF_OCTAVE = np.float32(0.70710677)


@dataclass(frozen=True, eq=False)
class Basis:
    """n vectors of D whole numbers, each with a scale: a power of the square root of 1/2.

    Args:
        bits: uint8 [n], bits of a vector's numbers.
        scales: uint8 [n], s for a scale of 2**(-s / 2).
        codes: int64 [n, D], from -2**(bits - 1) to 2**(bits - 1) - 1.
    """

    bits: NDArray[np.uint8]
    scales: NDArray[np.uint8]
    codes: NDArray[np.int64]

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """float32 [n, D]."""
        return self.codes.astype(np.float32) * scale_of(self.scales)[:, None]

    def pieces(self) -> list[Array]:
        """The arrays that hold it."""
        return [self.bits, self.scales, self._string]

    @cached_property
    def _string(self) -> NDArray[np.uint8]:
        bits = np.repeat(self.bits.astype(np.int64), self.codes.shape[1])
        flat = self.codes.reshape(-1)
        planes = (flat[:, None] >> np.arange(MOST_BITS)) & 1
        used = np.arange(MOST_BITS) < bits[:, None]
        return np.packbits(planes[used].astype(np.uint8), bitorder="little")

    @classmethod
    def take(cls, n: int, dim: int, packing: Packing) -> Basis:
        """Build it from a file's bytes.

        Raises:
            BadInput: Bytes that `pieces` cannot have given.
        """
        bits, scales = packing.take("u1", n), packing.take("u1", n)
        if n and not LEAST_BITS <= bits.min() <= bits.max() <= MOST_BITS:
            raise BadInput(f"{packing.where}: a basis vector has a width that none has")
        size = int(bits.astype(np.int64).sum()) * dim
        raw = packing.take("u1", (size + 7) // 8)
        planes = np.unpackbits(raw, count=size, bitorder="little")
        codes = np.zeros((n, dim), np.int64)
        at = 0
        for own, width in zip(codes, bits.tolist(), strict=True):
            some = planes[at : at + width * dim].reshape(dim, width).astype(np.int64)
            own[:] = (some << np.arange(width)).sum(axis=1)
            own[own >= 1 << (width - 1)] -= 1 << width
            at += width * dim
        return cls(bits, scales, codes)


def scale_of(scales: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What scale codes stand for, float32."""
    whole = np.ldexp(np.float32(1), -(scales.astype(np.int32) >> 1)).astype(np.float32)
    found: NDArray[np.float32] = np.where(scales & 1, whole * _HALF_OCTAVE, whole)
    return found
