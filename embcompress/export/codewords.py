"""A table as few distinct rows and which of them each row is, where its codecs are codebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.table import CompressedTable
from embcompress.codecs.base import Codec, PackedRows, Parts
from embcompress.codecs.centroids import Centroids
from embcompress.codecs.hostile import INNER


@dataclass(frozen=True)
class Codewords:
    """Distinct rows, and the number of the one that each row of the table is.

    Args:
        rows: float16 [K, D] where that holds them all, else float32.
        codes: int64 [N], each below K.
    """

    rows: NDArray[Any]
    codes: NDArray[np.int64]


def codewords_of(table: CompressedTable) -> Codewords | None:
    """The codewords of a table; None where no segment has any.

    Segments without codewords, such as hot rows, give a row each.
    """
    form, d = table.form, table.shape[1]
    if not any(_centroids(segment.codec) for segment in form.segments):
        return None
    segments, positions = form.rowmap.locate(np.arange(len(table), dtype=np.int64))
    codes = np.empty(len(table), np.int64)
    books: list[NDArray[np.float32]] = []
    first = 0
    for number, segment in enumerate(form.segments):
        mine = np.flatnonzero(segments == number)
        places = positions[mine]
        parts = table.parts(number, places)
        found = _centroids(segment.codec)
        if found is None:
            codes[mine] = first + np.arange(len(mine))
            book = np.empty((len(mine), d), np.float32)
            segment.codec.decode(parts, segment.codec.addressed(mine, places), book)
        else:
            name, centroids = found
            book = _decoded(segment.codec, name, centroids)
            own = np.zeros(len(mine), np.int64)
            if centroids.bits:
                own = np.minimum(parts.packed[name].codes(places), len(book) - 1)
            codes[mine] = first + own
        books.append(book)
        first += len(book)
    rows = np.concatenate(books)
    with np.errstate(over="ignore"):
        narrow = rows.astype(np.float16)
    return Codewords(narrow if np.array_equal(narrow, rows) else rows, codes)


def _centroids(codec: Codec) -> tuple[str, Centroids] | None:
    """The codebook inside a codec, and the name of the part that has its codes."""
    name = "codes"
    inner: Any = codec
    while not isinstance(inner, Centroids):
        inner = getattr(inner, "inner", None)
        if inner is None:
            return None
        name = INNER + name
    return name, inner


def _decoded(codec: Codec, name: str, centroids: Centroids) -> NDArray[np.float32]:
    """What a codec makes of each codeword: float32 [K, D]."""
    everything = np.arange(len(centroids.book), dtype=np.int64)
    packed = {}
    if centroids.bits:
        packed[name] = PackedRows.build(everything, centroids.bits)
    book = np.empty((len(everything), codec.dim), np.float32)
    codec.decode(Parts(np.empty((len(everything), 0), np.uint8), 0, {}, packed), everything, book)
    return book
