"""A table against its reconstruction, measured tile by tile in one pass."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.compare import row_errors
from embcompress.report.cosines import Cosines
from embcompress.report.details import Details
from embcompress.report.gram import MOST_DIM, Gram, Share, Spectrum
from embcompress.report.limit import decibels_above
from embcompress.report.model import TableErrors, root_ratio
from embcompress.report.relations import Relations, Sampled
from embcompress.report.row_details import RowDetails
from embcompress.report.tally import Tally, tally
from embcompress.threads import available


@dataclass(frozen=True)
class _Shares:
    """What a tile adds, waiting for the tiles before it."""

    stop: int
    tally: Tally
    gram: Share | None
    details: NDArray[np.float64] | None


@dataclass(frozen=True)
class _Settled:
    """What is made once, from rows that are given up for it."""

    cosine_p1: float | None
    spectrum: Spectrum | None
    relations: Relations | None


class Comparison:
    """Compares a table with what it decodes to, in one pass.

    The result depends on the borders of the tiles, and through its sampled figures on the seed;
    not on the order of the tiles nor on the threads they come from. Call ``add`` under one BLAS
    thread: BLAS may round otherwise with more.

    Args:
        rows: N.
        dim: D.
        frequencies: float64 [N], not negative, not all zero; None leaves out what they weight.
        seed: Of the sampled figures; not negative.
        memory: Bytes to use for what is kept of the rows.
        full: Whether to measure more than the relative, mean squared and largest error, the mean
            and the lowest cosine, and the norm ratio.
        detailed: Whether to collect what ``details`` gives, when the report is full.
        queries: Rows to search the neighbours of.
        k: Neighbours of a row.
    """

    def __init__(
        self,
        rows: int,
        dim: int,
        *,
        frequencies: NDArray[np.float64] | None,
        seed: int,
        memory: int,
        full: bool = True,
        detailed: bool = True,
        queries: int = 1000,
        k: int = 10,
    ) -> None:
        self._rows, self._dim = rows, dim
        self._frequencies = frequencies if rows else None
        self._top = 1.0 if self._frequencies is None else float(self._frequencies.max())
        self._lock = threading.Lock()
        self._waiting: dict[int, _Shares] = {}
        self._next = 0
        self._tally = Tally()
        self._cosines: Cosines | None = None
        self._gram: Gram | None = None
        self._sampled: Sampled | None = None
        self._settled: _Settled | None = None
        self._rows_detailed: RowDetails | None = None
        if not full or not rows or not dim:
            return
        if detailed:
            self._rows_detailed = RowDetails(self._frequencies)
        self._cosines = Cosines(rows)
        memory -= self._cosines.nbytes
        if dim <= MOST_DIM and Gram.nbytes(dim) <= memory * 3 // 5:
            self._gram = Gram(rows, dim, np.random.default_rng([seed, 0]))
            memory -= Gram.nbytes(dim)
        if rows >= 2:
            random = np.random.default_rng([seed, 1])
            self._sampled = Sampled(rows, dim, frequencies, random, memory, queries, k)

    def add(self, start: int, original: NDArray[np.float32], decoded: NDArray[np.float32]) -> None:
        """Take a tile: some rows and what they decode to; safe from several threads.

        Tiles may come in any order; those that come early wait as a few sums each.

        Args:
            start: Its first row.
            original: float32 [b, D], C-contiguous.
            decoded: float32 [b, D], C-contiguous.

        Raises:
            ValueError: Shapes that do not fit, or rows that came before.
        """
        stop = start + len(original)
        if original.shape != decoded.shape or original.shape[1] != self._dim:
            raise ValueError(f"tiles of {original.shape} and {decoded.shape}, D is {self._dim}")
        if start == stop:
            return
        if stop > self._rows:
            raise ValueError(f"rows up to {stop} of {self._rows}")
        errors = np.empty((len(original), 5))
        row_errors(original, decoded, errors)
        weights = None
        if self._frequencies is not None:
            weights = self._frequencies[start:stop] / self._top
        found, cosines = tally(start, errors, weights)
        if found.rows < len(original) and self._cosines is not None:
            bad = np.isnan(cosines)
            original, decoded = original.copy(), decoded.copy()
            original[bad] = decoded[bad] = errors[bad] = 0
        if self._cosines is not None:
            self._cosines.put(start, cosines)
        if self._sampled is not None:
            self._sampled.put(start, original, decoded)
        share = None
        if self._gram is not None:
            share = self._gram.of_tile(start, original, errors[:, 1])
        sums = None
        if self._rows_detailed is not None:
            sums = self._rows_detailed.put(start, errors, cosines)
        with self._lock:
            if start < self._next or start in self._waiting:
                raise ValueError(f"rows from {start} on came before")
            self._waiting[start] = _Shares(stop, found, share, sums)
            while (tile := self._waiting.pop(self._next, None)) is not None:
                self._next = tile.stop
                self._tally.add(tile.tally)
                if self._gram is not None and tile.gram is not None:
                    self._gram.fold(tile.gram)
                if self._rows_detailed is not None and tile.details is not None:
                    self._rows_detailed.fold(tile.details)

    def settle(self, threads: int | None = None) -> None:
        """Make what takes time, and let go of the rows it is made from.

        ``result`` does this first; do it earlier when the bits are not known yet and memory counts.

        Args:
            threads: Cores to use; all that the process may use by default.

        Raises:
            ValueError: Some rows have not come.
        """
        if self._next != self._rows:
            raise ValueError(f"rows from {self._next} on have not come; there are {self._rows}")
        if self._settled is not None:
            return
        from threadpoolctl import threadpool_limits

        cosines, gram, sampled = self._cosines, self._gram, self._sampled
        self._cosines = self._gram = self._sampled = None
        with threadpool_limits(1, user_api="blas"):
            self._settled = _Settled(
                cosine_p1=cosines.quantile(0.01) if cosines is not None else None,
                spectrum=gram.spectrum(self._rows) if gram is not None else None,
                relations=sampled.relations(threads or available()) if sampled else None,
            )

    def result(self, bits: float, threads: int | None = None) -> TableErrors:
        """The figures, once every row has come.

        Args:
            bits: Of the compressed table, everything counted.
            threads: Cores to use; all that the process may use by default. The figures do not
                depend on it.

        Raises:
            ValueError: Some rows have not come.
        """
        self.settle(threads)
        assert self._settled is not None
        t = self._tally
        values = {}
        if t.rows and self._dim:
            values = self._row_values(t) | self._limit_values(t, self._settled.spectrum, bits)
            values["cosine_p1"] = self._settled.cosine_p1
            if self._settled.relations is not None:
                values |= _relation_values(self._settled.relations)
        return TableErrors(
            rows=t.rows,
            nonfinite_rows=t.nonfinite_rows,
            nonfinite_row=t.nonfinite_row,
            squared_error=t.squared_error,
            squared_norm=t.squared_norm,
            **values,
        )

    def details(self) -> Details | None:
        """Single rows and groups of rows, once settled; None when they were not collected."""
        if self._settled is None or self._rows_detailed is None:
            return None
        relations = self._settled.relations
        return self._rows_detailed.details(
            self._settled.spectrum,
            self._dim,
            relations.shown if relations else [],
            relations.rows if relations else None,
        )

    def _row_values(self, t: Tally) -> dict[str, Any]:
        values = {
            "relative_error": root_ratio(t.squared_error, t.squared_norm),
            "mse": t.squared_error / (t.rows * self._dim),
            "max_abs_error": t.largest,
            "max_abs_error_row": t.largest_row,
            "cosine_mean": t.cosine / t.rows,
            "cosine_lowest": t.lowest,
            "cosine_lowest_row": t.lowest_row,
            "norm_ratio": t.norm_ratio / t.norm_ratio_rows if t.norm_ratio_rows else None,
        }
        if t.weighted is not None and t.weighted[0] > 0:
            weight, error, norm, cosine = t.weighted.tolist()
            values["weighted_relative_error"] = root_ratio(error, norm)
            values["weighted_cosine"] = cosine / weight
        return values

    def _limit_values(self, t: Tally, spectrum: Spectrum | None, bits: float) -> dict[str, Any]:
        limit = None if spectrum is None else spectrum.relative_error(bits / self._rows)
        if spectrum is None or limit is None or not t.squared_norm > 0:
            return {}
        return {
            "limit_relative_error": limit,
            "decibels_above_limit": decibels_above(t.squared_error / t.squared_norm, limit**2),
            "limit_rows": spectrum.rows,
        }


def _relation_values(relations: Relations) -> dict[str, Any]:
    mean, low, high = relations.recall
    weighted = relations.weighted_products
    return {
        "recall": mean,
        "recall_low": low,
        "recall_high": high,
        "recall_k": relations.k,
        "recall_queries": relations.queries,
        "recall_rows": relations.rows,
        "product_correlation": relations.products.correlation,
        "product_error": relations.products.error,
        "product_pairs": relations.products.pairs,
        "weighted_recall": relations.weighted_recall,
        "weighted_product_correlation": weighted.correlation if weighted else None,
        "weighted_product_error": weighted.error if weighted else None,
    }
