"""Codes into a codebook of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec, Field, Layout, Parts, check_finite
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.errors import BadInput
from embcompress.kernels.bits import packed_bytes

_MOST_BOOKS = 65536


@dataclass(frozen=True, eq=False)
class ScalarCodebook(Codec):
    """x = book[q]; the book is the row's own, or one of a few shared ones.

    Record: ``codes`` D codes of ``bits`` bits; then with own books ``codebook`` 2^bits numbers;
    with several shared books ``group``, the book's number (u1 up to 256 books, else u2). Shared:
    ``codebook`` [books, 2^bits].
    """

    name = "scalar-codebook"

    dim: int
    bits: int
    half: bool
    books: NDArray[np.float32] | None

    @property
    def _number(self) -> str:
        return "<f2" if self.half else "<f4"

    @property
    def _group_dtype(self) -> str | None:
        if self.books is None or len(self.books) == 1:
            return None
        return "u1" if len(self.books) <= 256 else "<u2"

    def layout(self) -> Layout:
        fields = [Field("codes", "u1", packed_bytes(self.dim, self.bits))]
        if self.books is None:
            fields.append(Field("codebook", self._number, 2**self.bits))
        elif self._group_dtype:
            fields.append(Field("group", self._group_dtype, 1))
        return Layout(tuple(fields))

    def config(self) -> dict[str, Json]:
        books = 0 if self.books is None else len(self.books)
        return {"bits": self.bits, "books": books, "numbers": "fp16" if self.half else "fp32"}

    def shared(self) -> dict[str, Array]:
        return {} if self.books is None else {"codebook": self.books.astype(self._number)}

    @classmethod
    def load(cls, dim: int, config: Config, shared: Shared, depth: int) -> ScalarCodebook:
        bits = config.integer("bits", 1, 8)
        count = config.integer("books", 0, _MOST_BOOKS)
        half = config.choice("numbers", "fp16", "fp32") == "fp16"
        books = None
        if count:
            stored = shared.array("codebook", "<f2" if half else "<f4", (count, 2**bits))
            books = stored.astype(np.float32)
        return cls(dim, bits, half, books)

    def decode(self, parts: Parts, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        from embcompress.kernels.codebook import decode_book, decode_shared_book

        records, at = parts.records, parts.at
        if self.books is None:
            decode_book(records, at, self.bits, 2**self.bits, self.half, rows, out)
        else:
            width = np.dtype(self._group_dtype).itemsize if self._group_dtype else 0
            decode_shared_book(records, at, self.bits, self.books, width, rows, out)

    def check(self, parts: Parts, start: int, stop: int) -> None:
        if self.books is None:
            check_finite(parts.values(self.layout(), "codebook", start, stop), start, "codebook")
        elif self._group_dtype:
            group = parts.values(self.layout(), "group", start, stop)[:, 0]
            bad = group >= len(self.books)
            if bad.any():
                row = start + int(bad.argmax())
                raise BadInput(f"row {row}: its group is not below {len(self.books)}")
