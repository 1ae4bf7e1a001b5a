"""Uniform b-bit codes with a scale and a bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts, check_finite
from embcompress.codecs.hostile import Config, Json, Shared
from embcompress.kernels.bits import by_parts, packed_bytes


@dataclass(frozen=True)
class Uniform(Codec):
    """x = q·scale + bias, float32, product and sum each rounded.

    Record: ``codes`` D codes of ``bits`` bits (packed as docs/format.md says), ``scale`` and
    ``bias``, one for every ``group`` columns (the last group may be shorter).
    """

    name = "uniform"

    dim: int
    bits: int
    group: int
    half: bool

    @property
    def groups(self) -> int:
        """Scales of a row."""
        return -(-self.dim // self.group)

    def layout(self) -> Layout:
        number = "<f2" if self.half else "<f4"
        return Layout(
            (
                Field("codes", "u1", packed_bytes(self.dim, self.bits)),
                Field("scale", number, self.groups),
                Field("bias", number, self.groups),
            )
        )

    def config(self) -> dict[str, Json]:
        return {"bits": self.bits, "group": self.group, "numbers": "fp16" if self.half else "fp32"}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Uniform:
        bits = config.integer("bits", 1, 8)
        group = config.integer("group", 1, 2**48)
        return cls(dim, bits, group, config.choice("numbers", "fp16", "fp32") == "fp16")

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.uniform import decode_uniform

        decode_uniform(parts.records, parts.at, self.bits, self.group, self.half, rows, out)

    def sum_bags(
        self,
        parts: Parts,
        rows: NDArray[np.int64],
        offsets: NDArray[np.int64],
        weights: NDArray[np.float32],
        out: NDArray[np.float32],
        *,
        mean: bool,
    ) -> bool:
        from embcompress.kernels.bags import sum_uniform

        if self.groups != 1 or not by_parts(self.bits):
            return False
        sum_uniform(
            parts.records, parts.at, self.bits, self.half, rows, offsets, weights, mean, out
        )
        return True

    def check(self, parts: Parts, start: int, stop: int) -> None:
        for name in ("scale", "bias"):
            check_finite(parts.values(self.layout(), name, start, stop), start, name)
