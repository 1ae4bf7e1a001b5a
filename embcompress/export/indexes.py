"""Indexes that faiss reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.atomic import AtomicFile
from embcompress.artifact.table import CompressedTable
from embcompress.codecs.additive import Additive
from embcompress.codecs.base import Codec, Parts
from embcompress.codecs.binary import Binary
from embcompress.codecs.dense import Dense
from embcompress.codecs.product import Product
from embcompress.codecs.projected import Projected
from embcompress.export.base import Job
from embcompress.kernels.bits import unpack_codes
from embcompress.tables.base import TILE

_ORTHONORMAL = 1e-6


def write_index(job: Job, *, dot: bool) -> None:
    """Write the index of the one table.

    Args:
        job: The export, its table checked.
        dot: Whether the index compares by inner product instead of distance.
    """
    import faiss

    table = job.only
    codec = next(s.codec for s in table.form.segments if s.rows)
    inner = _inner(codec)
    metric = faiss.METRIC_INNER_PRODUCT if dot else faiss.METRIC_L2
    with AtomicFile(job.output) as file:
        at = 0

        def put(data: bytes) -> None:
            nonlocal at
            file.write_at(at, data)
            at += len(data)

        writer = faiss.PyCallbackIOWriter(put)  # type: ignore[attr-defined]
        if isinstance(inner, Binary):
            faiss.write_index_binary(_binary(faiss, table), writer)
        else:
            index = _INDEXES[type(inner)](faiss, inner, table, metric)
            if isinstance(codec, Projected):
                index = _transformed(faiss, codec, index)
            faiss.write_index(index, writer)
        del writer  # it flushes what it holds
        file.commit()


def check_codec(table: CompressedTable, refuse: Callable[[str], Exception]) -> Codec:
    """The codec of all rows.

    Raises:
        UsageError: faiss has no index for it.
    """
    codecs = [segment.codec for segment in table.form.segments if segment.rows]
    if not codecs:
        raise refuse("it has no rows")
    if len(codecs) > 1 and not _alike(codecs):
        raise refuse(f"its rows lie in {len(codecs)} segments of their own")
    codec = codecs[0]
    inner = _inner(codec)
    if isinstance(codec, Projected):
        if isinstance(inner, Binary):
            raise refuse("its signs are of other axes, which a query has not")
        if codec.basis is not None and not _orthonormal(codec.basis):
            raise refuse("its axes are not orthonormal")
    if isinstance(inner, Product):
        if not inner.bits or not inner.dim or inner.dim % inner.segments:
            raise refuse(f"its {inner.segments} subquantizers are not equally wide")
    elif isinstance(inner, Additive):
        if inner.splits != 1:
            raise refuse(f"its codebooks are for {inner.splits} ranges of columns")
    elif isinstance(inner, Dense):
        if inner.dtype == "int16":
            raise refuse("int16 rows have a scale each")
    elif not isinstance(inner, Binary):
        raise refuse(f"its rows are stored as '{inner.name}'")
    return codec


def _alike(codecs: list[Codec]) -> bool:
    """Whether one index can hold the rows of several segments."""
    first = codecs[0]
    if isinstance(first, Product):
        return all(
            isinstance(c, Product)
            and c.segments == first.segments
            and np.array_equal(c.codebook, first.codebook)
            for c in codecs
        )
    if isinstance(first, Dense):
        return all(isinstance(c, Dense) and c.dtype == first.dtype for c in codecs)
    return all(isinstance(c, Binary) for c in codecs)


def _runs(table: CompressedTable) -> Iterator[tuple[NDArray[np.int64], Codec, Parts]]:
    """Row numbers, their codec, and their encoded rows, a tile's segment at a time."""
    for start in range(0, len(table), TILE):
        for span in table.form.rowmap.spans(start, min(start + TILE, len(table))):
            parts = table.encoded(span.segment, span.position, span.position + len(span.rows))
            yield span.rows, table.form.segments[span.segment].codec, parts


def _orthonormal(basis: NDArray[np.float32]) -> bool:
    wide = basis.astype(np.float64)
    return bool(np.abs(wide @ wide.T - np.eye(len(wide))).max(initial=0) <= _ORTHONORMAL)


