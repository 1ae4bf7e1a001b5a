"""Encoders: fitted methods that turn rows into the parts their codec decodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.codecs.base import Codec
    from embcompress.codecs.centroids import Centroids
    from embcompress.codecs.projected import Projected


class Encoder(ABC):
    """A fitted method: turns rows into parts that its ``codec`` decodes."""

    codec: Codec

    @abstractmethod
    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        """Encode some rows; called from several threads at once.

        Args:
            ids: int64 [b], original row numbers.
            rows: float32 [b, D], finite, C-contiguous.

        Returns:
            The codec's fields by name, arrays [b] or [b, count], its packed parts, integer
            arrays [b], and its ragged parts, as `RaggedRows` with their lengths. A row's parts
            depend on that row and its tile only.
        """


class Elastic(Encoder):
    """An encoder whose streams take a size that is chosen once all else of the file is known."""

    @property
    @abstractmethod
    def open_ended(self) -> bool:
        """Whether it still has to be filled."""

    @property
    @abstractmethod
    def weights(self) -> int:
        """Numbers in its rows: its share of the budget."""

    @property
    @abstractmethod
    def stream_bits(self) -> int:
        """Bits of its stream, once it is filled."""

    @abstractmethod
    def fill(self, nbytes: int, *, at_most: bool) -> None:
        """Settle the size; its codec may be another one of the same shapes afterwards.

        Args:
            nbytes: Bytes that its streams should take.
            at_most: Whether they may take no more; else others can make up for it.

        Raises:
            UsageError: They are too few.
        """


@dataclass(frozen=True)
class ProjectedEncoder(Encoder):
    """Sends rows to coordinates, which an inner encoder encodes.

    Args:
        codec: Holds the offset and an orthonormal basis.
        inner: Fitted on the coordinates.
    """

    codec: Projected
    inner: Encoder

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        from embcompress.codecs.hostile import INNER
        from embcompress.solvers.coordinates import coordinates_of

        coordinates = coordinates_of(rows, self.codec.offset, self.codec.basis)
        return {INNER + k: v for k, v in self.inner.encode(ids, coordinates).items()}


@dataclass(frozen=True)
class ColumnsEncoder(Encoder):
    """Hands some columns of rows to an inner encoder.

    Args:
        codec: Puts the columns back, by `Columns` or by a basis.
        kept: int64 [K], the columns.
        inner: Fitted on them.
    """

    codec: Codec
    kept: NDArray[np.int64]
    inner: Encoder

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        from embcompress.codecs.hostile import INNER
        from embcompress.solvers.kept_columns import columns_of

        kept = columns_of(rows, self.kept)
        return {INNER + k: v for k, v in self.inner.encode(ids, kept).items()}


@dataclass(frozen=True)
class ConstantEncoder(Encoder):
    """Stores nothing of a row: all are the one row of the codec."""

    codec: Centroids

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        return {}


def constant(row: NDArray[np.float32]) -> ConstantEncoder:
    """The encoder of rows that all decode to one, float32 [D]."""
    from embcompress.codecs.centroids import Centroids

    return ConstantEncoder(Centroids(len(row), False, row[None]))


def decoded(
    encoder: Encoder, ids: NDArray[np.int64], rows: NDArray[np.float32], first: int = 0
) -> NDArray[np.float32]:
    """What rows decode to once an encoder has encoded them, float32 [b, D].

    Args:
        encoder: Fitted.
        ids: int64 [b], original row numbers.
        rows: float32 [b, D], finite, C-contiguous.
        first: Position of the first row.
    """
    import numpy as np

    from embcompress.codecs.base import PackedRows, Parts
    from embcompress.codecs.stream import StreamRows

    encoded = encoder.encode(ids, rows)
    layout = encoder.codec.layout()
    runs = {part: encoded[part] for part in layout.ragged}
    strings = {p.name: PackedRows.build(encoded[p.name], p.bits) for p in layout.packed}
    streams = {
        s.name: StreamRows.build(s, encoded[s.name].classes, encoded[s.name].data)
        for s in layout.streams
    }
    parts = Parts(layout.pack(encoded, len(ids)), 0, runs, strings, first, streams)
    out = np.empty(rows.shape, np.float32)
    positions = np.arange(len(ids), dtype=np.int64)
    encoder.codec.decode(parts, encoder.codec.addressed(ids, positions), out)
    return out
