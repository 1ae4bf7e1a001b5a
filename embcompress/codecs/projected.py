"""A row as coordinates: an offset and a basis in front of an inner codec."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Parts
from embcompress.codecs.hostile import INNER, Array, Config, Json, Shared
from embcompress.codecs.load import describe, load_codec

_BATCH = 4096


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

    def check(self, parts: Parts, start: int, stop: int) -> None:
        self.inner.check(parts.inner(0), start, stop)
