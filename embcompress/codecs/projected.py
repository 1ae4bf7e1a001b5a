"""A row as coordinates: an offset and a basis in front of an inner codec."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Parts
from embcompress.codecs.hostile import INNER, Array, Config, Json, Shared
from embcompress.codecs.load import describe, load_codec

_BATCH = 4096
_ORTHONORMAL = 1e-6
"""How far products of a basis's rows may be from 0 and 1 to count as orthonormal."""
_CANCELLED = 0.01
"""Rows so much shorter than their offset and coordinates are decoded to find their norm."""


@dataclass(frozen=True, eq=False)
class Projected(Codec):
    """row = offset + coordinates · basis, the coordinates decoded by ``inner``.

    Bytes: those of ``inner``. Shared: ``offset`` float32 [D]; with a basis, ``basis``
    float32 [K, D]. The sum starts at the offset and adds coordinate times basis row for
    k = 0, 1, 2, … in float32, every product and sum rounded.
    """

    name = "projected"

    dim: int
    offset: NDArray[np.float32]
    basis: NDArray[np.float32] | None
    inner: Codec

    @property
    def by_id(self) -> bool:
        return self.inner.by_id

    def layout(self) -> Layout:
        return Layout().then(self.inner.layout())

    def config(self) -> dict[str, Json]:
        kept = None if self.basis is None else self.basis.shape[0]
        return {"coordinates": kept or 0, "inner": describe(self.inner)}

    def shared(self) -> dict[str, Array]:
        own: dict[str, Array] = {"offset": self.offset}
        if self.basis is not None:
            own["basis"] = self.basis
        return own | {INNER + k: v for k, v in self.inner.shared().items()}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Projected:
        kept = config.integer("coordinates", 0, 2**31)
        offset = shared.array("offset", "<f4", (dim,))
        basis = shared.array("basis", "<f4", (kept, dim)) if kept else None
        inner = load_codec(
            kept or dim, config.inner("inner"), shared.inner(), config.where, depth + 1
        )
        return cls(dim, offset, basis, inner)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.project import project, shift

        inner = parts.inner(0)
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            coordinates = np.empty((len(batch), self.inner.dim), np.float32)
            self.inner.decode(inner, batch, coordinates)
            if self.basis is None:
                shift(coordinates, self.offset, out[start : start + _BATCH])
            else:
                project(coordinates, self.basis, self.offset, out[start : start + _BATCH])

    def dots(
        self, parts: Parts, queries: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        if type(self.inner).dots is Codec.dots:
            return None
        wide = queries.astype(np.float64)
        turned = queries if self.basis is None else (wide @ self.basis.T).astype(np.float32)
        found = self.inner.dots(parts.inner(0), np.ascontiguousarray(turned), rows)
        return None if found is None else found + (wide @ self.offset).astype(np.float32)[:, None]

    def squared_norms(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        # |o + cB|² = |o|² + 2·c·(B o) + |c|² where the rows of B are orthonormal
        inner = parts.inner(0)
        lengths = self.inner.squared_norms(inner, rows) if self._orthonormal else None
        across = None if lengths is None else self._across(inner, rows)
        if lengths is None or across is None:
            return None
        found = lengths + (2 * across + self._offset_norm)
        cancelled = np.flatnonzero(found < _CANCELLED * (lengths + self._offset_norm))
        for start in range(0, len(cancelled), _BATCH):
            some = cancelled[start : start + _BATCH]
            decoded = np.empty((len(some), self.dim), np.float32)
            self.decode(parts, rows[some], decoded)
            wide = decoded.astype(np.float64)
            found[some] = np.einsum("ij,ij->i", wide, wide)
        return found.astype(np.float32)

    def pair_dots(
        self, parts: Parts, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        inner = parts.inner(0)
        found = self.inner.pair_dots(inner, first, second) if self._orthonormal else None
        one = None if found is None else self._across(inner, first)
        other = None if one is None else self._across(inner, second)
        if found is None or one is None or other is None:
            return None
        return (found + (one + other + self._offset_norm)).astype(np.float32)

    @cached_property
    def _orthonormal(self) -> bool:
        if self.basis is None:
            return True
        wide = self.basis.astype(np.float64)
        return bool(np.allclose(wide @ wide.T, np.eye(len(wide)), rtol=0, atol=_ORTHONORMAL))

    @cached_property
    def _offset_norm(self) -> float:
        wide = self.offset.astype(np.float64)
        return float(wide @ wide)

    @cached_property
    def _turned_offset(self) -> NDArray[np.float32]:
        """The offset in the inner codec's coordinates, float32 [1, K]."""
        if self.basis is None:
            return self.offset[None]
        wide = self.basis.astype(np.float64) @ self.offset.astype(np.float64)
        return wide.astype(np.float32)[None]

    def _across(self, inner: Parts, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Products of the offset with rows without it, float64 [b]."""
        if not self.offset.any():
            return np.zeros(len(rows))
        found = self.inner.dots(inner, self._turned_offset, rows)
        return None if found is None else found[0].astype(np.float64)

    def lengths(self, part: str, parts: Parts) -> NDArray[np.int64]:
        return self.inner.lengths(part.removeprefix(INNER), parts.inner(0))

    def check(self, parts: Parts, start: int, stop: int) -> None:
        self.inner.check(parts.inner(0), start, stop)
