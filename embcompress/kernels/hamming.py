"""Count the bits in which packed signs differ.

Signs lie in a record from byte ``at`` on as `embcompress.kernels.bits` packs codes of one bit. They
are compared in words of eight bytes; a mask keeps what lies behind them out of the count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcompress.kernels.bits import pack_codes
from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.records import (
    BYTES_2D,
    FLOAT32_OUT,
    INT64_1D,
    uint64_at,
)

_WORDS = "Array(uint64, 1, 'C', readonly=True)"
_CODES = "Array(uint64, 2, 'C', readonly=True)"


def _popcount(typing: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


popcount: Callable[[Any], Any] = intrinsic(_popcount)
"""``popcount(word)``: the ones among 64 bits."""


def sign_words(positive: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack signs as records hold them, in words.

    Args:
        positive: bool [q, D].

    Returns:
        uint64 [q, ceil(D / 64)], bytes behind the signs 0.
    """
    packed = pack_codes(positive.astype(np.uint8), 1)
    count, h = packed.shape
    padded = np.zeros((count, (h + 7) // 8 * 8), np.uint8)
    padded[:, :h] = packed
    return padded.view(np.uint64)


def full_mask(d: int) -> NDArray[np.uint64]:
    """The words of d ones, uint64 [ceil(d / 64)]."""
    return sign_words(np.ones((1, d), np.bool_)).reshape(-1)


@inlined
def last_word(records: Any, offset: Any) -> Any:
    """The word at an offset, as far as the records go, which are 8 bytes at least."""
    inside = min(offset, records.size - 8)
    return uint64_at(records, inside) >> np.uint64(8 * (offset - inside))


@inlined
def distance(records: Any, start: Any, codes: Any, i: Any, mask: Any) -> Any:
    """In how many signs code i differs from those at an offset."""
    last = mask.size - 1
    total = np.int64(0)
    for j in range(last):
        word = uint64_at(records, start + 8 * j) ^ codes[i, j]
        total += np.int64(popcount(word & mask[j]))
    word = last_word(records, start + 8 * last) ^ codes[i, last]
    return np.float32(total + np.int64(popcount(word & mask[last])))


@kernel(f"void({BYTES_2D}, int64, {_CODES}, {_WORDS}, {FLOAT32_OUT})")
def count_all(
    records: NDArray[np.uint8],
    at: int,
    codes: NDArray[np.uint64],
    mask: NDArray[np.uint64],
    out: NDArray[np.float32],
) -> None:
    """`sign_distances` to the first records, as many as ``out`` [q, n] has columns."""
    n = out.shape[1]
    size = records.shape[1]
    for i in range(codes.shape[0]):
        done = 0
        if mask.size == 1 and n:
            code, kept = codes[i, 0], mask[0]
            if size == 8 and at == 0:  # a stride that the compiler knows: several records at a time
                for r in range(n):
                    out[i, r] = np.float32(popcount((uint64_at(records, r * 8) ^ code) & kept))
                done = n
            else:
                done = min(n, max(0, (records.size - 8 - at) // size + 1))
                for r in range(done):
                    word = uint64_at(records, at + r * size)
                    out[i, r] = np.float32(popcount((word ^ code) & kept))
        for r in range(done, n):
            out[i, r] = distance(records, r * size + at, codes, i, mask)


@kernel(f"void({BYTES_2D}, int64, {_CODES}, {_WORDS}, {INT64_1D}, {FLOAT32_OUT})")
def count_rows(
    records: NDArray[np.uint8],
    at: int,
    codes: NDArray[np.uint64],
    mask: NDArray[np.uint64],
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`sign_distances` to the records ``rows`` int64 [b], into ``out`` [q, b]."""
    size = records.shape[1]
    for i in range(codes.shape[0]):
        for r in range(rows.size):
            out[i, r] = distance(records, rows[r] * size + at, codes, i, mask)


@kernel(f"void({BYTES_2D}, int64, {_WORDS}, {INT64_1D}, {INT64_1D}, Array(float32, 1, 'C'))")
def count_pairs(
    records: NDArray[np.uint8],
    at: int,
    mask: NDArray[np.uint64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`pair_distances` into ``out`` [b]."""
    size = records.shape[1]
    last = mask.size - 1
    for r in range(first.size):
        one, other = first[r] * size + at, second[r] * size + at
        total = np.int64(0)
        for j in range(last):
            word = uint64_at(records, one + 8 * j) ^ uint64_at(records, other + 8 * j)
            total += np.int64(popcount(word & mask[j]))
        word = last_word(records, one + 8 * last) ^ last_word(records, other + 8 * last)
        out[r] = np.float32(total + np.int64(popcount(word & mask[last])))


def sign_distances(
    records: NDArray[np.uint8],
    at: int,
    codes: NDArray[np.uint64],
    d: int,
    rows: NDArray[np.int64] | None,
) -> NDArray[np.float32]:
    """In how many signs codes differ from those of records.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of its signs.
        codes: uint64 [q, w] of `sign_words`.
        d: signs of a record.
        rows: int64 [b], positions within 0 to n - 1, checked by the caller; None for all.

    Returns:
        float32 [q, b], whole numbers.
    """
    out = np.zeros((len(codes), len(records) if rows is None else len(rows)), np.float32)
    if out.size and d:
        if rows is None:
            count_all(_roomy(records), at, codes, full_mask(d), out)
        else:
            count_rows(_roomy(records), at, codes, full_mask(d), rows, out)
    return out


def pair_distances(
    records: NDArray[np.uint8],
    at: int,
    d: int,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> NDArray[np.float32]:
    """In how many signs records differ from one another.

    Args:
        records: uint8 [n, R], C-contiguous, may be read-only.
        at: byte offset in a record of its signs.
        d: signs of a record.
        first: int64 [b], positions within 0 to n - 1, checked by the caller.
        second: int64 [b], likewise.

    Returns:
        float32 [b], whole numbers.
    """
    out = np.zeros(len(first), np.float32)
    if out.size and d:
        count_pairs(_roomy(records), at, full_mask(d), first, second, out)
    return out


def _roomy(records: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The records of a tiny table with empty ones behind them, so that a word can be read."""
    if records.size >= 8:
        return records
    padded = np.zeros((8, records.shape[1]), np.uint8)
    padded[: len(records)] = records
    return padded
