"""Grouping: which rows of a table are fitted and encoded together."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.rowmap import Labels, Ranges, RowMap, Span, Whole
from embcompress.errors import UsageError
from embcompress.tables.base import Table, tile_rows
from embcompress.tables.gradients import Gradients
from embcompress.tables.rows import Tile
from embcompress.threads import ordered

Fields = Mapping[str, tuple[int, int]]


class Reader:
    """Reads a table in tiles of fixed absolute row numbers, each thread into its own buffer."""

    def __init__(
        self,
        table: Table,
        frequencies: NDArray[np.float64] | None,
        gradients: Gradients | None = None,
        *,
        zero_nonfinite: bool,
    ) -> None:
        self.table = table
        self.frequencies = frequencies
        self.gradients = gradients
        self._zero = zero_nonfinite
        self._height = tile_rows(table.shape[1])
        self._local = threading.local()

    @property
    def tiles(self) -> int:
        """Tiles of the table."""
        return -(-self.table.shape[0] // self._height)

    def bounds(self, index: int) -> tuple[int, int]:
        """First row and the row after the last of a tile."""
        start = index * self._height
        return start, min(start + self._height, self.table.shape[0])

    def read(self, index: int) -> NDArray[np.float32]:
        """Read one tile; float32 [b, D], valid until this thread reads again."""
        start, stop = self.bounds(index)
        buffer = getattr(self._local, "buffer", None)
        if buffer is None:
            height = min(self._height, self.table.shape[0])
            buffer = self._local.buffer = np.empty((height, self.table.shape[1]), np.float32)
        rows = self.table.read(start, stop, buffer)
        if self._zero:
            np.nan_to_num(rows, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return rows


@dataclass(frozen=True, eq=False)
class SegmentRows:
    """The rows of one segment of a table.

    Args:
        reader: Reads the table.
        rowmap: The table's row map.
        segment: The segment's number.
        count: Its rows n.
        present: Tiles of the table that hold rows of it.
        weights: float64 [n] or None.
        gradients: Those of its field, or None.
    """

    reader: Reader
    rowmap: RowMap
    segment: int
    count: int
    present: list[int]
    weights: NDArray[np.float64] | None
    gradients: Gradients | None = None

    @property
    def name(self) -> str:
        """The table, for messages."""
        return f"{self.reader.table.path}: table '{self.reader.table.name}'"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows n and columns D."""
        return self.count, self.reader.table.shape[1]

    @property
    def tiles(self) -> int:
        """How many tiles a pass has."""
        return len(self.present)

    def ids(self, index: int) -> NDArray[np.int64]:
        """Original row numbers of a tile, without reading it."""
        return self._span(index).rows

    def tile(self, index: int) -> Tile:
        """Read one tile."""
        number = self.present[index]
        return self.cut(self._span(index), self.reader.bounds(number)[0], self.reader.read(number))

    def _span(self, index: int) -> Span:
        for span in self.rowmap.spans(*self.reader.bounds(self.present[index])):
            if span.segment == self.segment:
                return span
        raise AssertionError("a tile lacks the segment it was listed for")

    def cut(self, span: Span, start: int, rows: NDArray[np.float32]) -> Tile:
        """The tile of this segment among rows that begin at ``start``."""
        own = rows if len(span.rows) == len(rows) else rows[span.rows - start]
        weights = None
        if self.weights is not None:
            weights = self.weights[span.position : span.position + len(span.rows)]
        return Tile(span.position, span.rows, own, weights)


@dataclass(frozen=True, eq=False)
class Grouped:
    """A table with its row map and segments.

    Args:
        reader: Reads the table.
        rowmap: Sends rows to segments.
        segments: In the row map's numbering.
        hot: The segment of hot rows, if any.
        together: Segments that are fitted together, most frequent first: the tiers of a table or
            of a field; else each alone.
        twin: Tells the tables of two rules apart that have the same method.
    """

    reader: Reader
    rowmap: RowMap
    segments: list[SegmentRows] = field(default_factory=list)
    hot: int | None = None
    together: list[list[int]] = field(default_factory=list)
    twin: int = 0

    def cut(self, index: int) -> Iterator[tuple[SegmentRows, Tile]]:
        """Read one tile of the table once and share it among its segments."""
        start, stop = self.reader.bounds(index)
        rows = self.reader.read(index)
        for span in self.rowmap.spans(start, stop):
            segment = self.segments[span.segment]
            yield segment, segment.cut(span, start, rows)


