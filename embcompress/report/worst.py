"""The rows that lost most, kept while a table streams by."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from embcompress.report.details import WorstRow


class Worst:
    """The rows with the largest relative error above 0; of equal ones the first.

    The result does not depend on the order in which rows come.

    Args:
        most: How many rows to keep.
    """

    def __init__(self, most: int = 10) -> None:
        self._most = most
        self._kept: list[tuple[float, int, WorstRow]] = []
        self._to_beat = np.nextafter(0.0, 1.0)
        self._lock = threading.Lock()

    def put(
        self,
        start: int,
        relative: NDArray[np.float64],
        cosines: NDArray[np.float64],
        errors: NDArray[np.float64],
        frequencies: NDArray[np.float64] | None,
    ) -> None:
        """Take some rows; safe from several threads when rows differ.

        Args:
            start: The first row.
            relative: float64 [b], their relative errors; NaN for rows that do not count.
            cosines: float64 [b].
            errors: float64 [b, 5], from ``kernels.compare.row_errors``.
            frequencies: float64 [b] or None.
        """
        # an older bound is lower, so reading it without the lock loses no row
        at = np.flatnonzero(relative >= self._to_beat)
        if len(at) > self._most:
            at = at[np.lexsort((at, -relative[at]))[: self._most]]
        found = []
        for i in at.tolist():
            value = float(relative[i])
            row = WorstRow(
                row=start + i,
                relative_error=value if np.isfinite(value) else None,
                cosine=float(cosines[i]),
                norm=float(np.sqrt(errors[i, 1])),
                decoded_norm=float(np.sqrt(errors[i, 2])),
                frequency=None if frequencies is None else float(frequencies[i]),
            )
            found.append((-value, start + i, row))
        if not found:
            return
        with self._lock:
            self._kept = sorted([*self._kept, *found], key=lambda k: k[:2])[: self._most]
            if len(self._kept) == self._most:
                self._to_beat = -self._kept[-1][0]

    def rows(self) -> list[WorstRow]:
        """The rows, worst first."""
        return [row for _, _, row in self._kept]
