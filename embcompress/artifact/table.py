"""A compressed table: rows come back by look-up, by range, or all together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcompress.artifact.form import Form
from embcompress.codecs.base import Parts
from embcompress.codecs.hostile import Array
from embcompress.threads import available, halves, one_blas_thread, ordered

if TYPE_CHECKING:
    from embcompress.artifact.bags import Pooling
    from embcompress.artifact.similarity import Metric, Scorer

_LEAST = 2048  # rows that are worth a second thread


class Store(Protocol):
    """Where the encoded rows of a table lie."""

    def parts(self, segment: int, rows: NDArray[np.int64]) -> Parts:
        """All encoded rows of a segment; ``rows`` (positions) are about to be decoded."""
        ...

    def some(self, segment: int, start: int, stop: int) -> Parts:
        """Encoded rows ``start … stop - 1`` of a segment, read once, in sequence."""
        ...

    def tensors(self) -> dict[str, Array]:
        """All encoded rows as arrays, by tensor name; checked, maybe mapped."""
        ...


class CompressedTable:
    """A compressed table, decoded on demand.

    Attributes:
        form: Row map, codecs and method.
        threads: Cores that look-ups use.
    """

    def __init__(self, form: Form, store: Store, threads: int | None = None) -> None:
        self.form = form
        self._store = store
        self.threads = threads or available()

    @property
    def name(self) -> str:
        """The table's name in its source."""
        return self.form.name

    @property
    def shape(self) -> tuple[int, int]:
        """Rows N and columns D."""
        return self.form.shape

    @property
    def dtype(self) -> str:
        """The source's dtype: F16, BF16, F32 or F64."""
        return self.form.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        n, d = self.shape
        return f"<CompressedTable '{self.name}' {n}×{d}: {self.form.method.get('spelled', '')}>"

    def lookup(self, ids: ArrayLike, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Decode rows.

        Args:
            ids: Integers of any dtype and shape, from 0 to N - 1.
            out: float32 of shape ``ids.shape + (D,)``, C-contiguous; written and returned.

        Returns:
            float32 ``ids.shape + (D,)``.

        Raises:
            IndexError: An id is negative or not below N; names it.
            TypeError: The ids are not integers.
            ValueError: ``out`` has another shape, dtype or layout.
            BadInput: The file is damaged where the rows lie.
        """
        given, flat = self._checked_ids(ids)
        shape = (*given.shape, self.shape[1])
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(
                f"out is {out.dtype} {list(out.shape)}; it must be C-contiguous float32"
                f" {list(shape)}"
            )
        elif not out.flags.writeable:
            raise ValueError("out is read-only")
        self.decode(flat, out.reshape(len(flat), self.shape[1]))
        return out

    def _checked_ids(self, ids: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
        given = np.asarray(ids)
        if given.size == 0 and given.dtype == np.float64:
            given = given.astype(np.int64)
        if given.dtype.kind not in "iu":
            raise TypeError(f"ids are integers, not {given.dtype}")
        flat = np.ascontiguousarray(given.reshape(-1), np.int64)
        self._check_range(flat, given)
        return given, flat

    def _check_range(self, flat: NDArray[np.int64], given: NDArray[Any]) -> None:
        # as unsigned numbers negative ids are huge, so one comparison finds both kinds
        if flat.size and int(flat.view(np.uint64).max()) >= len(self):
            wrong = (flat.view(np.uint64) >= len(self)).argmax()
            bad = given.reshape(-1)[wrong]
            raise IndexError(f"id {bad} is not in table '{self.name}' of {len(self)} rows")

    def decode(self, ids: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Decode rows into ``out``: ``lookup`` without its checks.

        Args:
            ids: int64 [b], C-contiguous, in range.
            out: float32 [b, D], C-contiguous, written.

        Raises:
            BadInput: The file is damaged where the rows lie.
        """
        segments = self.form.segments
        if not out.size:
            return
        if len(segments) == 1 and self.form.rowmap.kind == "whole":
            self._decode_segment(0, ids, ids, out)
            return
        numbers, positions = self.form.rowmap.locate(ids)
        for segment in np.unique(numbers):
            mine = np.flatnonzero(numbers == segment)
            rows = np.empty((len(mine), self.shape[1]), np.float32)
            self._decode_segment(int(segment), ids[mine], positions[mine], rows)
            out[mine] = rows

    def _decode_segment(
        self,
        segment: int,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        out: NDArray[np.float32],
    ) -> None:
        codec = self.form.segments[segment].codec
        rows = codec.addressed(ids, positions)
        parts = self.parts(segment, positions)

        def decode(start: int, stop: int) -> None:
            codec.decode(parts, rows[start:stop], out[start:stop])

        halves(decode, len(rows), self.threads, _LEAST)

    def sum_bags(
        self,
        ids: ArrayLike,
        offsets: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        mode: Pooling = "sum",
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Pool rows over bags, such as the items of a user's history.

        Rows of a bag are added in their order, in float32; a bag of one row without a weight has
        that row's bits, an empty bag is 0. A bag comes out the same in any call.

        Args:
            ids: Integers [b], from 0 to N - 1.
            offsets: Integers [bags + 1], ascending, from 0 to b: where bags begin, and b.
            weights: Real numbers [b] that multiply rows; for sums alone.
            mode: ``sum``, ``mean``, or ``max`` of each column.
            out: float32 [bags, D], C-contiguous; written and returned.

        Returns:
            float32 [bags, D].

        Raises:
            UsageError: Another mode, or weights with a mode that takes none.
            IndexError: An id is negative or not below N; names it.
            TypeError: The ids are not integers.
            ValueError: ``offsets``, ``weights`` or ``out`` do not fit.
            BadInput: The file is damaged where the rows lie.
        """
        from embcompress.artifact.bags import pool_bags

        _, flat = self._checked_ids(ids)
        return pool_bags(self, flat, offsets, weights, mode, out)

    def read(
        self, start: int, stop: int, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Decode a range of rows on the calling thread, for passes over the table.

        Args:
            start: First row.
            stop: Row after the last.
            out: float32 [at least stop - start, D], reused.

        Returns:
            float32 [stop - start, D].
        """
        count = stop - start
        rows = np.empty((count, self.shape[1]), np.float32) if out is None else out[:count]
        for span in self.form.rowmap.spans(start, stop):
            codec = self.form.segments[span.segment].codec
            if not rows.size:
                continue
            size = len(span.rows)
            parts = self._store.some(span.segment, span.position, span.position + size)
            told = codec.addressed(span.rows, np.arange(size, dtype=np.int64))
            if size == count:
                codec.decode(parts, told, rows)
            else:
                decoded = np.empty((size, self.shape[1]), np.float32)
                codec.decode(parts, told, decoded)
                rows[span.rows - start] = decoded
        return rows

    def scorer(self, queries: ArrayLike, metric: Metric = "dot") -> Scorer:
        """Queries to be compared with this table's rows, block by block; see ``Scorer``."""
        from embcompress.artifact.similarity import Scorer

        return Scorer(self.form, self._store, queries, metric)

    def score(
        self, queries: ArrayLike, ids: ArrayLike | None = None, metric: Metric = "dot"
    ) -> NDArray[np.float32]:
        """Compare queries with rows, computed on the codes where the codec can.

        Args:
            queries: Real numbers [q, D], or [D] for one query.
            ids: Integers [b]; all rows by default.
            metric: ``dot``; ``cosine``, 0 where a norm is 0; ``l2``, the squared distance; or
                ``hamming``, in how many signs a query, binarized as the table was, differs.

        Returns:
            float32 [q, b].

        Raises:
            UsageError: Another metric, queries of another width, or ``hamming`` on a table that
                stores no signs.
            IndexError: An id is negative or not below N; names it.
            TypeError: The ids are not integers.
            BadInput: A query is not finite, or the file is damaged where the rows lie.
        """
        scorer = self.scorer(queries, metric)
        flat = None if ids is None else self._checked_ids(ids)[1]
        count = len(self) if flat is None else len(flat)
        scores = np.empty((scorer.count, count), np.float32)

        def one(start: int) -> None:
            stop = min(start + scorer.block_rows, count)
            part = scorer.block(start, stop) if flat is None else scorer.rows(flat[start:stop])
            scores[:, start:stop] = part

        with one_blas_thread():
            for _ in ordered(one, range(0, count, scorer.block_rows), self.threads):
                pass
        return scores

    def dot(self, ids_a: ArrayLike, ids_b: ArrayLike) -> NDArray[np.float32]:
        """Inner products of pairs of rows, from products of codewords where the codec has them.

        Args:
            ids_a: Integers of any shape, from 0 to N - 1.
            ids_b: Integers of the same shape, or of one that broadcasts with it.

        Returns:
            float32 of that shape.

        Raises:
            IndexError: An id is negative or not below N; names it.
            TypeError: The ids are not integers.
            ValueError: The shapes do not fit.
            BadInput: The file is damaged where the rows lie.
        """
        from embcompress.artifact.similarity import pair_dots

        first, second = np.broadcast_arrays(
            *(flat.reshape(given.shape) for given, flat in map(self._checked_ids, (ids_a, ids_b)))
        )
        ids = (np.ascontiguousarray(side.reshape(-1)) for side in (first, second))
        return pair_dots(self.form, self._store, *ids).reshape(first.shape)

    def parts(self, segment: int, positions: NDArray[np.int64]) -> Parts:
        """All encoded rows of a segment; those at ``positions`` are checked."""
        return self._store.parts(segment, positions)

    def tensors(self) -> dict[str, Array]:
        """Everything that is stored of the table, by tensor name; checked, maybe mapped."""
        return self.form.arrays | self._store.tensors()

    def encoded(self, segment: int, start: int, stop: int) -> Parts:
        """Encoded rows ``start … stop - 1`` of a segment."""
        return self._store.some(segment, start, stop)

    def restore(self) -> NDArray[np.float32]:
        """Decode every row.

        Returns:
            float32 [N, D].
        """
        rows = np.empty(self.shape, np.float32)

        def fill(start: int, stop: int) -> None:
            for a in range(start, stop, _LEAST):
                b = min(a + _LEAST, stop)
                self.read(a, b, rows[a:b])

        halves(fill, len(self), self.threads, _LEAST)
        return rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        dense = self.restore()
        return dense if dtype is None else dense.astype(dtype, copy=False)
