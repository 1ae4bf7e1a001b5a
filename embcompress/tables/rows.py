"""Rows read in tiles: what fits, statistics and encoding see of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tile:
    """Some rows of a segment, read together.

    Args:
        position: Where they begin in the segment.
        ids: int64 [b], their original row numbers, ascending.
        rows: float32 [b, D], C-contiguous; the buffer is used again for a later tile.
        weights: float64 [b], their frequencies, or None.
    """

    position: int
    ids: NDArray[np.int64]
    rows: NDArray[np.float32]
    weights: NDArray[np.float64] | None


class Rows(Protocol):
    """The rows that a method is fitted on: those of one segment of a table."""

    @property
    def name(self) -> str:
        """The table, for messages."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Rows n and columns D."""
        ...

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """float64 [n], frequencies, or None."""
        ...

    @property
    def tiles(self) -> int:
        """How many tiles a pass has."""
        ...

    def tile(self, index: int) -> Tile:
        """Read one tile; safe from several threads."""
        ...

    def ids(self, index: int) -> NDArray[np.int64]:
        """Original row numbers of a tile, without reading it: int64 [b], ascending."""
        ...

    def aligned(self, count: int) -> bool:
        """Whether every tile begins at a position that is a multiple of ``count``."""
        ...
