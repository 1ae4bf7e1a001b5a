"""Rows pooled over bags, on the codes where the codec can, else decoded and added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcompress.errors import UsageError
from embcompress.threads import halves

if TYPE_CHECKING:
    from embcompress.artifact.table import CompressedTable

Pooling: TypeAlias = Literal["sum", "mean", "max"]

_LEAST = 2048  # entries that are worth a second thread
_WEIGHTS = 2**17  # weights decoded at a time


def pool_bags(
    table: CompressedTable,
    ids: NDArray[np.int64],
    offsets: ArrayLike,
    weights: ArrayLike | None,
    mode: Pooling,
    out: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """``CompressedTable.sum_bags`` on ids int64 [b] that are in range."""
    if mode not in get_args(Pooling):
        raise UsageError(f"bags are pooled by sum, mean or max, not {mode!r:.60}")
    if weights is not None and mode != "sum":
        raise UsageError(f"weights go with sums; mode is '{mode}'")
    edges = _checked_offsets(offsets, len(ids))
    factors = np.empty(0, np.float32)
    if weights is not None:
        factors = np.ascontiguousarray(weights, np.float32)
        if factors.shape != ids.shape:
            raise ValueError(f"weights are {list(factors.shape)}, ids {list(ids.shape)}")
    shape = (len(edges) - 1, table.shape[1])
    if out is None:
        out = np.empty(shape, np.float32)
    elif (
        out.shape != shape
        or out.dtype != np.float32
        or not (out.flags.c_contiguous and out.flags.writeable)
    ):
        raise ValueError(
            f"out is {out.dtype} {list(out.shape)}; it must be C-contiguous, writeable float32"
            f" {list(shape)}"
        )
    if not out.size:
        return out
    lengths = np.diff(edges)
    if not ids.size:
        out.fill(0)
    elif factors.size == 0 and (lengths == 1).all():
        table.decode(ids, out)
    elif mode == "max" or not _sum_codes(table, ids, edges, factors, out, mean=mode == "mean"):
        _pool_rows(table, ids, edges, factors, mode, out)
    return out


def _checked_offsets(offsets: ArrayLike, entries: int) -> NDArray[np.int64]:
    given = np.asarray(offsets)
    if given.dtype.kind not in "iu" or given.ndim != 1 or not given.size:
        raise ValueError(f"offsets are integers [bags + 1], not {given.dtype} {list(given.shape)}")
    edges = np.ascontiguousarray(given, np.int64)
    if edges[0] != 0 or edges[-1] != entries or (np.diff(edges) < 0).any():
        raise ValueError(f"offsets do not ascend from 0 to the {entries} ids")
    return edges


def _sum_codes(
    table: CompressedTable,
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float32],
    out: NDArray[np.float32],
    *,
    mean: bool,
) -> bool:
    """Let the codec sum up, where one segment holds the table."""
    form = table.form
    if len(form.segments) != 1 or form.rowmap.kind != "whole":
        return False
    codec, parts = form.segments[0].codec, table.parts(0, ids)
    rows = codec.addressed(ids, ids)
    able = []

    def part(first: int, last: int) -> None:
        begin, end = offsets[first], offsets[last]
        edges = offsets[first : last + 1] - begin
        some = weights[begin:end] if len(weights) else weights
        able.append(codec.sum_bags(parts, rows[begin:end], edges, some, out[first:last], mean=mean))

    _over_bags(part, offsets, table.threads)
    return all(able)


def _pool_rows(
    table: CompressedTable,
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float32],
    mode: Pooling,
    out: NDArray[np.float32],
) -> None:
    """Decode a few rows at a time and add them to their bags."""
    from embcompress.kernels.bags import add_rows

    d = table.shape[1]
    height = max(16, _WEIGHTS // d)
    lengths = np.diff(offsets)

    def part(first: int, last: int) -> None:
        begin, end = int(offsets[first]), int(offsets[last])
        rows = np.empty((min(height, end - begin), d), np.float32)
        for start in range(begin, end, height):
            some = ids[start : min(start + height, end)]
            table.decode(some, rows[: len(some)])
            bag = int(np.searchsorted(offsets, start, side="right")) - 1
            add_rows(rows[: len(some)], start, offsets, bag, weights, mode == "max", out)

    _over_bags(part, offsets, table.threads)
    out[lengths == 0] = 0
    if mode == "mean":
        out /= np.maximum(lengths, 1).astype(np.float32)[:, None]


def _over_bags(part: Callable[[int, int], None], offsets: NDArray[np.int64], threads: int) -> None:
    """Call ``part(first, last)`` over ranges of bags with about equally many entries."""
    begins, entries = offsets[:-1], int(offsets[-1])

    def of_entries(start: int, stop: int) -> None:
        first = int(np.searchsorted(begins, start)) if start else 0
        last = int(np.searchsorted(begins, stop)) if stop < entries else len(begins)
        if last > first:
            part(first, last)

    halves(of_entries, entries, threads, _LEAST)
