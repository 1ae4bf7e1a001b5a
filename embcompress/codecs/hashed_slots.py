"""Columns gathered from one memory of numbers, where hashes of a key say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Packed, Parts
from embcompress.codecs.hostile import Array, Config, Json, Shared

MOST_BITS = 32
MOST_SEED = 2**62
_MOST_SLOTS = 2**48


@dataclass(frozen=True, eq=False)
class HashedSlots(Codec):
    """Columns j·block … of a row = ``block`` slots of the memory from hash j of the row's key on.

    The key is the original row number, or a signature of ``bits`` bits that the row stores; the
    hashes and signs are those of `embcompress.kernels.hashing`. Packed: ``signature`` if there
    are bits. Shared: ``memory`` fp16 or fp32 [M].

    Args:
        dim: Columns D.
        bits: Of a row's signature, or 0 for row numbers as keys.
        block: Columns of a block.
        signed: Whether blocks have a sign.
        seed: Of the hashes.
        memory: fp16 or fp32 [M].
    """

    name = "hashed-slots"

    dim: int
    bits: int
    block: int
    signed: bool
    seed: int
    memory: Array

    @property
    def by_id(self) -> bool:
        return not self.bits

    def layout(self) -> Layout:
        return Layout(packed=(Packed("signature", self.bits),) if self.bits else ())

    def config(self) -> dict[str, Json]:
        return {
            "bits": self.bits,
            "block": self.block,
            "signs": "hashed" if self.signed else "none",
            "seed": self.seed,
            "slots": len(self.memory),
            "numbers": "fp16" if self.memory.dtype == np.float16 else "fp32",
        }

    def shared(self) -> dict[str, Array]:
        return {"memory": self.memory}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> HashedSlots:
        bits = config.integer("bits", 0, MOST_BITS)
        block = config.integer("block", 1, max(1, dim))
        signed = config.choice("signs", "none", "hashed") == "hashed"
        seed = config.integer("seed", 0, MOST_SEED)
        slots = config.integer("slots", 1, _MOST_SLOTS)
        half = config.choice("numbers", "fp16", "fp32") == "fp16"
        memory = shared.array("memory", "<f2" if half else "<f4", (slots,))
        return cls(dim, bits, block, signed, seed, memory)

    @cached_property
    def _wide(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.memory, np.float32)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.hashing import gather_slots

        if self.bits:
            keys = parts.packed["signature"].codes(rows)
        else:
            keys = np.ascontiguousarray(rows[:, 0])
        gather_slots(keys, self.seed, self.block, self.signed, self._wide, out)

    def check(self, parts: Parts, start: int, stop: int) -> None:
        """Every signature is a key, and load refuses a memory that is not finite."""
