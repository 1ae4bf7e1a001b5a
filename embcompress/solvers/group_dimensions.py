"""What each dimension of a group of rows costs and leaves, and the encoder of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import Codec
from embcompress.codecs.columns import Columns
from embcompress.codecs.projected import Projected
from embcompress.solvers.coordinates import Coordinates, SampleRows, coordinates_of
from embcompress.solvers.encoder import ColumnsEncoder, Encoder, ProjectedEncoder, constant
from embcompress.solvers.kept_columns import KeptColumns, columns_of
from embcompress.solvers.knapsack import Level, Offer
from embcompress.solvers.rotation import spread_about
from embcompress.solvers.spectrum import exact_spectrum
from embcompress.solvers.statistics import Statistics
from embcompress.tables.rows import Rows


@dataclass(eq=False)
class Group:
    """Rows that share a dimension, with nested subspaces to choose from.

    Dimension 0 is their weighted mean, and D the rows themselves. Between, the mean and the
    strongest principal axes (weighted), or the strongest columns and the mean in the others.

    Args:
        rows: A segment.
        found: Its statistics, with ``gram`` and ``moments``; with ``sample`` where inner codecs
            must be fitted to know their size.
        wanted: Dimensions that may be taken, ascending.
        block: Columns kept or left together; None for principal axes.
        fit: Fits the inner method to coordinates.
    """

    rows: Rows
    found: Statistics
    wanted: Sequence[int]
    block: int | None
    fit: Callable[[Rows], Encoder]
    dims: list[int] = field(init=False)
    left: NDArray[np.float64] = field(init=False)  # by dims, weighted squared error
    _offset: NDArray[np.float32] = field(init=False)
    _axes: NDArray[np.float32] | None = field(init=False, default=None)
    _order: NDArray[np.int64] | None = field(init=False, default=None)
    _known: dict[int, Codec] = field(init=False, default_factory=dict)
    _settled: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        n, d = self.rows.shape
        if not n * d:
            self.dims, self.left = [d], np.zeros(1)
            self._offset = np.zeros(d, np.float32)
            return
        if self.block is None:
            spectrum = exact_spectrum(self.found, centered=True)
            self._offset, self._axes = spectrum.offset, spectrum.axes
            left = spectrum.left()
            most = min(n, d)
            self.dims = sorted({w if w >= d else min(w, most) for w in self.wanted})
        else:
            assert self.found.mean is not None
            self._offset = self.found.mean.astype(np.float32)
            energies = np.diagonal(spread_about(self.found, self._offset)) * self.found.weight
            self._order, ends = _blocks(np.maximum(energies, 0.0), self.block)
            left = np.append(np.cumsum(energies[self._order][::-1])[::-1], 0.0)
            places = np.searchsorted(ends, self.wanted, side="right") - 1
            places = np.maximum(places, np.minimum(self.wanted, 1))
            self.dims = np.unique(ends[places]).tolist()
        self.left = np.array([0.0 if dim == d else max(left[dim], 0.0) for dim in self.dims])

    @property
    def popularity(self) -> float:
        """Mean frequency of a row; 0 where none is used."""
        if self.rows.weights is None:
            return 0.0
        return self.found.weight / max(self.rows.shape[0], 1)

    def nearest(self, dim: float) -> int:
        """The dimension nearest to a number; the smaller of two."""
        return min(self.dims, key=lambda own: (abs(own - dim), own))

    def levels(self, inner_bytes: Callable[[int], float]) -> list[Level]:
        """What every dimension costs and leaves.

        Args:
            inner_bytes: Bytes of all coordinates, and of what they share, by their number.
        """
        sizes = [round(inner_bytes(dim)) + self._shared(dim) for dim in self.dims]
        return [
            Level(dim, Offer(size, float(left)))
            for dim, size, left in zip(self.dims, sizes, self.left, strict=True)
        ]

    def _shared(self, dim: int) -> int:
        """Bytes of what all rows need."""
        n, d = self.rows.shape
        if dim == d or not n:
            return 0
        if not dim:
            return 4 * d
        return 4 * d * (dim + 1) if self.block is None else -(-d // 8) + 4 * (d - dim)

    def codec(self, dim: int) -> Codec:
        """The codec of a dimension: as it was settled, or fitted to a sample."""
        if dim not in self._known:
            self._known[dim] = self._over(dim, self._sample(dim)).codec
        return self._known[dim]

    def settle(self, dim: int) -> None:
        """Fit a dimension to all rows, so that its bytes are known."""
        if dim not in self._settled:
            self._settled.add(dim)
            self._known[dim] = self.encoder(dim).codec

    def inner_bytes(self, dim: int) -> tuple[float, int]:
        """Bytes of a row's coordinates, and of what they share, fitted to a sample."""
        codec = self.codec(dim)
        layout = codec.layout()
        shared = sum(array.nbytes for array in codec.shared().values()) - self._shared(dim)
        return layout.record_bytes + sum(part.bits for part in layout.packed) / 8, shared

    def encoder(self, dim: int) -> Encoder:
        """The fitted encoder of a dimension."""
        d = self.rows.shape[1]
        if dim == d:
            return self._over(dim, self.rows)
        if self.block is None:
            return self._over(dim, Coordinates(self.rows, self._offset, self._basis(dim)))
        return self._over(dim, KeptColumns(self.rows, self._kept(dim)))

    def _basis(self, dim: int) -> NDArray[np.float32]:
        assert self._axes is not None
        return np.ascontiguousarray(self._axes[:dim])

    def _kept(self, dim: int) -> NDArray[np.int64]:
        assert self._order is not None
        return np.sort(self._order[:dim])

    def _over(self, dim: int, coordinates: Rows) -> Encoder:
        """The encoder of a dimension whose inner method is fitted to some coordinates."""
        d = self.rows.shape[1]
        if not dim and d:
            return constant(self._offset)
        inner = self.fit(coordinates)
        if dim == d:
            return inner
        if self.block is None:
            return ProjectedEncoder(
                Projected(d, self._offset, self._basis(dim), inner.codec), inner
            )
        kept = self._kept(dim)
        fill = np.delete(self._offset, kept)
        return ColumnsEncoder(Columns(d, kept, fill, inner.codec), kept, inner)

    def _sample(self, dim: int) -> SampleRows:
        sample = self.found.sample
        if sample is None:  # coordinates whose bytes do not depend on values need none
            return SampleRows(self.rows.name, np.empty((0, dim), np.float32))
        if dim == self.rows.shape[1]:
            own = sample
        elif self.block is None:
            own = coordinates_of(sample, self._offset, self._basis(dim))
        else:
            own = columns_of(sample, self._kept(dim))
        return SampleRows(self.rows.name, own, self.found.sample_weights)


def _blocks(
    energies: NDArray[np.float64], block: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns, those of blocks with most energy a column first, and how many 0, 1, … blocks have.

    Args:
        energies: float64 [D].
        block: Columns of a block; the last may have fewer.

    Returns:
        int64 [D] columns and int64 [blocks + 1] numbers of them.
    """
    d = len(energies)
    starts = np.arange(0, d, block)
    sizes = np.minimum(block, d - starts)
    sums = np.add.reduceat(energies, starts) if d else np.empty(0)
    order = np.argsort(-sums / sizes, kind="stable")
    columns = [np.arange(starts[b], starts[b] + sizes[b]) for b in order]
    return (
        np.concatenate([np.empty(0, np.int64), *columns]),
        np.concatenate([[0], np.cumsum(sizes[order])]).astype(np.int64),
    )
