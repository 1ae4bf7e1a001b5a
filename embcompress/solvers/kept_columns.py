"""Rows of which some columns are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.tables.rows import Rows, Tile


def columns_of(rows: NDArray[np.float32], kept: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some columns of rows.

    Args:
        rows: float32 [b, D].
        kept: int64 [K].

    Returns:
        float32 [b, K], C-contiguous.
    """
    return np.ascontiguousarray(rows[:, kept])


@dataclass(frozen=True, eq=False)
class KeptColumns:
    """Some columns of some rows, as rows of their own.

    Args:
        source: The rows.
        kept: int64 [K], ascending columns.
    """

    source: Rows
    kept: NDArray[np.int64]

    @property
    def name(self) -> str:
        """The table, for messages."""
        return self.source.name

    @property
    def shape(self) -> tuple[int, int]:
        """Rows n and columns K."""
        return self.source.shape[0], len(self.kept)

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """Those of the rows."""
        return self.source.weights

    @property
    def tiles(self) -> int:
        """As many as the rows have."""
        return self.source.tiles

    def aligned(self, count: int) -> bool:
        """As the rows."""
        return self.source.aligned(count)

    def ids(self, index: int) -> NDArray[np.int64]:
        """Original row numbers of a tile, without reading it."""
        return self.source.ids(index)

    def tile(self, index: int) -> Tile:
        """Read one tile of the columns."""
        tile = self.source.tile(index)
        return Tile(tile.position, tile.ids, columns_of(tile.rows, self.kept), tile.weights)
