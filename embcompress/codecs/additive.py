"""Codes into several codebooks whose codewords add up to a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts
from embcompress.codecs.hostile import Array, Config, Json, Shared

MOST_BOOKS = 64
MOST_BITS = 12
_BATCH = 4096
_PAIR_NUMBERS = 2**24  # of the tables of codeword products: 128 MB


@dataclass(frozen=True)
class Range:
    """Some columns, and the books that cover them.

    Args:
        first: First column.
        stop: The column after the last.
        start: First book.
        end: The book after the last.
        at: Where the books begin in the flat codebook.
        size: Numbers of the books.
    """

    first: int
    stop: int
    start: int
    end: int
    at: int
    size: int


def ranges(dim: int, books: int, splits: int, codewords: int) -> Iterator[Range]:
    """Share columns and books out to ranges, the first ones taking what does not divide.

    Args:
        dim: Columns D.
        books: S.
        splits: Ranges R, at most S and at most D, or 1.
        codewords: Of a book, K.
    """

    def edge(total: int, number: int) -> int:
        return number * (total // splits) + min(number, total % splits)

    at = 0
    for r in range(splits):
        first, stop = edge(dim, r), edge(dim, r + 1)
        start, end = edge(books, r), edge(books, r + 1)
        size = (end - start) * codewords * (stop - first)
        yield Range(first, stop, start, end, at, size)
        at += size


@dataclass(frozen=True, eq=False)
class Additive(Codec):
    """x = book_0[code_0] + book_1[code_1] + …, in this order in float32, every sum rounded.

    Record: ``codes`` S codes of ``bits`` bits (packed as docs/format.md says). Shared:
    ``codebook``, flat: books one after another, each [2^bits, its columns]. With several ranges
    the columns are cut, and each book covers one range.

    Args:
        dim: Columns D.
        books: S.
        splits: Ranges R.
        bits: Bits a code, 1 to 12.
        codebook: fp16 or fp32, flat.
    """

    name = "additive"

    dim: int
    books: int
    splits: int
    bits: int
    codebook: Array

    def layout(self) -> Layout:
        return Layout((Field("codes", "u1", (self.books * self.bits + 7) // 8),))

    def config(self) -> dict[str, Json]:
        return {
            "books": self.books,
            "ranges": self.splits,
            "bits": self.bits,
            "numbers": "fp16" if self.codebook.dtype == np.float16 else "fp32",
        }

    def shared(self) -> dict[str, Array]:
        return {"codebook": self.codebook}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> Additive:
        books = config.integer("books", 1, MOST_BOOKS)
        splits = config.integer("ranges", 1, max(1, min(dim, books)))
        bits = config.integer("bits", 1, MOST_BITS)
        half = config.choice("numbers", "fp16", "fp32") == "fp16"
        size = sum(r.size for r in ranges(dim, books, splits, 2**bits))
        codebook = shared.array("codebook", "<f2" if half else "<f4", (size,))
        return cls(dim, books, splits, bits, codebook)

    @cached_property
    def ranges(self) -> list[Range]:
        """Columns and books of every range."""
        return list(ranges(self.dim, self.books, self.splits, 2**self.bits))

    @cached_property
    def range_books(self) -> list[NDArray[np.float32]]:
        """The books of every range, float32 [its books, 2^bits, its columns]."""
        wide = self.codebook.astype(np.float32)
        return [
            wide[r.at : r.at + r.size].reshape(r.end - r.start, 2**self.bits, r.stop - r.first)
            for r in self.ranges
        ]

    @cached_property
    def _tables(self) -> list[NDArray[np.float32]]:
        from embcompress.kernels.lanes import LANES

        padding = np.zeros(LANES, np.float32)
        return [np.concatenate([book.reshape(-1), padding]) for book in self.range_books]

    @cached_property
    def _products(self) -> list[NDArray[np.float64]]:
        """Products of all codewords of every range with one another, s(s + 1)/2 tables each."""
        found = []
        for book in self.range_books:
            wide = book.astype(np.float64)
            tables = [wide[r] @ wide[t].T for r in range(len(wide)) for t in range(r, len(wide))]
            found.append(np.stack(tables).reshape(-1))
        return found

    def codes(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Codes of rows, uint16 [b, S].

        Args:
            parts: The segment's encoded rows.
            rows: int64 [b], positions in the segment, in range.
        """
        from embcompress.kernels.product import codes_of

        return codes_of(parts.records, parts.at, self.bits, self.books, 2**self.bits, rows)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.additive import add_codewords
        from embcompress.kernels.lanes import LANES

        if not self.dim:
            return
        spare = np.empty(LANES, np.float32)
        k = 2**self.bits
        for begin in range(0, len(rows), _BATCH):
            codes = self.codes(parts, rows[begin : begin + _BATCH])
            some = out[begin : begin + _BATCH]
            for r, table in zip(self.ranges, self._tables, strict=True):
                width = r.stop - r.first
                add_codewords(codes, r.start, r.end, table, k, r.first, width, spare, some)

    def dots(
        self, parts: Parts, queries: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        from embcompress.kernels.additive import sum_products

        k = 2**self.bits
        if len(rows) <= k or len(queries) > self.dim:
            return None  # the tables, or the look-ups of many queries, cost more than decoding
        wide = queries.astype(np.float64)
        tables = np.concatenate(
            [
                wide[:, r.first : r.stop] @ book.reshape(-1, r.stop - r.first).T.astype(np.float64)
                for r, book in zip(self.ranges, self.range_books, strict=True)
            ],
            axis=1,
        )
        out = np.empty((len(queries), len(rows)), np.float32)
        for begin in range(0, len(rows), _BATCH):
            codes = self.codes(parts, rows[begin : begin + _BATCH])
            for table, sums in zip(tables, out, strict=True):
                sum_products(codes, table, k, sums[begin : begin + _BATCH])
        return out

    def squared_norms(self, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        return self.pair_dots(parts, rows, rows)

    def pair_dots(
        self, parts: Parts, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        from embcompress.kernels.additive import sum_cross_products

        k = 2**self.bits
        counts = [r.end - r.start for r in self.ranges]
        if sum(s * (s + 1) // 2 for s in counts) * k**2 > _PAIR_NUMBERS:
            return None
        out = np.empty(len(first), np.float32)
        for begin in range(0, len(first), _BATCH):
            some = slice(begin, begin + _BATCH)
            one, other = self.codes(parts, first[some]), self.codes(parts, second[some])
            sums = np.zeros(len(one))
            for r, table in zip(self.ranges, self._products, strict=True):
                sum_cross_products(one, other, r.start, r.end, table, k, sums)
            out[some] = sums
        return out

    def check(self, parts: Parts, start: int, stop: int) -> None:
        """Every code is that of a codeword, and load refuses codewords that are not finite."""
