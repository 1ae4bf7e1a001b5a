"""Principal axes of rows and the energy along each: exact, or by a streamed randomized solver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import IOFailure, UsageError
from embcompress.solvers.rotation import signed, spread_about
from embcompress.solvers.statistics import Statistics
from embcompress.tables.rows import Tile
from embcompress.threads import one_blas_thread

Each = Callable[[Callable[[Tile], Any], str], Iterator[Any]]

NARROW = 2048
"""Columns up to which the Gram matrix is collected whole."""

_LARGEST = 2.0**128  # of float32
_PASSES = 2
_MATRICES = 8  # float64 [D, D]: the Gram matrix, those of tiles that wait, and LAPACK's work


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Principal axes about an offset, strongest first.

    Args:
        offset: float32 [D].
        axes: float32 [K, D], orthonormal rows.
        energies: float64 [K], weighted sums of squared coordinates, none rising.
        spread: Weighted sum of squares of rows less the offset: that of all axes.
        norm: Weighted sum of squares of the rows themselves.
    """

    offset: NDArray[np.float32]
    axes: NDArray[np.float32]
    energies: NDArray[np.float64]
    spread: float
    norm: float

    def left(self) -> NDArray[np.float64]:
        """Energy that ranks 0, 1, …, K leave out, float64 [K + 1]; exactly 0 at rank D."""
        left = np.maximum(self.spread - np.concatenate([[0.0], np.cumsum(self.energies)]), 0.0)
        if len(self.energies) == len(self.offset):
            # sums from the small end keep what cancels from the other
            left = np.concatenate([np.cumsum(self.energies[::-1])[::-1], [0.0]])
        return left


def check_gram_room(name: str, d: int, memory: int) -> None:
    """Refuse a Gram matrix that does not fit the memory.

    Args:
        name: The table, for the error.
        d: Columns D.
        memory: Bytes to stay below.

    Raises:
        IOFailure: It takes more.
    """
    need = _MATRICES * 8 * d * d
    if need > memory:
        raise IOFailure(
            f"{name}: the Gram matrix of {d:,} columns needs {need:,} bytes; raise --memory or ask"
            " for a smaller rank"
        )


def check_range(name: str, d: int, largest: float) -> None:
    """Refuse values whose coordinates may leave float32.

    Args:
        name: The table, for the error.
        d: Columns D.
        largest: Largest magnitude of a value.

    Raises:
        UsageError: They may.
    """
    if 2 * d**0.5 * largest > _LARGEST:
        raise UsageError(
            f"{name}: values as large as {largest:.3g} leave float32 as coordinates; use cast or"
            " quantize"
        )


def exact_spectrum(found: Statistics, *, centered: bool) -> Spectrum:
    """All principal axes, from the eigenvectors of the Gram matrix.

    Args:
        found: With ``gram`` and ``moments``.
        centered: Whether the offset is the weighted mean; else it is 0.
    """
    assert found.mean is not None
    assert found.gram is not None
    offset = found.mean.astype(np.float32) if centered else np.zeros(len(found.mean), np.float32)
    spread = spread_about(found, offset)
    with one_blas_thread():
        values, vectors = np.linalg.eigh(spread)
    energies = np.maximum(values[::-1], 0.0) * found.weight
    axes = signed(vectors[:, ::-1].T).astype(np.float32)
    norm = float(np.trace(found.gram)) * found.weight
    return Spectrum(offset, axes, energies, float(energies.sum()), norm)


def randomized_spectrum(
    found: Statistics, each: Each, count: int, seed: int, *, centered: bool
) -> Spectrum:
    """The strongest principal axes, in passes that hold D×count numbers.

    Subspace iteration from a random start multiplies by the Gram matrix without making it, and a
    Nyström step reads axes off the last product. Energies are those of the Nyström matrix, which
    lies below the Gram matrix: what an axis captures is never less.

    Args:
        found: With ``moments``.
        each: Applies a function to every tile; results in order.
        count: Axes K to look for, more than are kept.
        seed: Of the random start.
        centered: Whether the offset is the weighted mean; else it is 0.

    Source: Halko, Martinsson and Tropp 2011, Finding structure with randomness; Tropp et al. 2017,
        Fixed-rank approximation of a positive-semidefinite matrix from streaming data.
    """
    assert found.mean is not None
    d = len(found.mean)
    offset = found.mean.astype(np.float32) if centered else np.zeros(d, np.float32)
    gaussian = np.random.default_rng([seed, d, count]).standard_normal((d, count))
    totals = np.zeros(2)
    product = np.zeros((d, count))
    with one_blas_thread():
        basis = np.linalg.qr(gaussian)[0]
    for _ in range(_PASSES):
        product, totals = np.zeros((d, count)), np.zeros(2)
        for part, sums in each(_multiplied(offset, basis), "principal axes"):
            product += part
            totals += sums
        with one_blas_thread():
            last, basis = basis, np.linalg.qr(product)[0]
    with one_blas_thread():
        energies, axes = _nystrom(last, product)
    return Spectrum(offset, signed(axes).astype(np.float32), energies, totals[0], totals[1])


def _multiplied(
    offset: NDArray[np.float32], basis: NDArray[np.float64]
) -> Callable[[Tile], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """A tile's share of the Gram matrix times a basis, and its sums of squares."""

    def of(tile: Tile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        wide = tile.rows.astype(np.float64)
        weights = np.ones(len(wide)) if tile.weights is None else tile.weights
        norm = weights @ np.einsum("ij,ij->i", wide, wide)
        wide -= offset
        spread = weights @ np.einsum("ij,ij->i", wide, wide)
        return wide.T @ ((wide @ basis) * weights[:, None]), np.array([spread, norm])

    return of


def _nystrom(
    basis: NDArray[np.float64], product: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues and axes [K, D] of product·(basisᵀ·product)⁺·productᵀ."""
    middle = basis.T @ product
    values, vectors = np.linalg.eigh((middle + middle.T) / 2)
    floor = max(float(values.max(initial=0.0)), 0.0) * 1e-12
    kept = values > floor
    inverse = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    left, sizes, _ = np.linalg.svd(product @ (vectors * inverse), full_matrices=False)
    return sizes**2, left.T
