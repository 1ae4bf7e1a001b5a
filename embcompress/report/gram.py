"""The second moment of a table, collected from tiles, for the rate-distortion bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.report.limit import gaussian_bound
from embcompress.report.sample import spread

MOST_DIM = 4608
"""Wider tables get no bound: their eigenvalues take minutes."""

_STRIPE = 4096
_FLOPS = 2e11
_LEAST_SHARE = 2
_NARROW = 64
_COPIES = 16  # bytes: the float64 sum, and two float32 shares of tiles

Share = tuple[int, NDArray[np.floating]]
"""Of a tile: how many of its rows count, and the sum of their eᵀe."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a second moment.

    Args:
        eigenvalues: float64 [D], of EᵀE/n, ascending; those lost in rounding are 0.
        rows: Rows n that it was collected from.
        sampled: Whether the table has more.
    """

    eigenvalues: NDArray[np.float64]
    rows: int
    sampled: bool

    def relative_error(self, bits_per_row: float) -> float | None:
        """Relative error of the Gaussian bound; None for a table of zeros.

        Args:
            bits_per_row: Everything counted.
        """
        energy = float(self.eigenvalues.sum())
        if not energy > 0:
            return None
        rows = self.rows if self.sampled else None
        return math.sqrt(gaussian_bound(self.eigenvalues, bits_per_row, rows) / energy)


class Gram:
    """Which rows make up the second moment, and their sum of eᵀe.

    All rows do while that costs at most 2·10¹¹ multiplications; otherwise stripes of 4,096 rows
    spread at random over the table, at least 2·D rows.

    Args:
        rows: n.
        dim: D.
        random: Chooses the stripes.
    """

    def __init__(self, rows: int, dim: int, random: np.random.Generator) -> None:
        stripes = -(-rows // _STRIPE)
        affordable = max(int(_FLOPS / dim**2), _LEAST_SHARE * dim)
        self._chosen: NDArray[np.bool_] | None = None
        if rows > affordable:
            self._chosen = np.zeros(stripes, np.bool_)
            self._chosen[spread(stripes, -(-affordable // _STRIPE), random)] = True
        self._sum = np.zeros((dim, dim))
        self._rows = 0

    @staticmethod
    def nbytes(dim: int) -> int:
        """Memory that a table of D columns takes at most, in bytes.

        Args:
            dim: D.
        """
        return _COPIES * dim**2

    def of_tile(
        self, start: int, rows: NDArray[np.float32], squares: NDArray[np.float64]
    ) -> Share | None:
        """The share of one tile; safe from several threads.

        Args:
            start: Its first row.
            rows: float32 [b, D], finite.
            squares: float64 [b], every row's sum of squares.

        Returns:
            What it adds; None when none of its rows counts.
        """
        if self._chosen is not None:
            mine = self._chosen[(start + np.arange(len(rows))) // _STRIPE]
            if not mine.any():
                return None
            rows, squares = rows[mine], squares[mine]
        safe = rows.shape[1] > _NARROW and squares.sum() < 1e37 and squares.max() > 1e-25
        exact = rows if safe else rows.astype(np.float64)
        return len(rows), exact.T @ exact

    def fold(self, share: Share) -> None:
        """Add the share of a tile; call it in tile order from one thread at a time."""
        self._rows += share[0]
        self._sum += share[1]

    def spectrum(self, rows: int) -> Spectrum:
        """The eigenvalues; only once, since the sum is overwritten.

        Args:
            rows: Rows of the table.
        """
        from scipy.linalg import eigvalsh

        self._sum /= max(self._rows, 1)
        values = eigvalsh(self._sum.T, overwrite_a=True, check_finite=False)
        rounding = len(values) * 2.0**-52 if len(values) <= _NARROW else 2.0**-22
        values[values < values[-1] * rounding] = 0
        return Spectrum(values, self._rows, self._rows < rows)
