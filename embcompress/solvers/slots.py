"""Memories of slots that hashes share out: each slot is the mean of what falls on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.hashed_slots import HashedSlots
from embcompress.kernels.hashing import add_to_slots
from embcompress.solvers.encoder import Encoder

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Signatures:
    """Signs of random projections, a locality-sensitive hash: similar rows have equal ones.

    Args:
        center: float64 [D], taken away first.
        planes: float64 [D, bits].
        scale: What rows are multiplied by.
    """

    center: Float64
    planes: Float64
    scale: float

    @classmethod
    def drawn(cls, center: Float64, bits: int, largest: float, seed: int) -> Signatures:
        """Projections of normal numbers."""
        random = np.random.default_rng([seed, bits])
        planes = random.standard_normal((len(center), bits))
        return cls(center, planes, 1 / largest if largest else 1.0)

    def of(self, rows: Float32) -> NDArray[np.int64]:
        """Signatures of a tile's rows, int64 [b]; bit k is the sign of projection k."""
        signs = ((rows - self.center) * self.scale) @ self.planes >= 0
        powers: NDArray[np.int64] = np.int64(1) << np.arange(signs.shape[1], dtype=np.int64)
        found: NDArray[np.int64] = (signs * powers).sum(axis=1)
        return found


@dataclass(frozen=True)
class SlotsEncoder(Encoder):
    """Encodes signatures, if rows have them."""

    codec: HashedSlots
    signatures: Signatures | None

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        """Signatures, if rows have them."""
        return {} if self.signatures is None else {"signature": self.signatures.of(rows)}


def slot_means(
    pieces: Iterable[tuple[NDArray[np.int64], Float32, Float64]],
    slots: int,
    seed: int,
    block: int,
    *,
    signed: bool,
) -> Float64:
    """Weighted means of the numbers, times their signs, that fall on each slot.

    Numbers meet in a slot only once each, so these are the least-squares values.

    Args:
        pieces: Keys, rows and weights of every tile, in order.
        slots: M.
        seed: Of the hashes.
        block: Columns of a block.
        signed: Whether blocks have a sign.

    Returns:
        float64 [M], 0 where nothing falls.
    """
    sums, masses = np.zeros(slots), np.zeros(slots)
    for keys, rows, weights in pieces:
        add_to_slots(keys, rows, weights, seed, block, signed, sums, masses)
    return np.divide(sums, masses, out=sums, where=masses > 0)
