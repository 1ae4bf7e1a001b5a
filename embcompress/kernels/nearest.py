"""Keep the best scores of a stream of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.lanes import LANES, any_lane, equal, load, splat
from embcompress.kernels.records import FLOAT32_2D, INT64_1D

NONE = np.iinfo(np.int64).max
"""The id of a place that nothing has taken."""


@inlined
def behind(key: Any, row: Any, other_key: Any, other_row: Any) -> Any:
    """Whether a row comes after another: a lower key, or a higher number at the same key."""
    return key < other_key or (key == other_key and row > other_row)


@inlined
def put(keys: Any, ids: Any, i: int, key: Any, row: Any) -> None:
    """Replace the last of heap i, whose root it is, by a better row."""
    k = keys.shape[1]
    place = 0
    while 2 * place + 1 < k:
        child = 2 * place + 1
        if child + 1 < k and behind(
            keys[i, child + 1], ids[i, child + 1], keys[i, child], ids[i, child]
        ):
            child += 1
        if not behind(keys[i, child], ids[i, child], key, row):
            break
        keys[i, place], ids[i, place] = keys[i, child], ids[i, child]
        place = child
    keys[i, place], ids[i, place] = key, row


@inlined
def beaten(lanes: Any, key: Any) -> Any:
    """Whether a key is larger than each of sixteen; numbers that are none are larger than -inf."""
    least = splat(key)
    found = any_lane(least < lanes) or any_lane(equal(least, lanes))
    return not found and key > -np.inf


@inlined
def take(
    scores: Any, sign: Any, first: Any, own: Any, keys: Any, ids: Any, i: Any, start: Any, stop: Any
) -> None:
    """Offer the scores of some columns to heap i."""
    for j in range(start, stop):
        key = sign * scores[i, j]
        if key != key:
            key = np.float32(-np.inf)
        if first + j != own and behind(keys[i, 0], ids[i, 0], key, first + j):
            put(keys, ids, i, key, first + j)


@kernel(
    f"void({FLOAT32_2D}, float32, int64, {INT64_1D}, Array(float32, 2, 'C'), Array(int64, 2, 'C'))"
)
def keep_best(
    scores: NDArray[np.float32],
    sign: float,
    first: int,
    own: NDArray[np.int64],
    keys: NDArray[np.float32],
    ids: NDArray[np.int64],
) -> None:
    """Take the rows of a block that are among the k best of their query.

    What is kept does not depend on the order of the blocks: of equal scores the lower row number
    wins. A score that is not a number comes last.

    Args:
        scores: float32 [q, b], of rows ``first`` to ``first + b - 1``.
        sign: 1 where the largest scores are best, -1 where the smallest are.
        first: row number of column 0.
        own: int64 [q], the row that query i must not find, or -1.
        keys: float32 [q, k], heaps of ``sign * score``, the caller's; at first -inf.
        ids: int64 [q, k], their rows; at first `NONE`.
    """
    count, b = scores.shape
    if keys.shape[1] == 0:
        return
    for i in range(count):
        start = 0
        while start < b:
            stop = min(start + LANES, b)
            if stop - start < LANES or not beaten(
                splat(sign) * load(scores, i * b + start), keys[i, 0]
            ):
                take(scores, sign, first, own[i], keys, ids, i, start, stop)
            start = stop


def in_order(
    keys: NDArray[np.float32], ids: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k best of each query, best first.

    Args:
        keys: float32 [q, m].
        ids: int64 [q, m], distinct within a query.
        k: At most m.

    Returns:
        float32 [q, k] and int64 [q, k].
    """
    order = np.lexsort((ids, -keys), axis=1)[:, :k]
    return np.take_along_axis(keys, order, 1), np.take_along_axis(ids, order, 1)
