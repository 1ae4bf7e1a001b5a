"""Which values of a row are kept, and rows of them as a sparse codec stores them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.base import RaggedRows
from embcompress.codecs.sparse import Numbers, Sparse, entry_places, smaller_index
from embcompress.solvers.encoder import Encoder

LARGEST_HALF = 65504.0


def magnitudes(rows: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Magnitudes as whole numbers that order as they do, uint32 of the same shape."""
    return rows.view(np.uint32) & np.uint32(0x7FFFFFFF)


class Keeping(Protocol):
    """Says which values of rows are kept, and how much they shrink."""

    def kept(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which values are kept, [b, D]."""
        ...

    def shrinking(self, rows: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What kept magnitudes lose, float32 that broadcasts to [b, D]; None for nothing."""
        ...


@dataclass(frozen=True, eq=False)
class Above:
    """Keeps what lies above the threshold of its column, and the first of what equals it.

    Args:
        least: uint32 [D], magnitudes, as `magnitudes` gives them; at least 1, so that no zero is
            kept.
        ties: int64 [D]: values of exactly that magnitude are kept in the rows, by original number,
            times D plus column, that lie below this.
        shrink: float32 [D], taken from every kept magnitude; None for nothing.
    """

    least: NDArray[np.uint32]
    ties: NDArray[np.int64]
    shrink: NDArray[np.float32] | None = None

    def kept(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which values are kept."""
        sizes = magnitudes(rows)
        kept = sizes > self.least
        equal = sizes == self.least
        if equal.any():
            row, column = np.nonzero(equal)
            place = ids[row] * rows.shape[1] + column
            kept[row, column] = place < self.ties[column]
        return kept

    def shrinking(self, rows: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What kept magnitudes lose."""
        return self.shrink


@dataclass(frozen=True)
class LargestOfRow:
    """Keeps the k largest magnitudes of every row; of equal ones those of lower columns.

    Args:
        count: k, from 1 to D.
        soft: Whether the largest that is not kept is taken from those that are.
    """

    count: int
    soft: bool

    def kept(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which values are kept."""
        sizes: NDArray[np.uint32] = magnitudes(rows)
        d = rows.shape[1]
        least = np.partition(sizes, d - self.count, axis=1)[:, d - self.count, None]
        kept = sizes > least
        equal = sizes == least
        left = self.count - kept.sum(axis=1, keepdims=True)
        kept |= equal & (equal.cumsum(axis=1) <= left)
        return kept

    def shrinking(self, rows: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What kept magnitudes lose."""
        d = rows.shape[1]
        if not self.soft or self.count == d:
            return None
        place = d - self.count - 1
        return np.partition(magnitudes(rows), place, axis=1)[:, place, None].view(np.float32)


@dataclass(frozen=True)
class SparseEncoder(Encoder):
    """Stores the values that a rule keeps.

    Args:
        codec: Its index and numbers.
        keeping: The rule; it keeps as many columns in every row where the codec says so.
    """

    codec: Sparse
    keeping: Keeping

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        kept = self.keeping.kept(ids, rows)
        loss = self.keeping.shrinking(rows)
        if loss is not None:
            rows = np.copysign(np.maximum(np.abs(rows) - loss, np.float32(0)), rows)
            if self.codec.nonzeros is None:
                kept &= rows != 0
        counts = kept.sum(axis=1, dtype=np.int64)
        codec = self.codec
        parts: dict[str, Any] = {}
        values = rows[kept]
        if codec.numbers == "int8":
            scale, steps = self._steps(rows, kept)
            parts["scale"] = scale
            values = steps[kept]
        stored: NDArray[Any] = values.astype(codec.number_dtype)
        columns = np.nonzero(kept)[1].astype(codec.column_dtype)
        if codec.index == "bitmap":
            parts["bitmap"] = np.packbits(kept, axis=1, bitorder="little")
        if codec.nonzeros is not None:
            parts["values"] = stored.reshape(len(rows), codec.nonzeros)
            parts["columns"] = columns.reshape(len(rows), codec.nonzeros)
            return parts
        if codec.index == "list":
            parts["count"] = counts
            listed = columns.itemsize
            data = np.empty(int(counts.sum()) * codec.entry_bytes, np.uint8)
            for numbers, behind in ((columns, 0), (stored, listed)):
                places = entry_places(counts, codec.entry_bytes, numbers.itemsize, behind)
                data[places] = numbers.view(np.uint8)
        else:
            data = stored.view(np.uint8)
        parts[codec.part] = RaggedRows.build(data, counts * codec.entry_bytes)
        return parts

    def _steps(
        self, rows: NDArray[np.float32], kept: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scales float32 [b, 1] and values as whole multiples of them, [b, D]."""
        if self.codec.scale is None:
            scale = int8_scale(np.abs(np.where(kept, rows, 0)).max(axis=1, initial=0))[:, None]
        else:
            scale = np.broadcast_to(self.codec.scale, (len(rows), 1))
        divisor = np.where(scale > 0, scale, 1).astype(np.float64)
        steps = np.clip(np.rint(rows / divisor), -127, 127)
        return scale, steps.astype(np.float32)


def int8_scale(largest: NDArray[Any]) -> NDArray[np.float32]:
    """The scale at which a largest magnitude is 127 steps, float32 of the same shape."""
    scale: NDArray[np.float32] = (np.asarray(largest, np.float64) / 127).astype(np.float32)
    with np.errstate(over="ignore"):
        overflows = np.isinf(scale * np.float32(127))  # the largest floats, rounded up
    return np.where(overflows, np.nextafter(scale, np.float32(0)), scale)


def sparse_codec(
    shape: tuple[int, int],
    kept: int,
    numbers: Numbers,
    nonzeros: int | None,
    scale: NDArray[np.float32] | None,
) -> Sparse:
    """The sparse codec with the smaller index.

    Args:
        shape: Rows n and columns D.
        kept: Values of all rows.
        numbers: What values are stored as.
        nonzeros: Columns that every row keeps, or None where rows differ.
        scale: float32 [1], of int8 values of the table, or None.
    """
    n, d = shape
    index = smaller_index(d, n, kept, fixed=nonzeros is not None)
    return Sparse(d, index, numbers, nonzeros, scale)
