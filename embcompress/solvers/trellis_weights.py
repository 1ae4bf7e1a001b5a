"""Rows that weigh more get smaller steps: a few grades of steps, and records scaled by them.

At high rates the step that spends bits best is proportional to the square root of 1 / weight, and
squared error in such steps is the weighted one. So records are divided by their grade's step, over
the common one, and all that is fitted to them or searched for them is as without weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.trellis_tables import OCTAVE

WEIGHTS = ("none", "frequency", "row-norm")
_FINEST = OCTAVE / 3
"""Least distance of grades; at half an octave short rows cost 0.06 dB more on GloVe."""
_MOST = 12
_FAR = 16.0 * OCTAVE
"""How far grades may lie from the median record."""
_TAIL = 0.0005
"""Share of the records, at either end, that grades need not reach."""
_LEAST_RECORDS = 16
"""Records of a sample for each grade, at least."""
_NEVER = 1e6
"""Step of rows of no weight, in 1/24 octave."""
_WORTHS = (-4.0, 4.0)
"""Octaves within which a weight may differ from its grade's."""


@dataclass(frozen=True, eq=False)
class Graded:
    """Records with the grades of their steps.

    Args:
        records: float32 [b, r·n], coordinates.
        grades: int64 [b].
        worths: float32 [b], weight of a squared error over that of the grade, about 1.
        scales: float64 [b], step of the grade over the common one.
    """

    records: NDArray[np.float32]
    grades: NDArray[np.int64]
    worths: NDArray[np.float32]
    scales: NDArray[np.float64]

    @cached_property
    def scaled(self) -> NDArray[np.float32]:
        """Records over the steps of their grades, float32 [b, r·n]."""
        return (self.records / self.scales[:, None]).astype(np.float32)

    def some(self, which: NDArray[np.bool_] | slice) -> Graded:
        """Some of them."""
        return Graded(
            np.ascontiguousarray(self.records[which]),
            self.grades[which],
            self.worths[which],
            self.scales[which],
        )


@dataclass(frozen=True, eq=False)
class Grades:
    """Steps by the weight of records.

    Args:
        weight: What a row weighs: one of `WEIGHTS`.
        rows: Rows of a record.
        unit: Rows are divided by it before they are squared.
        common: The step of weights that stands for 1, in 1/24 octave.
        steps: float64 [L], ascending, over the common one, in 1/24 octave.
        ends: Wished steps are taken to lie between these, in 1/24 octave.
    """

    weight: str
    rows: int
    unit: float
    common: float
    steps: NDArray[np.float64]
    ends: tuple[float, float]

    @cached_property
    def scales(self) -> NDArray[np.float64]:
        """Steps over the common one, float64 [L]."""
        scales: NDArray[np.float64] = np.exp2(self.steps / OCTAVE)
        return scales

    @classmethod
    def of(
        cls,
        weight: str,
        rows: int,
        unit: float,
        drawn: NDArray[np.float32],
        frequencies: NDArray[np.float64] | None,
    ) -> Grades:
        """Grades for a sample.

        Args:
            weight: One of `WEIGHTS`.
            rows: Rows of a record.
            unit: A power of two near the largest value.
            drawn: float32 [s·rows, D], rows of records.
            frequencies: float64 [s·rows], or None.
        """
        one = cls("none", rows, unit, 0.0, np.zeros(1), (0.0, 0.0))
        wished = replace(one, weight=weight)._wished(drawn, frequencies)
        wished = wished[wished < _NEVER]
        count = min(_MOST, len(drawn) // rows // _LEAST_RECORDS)
        if weight == "none" or count < 2 or not len(wished):
            return one
        low, middle, high = np.quantile(wished, [_TAIL, 0.5, 1 - _TAIL])
        low, high = max(low, middle - _FAR), min(high, middle + _FAR)
        apart = max((high - low) / (count - 1), _FINEST)
        steps = low + apart * np.arange(round((high - low) / apart) + 1)
        steps += (high - steps[-1]) / 2
        ends = float(low), float(high)
        _, grades = cls(weight, rows, unit, 0.0, steps, ends)._placed(drawn, frequencies)
        came, times = np.unique(grades, return_counts=True)
        common = float(steps[came] @ times / times.sum())
        return cls(weight, rows, unit, common, steps[came] - common, ends)

    def graded(
        self,
        coordinates: NDArray[np.float32],
        rows: NDArray[np.float32],
        frequencies: NDArray[np.float64] | None,
    ) -> Graded:
        """Records of rows.

        Args:
            coordinates: float32 [b·r, n].
            rows: float32 [b·r, D].
            frequencies: float64 [b·r], or None.
        """
        count = len(rows) // self.rows
        records = coordinates.reshape(count, self.rows * coordinates.shape[1])
        if self.weight == "none":
            return Graded(records, np.zeros(count, np.int64), np.ones(count, "f4"), np.ones(count))
        wished, grades = self._placed(rows, frequencies)
        octaves = np.clip((self.steps[grades, None] - wished) * (2 / OCTAVE), *_WORTHS)
        worths = np.exp2(octaves).mean(axis=1).astype(np.float32)
        return Graded(records, grades, worths, self.scales[grades])

    def _placed(
        self, rows: NDArray[np.float32], frequencies: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Best steps of rows, float64 [b, r], and nearest grades of records, int64 [b]."""
        wished = self._wished(rows, frequencies).reshape(-1, self.rows)
        near = np.clip(wished, *self.ends).mean(axis=1) - self.common
        middles = (self.steps[1:] + self.steps[:-1]) / 2
        return wished - self.common, np.searchsorted(middles, near).astype(np.int64)

    def _wished(
        self, rows: NDArray[np.float32], frequencies: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Logarithm of the best step of every row, in 1/24 octave, float64 [b]."""
        if self.weight == "row-norm":
            scaled = np.multiply(rows, 1 / self.unit, dtype=np.float64)
            squares = np.einsum("ij,ij->i", scaled, scaled)
            # the relative error of a row of zeros says nothing
            inverse = np.where(squares > 0, squares, np.inf)
        elif frequencies is not None:
            with np.errstate(divide="ignore"):
                inverse = 1 / frequencies
        else:
            inverse = np.ones(len(rows))
        return np.minimum(0.5 * OCTAVE * np.log2(inverse), _NEVER)
