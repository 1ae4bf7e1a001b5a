"""The output layer of a network whose other layer is random: streamed least squares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.hashed_network import HashedNetwork
from embcompress.solvers.encoder import Encoder
from embcompress.threads import one_blas_thread

Float64 = NDArray[np.float64]

_RIDGE = 1e-6  # of the mean square of an activation


@dataclass(frozen=True)
class NetworkEncoder(Encoder):
    """There is nothing to encode: a row is computed from its number."""

    codec: HashedNetwork

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        """Nothing."""
        return {}


@dataclass(frozen=True)
class Moments:
    """What some rows add to the normal equations.

    Args:
        gram: float32 [H + 1, H + 1], zᵀWz of the activations z and a column of ones.
        cross: float32 [H + 1, D], zᵀWx of the scaled rows x.
    """

    gram: NDArray[np.float32]
    cross: NDArray[np.float32]


def moments_of(
    codec: HashedNetwork,
    ids: NDArray[np.int64],
    rows: NDArray[np.float32],
    weights: Float64,
    scale: float,
) -> Moments:
    """The moments of a tile.

    Args:
        codec: Gives activations; its output layer does not matter.
        ids: int64 [b], original row numbers.
        rows: float32 [b, D].
        weights: float64 [b] of mean about 1, or [0].
        scale: What rows are multiplied by.
    """
    z = np.ones((len(ids), codec.hidden + 1), np.float32)
    z[:, :-1] = codec.activations(ids)
    weighted = z * weights[:, None].astype(np.float32) if len(weights) else z
    x = (rows * np.float64(scale)).astype(np.float32)
    return Moments(weighted.T @ z, weighted.T @ x)


def output_layer(pieces: Iterable[Moments], hidden: int, dim: int, scale: float) -> Float64:
    """The output layer of least squared error, with a ridge of a millionth.

    Args:
        pieces: Moments of every tile, in order.
        hidden: Units H.
        dim: Columns D.
        scale: What rows were multiplied by.

    Returns:
        float64 [H + 1, D], the last row the bias.
    """
    gram, cross = np.zeros((hidden + 1, hidden + 1)), np.zeros((hidden + 1, dim))
    for piece in pieces:
        gram += piece.gram
        cross += piece.cross
    ridge = _RIDGE * np.trace(gram) / len(gram)
    if ridge == 0 or not dim:
        return np.zeros((hidden + 1, dim))
    with one_blas_thread():
        energies, vectors = np.linalg.eigh(gram)
        turned = (vectors.T @ cross) / (np.maximum(energies, 0) + ridge)[:, None]
        found: Float64 = (vectors @ turned) / scale
    return found
