"""Row maps: which segment holds an original row, and at which position."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.hostile import Array, Config, Json
from embcompress.errors import BadInput
from embcompress.kernels.rank import BLOCK, WORDS, rank

Ids = NDArray[np.int64]
_MAX_ROWS = 2**48
_MAX_SEGMENTS = 2**20


@dataclass(frozen=True)
class Span:
    """The rows of one segment among a run of rows.

    Args:
        segment: The segment's number.
        position: Where they begin in the segment; they follow one another.
        rows: int64 [b], their row numbers, ascending.
    """

    segment: int
    position: int
    rows: Ids


class RowMap(ABC):
    """Sends row numbers 0 … rows - 1 to (segment, position)."""

    kind: ClassVar[str]
    rows: int

    @abstractmethod
    def counts(self) -> dict[int, int]:
        """Rows of every segment, by segment number."""

    @abstractmethod
    def locate(self, ids: Ids) -> tuple[Ids, Ids]:
        """Segments and positions of rows.

        Args:
            ids: int64 [b], in range, C-contiguous.

        Returns:
            int64 [b] segments and int64 [b] positions.
        """

    @abstractmethod
    def spans(self, start: int, stop: int) -> Iterator[Span]:
        """The rows ``start … stop - 1``, segment by segment."""

    @abstractmethod
    def json(self) -> Json:
        """The map without its arrays."""

    def arrays(self) -> dict[str, Array]:
        """The arrays that the map stores, by name."""
        return {}


@dataclass(frozen=True, eq=False)
class Whole(RowMap):
    """All rows in one segment, in their order."""

    kind = "whole"
    rows: int
    segment: int = 0

    def counts(self) -> dict[int, int]:
        return {self.segment: self.rows}

    def locate(self, ids: Ids) -> tuple[Ids, Ids]:
        return np.full(len(ids), self.segment, np.int64), ids

    def spans(self, start: int, stop: int) -> Iterator[Span]:
        if stop > start:
            yield Span(self.segment, start, np.arange(start, stop, dtype=np.int64))

    def json(self) -> Json:
        return {"kind": self.kind, "segment": self.segment}


@dataclass(frozen=True, eq=False)
class Ranges(RowMap):
    """Contiguous ranges of rows: range i is segment ``first + i``.

    Stores ``stops`` int64 [ranges], where each range ends; the last is ``rows``.
    """

    kind = "ranges"
    rows: int
    first: int
    stops: Ids

    def counts(self) -> dict[int, int]:
        sizes = np.diff(self.stops, prepend=0)
        return {self.first + i: int(size) for i, size in enumerate(sizes)}

    def locate(self, ids: Ids) -> tuple[Ids, Ids]:
        index = np.searchsorted(self.stops, ids, side="right")
        starts = np.concatenate(([0], self.stops))
        return (index + self.first).astype(np.int64), ids - starts[index]

    def spans(self, start: int, stop: int) -> Iterator[Span]:
        index = int(np.searchsorted(self.stops, start, side="right"))
        while start < stop:
            begin = int(self.stops[index - 1]) if index else 0
            end = min(stop, int(self.stops[index]))
            if end > start:
                rows = np.arange(start, end, dtype=np.int64)
                yield Span(self.first + index, start - begin, rows)
            start = max(start, end)
            index += 1

    def json(self) -> Json:
        return {"kind": self.kind, "first": self.first, "ranges": len(self.stops)}

    def arrays(self) -> dict[str, Array]:
        return {"stops": self.stops}


@dataclass(frozen=True, eq=False)
class Labels(RowMap):
    """Every row carries a label of a few bits; the rows of a label go on to that label's map.

    Stores ``planes`` uint64 [p, 16·blocks] (bit i % 64 of word i // 64 of plane j is bit j of
    row i's label; rows past the end are 0) and ``directory`` int64 [blocks, 2**p] (how many rows
    of each label come before rows 0, 1024, 2048, …).
    """

    kind = "labels"
    rows: int
    planes: NDArray[np.uint64]
    directory: NDArray[np.int64]
    children: tuple[RowMap, ...]

    @classmethod
    def build(cls, labels: Array, children: Sequence[RowMap]) -> Labels:
        """The map of given labels.

        Args:
            labels: Any integer dtype [rows], values below ``len(children)``.
            children: One map a label, over as many rows as carry it.
        """
        rows = len(labels)
        planes = max(1, (len(children) - 1).bit_length())
        padded = np.zeros(-(-rows // BLOCK) * BLOCK, labels.dtype)
        padded[:rows] = labels
        words = np.stack(
            [
                np.packbits((padded >> p & 1).astype(bool), bitorder="little").view("<u8")
                for p in range(planes)
            ]
        )
        directory = directory_of(words, rows)
        return cls(rows, words, directory, tuple(children))

    def counts(self) -> dict[int, int]:
        return {k: v for child in self.children for k, v in child.counts().items()}

    def locate(self, ids: Ids) -> tuple[Ids, Ids]:
        labels, positions = np.empty_like(ids), np.empty_like(ids)
        rank(self.planes, self.directory, ids, labels, positions)
        segments = np.zeros_like(ids)
        for label, child in enumerate(self.children):
            mine = np.flatnonzero(labels == label)
            if len(mine):
                inner = positions[mine]
                if int(inner.max()) >= child.rows or int(inner.min()) < 0:
                    raise BadInput(f"the row map is damaged at row {ids[mine[inner.argmax()]]}")
                segments[mine], positions[mine] = child.locate(inner)
        if int(labels.max(initial=0)) >= len(self.children):
            raise BadInput(f"the row map is damaged at row {ids[labels.argmax()]}")
        return segments, positions

    def spans(self, start: int, stop: int) -> Iterator[Span]:
        ids = np.arange(start, stop, dtype=np.int64)
        labels, positions = np.empty_like(ids), np.empty_like(ids)
        rank(self.planes, self.directory, ids, labels, positions)
        for label, child in enumerate(self.children):
            mine = ids[labels == label]
            if len(mine):
                begin = int(positions[labels == label][0])
                for span in child.spans(begin, begin + len(mine)):
                    yield Span(span.segment, span.position, mine[span.rows - begin])

    def sound(self) -> bool:
        """Whether the directory is that of the planes."""
        return np.array_equal(directory_of(self.planes, self.rows), self.directory)

    def json(self) -> Json:
        return {"kind": self.kind, "labels": [[c.rows, c.json()] for c in self.children]}

    def arrays(self) -> dict[str, Array]:
        own: dict[str, Array] = {"planes": self.planes, "directory": self.directory}
        for i, child in enumerate(self.children):
            own |= {f"{i}.{name}": array for name, array in child.arrays().items()}
        return own


def directory_of(planes: NDArray[np.uint64], rows: int) -> NDArray[np.int64]:
    """How many rows of each label come before every 1024th row.

    Args:
        planes: uint64 [p, 16·blocks].
        rows: Rows of the map.

    Returns:
        int64 [blocks, 2**p].
    """
    count, words = planes.shape
    directory = np.empty((words // WORDS, 2**count), np.int64)
    for label in range(2**count):
        same = np.full(words, ~np.uint64(0))
        for p in range(count):
            same &= planes[p] if label >> p & 1 else ~planes[p]
        ones = np.bitwise_count(same).reshape(-1, WORDS).sum(axis=1, dtype=np.int64)
        directory[:, label] = np.cumsum(ones) - ones
    return directory


def load_rowmap(rows: int, values: Json, arrays: Mapping[str, Array], where: str) -> RowMap:
    """Build a row map from a file's values, which may be hostile.

    Raises:
        BadInput: A value that ``json()`` or ``arrays()`` cannot have given.
    """
    config = Config(values, where)
    kind = config.choice("kind", "whole", "ranges", "labels")
    found: RowMap
    if kind == "whole":
        found = Whole(rows, config.integer("segment", 0, _MAX_SEGMENTS))
    elif kind == "ranges":
        first = config.integer("first", 0, _MAX_SEGMENTS)
        count = config.integer("ranges", 1, _MAX_SEGMENTS)
        stops = _array(arrays, "stops", "<i8", (count,), where)
        if (np.diff(stops, prepend=0) < 0).any() or stops[-1] != rows:
            raise BadInput(f"{where}: the ranges of the row map do not cover {rows} rows")
        found = Ranges(rows, first, stops)
    else:
        found = _load_labels(rows, config, arrays, where)
    config.end()
    return found


def _load_labels(rows: int, config: Config, arrays: Mapping[str, Array], where: str) -> Labels:
    listed = config.inner("labels")
    if not isinstance(listed, list) or not 1 <= len(listed) <= 256:
        raise BadInput(f"{where}: the row map's labels are {listed!r:.60}")
    children = []
    for i, entry in enumerate(listed):
        if not (isinstance(entry, list) and len(entry) == 2 and type(entry[0]) is int):
            raise BadInput(f"{where}: label {i} of the row map is {entry!r:.60}")
        if not 0 <= entry[0] <= rows or not isinstance(entry[1], dict):
            raise BadInput(f"{where}: label {i} of the row map is {entry!r:.60}")
        if entry[1].get("kind") == "labels":
            raise BadInput(f"{where}: labels inside labels in the row map")
        prefix = f"{i}."
        inner = {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
        children.append(load_rowmap(entry[0], entry[1], inner, where))
    if sum(c.rows for c in children) != rows:
        raise BadInput(f"{where}: the labels of the row map do not cover {rows} rows")
    planes = max(1, (len(children) - 1).bit_length())
    blocks = -(-rows // BLOCK)
    return Labels(
        rows,
        _array(arrays, "planes", "<u8", (planes, blocks * WORDS), where),
        _array(arrays, "directory", "<i8", (blocks, 2**planes), where),
        tuple(children),
    )


def _array(
    arrays: Mapping[str, Array], name: str, dtype: str, shape: tuple[int, ...], where: str
) -> Array:
    array = arrays.get(name)
    if array is None or array.dtype != np.dtype(dtype) or array.shape != shape:
        raise BadInput(f"{where}: the row map's '{name}' is missing or has another shape")
    return array
