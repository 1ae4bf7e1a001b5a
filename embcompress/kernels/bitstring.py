"""One little-endian bit string over all rows: row i has the ``bits`` bits from bit i * bits on.

Bit i of a string is bit i % 8 of its byte i // 8. Three rows of 12 bits, each byte from its
highest bit:

    byte 0      byte 1      byte 2      byte 3      byte 4
    aaaa aaaa   bbbb aaaa   bbbb bbbb   cccc cccc   ---- cccc

Codes are read eight bytes at a time, so a string is followed by 7 bytes of zeros.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.prefetch import prefetch, rows_ahead
from embcompress.kernels.records import INT64_1D, uint64_at

BYTES_1D: Final = "Array(uint8, 1, 'C', readonly=True)"
TAIL: Final = 7
"""Zero bytes after a string."""


def string_bytes(count: int, bits: int) -> int:
    """Bytes of a string of ``count`` codes of ``bits`` bits, without its tail."""
    return (count * bits + 7) // 8


@inlined
def code_at(string: Any, bit: Any, mask: Any) -> int:
    """The code that begins at a bit of a string with its tail."""
    return int((np.int64(uint64_at(string, bit >> 3)) >> (bit & 7)) & mask)


@kernel("void(Array(int64, 1, 'C', readonly=True), int64, int64, Array(uint8, 1, 'C'))")
def pack_codes_at(
    codes: NDArray[np.int64], bits: int, first: int, string: NDArray[np.uint8]
) -> None:
    """`pack_bit_string` into the caller's uint8 [⌈(first + b·bits) / 8⌉ + 7], zeros."""
    bit = first
    for i in range(len(codes)):
        word = np.uint64(codes[i]) << np.uint64(bit & 7)
        at = bit >> 3
        while word:
            string[at] |= np.uint8(word & np.uint64(255))
            word >>= np.uint64(8)
            at += 1
        bit += bits


@kernel(f"void({BYTES_1D}, int64, int64, {INT64_1D}, Array(int64, 1, 'C'))")
def take_codes_at(
    string: NDArray[np.uint8],
    first: int,
    bits: int,
    rows: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """`take_codes` into the caller's int64 [b]."""
    count = len(rows)
    mask = (np.int64(1) << bits) - 1
    ahead = rows_ahead(8)
    for i in range(count):
        if i + ahead < count:
            prefetch(string, (first + rows[i + ahead] * bits) >> 3)
        out[i] = code_at(string, first + rows[i] * bits, mask)


def pack_bit_string(codes: NDArray[np.integer[Any]], bits: int, first: int) -> NDArray[np.uint8]:
    """Pack codes as a bit string that begins at a bit of its first byte.

    Args:
        codes: Integers [b], each below 2**bits.
        bits: Bits per code, 1 to 32.
        first: Bit at which the first code begins, 0 to 7; the bits before it are 0.

    Returns:
        uint8 [⌈(first + b·bits) / 8⌉ + 7], the last 7 of them 0.
    """
    string = np.zeros(string_bytes(1, first + len(codes) * bits) + TAIL, np.uint8)
    pack_codes_at(np.ascontiguousarray(codes, np.int64), bits, first, string)
    return string


def take_codes(
    string: NDArray[np.uint8], first: int, bits: int, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Codes of some rows.

    Args:
        string: uint8 [at least ⌈(first + n·bits) / 8⌉ + 7], C-contiguous, may be read-only.
        first: Bit at which row 0 begins.
        bits: Bits per code, 1 to 32.
        rows: int64 [b], positions within 0 to n - 1, checked by the caller.

    Returns:
        int64 [b].
    """
    out = np.empty(len(rows), np.int64)
    take_codes_at(string, first, bits, rows, out)
    return out
