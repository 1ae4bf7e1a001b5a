"""What dropping a column costs, summed over the rows of a tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput
from embcompress.tables.base import Table
from embcompress.tables.quoting import quoted, shown
from embcompress.tables.rows import Tile


def mask_gradient(tile: Tile, gradients: Table, fill: NDArray[np.float64]) -> NDArray[np.float64]:
    """∂L/∂M of the rows of a tile: Σ (E[n, j] − fill_j)·∂L/∂E[n, j], where M_j = 1 keeps column j.

    Args:
        tile: Rows [b, D].
        gradients: ∂L/∂E of all rows of the table, by original row number.
        fill: float64 [D], what a dropped column holds.

    Returns:
        float64 [D].

    Raises:
        BadInput: A gradient is not finite; names the row.
        IOFailure: The gradients cannot be read.
    """
    if not len(tile.ids):
        return np.zeros(len(fill))
    first, last = int(tile.ids[0]), int(tile.ids[-1])
    own = gradients.read(first, last + 1)[tile.ids - first].astype(np.float64)
    bad = ~np.isfinite(own).all(axis=1)
    if bad.any():
        raise BadInput(
            f"{shown(gradients.path)}: row {tile.ids[bad.argmax()]} of {quoted(gradients.name)}"
            " holds NaN, infinity, or a number beyond float32"
        )
    total: NDArray[np.float64] = ((tile.rows.astype(np.float64) - fill) * own).sum(axis=0)
    return total


def squared_moves(tile: Tile, fill: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ w·(E[n, j] − fill_j)² over the rows of a tile, float64 [D]."""
    return _weighted(np.square(tile.rows.astype(np.float64) - fill), tile)


def absolute_moves(tile: Tile, fill: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ w·|E[n, j] − fill_j| over the rows of a tile, float64 [D]."""
    return _weighted(np.abs(tile.rows.astype(np.float64) - fill), tile)


def _weighted(moves: NDArray[np.float64], tile: Tile) -> NDArray[np.float64]:
    weighted = moves if tile.weights is None else moves * tile.weights[:, None]
    total: NDArray[np.float64] = weighted.sum(axis=0)
    return total
