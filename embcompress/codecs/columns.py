"""Some columns of a row: an inner codec holds them, the others have one value each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Parts
from embcompress.codecs.hostile import INNER, Array, Config, Json, Shared
from embcompress.codecs.load import describe, load_codec
from embcompress.errors import BadInput

_BATCH = 4096


@dataclass(frozen=True, eq=False)
class Columns(Codec):
    """Column j of a row is its next coordinate if j is kept, else the fill of column j.

    Bytes: those of ``inner``. Shared: ``kept`` uint8 [⌈D/8⌉], bit j % 8 of byte j // 8 for column
    j; with a fill, ``fill`` float32 [D - K], of the columns that are not kept.

    Args:
        dim: Columns D.
        kept: int64 [K], ascending columns from 0 to D - 1; none or all of them too.
        fill: float32 [D - K], what the other columns hold, in their order; None for zeros.
        inner: Decodes the K kept columns.
    """

    name = "columns"

    dim: int
    kept: NDArray[np.int64]
    fill: NDArray[np.float32] | None
    inner: Codec

    @property
    def by_id(self) -> bool:
        return self.inner.by_id

    def layout(self) -> Layout:
        return Layout().then(self.inner.layout())

    def config(self) -> dict[str, Json]:
        fill = "zero" if self.fill is None else "values"
        return {"fill": fill, "inner": describe(self.inner)}

    def shared(self) -> dict[str, Array]:
        mask = np.zeros(self.dim, np.uint8)
        mask[self.kept] = 1
        own: dict[str, Array] = {"kept": np.packbits(mask, bitorder="little")}
        if self.fill is not None:
            own["fill"] = self.fill
        return own | {INNER + k: v for k, v in self.inner.shared().items()}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Columns:
        bits = np.unpackbits(shared.array("kept", "|u1", (-(-dim // 8),)), bitorder="little")
        if bits[dim:].any():
            raise BadInput(f"{shared.where}: 'kept' has bits past column {dim - 1}")
        kept = np.flatnonzero(bits[:dim]).astype(np.int64)
        fill = None
        if config.choice("fill", "zero", "values") == "values":
            fill = shared.array("fill", "<f4", (dim - len(kept),))
        inner = load_codec(
            len(kept), config.inner("inner"), shared.inner(), config.where, depth + 1
        )
        return cls(dim, kept, fill, inner)

    @cached_property
    def filled(self) -> NDArray[np.float32]:
        """A row of nothing but fill, 0 in the kept columns: float32 [D]."""
        row = np.zeros(self.dim, np.float32)
        if self.fill is not None:
            row[np.delete(np.arange(self.dim), self.kept)] = self.fill
        return row

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.columns import spread

        inner = parts.inner(0)
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            coordinates = np.empty((len(batch), len(self.kept)), np.float32)
            self.inner.decode(inner, batch, coordinates)
            spread(coordinates, self.kept, self.filled, out[start : start + _BATCH])

    def dots(
        self, parts: Parts, queries: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        if not len(self.kept):
            return None
        found = self.inner.dots(parts.inner(0), np.ascontiguousarray(queries[:, self.kept]), rows)
        if found is None or self.fill is None:
            return found
        wide: NDArray[np.float64] = queries.astype(np.float64) @ self.filled
        return found + wide.astype(np.float32)[:, None]

    def squared_norms(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        found = self.inner.squared_norms(parts.inner(0), rows) if len(self.kept) else None
        return None if found is None else (found + self._fill_norm).astype(np.float32)

    def pair_dots(
        self, parts: Parts, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        found = self.inner.pair_dots(parts.inner(0), first, second) if len(self.kept) else None
        return None if found is None else (found + self._fill_norm).astype(np.float32)

    @cached_property
    def _fill_norm(self) -> float:
        wide = self.filled.astype(np.float64)
        return float(wide @ wide)

    def lengths(self, part: str, parts: Parts) -> NDArray[np.int64]:
        return self.inner.lengths(part.removeprefix(INNER), parts.inner(0))

    def check(self, parts: Parts, start: int, stop: int) -> None:
        self.inner.check(parts.inner(0), start, stop)