def group(
    reader: Reader,
    keep_hot: float | None,
    fields: Fields | None,
    *,
    per_field: bool,
    tiers: Sequence[float] = (),
    ranks: NDArray[np.float64] | None = None,
) -> Grouped:
    """Build the row map of a table.

    Args:
        reader: Reads the table, and knows its frequencies and gradients.
        keep_hot: Share of most frequent rows that form a segment of their own.
        fields: Row ranges by field name, or None for one field.
        per_field: Whether every field is a segment.
        tiers: Shares of the rows that are not hot, most frequent first, that are segments of
            their own beside the rest.
        ranks: float64 [n], what puts rows into tiers in place of frequencies.

    Raises:
        UsageError: ``keep_hot`` or tiers without frequencies or ranks.
    """
    n = reader.table.shape[0]
    stops = _stops(n, fields if per_field else None)
    if keep_hot is None and not tiers:
        return _grouped(reader, _over(n, 0, stops), None, 1)
    if reader.frequencies is None and (keep_hot is not None or ranks is None):
        if keep_hot is None:
            raise UsageError(
                f"table '{reader.table.name}': groups of rows by frequency need --frequencies"
            )
        raise UsageError("--keep-hot needs --frequencies: it keeps the most frequent rows")
    hot = 0 if keep_hot is None else _share(keep_hot, n)
    shares = accumulate(Fraction(str(share)) for share in tiers)
    ends = [hot + math.floor(share * (n - hot)) for share in shares]
    # a stable sort of the negated frequencies: ties go to the lower row number
    order = np.arange(n)
    if reader.frequencies is not None:
        order = np.argsort(-reader.frequencies, kind="stable")
    if ranks is not None:
        others = np.sort(order[hot:])
        order[hot:] = others[np.argsort(-ranks[others], kind="stable")]
    labels = np.empty(n, np.uint8)
    children: list[RowMap] = []
    if keep_hot is not None:
        labels[order[:hot]] = 0
        children.append(Whole(hot, 0))
    first = len(children)
    for begin, end in pairwise([hot, *ends, n]):
        mine = order[begin:end]
        labels[mine] = len(children)
        own_stops = None if stops is None else np.searchsorted(np.sort(mine), stops)
        children.append(_over(end - begin, first, own_stops))
        first += 1 if stops is None else len(stops)
    rowmap = Labels.build(labels, children)
    return _grouped(reader, rowmap, None if keep_hot is None else 0, len(tiers) + 1)


def frequent_norms(reader: Reader, threads: int) -> NDArray[np.float64]:
    """Frequency times norm of every row, in one pass; the norm alone without frequencies.

    Returns:
        float64 [n]; 0 for rows that are not finite, which the statistics pass will find.
    """

    def norms(index: int) -> NDArray[np.float64]:
        wide = reader.read(index).astype(np.float64)
        found: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        return found

    pieces = [np.empty(0), *ordered(norms, range(reader.tiles), threads)]
    ranks = np.nan_to_num(np.concatenate(pieces), nan=0.0, posinf=0.0)
    return ranks if reader.frequencies is None else ranks * reader.frequencies


def _share(share: float, n: int) -> int:
    """The whole rows of a share as it was written: 0.29 of 100 rows are 29."""
    return math.floor(Fraction(str(share)) * n)


def _stops(n: int, fields: Fields | None) -> NDArray[np.int64] | None:
    if fields is None or not n:
        return None
    return np.array(sorted(stop for _, stop in fields.values()), np.int64)


def _over(n: int, first: int, stops: NDArray[np.int64] | None) -> RowMap:
    return Whole(n, first) if stops is None else Ranges(n, first, stops)


def _grouped(reader: Reader, rowmap: RowMap, hot: int | None, tiers: int) -> Grouped:
    counts = rowmap.counts()
    present: list[list[int]] = [[] for _ in counts]
    ids: list[list[NDArray[np.int64]]] = [[] for _ in counts]
    weighted = reader.frequencies is not None
    for index in range(reader.tiles):
        for span in rowmap.spans(*reader.bounds(index)):
            present[span.segment].append(index)
            if weighted:
                ids[span.segment].append(span.rows)
    segments = []
    cold = range(0 if hot is None else 1, len(counts))
    fields = len(cold) // tiers
    for segment, count in sorted(counts.items()):
        weights = None
        if reader.frequencies is not None:
            own = np.concatenate([np.empty(0, np.int64), *ids[segment]])
            weights = reader.frequencies[own]
            if not weights.any():  # rows that are never used weigh the same
                weights = None
        gradients = reader.gradients
        if gradients is not None and fields > 1:
            gradients = gradients.of_field((segment - cold[0]) % fields)
        segments.append(
            SegmentRows(reader, rowmap, segment, count, present[segment], weights, gradients)
        )
    together = [[cold[0] + t * fields + f for t in range(tiers)] for f in range(fields)]
    return Grouped(reader, rowmap, segments, hot, [[0], *together] if cold[0] else together)
