"""A table as a tensor train: a row is a product of small matrices that its slot's digits choose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Packed, Parts
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.errors import BadInput

MOST_CORES = 8
_MOST = 2**31
_MOST_SLOTS = 2**48


@dataclass(frozen=True, eq=False)
class TensorTrain(Codec):
    """row = G₁[i₁]·G₂[i₂]· … ·G_K[i_K], i₁ … i_K the digits of its slot.

    A row's slot is its position in the segment, or, with ``bits``, stored. Packed: ``slots``,
    ``bits`` bits a row, none when rows lie in the order of their slots. Shared: ``core0`` …
    float32 [n_k, r_{k-1}, d_k, r_k].

    Args:
        dim: Columns D, at most the product of all d_k; what is beyond is dropped.
        bits: Bits of a stored slot, or 0.
        cores: float32 [n_k, r_{k-1}, d_k, r_k] each, r_0 = r_K = 1.
    """

    name = "tensor-train"

    dim: int
    bits: int
    cores: tuple[NDArray[np.float32], ...]

    @property
    def rows(self) -> tuple[int, ...]:
        """Slots along each core."""
        return tuple(core.shape[0] for core in self.cores)

    @property
    def columns(self) -> tuple[int, ...]:
        """Columns along each core."""
        return tuple(core.shape[2] for core in self.cores)

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks between the cores."""
        return tuple(core.shape[3] for core in self.cores[:-1])

    def layout(self) -> Layout:
        return Layout(packed=(Packed("slots", self.bits),) if self.bits else ())

    def config(self) -> dict[str, Json]:
        return {
            "rows": list(self.rows),
            "columns": list(self.columns),
            "ranks": list(self.ranks),
            "slots": self.bits,
        }

    def shared(self) -> dict[str, Array]:
        return {f"core{k}": core for k, core in enumerate(self.cores)}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> TensorTrain:
        rows = config.integers("rows", 1, MOST_CORES, 1, _MOST)
        columns = config.integers("columns", len(rows), len(rows), 1, _MOST)
        ranks = (1, *config.integers("ranks", len(rows) - 1, len(rows) - 1, 1, _MOST), 1)
        bits = config.integer("slots", 0, 32)
        if math.prod(rows) > _MOST_SLOTS:
            raise BadInput(f"{shared.where}: a tensor train of {math.prod(rows)} slots")
        if not dim <= math.prod(columns) <= 2 * dim + 64:
            raise BadInput(
                f"{shared.where}: a tensor train of {math.prod(columns)} columns for {dim}"
            )
        cores = tuple(
            shared.array(f"core{k}", "<f4", (rows[k], ranks[k], columns[k], ranks[k + 1]))
            for k in range(len(rows))
        )
        return cls(dim, bits, cores)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.tensor_train import decode_train

        if not out.size:
            return
        numbers, starts = self._flat
        sizes, widths = np.array(self.rows, np.int64), np.array(self.columns, np.int64)
        ranks = np.array((1, *self.ranks, 1), np.int64)
        decode_train(numbers, starts, sizes, widths, ranks, self._slots(parts, rows), out)

    def _slots(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return parts.packed["slots"].codes(rows) if self.bits else rows + parts.first

    @cached_property
    def _flat(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        sizes = np.array([0, *(core.size for core in self.cores[:-1])], np.int64)
        return np.concatenate([core.ravel() for core in self.cores]), np.cumsum(sizes)

    def check(self, parts: Parts, start: int, stop: int) -> None:
        slots = self._slots(parts, np.arange(start, stop, dtype=np.int64))
        bad = slots >= math.prod(self.rows)
        if bad.any():
            row = start + int(bad.argmax())
            raise BadInput(f"row {row}: its slot is not below {math.prod(self.rows)}")
