"""Errors of rows by how often they are used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.report.details import FrequencyGroup
from embcompress.report.model import root_ratio

_GROUPS = 10
_SORTED = 2**22
"""Of longer tables, so many rows at equal distances give the borders of the groups."""


class FrequencyGroups:
    """Tenths of the rows by frequency; rows of equal frequency are never parted.

    Args:
        frequencies: float64 [N], not negative, not all zero.
    """

    def __init__(self, frequencies: NDArray[np.float64]) -> None:
        step = -(-len(frequencies) // _SORTED)
        some = np.sort(frequencies[::step])
        at = np.arange(1, _GROUPS) * len(some) // _GROUPS
        borders = np.unique(some[at])
        self._least = float(frequencies.min())
        self._borders = borders[borders > self._least]
        self._top = float(frequencies.max())

    def sums(
        self,
        frequencies: NDArray[np.float64],
        errors: NDArray[np.float64],
        cosines: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """What some rows add to each group.

        Args:
            frequencies: float64 [b].
            errors: float64 [b, 5], from ``kernels.compare.row_errors``.
            cosines: float64 [b], NaN for rows that do not count.

        Returns:
            float64 [g, 5]: rows, and sums of frequencies over the largest, of squared errors, of
            squared norms and of cosines.
        """
        good = ~np.isnan(cosines)
        group = np.searchsorted(self._borders, frequencies[good], side="right")
        columns = (
            None,
            frequencies[good] / self._top,
            errors[good, 0],
            errors[good, 1],
            cosines[good],
        )
        count = len(self._borders) + 1
        return np.stack([np.bincount(group, c, count) for c in columns], axis=1)

    def groups(self, sums: NDArray[np.float64]) -> list[FrequencyGroup]:
        """The groups that have rows, the rarest first.

        Args:
            sums: float64 [g, 5], of all rows.
        """
        whole = float(sums[:, 1].sum())
        least = [self._least, *self._borders.tolist()]
        return [
            FrequencyGroup(
                rows=int(rows),
                least_frequency=low,
                share=uses / whole if whole > 0 else 0.0,
                relative_error=root_ratio(error, norm),
                cosine_mean=cosine / rows,
            )
            for low, (rows, uses, error, norm, cosine) in zip(least, sums.tolist(), strict=True)
            if rows
        ]