def _product(faiss: Any, codec: Product, table: CompressedTable, metric: int) -> Any:
    bits = max(codec.bits, (len(codec.codebook) - 1).bit_length())
    index = faiss.IndexPQ(codec.dim, codec.segments, bits, metric)
    width = codec.dim // codec.segments
    books = np.zeros((codec.segments, 2**bits, width), np.float32)
    books[:, : len(codec.codebook)] = np.stack(codec.books)
    faiss.copy_array_to_vector(books.reshape(-1), index.pq.centroids)
    index.pq.verbose = False
    codes = np.empty((len(table), codec.segments), np.int32)
    for rows, own, parts in _runs(table):
        inner = _inner(own)
        assert isinstance(inner, Product)
        codes[rows] = inner.codes(parts, np.arange(len(rows), dtype=np.int64))
    return _filled(faiss, index, faiss.pack_bitstrings(codes, bits))


def _additive(faiss: Any, codec: Additive, table: CompressedTable, metric: int) -> Any:
    plain = faiss.AdditiveQuantizer.ST_decompress
    index = faiss.IndexResidualQuantizer(codec.dim, codec.books, codec.bits, metric, plain)
    faiss.copy_array_to_vector(codec.codebook.astype(np.float32), index.rq.codebooks)
    index.rq.is_trained = True
    codes = np.empty((len(table), codec.books), np.int32)
    for rows, _, parts in _runs(table):
        codes[rows] = codec.codes(parts, np.arange(len(rows), dtype=np.int64))
    return _filled(faiss, index, faiss.pack_bitstrings(codes, codec.bits))


def _dense(faiss: Any, codec: Dense, table: CompressedTable, metric: int) -> Any:
    if codec.dtype == "fp32":
        index = faiss.IndexFlat(codec.dim, metric)
    else:
        kinds = {"fp16": "QT_fp16", "bf16": "QT_bf16"}
        kind = getattr(faiss.ScalarQuantizer, kinds[codec.dtype])
        index = faiss.IndexScalarQuantizer(codec.dim, kind, metric)
    width = codec.layout().record_bytes
    records = np.empty((len(table), width), np.uint8)
    for rows, _, parts in _runs(table):
        records[rows] = parts.records
    return _filled(faiss, index, records)


def _filled(faiss: Any, index: Any, codes: NDArray[np.uint8]) -> Any:
    """An index with codes [N, bytes]."""
    assert codes.shape[1] == index.code_size
    faiss.copy_array_to_vector(np.ascontiguousarray(codes).reshape(-1), index.codes)
    index.ntotal = len(codes)
    index.is_trained = True
    return index


def _binary(faiss: Any, table: CompressedTable) -> Any:
    d = table.shape[1]
    index = faiss.IndexBinaryFlat(-(-d // 8) * 8)
    signs = np.empty((len(table), -(-d // 8)), np.uint8)
    for rows, codec, parts in _runs(table):
        packed = parts.values(codec.layout(), "codes", 0, len(rows))
        signs[rows] = np.packbits(unpack_codes(packed, d, 1), axis=1)
    index.add(signs)
    return index


def _transformed(faiss: Any, codec: Projected, inner: Any) -> Any:
    """An index of coordinates behind the offset and the axes, so that it takes and gives rows."""
    whole = faiss.IndexPreTransform(inner)
    if codec.basis is not None:
        turn = faiss.LinearTransform(codec.dim, len(codec.basis), False)
        faiss.copy_array_to_vector(codec.basis.reshape(-1), turn.A)
        turn.is_trained = True
        turn.set_is_orthonormal()
        whole.prepend_transform(turn)
    center = faiss.CenteringTransform(codec.dim)
    faiss.copy_array_to_vector(codec.offset, center.mean)
    center.is_trained = True
    whole.prepend_transform(center)
    whole.ntotal = inner.ntotal
    return whole


def _inner(codec: Codec) -> Codec:
    return codec.inner if isinstance(codec, Projected) else codec


_INDEXES: dict[type[Codec], Callable[[Any, Any, CompressedTable, int], Any]] = {
    Product: _product,
    Additive: _additive,
    Dense: _dense,
}
