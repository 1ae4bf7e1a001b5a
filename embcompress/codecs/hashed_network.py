"""A small network on hashes of the row number: a fixed random layer, and an output layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Parts
from embcompress.codecs.hashed_slots import MOST_SEED
from embcompress.codecs.hostile import Array, Config, Json, Shared

MOST_HIDDEN = 2**16
MOST_HASHES = 2**12
_BATCH = 1024


@dataclass(frozen=True, eq=False)
class HashedNetwork(Codec):
    """x = bias + Σ_u relu(c_u + Σ_k f_k·r_ku)·output_u, all sums in order in float32.

    f are ``hashes`` numbers from -1 to 1, hashes of the original row number; c and r are such
    numbers too and are not stored. No parts. Shared: ``output`` fp16 or fp32 [H + 1, D], whose
    last row is the bias.

    Args:
        dim: Columns D.
        hashes: Of a row number.
        seed: Of all hashes; the random layer has the next one.
        output: fp16 or fp32 [H + 1, D].
    """

    name = "hashed-network"

    dim: int
    hashes: int
    seed: int
    output: Array

    @property
    def by_id(self) -> bool:
        return True

    @property
    def hidden(self) -> int:
        """Units H of the random layer."""
        return len(self.output) - 1

    def layout(self) -> Layout:
        return Layout()

    def config(self) -> dict[str, Json]:
        return {
            "hashes": self.hashes,
            "hidden": self.hidden,
            "seed": self.seed,
            "numbers": "fp16" if self.output.dtype == np.float16 else "fp32",
        }

    def shared(self) -> dict[str, Array]:
        return {"output": self.output}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> HashedNetwork:
        hashes = config.integer("hashes", 1, MOST_HASHES)
        hidden = config.integer("hidden", 1, MOST_HIDDEN)
        seed = config.integer("seed", 0, MOST_SEED)
        half = config.choice("numbers", "fp16", "fp32") == "fp16"
        output = shared.array("output", "<f2" if half else "<f4", (hidden + 1, dim))
        return cls(dim, hashes, seed, output)

    @cached_property
    def _layer(self) -> NDArray[np.float32]:
        """The random layer, float32 [hashes + 1, H]; its last row is the offset c."""
        from embcompress.kernels.hashing import hash_numbers

        layer = np.empty((self.hashes + 1, self.hidden), np.float32)
        hash_numbers(np.arange(len(layer), dtype=np.int64), self.seed + 1, layer)
        return layer

    @cached_property
    def _wide(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.output, np.float32)

    def activations(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The random layer's output, float32 [b, H].

        Args:
            ids: int64 [b], original row numbers.
        """
        from embcompress.kernels.hashing import hash_numbers
        from embcompress.kernels.project import project

        features = np.empty((len(ids), self.hashes), np.float32)
        hash_numbers(ids, self.seed, features)
        found = np.empty((len(ids), self.hidden), np.float32)
        project(features, self._layer[:-1], self._layer[-1], found)
        found[found <= 0] = 0
        return found

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.project import project

        if not self.dim:
            return
        ids = np.ascontiguousarray(rows[:, 0])
        for start in range(0, len(rows), _BATCH):
            found = self.activations(ids[start : start + _BATCH])
            project(found, self._wide[:-1], self._wide[-1], out[start : start + _BATCH])

    def check(self, parts: Parts, start: int, stop: int) -> None:
        """Load refuses an output layer that is not finite."""
