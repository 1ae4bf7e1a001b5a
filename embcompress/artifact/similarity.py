"""Scores of queries with compressed rows, on the codes where a codec can, else decoded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcompress.artifact.form import Form
from embcompress.artifact.hamming import Hamming
from embcompress.artifact.rowmap import Whole
from embcompress.codecs.base import Codec, Parts
from embcompress.errors import BadInput, UsageError

if TYPE_CHECKING:
    from embcompress.artifact.table import Store

Metric: TypeAlias = Literal["dot", "cosine", "l2", "hamming"]
DISTANCES = ("l2", "hamming")
"""Metrics that are smaller where rows are nearer."""

_DECODED = 2**18  # weights decoded at a time
_SCORES = 2**20  # scores of a block
_BYTES = 2**22  # bytes of a block's records
_MOST_ROWS = 2**18  # rows of a block
_PAIRS = 2**16
_SOUND = (1e-30, 1e30)  # squared norms that float32 holds without loss


class Queries:
    """Float queries that are to be compared with float rows.

    Attributes:
        metric: How.
        narrow: float32 [q, D]; for cosine of length 1, or 0.
        wide: The same in float64, not rounded to float32 on the way.
    """

    def __init__(self, given: NDArray[np.float32], metric: Metric) -> None:
        """Prepare queries.

        Args:
            given: float32 [q, D], finite.
            metric: dot, cosine, l2 or hamming.
        """
        self.metric = metric
        self.wide = given.astype(np.float64)
        self.narrow = given
        self._norms = np.einsum("ij,ij->i", self.wide, self.wide)
        if metric == "cosine":
            self.wide *= _inverse_roots(self._norms)[:, None]
            self.narrow = self.wide.astype(np.float32)

    def against(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scores of rows.

        In float64, so that equal rows get equal scores wherever BLAS meets them.

        Args:
            rows: float64 [b, D].

        Returns:
            float32 [q, b].
        """
        products = self.wide @ rows.T
        if self.metric == "dot":
            return products.astype(np.float32)
        return self.finish(products, np.einsum("ij,ij->i", rows, rows))

    def finish(
        self, products: NDArray[np.float64], norms: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """From inner products to cosines or squared distances.

        Args:
            products: float64 [q, b], of ``narrow`` or ``wide`` and rows; overwritten.
            norms: float64 [b], squared norms of the rows.

        Returns:
            float32 [q, b].
        """
        if self.metric == "cosine":
            products *= _inverse_roots(norms)
        else:
            products *= -2
            products += self._norms[:, None]
            products += norms
            np.maximum(products, 0, out=products)
        return products.astype(np.float32)


class Scorer:
    """Queries that are compared with rows of one table; any thread may.

    dot is the inner product; cosine is 0 where a norm is 0; l2 is the squared Euclidean distance;
    hamming counts the signs in which a query, binarized as the table was, differs from the signs
    that are stored.
    """

    def __init__(self, form: Form, store: Store, queries: ArrayLike, metric: Metric) -> None:
        """Prepare queries.

        Args:
            form: The table.
            store: Its encoded rows.
            queries: Real numbers [q, D], or [D] for one query; compared as float32.
            metric: dot, cosine, l2 or hamming.

        Raises:
            UsageError: Another metric, queries of another width or dtype, or hamming on a table
                that stores no signs.
            BadInput: A query holds NaN or infinity.
        """
        if metric not in get_args(Metric):
            raise UsageError(f"the metric is one of {get_args(Metric)}, not {metric!r:.60}")
        self.form = form
        self._store = store
        given = checked_queries(queries, form.shape[1], form.name)
        self._queries = Queries(given, metric)
        self._hamming = Hamming(form, given) if metric == "hamming" else None

    @property
    def count(self) -> int:
        """Queries q."""
        return len(self._queries.narrow)

    @cached_property
    def block_rows(self) -> int:
        """Rows that are well scored together: few where queries are many or records are long."""
        longest = max((s.codec.layout().record_bytes for s in self.form.segments), default=1)
        fitting = min(_SCORES // max(self.count, 1), _BYTES // max(longest, 1))
        return max(256, min(_MOST_ROWS, fitting))

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """Scores of the rows ``start … stop - 1``, float32 [q, stop - start]."""
        out: NDArray[np.float32] | None = None
        for segment, position, ids in self._spans(start, stop):
            size = stop - start if ids is None else len(ids)
            parts = self._store.some(segment, position, position + size)
            codec = self.form.segments[segment].codec
            positions = np.arange(size, dtype=np.int64)
            if codec.by_id:
                told = codec.addressed(positions + start if ids is None else ids, positions)
                found = self._scores(codec, parts, told)
            elif self._hamming is not None:
                found = self._hamming.distances(codec, parts, None)
            else:
                found = self._scores(codec, parts, positions)
            if size == stop - start:
                return found
            if out is None:
                out = np.empty((self.count, stop - start), np.float32)
            out[:, ids - start if ids is not None else slice(None)] = found
        return np.empty((self.count, 0), np.float32) if out is None else out

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores of rows.

        Args:
            ids: int64 [b], in range.

        Returns:
            float32 [q, b].
        """
        out = np.empty((self.count, len(ids)), np.float32)
        for segment, mine, positions in grouped(self.form, ids):
            codec = self.form.segments[segment].codec
            parts = self._store.parts(segment, positions)
            told = codec.addressed(ids[mine], positions)
            out[:, mine] = self._scores(codec, parts, told)
        return out

    def _spans(self, start: int, stop: int) -> Iterator[tuple[int, int, NDArray[np.int64] | None]]:
        rowmap = self.form.rowmap
        if isinstance(rowmap, Whole):
            yield rowmap.segment, start, None
            return
        for span in rowmap.spans(start, stop):
            yield span.segment, span.position, span.rows

    def _scores(self, codec: Codec, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._hamming is not None:
            return self._hamming.distances(codec, parts, rows)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            products = codec.dots(parts, self._queries.narrow, rows)
            if products is None:
                out = np.empty((self.count, len(rows)), np.float32)
                for at, some in _decoded_pieces(codec, parts, rows):
                    out[:, at : at + len(some)] = self._queries.against(some)
                return out
            if self._queries.metric == "dot":
                return products
            norms = squared_norms(codec, parts, rows)
            return self._queries.finish(products.astype(np.float64), norms)


def checked_queries(queries: ArrayLike, dim: int, table: str) -> NDArray[np.float32]:
    """Queries as float32 [q, D].

    Raises:
        UsageError: Another width or dtype.
        BadInput: One holds NaN or infinity.
    """
    given = np.asarray(queries)
    if given.dtype.kind not in "fiu" and given.dtype.name != "bfloat16":
        raise UsageError(f"queries are real numbers, not {given.dtype}")
    shaped = given[None] if given.ndim == 1 else given
    if shaped.ndim != 2 or shaped.shape[1] != dim:
        raise UsageError(f"queries are {list(given.shape)}; table '{table}' has {dim} columns")
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(shaped, np.float32)
    bad = ~np.isfinite(narrow).all(axis=1)
    if bad.any():
        raise BadInput(f"query {int(bad.argmax())} holds NaN, infinity or what float32 cannot hold")
    return narrow


def grouped(form: Form, ids: NDArray[np.int64]) -> Iterator[tuple[int, Any, NDArray[np.int64]]]:
    """Rows by segment: its number, which of ``ids`` (an index), their positions in it."""
    if isinstance(form.rowmap, Whole):
        yield form.rowmap.segment, slice(None), ids
        return
    segments, positions = form.rowmap.locate(ids)
    for segment in np.unique(segments):
        mine = np.flatnonzero(segments == segment)
        yield int(segment), mine, positions[mine]


def squared_norms(codec: Codec, parts: Parts, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Squared norms of decoded rows, float64 [b]; from codes where float32 holds them."""
    found = codec.squared_norms(parts, rows)
    norms = np.zeros(len(rows)) if found is None else found.astype(np.float64)
    odd = np.flatnonzero(~((norms > _SOUND[0]) & (norms < _SOUND[1])))
    for at, some in _decoded_pieces(codec, parts, rows[odd]):
        norms[odd[at : at + len(some)]] = np.einsum("ij,ij->i", some, some)
    return norms


def pair_dots(
    form: Form, store: Store, first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Inner products of pairs of decoded rows.

    Args:
        form: The table.
        store: Its encoded rows.
        first: int64 [b], in range.
        second: int64 [b], in range.

    Returns:
        float32 [b].
    """
    out = np.empty(len(first), np.float32)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for at in range(0, len(first), _PAIRS):
            part = slice(at, at + _PAIRS)
            out[part] = _some_pairs(form, store, first[part], second[part])
    return out


def _some_pairs(
    form: Form, store: Store, first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float32]:
    out = np.empty(len(first), np.float32)
    for one, mine, positions in grouped(form, first):
        for other, among, others in grouped(form, second[mine]):
            place = np.arange(len(first))[mine][among]
            sides = [(one, first[place], positions[among]), (other, second[place], others)]
            found = None
            if one == other:
                codec = form.segments[one].codec
                parts = store.parts(one, np.concatenate([positions[among], others]))
                a, b = (codec.addressed(ids, own) for _, ids, own in sides)
                found = codec.pair_dots(parts, a, b)
            out[place] = _decoded_products(form, store, sides) if found is None else found
    return out


def _decoded_products(
    form: Form, store: Store, sides: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]
) -> NDArray[np.float64]:
    pieces = []
    for segment, ids, positions in sides:
        codec = form.segments[segment].codec
        told = codec.addressed(ids, positions)
        pieces.append(_decoded_pieces(codec, store.parts(segment, positions), told))
    products = np.empty(len(sides[0][1]))
    for (at, a), (_, b) in zip(*pieces, strict=True):
        products[at : at + len(a)] = np.einsum("ij,ij->i", a, b)
    return products


def _decoded_pieces(
    codec: Codec, parts: Parts, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    step = max(16, _DECODED // max(codec.dim, 1))
    buffer = np.empty((min(step, len(rows)), codec.dim), np.float32)
    for at in range(0, len(rows), step):
        some = rows[at : at + step]
        if buffer.size:
            codec.decode(parts, some, buffer[: len(some)])
        yield at, buffer[: len(some)].astype(np.float64)


def _inverse_roots(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    roots = np.sqrt(squares)
    return np.divide(1.0, roots, out=np.zeros_like(roots), where=roots > 0)
