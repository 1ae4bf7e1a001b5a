"""Least squares from some columns of rows to the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import IOFailure
from embcompress.solvers.statistics import Statistics

_MATRICES = 4  # the Gram matrix, its part of kept columns, eigenvectors and work, float64 [D, D]
_LEAST = 1e-10  # of the largest variance of a direction
_NOISE = 1e-13  # of the largest square: what rounding leaves in the variances


def check_room(name: str, d: int, memory: int) -> None:
    """Refuse an alignment that does not fit the memory, before any work.

    Raises:
        IOFailure: Fitting it takes more than ``memory`` bytes.
    """
    need = _MATRICES * 8 * d * d
    if need > memory:
        raise IOFailure(f"{name}: aligning {d:,} columns needs {need:,} bytes; raise --memory")


def alignment(
    found: Statistics, kept: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Offset and basis that predict rows from their kept columns with the least squared error.

    row ≈ offset + row[kept]·basis: the kept columns themselves, exactly; the others by weighted
    least squares with an intercept.

    Args:
        found: With ``gram`` and ``moments``.
        kept: int64 [K], at least one column.

    Returns:
        float32 [D] and float32 [K, D].
    """
    assert found.gram is not None
    assert found.mean is not None
    d = len(found.mean)
    dropped = np.delete(np.arange(d), kept)
    covariance = found.gram - np.outer(found.mean, found.mean)
    values, vectors = np.linalg.eigh(covariance[np.ix_(kept, kept)])
    noise = _NOISE * float(np.diag(found.gram)[kept].max())
    sound = values > max(_LEAST * float(values[-1]), noise)
    axes = vectors[:, sound]
    slopes = axes @ ((axes.T @ covariance[np.ix_(kept, dropped)]) / values[sound, None])
    offset, basis = np.zeros(d), np.zeros((len(kept), d))
    basis[np.arange(len(kept)), kept] = 1
    basis[:, dropped] = slopes
    offset[dropped] = found.mean[dropped] - found.mean[kept] @ slopes
    return offset.astype(np.float32), basis.astype(np.float32)
