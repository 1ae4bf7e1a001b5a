"""Signs with a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts, check_finite
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.kernels.bits import packed_bytes

Scale = Literal["none", "row16", "row32", "column", "table"]


@dataclass(frozen=True, eq=False)
class Binary(Codec):
    """x = +α where the bit is 1, -α where it is 0.

    Record: ``codes`` D bits; with a scale per row ``scale``, fp16 or fp32. Shared: ``scales``
    float32 [D] with a scale per column, float32 [1] with one for all; α is 1 without scales.
    """

    name = "binary"

    dim: int
    scale: Scale
    scales: NDArray[np.float32] | None

    def layout(self) -> Layout:
        codes = Field("codes", "u1", packed_bytes(self.dim, 1))
        number = {"row16": "<f2", "row32": "<f4"}.get(self.scale)
        return Layout((codes, Field("scale", number, 1)) if number else (codes,))

    def config(self) -> dict[str, Json]:
        return {"scale": self.scale}

    def shared(self) -> dict[str, Array]:
        return {} if self.scales is None else {"scales": self.scales}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Binary:
        scale = config.choice("scale", "none", "row16", "row32", "column", "table")
        size = {"column": dim, "table": 1}.get(scale)
        scales = None if size is None else shared.array("scales", "<f4", (size,))
        return cls(dim, scale, scales)  # type: ignore[arg-type]

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.signs import (
            decode_signs,
            decode_signs_by_column,
            decode_signs_by_row,
        )

        if self.scale in ("row16", "row32"):
            decode_signs_by_row(parts.records, parts.at, self.scale == "row16", rows, out)
        elif self.scales is None or self.scale == "table":
            scale = 1.0 if self.scales is None else float(self.scales[0])
            decode_signs(parts.records, parts.at, scale, rows, out)
        else:
            decode_signs_by_column(parts.records, parts.at, self.scales, rows, out)

    def dots(
        self, parts: Parts, queries: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        from embcompress.kernels.sign_products import sign_products

        scaled = queries.astype(np.float64)
        if self.scales is not None:
            scaled *= self.scales
        return sign_products(parts.records, parts.at, self._scale_bytes, scaled, rows)

    def squared_norms(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._scale_bytes:
            return (self._row_scales(parts, rows) ** 2 * self.dim).astype(np.float32)
        return np.full(len(rows), self._shared_norm, np.float32)

    def pair_dots(
        self, parts: Parts, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        from embcompress.kernels.hamming import pair_distances

        if self.scale == "column":
            return None
        differing = pair_distances(parts.records, parts.at, self.dim, first, second)
        products = self.dim - 2.0 * differing.astype(np.float64)
        if self._scale_bytes:
            products *= self._row_scales(parts, first) * self._row_scales(parts, second)
        elif self.scales is not None:
            products *= float(self.scales[0]) ** 2
        return products.astype(np.float32)

    @property
    def _scale_bytes(self) -> int:
        return {"row16": 2, "row32": 4}.get(self.scale, 0)

    @property
    def _shared_norm(self) -> float:
        if self.scales is None:
            return float(self.dim)
        squares = float((self.scales.astype(np.float64) ** 2).sum())
        return squares if self.scale == "column" else squares * self.dim

    def _row_scales(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scales of rows that have one each, float64 [b]."""
        at = parts.at + packed_bytes(self.dim, 1)
        raw = parts.records[:, at : at + self._scale_bytes][rows]
        return raw.view("<f2" if self._scale_bytes == 2 else "<f4")[:, 0].astype(np.float64)

    def check(self, parts: Parts, start: int, stop: int) -> None:
        if self.scale in ("row16", "row32"):
            check_finite(parts.values(self.layout(), "scale", start, stop), start, "scale")
