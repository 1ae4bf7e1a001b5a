"""Offset and basis of entropy-coded rows, as precise as pays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.trellis_basis import LEAST_BITS, MOST_BITS, Basis, scale_of

_ROWS_A_COLUMN = 4
"""Rows for each column below which a basis is not tried: it would fit their noise."""
_FEW_ROWS = 64
"""Rows below which even an offset has to pay."""
_OFFSET_BITS = 16
_WIDEST = 8192
"""Columns above which a basis is not tried."""
_HUGE = 1e38
_LEAST_SQUARE = 2.0**-60
"""Squares of norms below count as this in logarithms."""
_NOISE = {
    2: 0.1188, 3: 0.03744, 4: 0.01154, 5: 0.003495, 6: 0.00104, 7: 0.000304, 8: 0.0000877,
    9: 0.0000249, 10: 0.00000697, 11: 0.00000193, 12: 0.00000053,
}  # fmt: skip
"""Squared error of a uniform quantizer of so many bits on a Gaussian of variance 1."""
_VECTOR_BITS = 32
_EDGES = np.arange(MOST_BITS + 1)


@dataclass(frozen=True, eq=False)
class Frame:
    """How rows become coordinates.

    Args:
        unit: Rows are divided by it first: a power of two near their largest value.
        offset: int16 [D], in steps of ``offset_unit``.
        offset_unit: Of rows divided by ``unit``.
        basis: Or None: coordinates are columns.
        analysis: float32 [D, n], the basis's inverse, or None.
    """

    unit: float
    offset: NDArray[np.int16]
    offset_unit: np.float32
    basis: Basis | None
    analysis: NDArray[np.float32] | None

    def coordinates(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Coordinates of rows, float32 [b, n], over ``unit``."""
        centred = self._centred(rows)
        return centred if self.analysis is None else centred @ self.analysis

    def log_norms(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logarithms to base 2 of the norms of rows less the offset, float64 [b], over ``unit``."""
        centred = self._centred(rows)
        squares = np.einsum("ij,ij->i", centred, centred, dtype=np.float64)
        found: NDArray[np.float64] = 0.5 * np.log2(np.maximum(squares, _LEAST_SQUARE))
        return found

    def _centred(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = np.multiply(rows, 1 / self.unit, dtype=np.float64).astype(np.float32)
        scaled -= self.offset.astype(np.float32) * self.offset_unit
        return scaled


def water_level(variances: NDArray[np.float64], bits: float) -> float:
    """The error of every active coordinate when a row of these variances has so many bits."""
    values = np.sort(variances[variances > 0])[::-1]
    if not len(values):
        return 0.0
    logs = np.log2(values)
    totals = np.cumsum(logs)
    reach = 0.5 * (totals - np.arange(1, len(values) + 1) * logs)
    active = int(np.searchsorted(reach, max(bits, 0.0), side="right"))
    return math.exp2((totals[active - 1] - 2 * max(bits, 0.0)) / active)


def frame_of(
    largest: float,
    mean: NDArray[np.float64],
    gram: NDArray[np.float64],
    rows: int,
    bits: float,
) -> Frame:
    """Choose offset, basis and precision for a size.

    The rounding of vector s leaks a share of its variance into all coordinates: its squared error
    times the eigenvalue. Vectors get the bits that make these products alike; how alike, and how
    many vectors, follows from the error that reverse water-filling leaves once the basis is paid.

    Args:
        largest: Largest magnitude of a value.
        mean: float64 [D].
        gram: float64 [D, D], mean of eᵀe.
        rows: How many rows share the basis.
        bits: Bits of a row, everything counted.
    """
    d = len(mean)
    unit = 2.0 ** math.floor(math.log2(largest)) if largest > 0 else 1.0
    mean = mean / unit * _offset_pays(mean, gram, rows)
    top = float(np.abs(mean).max(initial=0))
    step = np.float32(top / 32767)
    offset = np.rint(mean / step).astype(np.int16) if step > 0 else np.zeros(d, np.int16)
    rounded = offset.astype(np.float64) * float(step)
    centred = gram / unit / unit - np.outer(mean, rounded) - np.outer(rounded, mean)
    centred += np.outer(rounded, rounded)
    plain = Frame(unit, offset, step, None, None)
    tried = rows >= _ROWS_A_COLUMN * d and 1 < d <= _WIDEST and largest * math.sqrt(d) < _HUGE
    if not tried or not np.trace(centred) > 0:
        return plain
    values, vectors = np.linalg.eigh(centred)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    best = _error(np.diag(centred), bits)
    chosen: NDArray[np.int64] | None = None
    for ratio in np.geomspace(1e-6, 1, 25):
        widths = _widths(values, ratio * values.mean())
        leak = float(sum(_NOISE[w] * v for w, v in zip(widths, values, strict=True)))
        cost = np.cumsum(widths * d + _VECTOR_BITS) / rows
        spread = values + leak / d
        level = water_level(spread, bits - cost[-1])
        kept = _worth(spread, level, cost)
        left = bits - cost[kept - 1]
        if kept < 1 or left <= 0:
            continue
        lost = float(values[kept:].sum())
        error = _error(spread[:kept], left) + lost
        if error < best:
            best, chosen = error, widths[:kept]
    if chosen is None:
        return plain
    basis = rounded_basis(vectors[:, : len(chosen)].T, chosen)
    analysis = np.linalg.pinv(basis.matrix.astype(np.float64)).astype(np.float32)
    return Frame(unit, offset, step, basis, np.ascontiguousarray(analysis))


def _offset_pays(mean: NDArray[np.float64], gram: NDArray[np.float64], rows: int) -> bool:
    """Whether an offset saves more than its 16 bits a column."""
    if rows >= _FEW_ROWS:
        return True
    energy = float(np.trace(gram))
    left = max(energy - float(mean @ mean), 1e-9 * energy)
    return energy > 0 and 0.5 * rows * math.log2(energy / left) > _OFFSET_BITS


def _error(variances: NDArray[np.float64], bits: float) -> float:
    level = water_level(variances, bits)
    return float(np.minimum(variances, level).sum())


def _widths(values: NDArray[np.float64], leak: float) -> NDArray[np.int64]:
    """Bits of every vector, so that what its rounding leaks is alike."""
    noise = np.array([_NOISE[b] for b in range(LEAST_BITS, MOST_BITS + 1)])
    wanted = leak / np.maximum(values, 1e-300)
    found: NDArray[np.int64] = (noise > wanted[:, None]).sum(axis=1)
    return LEAST_BITS + np.minimum(found, len(noise) - 1)


def _worth(values: NDArray[np.float64], level: float, cost: NDArray[np.float64]) -> int:
    """Vectors that are worth their bits: rows four times as long are reckoned with."""
    gains = 0.5 * np.log2(np.maximum(16 * values / max(level, 1e-300), 1))
    own = np.diff(cost, prepend=0)
    worth = gains > 4 * own
    return int(np.flatnonzero(worth)[-1] + 1) if worth.any() else 0


def rounded_basis(vectors: NDArray[np.float64], widths: NDArray[np.int64]) -> Basis:
    """Vectors in few bits, each under the scale that loses least.

    Args:
        vectors: float64 [n, D].
        widths: int64 [n], bits.
    """
    codes = np.zeros(vectors.shape, np.int64)
    scales = np.zeros(len(vectors), np.uint8)
    for i, (vector, width) in enumerate(zip(vectors, widths.tolist(), strict=True)):
        half = 1 << (width - 1)
        largest = float(np.abs(vector).max())
        first = 2 * math.log2(half / largest)
        least = math.inf
        for s in range(max(0, math.floor(first) - 1), math.floor(first) + 6):
            scale = float(scale_of(np.array([s], np.uint8))[0])
            own = np.clip(np.rint(vector / scale), -half, half - 1)
            error = float(((own * scale - vector) ** 2).sum())
            if error < least:
                least, codes[i], scales[i] = error, own.astype(np.int64), s
    return Basis(widths.astype(np.uint8), scales, codes)
