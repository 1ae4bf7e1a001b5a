"""Rows seen through an offset and a basis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.tables.base import TILE
from embcompress.tables.rows import Rows, Tile


def coordinates_of(
    rows: NDArray[np.float32], offset: NDArray[np.float32], basis: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Coordinates of rows in an orthonormal basis.

    Args:
        rows: float32 [b, D].
        offset: float32 [D], taken away first.
        basis: float32 [K, D] with orthonormal rows, or None for the rows themselves.

    Returns:
        float32 [b, K] or [b, D].
    """
    centred = rows - offset
    return centred if basis is None else np.ascontiguousarray(centred @ basis.T)


@dataclass(frozen=True)
class Coordinates:
    """The coordinates of some rows, as rows of their own.

    Args:
        source: The rows.
        offset: float32 [D].
        basis: float32 [K, D] or None.
    """

    source: Rows
    offset: NDArray[np.float32]
    basis: NDArray[np.float32] | None

    @property
    def name(self) -> str:
        """The table, for messages."""
        return self.source.name

    @property
    def shape(self) -> tuple[int, int]:
        """Rows n and coordinates K."""
        n, d = self.source.shape
        return n, d if self.basis is None else self.basis.shape[0]

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """Those of the rows."""
        return self.source.weights

    @property
    def tiles(self) -> int:
        """As many as the rows have."""
        return self.source.tiles

    def ids(self, index: int) -> NDArray[np.int64]:
        """Original row numbers of a tile, without reading it."""
        return self.source.ids(index)

    def aligned(self, count: int) -> bool:
        """As the rows."""
        return self.source.aligned(count)

    def tile(self, index: int) -> Tile:
        """Read one tile of coordinates."""
        tile = self.source.tile(index)
        return Tile(
            tile.position,
            tile.ids,
            coordinates_of(tile.rows, self.offset, self.basis),
            tile.weights,
        )


@dataclass(frozen=True, eq=False)
class SampleRows:
    """Rows in memory, such as the coordinates of a sample.

    Args:
        name: The table, for messages.
        values: float32 [m, K].
        weights: float64 [m] or None.
    """

    name: str
    values: NDArray[np.float32]
    weights: NDArray[np.float64] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows m and columns K."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def tiles(self) -> int:
        """Tiles of 4,096 rows."""
        return -(-len(self.values) // TILE)

    def ids(self, index: int) -> NDArray[np.int64]:
        """Row numbers of a tile, those in the sample."""
        start = index * TILE
        return np.arange(start, min(start + TILE, len(self.values)), dtype=np.int64)

    def aligned(self, count: int) -> bool:
        """Whether every tile begins at a multiple of ``count``."""
        return self.tiles <= 1 or TILE % count == 0

    def tile(self, index: int) -> Tile:
        """One tile."""
        start, stop = index * TILE, min((index + 1) * TILE, len(self.values))
        weights = None if self.weights is None else self.weights[start:stop]
        ids = np.arange(start, stop, dtype=np.int64)
        return Tile(start, ids, np.ascontiguousarray(self.values[start:stop]), weights)
