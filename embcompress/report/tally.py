"""What the errors of some rows add up to: the sums that cost one look at each weight."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Tally:
    """Sums over rows; those with a non-finite value on either side are left out.

    Args:
        rows: Rows counted.
        squared_error: Sum of squared errors.
        squared_norm: Sum of squares of the originals.
        cosine: Sum of cosines.
        norm_ratio: Sum of norm ratios, over ``norm_ratio_rows`` rows.
        norm_ratio_rows: Rows with an original norm above 0.
        weighted: float64 [4]: sums of weights, and of weighted squared errors, squared norms and
            cosines.
        largest: Largest absolute error, found in ``largest_row``; -1 before any row.
        largest_row: The first such row.
        lowest: Lowest cosine, found in ``lowest_row``; 2 before any row.
        lowest_row: The first such row.
        nonfinite_rows: Rows that decode to a non-finite value.
        nonfinite_row: The first of them.
    """

    rows: int = 0
    squared_error: float = 0.0
    squared_norm: float = 0.0
    cosine: float = 0.0
    norm_ratio: float = 0.0
    norm_ratio_rows: int = 0
    weighted: NDArray[np.float64] | None = None
    largest: float = -1.0
    largest_row: int = -1
    lowest: float = 2.0
    lowest_row: int = -1
    nonfinite_rows: int = 0
    nonfinite_row: int | None = None

    def add(self, later: Tally) -> None:
        """Add the tally of later rows; in one fixed order, the sums repeat bit for bit."""
        self.rows += later.rows
        self.squared_error += later.squared_error
        self.squared_norm += later.squared_norm
        self.cosine += later.cosine
        self.norm_ratio += later.norm_ratio
        self.norm_ratio_rows += later.norm_ratio_rows
        if later.weighted is not None:
            self.weighted = later.weighted + (0.0 if self.weighted is None else self.weighted)
        if later.largest > self.largest:
            self.largest, self.largest_row = later.largest, later.largest_row
        if later.lowest < self.lowest:
            self.lowest, self.lowest_row = later.lowest, later.lowest_row
        self.nonfinite_rows += later.nonfinite_rows
        if self.nonfinite_row is None:
            self.nonfinite_row = later.nonfinite_row


def tally(
    start: int, errors: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[Tally, NDArray[np.float64]]:
    """The tally of one tile.

    Args:
        start: Its first row.
        errors: float64 [b, 5], from ``kernels.compare.row_errors``.
        weights: float64 [b] or None.

    Returns:
        The tally, and the rows' cosines, float64 [b], NaN for rows that do not count.
    """
    found = Tally()
    if math.isfinite(errors[:, 1:3].sum()):
        return found, _count(found, np.arange(start, start + len(errors)), errors, weights)
    finite = np.isfinite(errors[:, 1:3])
    broken = np.flatnonzero(~finite[:, 1])
    found.nonfinite_rows = len(broken)
    found.nonfinite_row = start + int(broken[0]) if len(broken) else None
    good = np.flatnonzero(finite.all(axis=1))
    cosines = np.full(len(errors), np.nan)
    kept = None if weights is None else weights[good]
    cosines[good] = _count(found, start + good, errors[good], kept)
    return found, cosines


def _count(
    found: Tally,
    rows: NDArray[np.int64],
    errors: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Enter finite rows into a new tally; gives their cosines."""
    error, norm, other, dot, largest = np.ascontiguousarray(errors.T)
    both = np.sqrt(norm * other)
    cosines: NDArray[np.float64] = np.divide(
        dot, both, out=(norm == other).astype(np.float64), where=both > 0
    )
    np.minimum(cosines, 1.0, out=cosines)
    np.maximum(cosines, -1.0, out=cosines)
    ratios = np.divide(other, norm, out=np.zeros_like(norm), where=norm > 0)
    found.rows = len(rows)
    found.squared_error = float(error.sum())
    found.squared_norm = float(norm.sum())
    found.cosine = float(cosines.sum())
    found.norm_ratio = float(np.sqrt(ratios).sum())
    found.norm_ratio_rows = int(np.count_nonzero(norm))
    if weights is not None:
        sums = [np.einsum("i,i->", weights, a) for a in (error, norm, cosines)]
        found.weighted = np.array([weights.sum(), *sums])
    if len(rows):
        high, low = int(np.argmax(largest)), int(np.argmin(cosines))
        found.largest, found.largest_row = float(largest[high]), int(rows[high])
        found.lowest, found.lowest_row = float(cosines[low]), int(rows[low])
    return cosines
