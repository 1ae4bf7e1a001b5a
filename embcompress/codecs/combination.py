"""Sums of a few anchors, each times a number of the row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts, check_finite
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.errors import BadInput

MOST_ANCHORS = 2**12
_BATCH = 4096

Values = Literal["fp16", "uint8"]


@dataclass(frozen=True, eq=False)
class Combination(Codec):
    """x = value_0·anchors[code_0] + value_1·anchors[code_1] + …, in this order in float32.

    Record: ``codes`` s codes of ⌈log₂K⌉ bits (packed as docs/format.md says); ``values`` s
    numbers, fp16, or bytes with ``scale`` fp16 that each is multiplied by first. Shared:
    ``anchors`` fp16 or fp32 [K, D].

    Args:
        dim: Columns D.
        nonzeros: s.
        values: How a row's numbers are stored.
        anchors: fp16 or fp32 [K, D].
    """

    name = "combination"

    dim: int
    nonzeros: int
    values: Values
    anchors: Array

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return (len(self.anchors) - 1).bit_length()

    def layout(self) -> Layout:
        codes = Field("codes", "u1", (self.nonzeros * self.bits + 7) // 8)
        if self.values == "fp16":
            return Layout((codes, Field("values", "<f2", self.nonzeros)))
        return Layout((codes, Field("values", "u1", self.nonzeros), Field("scale", "<f2", 1)))

    def config(self) -> dict[str, Json]:
        return {
            "anchors": len(self.anchors),
            "nonzeros": self.nonzeros,
            "values": self.values,
            "numbers": "fp16" if self.anchors.dtype == np.float16 else "fp32",
        }

    def shared(self) -> dict[str, Array]:
        return {"anchors": self.anchors}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Combination:
        count = config.integer("anchors", 1, MOST_ANCHORS)
        nonzeros = config.integer("nonzeros", 1, count)
        values = config.choice("values", "fp16", "uint8")
        half = config.choice("numbers", "fp16", "fp32") == "fp16"
        anchors = shared.array("anchors", "<f2" if half else "<f4", (count, dim))
        return cls(dim, nonzeros, values, anchors)  # type: ignore[arg-type]

    @cached_property
    def wide(self) -> NDArray[np.float32]:
        """The anchors in float32 [K, D]."""
        return np.ascontiguousarray(self.anchors, np.float32)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.combination import combine_anchors
        from embcompress.kernels.product import codes_of

        at = parts.at + self.layout().fields[0].nbytes
        half = self.values == "fp16"
        for start in range(0, len(rows), _BATCH):
            some = np.ascontiguousarray(rows[start : start + _BATCH])
            codes = codes_of(
                parts.records, parts.at, self.bits, self.nonzeros, len(self.anchors), some
            )
            into = out[start : start + _BATCH]
            combine_anchors(parts.records, at, half, some, codes, self.wide, into)

    def check(self, parts: Parts, start: int, stop: int) -> None:
        from embcompress.kernels.product import codes_of

        layout, k = self.layout(), len(self.anchors)
        name = "values" if self.values == "fp16" else "scale"
        check_finite(parts.values(layout, name, start, stop), start, f"a number of its {name}")
        if k < 2**self.bits:
            rows = np.arange(start, stop, dtype=np.int64)
            codes = codes_of(parts.records, parts.at, self.bits, self.nonzeros, 2**self.bits, rows)
            bad = (codes >= k).any(axis=1)
            if bad.any():
                raise BadInput(f"row {start + int(bad.argmax())}: a code is not below {k}")
