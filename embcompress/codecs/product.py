"""Codes into a codebook for each segment of a row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.errors import BadInput

_MOST_BITS = 12
_BATCH = 4096
_PAIR_NUMBERS = 2**25  # of the table of codeword products: 128 MB


def segment_edges(d: int, segments: int) -> NDArray[np.int64]:
    """Where segments begin, and D: the first D % S segments are one column longer.

    Returns:
        int64 [S + 1].
    """
    if not segments:
        return np.zeros(1, np.int64)
    numbers = np.arange(segments + 1, dtype=np.int64)
    return numbers * (d // segments) + np.minimum(numbers, d % segments)


@dataclass(frozen=True, eq=False)
class Product(Codec):
    """Columns of segment s = those columns of codeword number code_s.

    Record: ``codes`` S codes of ``bits`` bits (packed as docs/format.md says). Shared:
    ``codebook`` fp16 or fp32 [K, D], where codeword k of a segment is row k's columns of it.

    Args:
        dim: Columns D.
        segments: S, at most D.
        bits: Bits a code, 0 to 12.
        codebook: fp16 or fp32 [K, D].
    """

    name = "product"

    dim: int
    segments: int
    bits: int
    codebook: Array

    def layout(self) -> Layout:
        return Layout((Field("codes", "u1", (self.segments * self.bits + 7) // 8),))

    def config(self) -> dict[str, Json]:
        return {
            "segments": self.segments,
            "bits": self.bits,
            "codewords": len(self.codebook),
            "numbers": "fp16" if self.codebook.dtype == np.float16 else "fp32",
        }

    def shared(self) -> dict[str, Array]:
        return {"codebook": self.codebook}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Product:
        segments = config.integer("segments", min(dim, 1), dim)
        bits = config.integer("bits", 0, _MOST_BITS)
        codewords = config.integer("codewords", 1, 2**_MOST_BITS)
        half = config.choice("numbers", "fp16", "fp32") == "fp16"
        codebook = shared.array("codebook", "<f2" if half else "<f4", (codewords, dim))
        return cls(dim, segments, bits, codebook)

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Where segments begin, and D: int64 [S + 1]."""
        return segment_edges(self.dim, self.segments)

    @cached_property
    def books(self) -> list[NDArray[np.float32]]:
        """The codewords of every segment, float32 [K, its columns]."""
        wide = self.codebook.astype(np.float32)
        return [np.ascontiguousarray(wide[:, a:b]) for a, b in pairwise(self.edges)]

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        from embcompress.kernels.lanes import LANES

        flat = [book.reshape(-1) for book in self.books]
        return np.concatenate([*flat, np.zeros(LANES, np.float32)])

    @cached_property
    def _products(self) -> NDArray[np.float32]:
        """Inner products of codewords of a segment, float32 [S, K, K] flat."""
        squares: list[NDArray[np.float32]] = [book @ book.T for book in self.books]
        return np.stack(squares).reshape(-1)

    def codes(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Codes of rows, each below K, uint16 [b, S].

        Args:
            parts: The segment's encoded rows.
            rows: int64 [b], positions in the segment, in range.
        """
        from embcompress.kernels.product import codes_of

        return codes_of(parts.records, parts.at, self.bits, self.segments, len(self.codebook), rows)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.product import decode_codes

        if not self.dim:
            return
        table, k = self._table, len(self.codebook)
        for start in range(0, len(rows), _BATCH):
            codes = self.codes(parts, rows[start : start + _BATCH])
            decode_codes(codes, table, k, out[start : start + _BATCH])

    def dots(
        self, parts: Parts, queries: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        many = len(queries) * self.segments > self.dim
        if many or not self.dim or len(rows) <= len(self.codebook):
            return None  # the look-ups, or their tables, cost more than decoding
        tables = [
            queries[:, a:b] @ book.T
            for (a, b), book in zip(pairwise(self.edges), self.books, strict=True)
        ]
        return self._look_up(parts, np.stack(tables, axis=1), rows)

    def squared_norms(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        if not self.dim:
            return np.zeros(len(rows), np.float32)
        tables = np.stack([np.einsum("kj,kj->k", book, book) for book in self.books])
        sums: NDArray[np.float32] = self._look_up(parts, tables[None], rows)[0]
        return sums

    def _look_up(
        self, parts: Parts, tables: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Sums of table entries: tables float32 [q, S, K] give float32 [q, b]."""
        from embcompress.kernels.product import sum_entries

        flat = tables.reshape(len(tables), -1)
        out = np.empty((len(tables), len(rows)), np.float32)
        for start in range(0, len(rows), _BATCH):
            codes = self.codes(parts, rows[start : start + _BATCH])
            for table, sums in zip(flat, out, strict=True):
                sum_entries(codes, table, len(self.codebook), sums[start : start + _BATCH])
        return out

    def pair_dots(
        self, parts: Parts, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        from embcompress.kernels.product import sum_pairs

        k = len(self.codebook)
        if not self.dim or self.segments * k**2 > _PAIR_NUMBERS:
            return None
        out = np.empty(len(first), np.float32)
        for start in range(0, len(first), _BATCH):
            some = slice(start, start + _BATCH)
            one, other = self.codes(parts, first[some]), self.codes(parts, second[some])
            sum_pairs(one, other, self._products, k, out[some])
        return out

    def check(self, parts: Parts, start: int, stop: int) -> None:
        from embcompress.kernels.product import codes_of

        k = len(self.codebook)
        if k >= 2**self.bits or not self.segments:
            return
        rows = np.arange(start, stop, dtype=np.int64)
        codes = codes_of(parts.records, parts.at, self.bits, self.segments, 2**self.bits, rows)
        bad = (codes >= k).any(axis=1)
        if bad.any():
            raise BadInput(f"row {start + int(bad.argmax())}: a code is not below {k}")
