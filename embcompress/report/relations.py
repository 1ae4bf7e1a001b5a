"""What compression does to rows seen together: their neighbours and their inner products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.report.details import RowNeighbours
from embcompress.report.products import ProductErrors, partners, product_errors
from embcompress.report.recall import interval, neighbours, normalise, shares
from embcompress.report.sample import Kept, proportional, spread

_MOST_FLOATS = 2**25
_COPIES = 4
_ROW_COST = 16
"""The search spends on a row as much as on so many of its weights."""
_SHOWN = 6
"""Queries whose neighbours are told."""


@dataclass(frozen=True)
class Relations:
    """Figures of sampled rows.

    Args:
        recall: Mean recall@k, lower and upper end of its 95% confidence interval.
        k: Neighbours of a row.
        queries: Rows whose neighbours were searched.
        rows: Rows searched.
        products: Errors of inner products.
        weighted_recall: Recall@k weighted by frequency.
        weighted_products: Errors of inner products, pairs weighted by both frequencies.
        shown: Neighbours of some of the queries, spread over the table.
    """

    recall: tuple[float, float, float]
    k: int
    queries: int
    rows: int
    products: ProductErrors
    weighted_recall: float | None
    weighted_products: ProductErrors | None
    shown: list[RowNeighbours]


class Sampled:
    """The rows kept for these figures.

    All rows are kept while they fit in 2²⁵ floats, counting 16 more a row, and in the memory;
    otherwise a stratified random sample of them.

    Args:
        rows: N, at least 2.
        dim: D, at least 1.
        frequencies: float64 [N] or None.
        random: Makes every choice.
        memory: Bytes to use.
        queries: Rows to search the neighbours of.
        k: Neighbours of a row.
    """

    def __init__(
        self,
        rows: int,
        dim: int,
        frequencies: NDArray[np.float64] | None,
        random: np.random.Generator,
        memory: int,
        queries: int,
        k: int,
    ) -> None:
        self.k = min(k, rows - 1)
        own = memory * 3 // 4
        # queries and their partners are copied: of wide rows, the copies are most of it
        fit = max(own // (_COPIES * 8 * dim), (own - _COPIES * 8 * dim * queries) // (8 * dim + 8))
        room = min(_MOST_FLOATS // (dim + _ROW_COST), fit)
        self._rows = rows
        self._base = Kept(spread(rows, max(room, self.k + 1), random), dim)
        kept = len(self._base.ids)
        self._queries = spread(kept, queries, random)
        self._partners = spread(kept, partners(len(self._queries), dim), random)
        self._hot: Kept | None = None
        if frequencies is not None:
            hot, self._weights = proportional(frequencies, queries, random)
            self._hot = Kept(hot, dim)

    def put(self, start: int, original: NDArray[np.float32], decoded: NDArray[np.float32]) -> None:
        """Take what is wanted of some rows; safe from several threads when rows differ.

        Args:
            start: Their first row.
            original: float32 [b, D], finite.
            decoded: float32 [b, D], finite.
        """
        self._base.put(start, original, decoded)
        if self._hot is not None:
            self._hot.put(start, original, decoded)

    def relations(self, threads: int) -> Relations:
        """The figures, once all rows are in; rows are normalised in place, so only once.

        Args:
            threads: Cores to use.
        """
        base, hot = self._base, self._hot
        queries = base.part(self._queries)
        products = product_errors(queries, base.part(self._partners), None, threads)
        weighted_products = weighted_recall = None
        if hot is not None:
            weighted_products = product_errors(hot, hot, (self._weights, self._weights), threads)
        normalise([base, queries] if hot is None else [base, queries, hot], threads)
        every = len(queries.ids) == self._rows
        before, after = self._neighbours(queries, self._queries, threads)
        recall = interval(shares(before, after), every)
        if hot is not None:
            own = np.searchsorted(base.ids, hot.ids)
            own[base.ids.take(own, mode="clip") != hot.ids] = -1
            weighted_recall = float(shares(*self._neighbours(hot, own, threads)) @ self._weights)
        return Relations(
            recall=recall,
            k=self.k,
            queries=len(queries.ids),
            rows=len(base.ids),
            products=products,
            weighted_recall=weighted_recall,
            weighted_products=weighted_products,
            shown=self._shown(queries, before, after),
        )

    def _neighbours(
        self, queries: Kept, own: NDArray[np.int64], threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        base = self._base
        before = neighbours(base.original, queries.original, own, self.k, threads)
        return before, neighbours(base.decoded, queries.decoded, own, self.k, threads)

    def _shown(
        self, queries: Kept, before: NDArray[np.int64], after: NDArray[np.int64]
    ) -> list[RowNeighbours]:
        count = len(queries.ids)
        ids = self._base.ids
        return [
            RowNeighbours(
                row=int(queries.ids[q]),
                before=ids[before[q]].tolist(),
                after=ids[after[q]].tolist(),
            )
            for q in sorted({i * count // _SHOWN for i in range(_SHOWN)})
        ]
