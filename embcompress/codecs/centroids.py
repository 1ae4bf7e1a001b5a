"""Rows of a codebook: one code a row, in as many bits as the codebook needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Layout, Packed, Parts
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.errors import BadInput

_PAIR_TABLE = 1024  # codewords whose products with each other fit the cache


@dataclass(frozen=True, eq=False)
class Centroids(Codec):
    """x = codebook[code].

    Packed: ``codes``, ⌈log₂K⌉ bits a row, none when K is 1. Shared: ``codebook`` [K, D].
    """

    name = "centroids"

    dim: int
    half: bool
    book: NDArray[np.float32]

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return (len(self.book) - 1).bit_length()

    @property
    def _number(self) -> str:
        return "<f2" if self.half else "<f4"

    def layout(self) -> Layout:
        return Layout(packed=(Packed("codes", self.bits),) if self.bits else ())

    def config(self) -> dict[str, Json]:
        return {"rows": len(self.book), "numbers": "fp16" if self.half else "fp32"}

    def shared(self) -> dict[str, Array]:
        return {"codebook": self.book.astype(self._number)}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Centroids:
        count = config.integer("rows", 1, 2**32)
        half = config.choice("numbers", "fp16", "fp32") == "fp16"
        stored = shared.array("codebook", "<f2" if half else "<f4", (count, dim))
        return cls(dim, half, stored.astype(np.float32))

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.centroids import decode_centroids

        if not self.bits:
            out[:] = self.book[0]
        elif out.size:
            codes = parts.packed["codes"]
            decode_centroids(codes.string, codes.first, codes.bits, self.book, rows, out)

    def dots(
        self, parts: Parts, queries: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        codes = self._codes(parts, rows)
        if len(codes) >= len(self.book):
            return (queries @ self.book.T)[:, codes]
        used, place = np.unique(codes, return_inverse=True)
        products: NDArray[np.float32] = (queries @ self.book[used].T)[:, place]
        return products

    def squared_norms(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._squares[self._codes(parts, rows)]

    def pair_dots(
        self, parts: Parts, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        if len(self.book) > _PAIR_TABLE:
            return None
        return self._products[self._codes(parts, first), self._codes(parts, second)]

    def check(self, parts: Parts, start: int, stop: int) -> None:
        if self.bits:
            codes = parts.packed["codes"].codes(np.arange(start, stop, dtype=np.int64))
            bad = codes >= len(self.book)
            if bad.any():
                row = start + int(bad.argmax())
                raise BadInput(f"row {row}: its code is not below {len(self.book)}")

    def _codes(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self.bits:
            return np.zeros(len(rows), np.int64)
        return np.minimum(parts.packed["codes"].codes(rows), len(self.book) - 1)

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        squares: NDArray[np.float32] = np.einsum("kd,kd->k", self.book, self.book)
        return squares

    @cached_property
    def _products(self) -> NDArray[np.float32]:
        return self.book @ self.book.T
