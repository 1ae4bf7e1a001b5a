"""Every weight stored as a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts, check_finite
from embcompress.codecs.hostile import Config, Json, Shared

Number = Literal["fp32", "fp16", "bf16", "int16"]
_KERNELS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int16": "int16"}
_STORED = {"fp32": "<f4", "fp16": "<f2", "bf16": "<u2", "int16": "<i2"}


@dataclass(frozen=True)
class Dense(Codec):
    """x = value; for int16 x = value·scale in float32.

    Record: ``values`` D numbers (bf16 as u2, the upper half of a float32); for int16 then
    ``scale`` fp32.
    """

    name = "dense"

    dim: int
    dtype: Number

    def layout(self) -> Layout:
        values = Field("values", _STORED[self.dtype], self.dim)
        return Layout((values, Field("scale", "<f4", 1)) if self.dtype == "int16" else (values,))

    def config(self) -> dict[str, Json]:
        return {"numbers": self.dtype}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Dense:
        return cls(dim, config.choice("numbers", *_STORED))  # type: ignore[arg-type]

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.dense import decode_dense

        decode_dense(parts.records, parts.at, _KERNELS[self.dtype], rows, out)

    def check(self, parts: Parts, start: int, stop: int) -> None:
        layout = self.layout()
        if self.dtype == "int16":
            check_finite(parts.values(layout, "scale", start, stop), start, "scale")
            return
        values = parts.values(layout, "values", start, stop)
        if self.dtype == "bf16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        check_finite(values, start, "a value")
