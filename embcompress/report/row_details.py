"""Everything that a report tells of single rows, collected in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.report.details import Details, LimitPoint, RowNeighbours
from embcompress.report.frequency_groups import FrequencyGroups
from embcompress.report.gram import Spectrum
from embcompress.report.histograms import LogHistogram
from embcompress.report.worst import Worst

_RATES = [2.0 ** (i / 4) for i in range(-12, 17)]
"""Bits a weight at which the limit is drawn: from an eighth to 16."""


class RowDetails:
    """Collects distributions, the worst rows, and errors by frequency.

    Args:
        frequencies: float64 [N], not negative, not all zero; None when they are not known.
    """

    def __init__(self, frequencies: NDArray[np.float64] | None) -> None:
        self._frequencies = frequencies
        self._row_error = LogHistogram()
        self._cosine_distance = LogHistogram()
        self._worst = Worst()
        self._groups = None if frequencies is None else FrequencyGroups(frequencies)
        self._sums: NDArray[np.float64] | None = None

    def put(
        self, start: int, errors: NDArray[np.float64], cosines: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Take a tile; safe from several threads when rows differ.

        Args:
            start: Its first row.
            errors: float64 [b, 5], from ``kernels.compare.row_errors``.
            cosines: float64 [b], NaN for rows that do not count.

        Returns:
            What ``fold`` has to be given, in the order of the tiles.
        """
        counted = ~np.isnan(cosines)
        error, norm = errors[:, 0], errors[:, 1]
        relative = np.divide(error, norm, out=np.zeros_like(error), where=norm > 0)
        relative[(norm == 0) & (error > 0)] = np.inf
        np.sqrt(relative, out=relative)
        relative[~counted] = np.nan
        self._row_error.put(relative[counted])
        self._cosine_distance.put(1 - cosines[counted])
        frequencies = None
        if self._frequencies is not None:
            frequencies = self._frequencies[start : start + len(errors)]
        self._worst.put(start, relative, cosines, errors, frequencies)
        if self._groups is None or frequencies is None:
            return None
        return self._groups.sums(frequencies, errors, cosines)

    def fold(self, sums: NDArray[np.float64]) -> None:
        """Add what a tile gave; in one fixed order, the figures repeat bit for bit."""
        self._sums = sums if self._sums is None else self._sums + sums

    def details(
        self,
        spectrum: Spectrum | None,
        dim: int,
        neighbours: list[RowNeighbours],
        neighbour_rows: int | None,
    ) -> Details:
        """What was collected, once all rows are in.

        Args:
            spectrum: Gives the limit; None when it is not known.
            dim: D.
            neighbours: Of sampled rows.
            neighbour_rows: Rows searched for them.
        """
        groups = []
        if self._groups is not None and self._sums is not None:
            groups = self._groups.groups(self._sums)
        return Details(
            row_error=self._row_error.histogram(),
            cosine_distance=self._cosine_distance.histogram(),
            worst=self._worst.rows(),
            frequency_groups=groups,
            neighbours=neighbours,
            neighbour_rows=neighbour_rows,
            limit=[] if spectrum is None else _limit(spectrum, dim),
        )


def _limit(spectrum: Spectrum, dim: int) -> list[LimitPoint]:
    bound = [(rate, spectrum.relative_error(rate * dim)) for rate in _RATES]
    return [
        LimitPoint(bits_per_weight=rate, relative_error=error)
        for rate, error in bound
        if error is not None
    ]
