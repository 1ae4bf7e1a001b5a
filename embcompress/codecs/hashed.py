"""Rows of a table that many row numbers share, added or multiplied."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts, check_finite
from embcompress.codecs.hostile import Array, Config, Json, Shared

Scheme = Literal["remainder", "quotient", "bits"]
Scale = Literal["none", "fp16", "fp32"]
_SCALES = {"fp16": "<f2", "fp32": "<f4"}
MOST_ROWS = 2**48


@dataclass(frozen=True)
class Sharing:
    """Which rows of a table a row number has.

    Args:
        scheme: ``remainder``: row i mod m. ``quotient``: rows i mod m and m + i div m. ``bits``:
            one row for each group of ``bits`` bits of i, lowest first.
        span: Numbers i there are, 0 … span - 1.
        size: m, or the bits of a group.
    """

    scheme: Scheme
    span: int
    size: int

    @property
    def bits(self) -> int:
        """Bits of a group; 0 for remainders."""
        return self.size if self.scheme == "bits" else 0

    @property
    def count(self) -> int:
        """Rows that a number has."""
        if self.scheme == "bits":
            return max(1, -(-max(self.span - 1, 0).bit_length() // self.size))
        return 2 if self.scheme == "quotient" else 1

    @property
    def rows(self) -> int:
        """Rows of the table."""
        if self.scheme == "bits":
            return int(min(2**self.size, self.span))
        return self.size + (-(-self.span // self.size) if self.scheme == "quotient" else 0)


@dataclass(frozen=True, eq=False)
class Hashed(Codec):
    """x = the shared rows of number i, added (or multiplied), times the row's scale if any.

    i is the original row number less ``first``. Record: with a scale ``scale``, fp16 or fp32.
    Shared: ``shared`` fp16 or fp32 [K, D].

    Args:
        dim: Columns D.
        sharing: Which rows a number has.
        first: Original row number of number 0.
        product: Whether rows are multiplied.
        scale: Of a row.
        table: fp16 or fp32 [K, D].
    """

    name = "hashed"

    dim: int
    sharing: Sharing
    first: int
    product: bool
    scale: Scale
    table: Array

    @property
    def by_id(self) -> bool:
        return True

    def layout(self) -> Layout:
        number = _SCALES.get(self.scale)
        return Layout((Field("scale", number, 1),) if number else ())

    def config(self) -> dict[str, Json]:
        return {
            "scheme": self.sharing.scheme,
            "first": self.first,
            "span": self.sharing.span,
            "size": self.sharing.size,
            "combine": "product" if self.product else "sum",
            "scale": self.scale,
            "numbers": "fp16" if self.table.dtype == np.float16 else "fp32",
        }

    def shared(self) -> dict[str, Array]:
        return {"shared": self.table}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Hashed:
        scheme = config.choice("scheme", "remainder", "quotient", "bits")
        first = config.integer("first", 0, MOST_ROWS)
        span = config.integer("span", 1, MOST_ROWS)
        size = config.integer("size", 1, 48 if scheme == "bits" else MOST_ROWS)
        product = config.choice("combine", "sum", "product") == "product"
        scale = config.choice("scale", "none", "fp16", "fp32")
        half = config.choice("numbers", "fp16", "fp32") == "fp16"
        sharing = Sharing(scheme, span, size)  # type: ignore[arg-type]
        table = shared.array("shared", "<f2" if half else "<f4", (sharing.rows, dim))
        return cls(dim, sharing, first, product, scale, table)  # type: ignore[arg-type]

    @cached_property
    def wide(self) -> NDArray[np.float32]:
        """The table in float32 [K, D]."""
        return np.ascontiguousarray(self.table, np.float32)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.shared_rows import decode_shared_rows

        sharing = self.sharing
        decode_shared_rows(
            parts.records, parts.at, {"fp16": 2, "fp32": 4}.get(self.scale, 0), rows, self.first,
            sharing.span, sharing.count, sharing.size, sharing.bits, self.product, self.wide, out,
        )  # fmt: skip

    def check(self, parts: Parts, start: int, stop: int) -> None:
        if self.scale != "none":
            check_finite(parts.values(self.layout(), "scale", start, stop), start, "scale")
