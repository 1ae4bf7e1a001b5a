"""Orthonormal bases: principal axes, random rotations, ITQ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import IOFailure
from embcompress.solvers.statistics import Statistics

_ITQ_ROUNDS = 50
_FEWEST_ROUNDS = 4
_ITQ_WORK = 2**33  # columns cubed times rounds: an SVD of 3,000 columns takes half a minute
_MATRICES = 4  # the Gram matrix, its eigenvectors and LAPACK's work, float64 [D, D] each
_ITQ_ROWS = 25_000


def check_room(name: str, d: int, memory: int) -> None:
    """Refuse a rotation that does not fit the memory, before any work.

    Args:
        name: The table, for the error.
        d: Columns D.
        memory: Bytes to stay below.

    Raises:
        IOFailure: Fitting it takes more.
    """
    need = _MATRICES * 8 * d * d
    if need > memory:
        raise IOFailure(f"{name}: rotating {d:,} columns needs {need:,} bytes; raise --memory")


def center_of(found: Statistics, *, median: bool) -> NDArray[np.float64]:
    """The weighted mean, or the weighted median of the sample, of every column.

    Args:
        found: With ``moments``, or with ``sample`` for the median.
        median: Which of them.

    Returns:
        float64 [D].
    """
    if not median:
        assert found.mean is not None
        return found.mean
    assert found.sample is not None
    assert found.sample_weights is not None
    if not len(found.sample):
        return np.zeros(found.sample.shape[1])
    order = np.argsort(found.sample, axis=0, kind="stable")
    weights = found.sample_weights[order]
    reached = np.cumsum(weights, axis=0) >= weights.sum(axis=0) / 2
    first = reached.argmax(axis=0)
    middle = np.take_along_axis(found.sample, order, axis=0)
    median_row: NDArray[np.float32] = middle[first, np.arange(middle.shape[1])]
    return median_row.astype(np.float64)


def spread_about(found: Statistics, offset: NDArray[np.float32]) -> NDArray[np.float64]:
    """The weighted mean of (e - offset)ᵀ(e - offset), float64 [D, D].

    Args:
        found: With ``gram`` and ``moments``.
        offset: float32 [D].
    """
    assert found.gram is not None
    assert found.mean is not None
    wide = offset.astype(np.float64)
    spread = (
        found.gram - np.outer(wide, found.mean) - np.outer(found.mean, wide) + np.outer(wide, wide)
    )
    return (spread + spread.T) / 2


def pca_basis(found: Statistics, offset: NDArray[np.float32]) -> NDArray[np.float32]:
    """Principal axes about an offset, strongest first.

    Args:
        found: With ``gram`` and ``moments``.
        offset: float32 [D].

    Returns:
        float32 [D, D], one axis a row; the first entry of largest magnitude of each is positive.
    """
    _, vectors = np.linalg.eigh(spread_about(found, offset))
    return signed(vectors[:, ::-1].T).astype(np.float32)


def signed(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Axes of one sign: the first entry of largest magnitude of each is positive.

    Args:
        axes: float64 [K, D], one axis a row.
    """
    if not axes.size:
        return np.ascontiguousarray(axes)
    strongest = np.abs(axes).argmax(axis=1)
    signs = np.where(axes[np.arange(len(axes)), strongest] < 0, -1.0, 1.0)
    return np.ascontiguousarray(axes * signs[:, None])


def random_basis(d: int, seed: int) -> NDArray[np.float32]:
    """A random rotation, uniform over the orthogonal group.

    Returns:
        float32 [D, D].
    """
    gaussian = np.random.default_rng([seed, d]).standard_normal((d, d))
    q, r = np.linalg.qr(gaussian)
    return np.ascontiguousarray((q * np.where(np.diag(r) < 0, -1.0, 1.0)).T, np.float32)


def itq_basis(found: Statistics, offset: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Principal axes turned by ITQ, so that coordinates lie near their signs.

    From a random rotation, alternates signs of the coordinates and the rotation nearest to them
    (Procrustes, by SVD), on up to 25,000 rows of the sample: 50 rounds, past 550 columns fewer,
    8 at 1,024.

    Args:
        found: With ``gram``, ``moments`` and ``sample``.
        offset: float32 [D].
        seed: Of the first rotation.

    Returns:
        float32 [D, D], one axis a row.

    Source: Gong and Lazebnik 2011, Iterative quantization, section 2.2.
    """
    assert found.sample is not None
    assert found.sample_weights is not None
    axes = pca_basis(found, offset)
    step = -(-len(found.sample) // _ITQ_ROWS) or 1
    rows = (found.sample[::step] - offset) @ axes.T
    # a power of two changes no rotation, and sums of products stay within float32
    exponent = int(np.frexp(np.abs(rows).max(initial=0))[1])
    rows = np.ldexp(rows, -exponent)
    weights = np.sqrt(found.sample_weights[::step]).astype(np.float32)[:, None]
    rotation = random_basis(len(axes), seed)
    scaled = rows * weights
    rounds = min(_ITQ_ROUNDS, max(_FEWEST_ROUNDS, _ITQ_WORK // max(len(axes), 1) ** 3))
    for _ in range(rounds):
        signs = np.where(rows @ rotation.T >= 0, weights, -weights)
        left, _, right = np.linalg.svd((signs.T @ scaled).astype(np.float64))
        rotation = (left @ right).astype(np.float32)
    return np.ascontiguousarray(rotation @ axes)
