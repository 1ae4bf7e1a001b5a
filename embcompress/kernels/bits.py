"""Pack codes of 1 to 8 bits, D of them in h = ceil(D * bits / 8) bytes; unused bits are zero.

At 1, 2, 4 and 8 bits a row is packed *by parts*: code j lies in byte j % h at bit
(j // h) * bits, so that neighbouring codes are unpacked to neighbouring places. D = 6 at 4 bits:

    byte        0        1        2
    high bits   code 3   code 4   code 5
    low bits    code 0   code 1   code 2

At 3, 5, 6 and 7 bits it is one little-endian *bit string*: code j takes the bits j * bits to
(j + 1) * bits, lowest first. D = 5 at 3 bits, each byte from its highest bit:

    byte 0      byte 1
    cc bbb aaa  - eee ddd c
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.lanes import LANES, store_codes
from embcompress.kernels.records import BYTES_2D, BYTES_OUT, uint8_at, uint64_at
from embcompress.kernels.unpacking import bytes_at, part, string


def packed_bytes(d: int, bits: int) -> int:
    """Bytes of ``d`` packed codes of ``bits`` bits."""
    return (d * bits + 7) // 8


def by_parts(bits: int) -> bool:
    """Whether codes of this width are packed by parts rather than as a bit string."""
    return bits in (1, 2, 4, 8)


@inlined
def code_at_string(array: Any, start: int, h: int, bits: int, j: int) -> int:
    """Code j of a row packed as a bit string in the ``h`` bytes from ``start``."""
    first = j * bits >> 3
    pair = np.int64(uint8_at(array, start + first))
    if first + 1 < h:
        pair |= np.int64(uint8_at(array, start + first + 1)) << 8
    return int((pair >> (j * bits & 7)) & ((1 << bits) - 1))


@kernel(f"void({BYTES_2D}, int64, {BYTES_OUT})")
def pack_parts(codes: NDArray[np.uint8], bits: int, out: NDArray[np.uint8]) -> None:
    """`pack_codes` at 1, 2, 4 or 8 bits: codes uint8 [b, D] into the caller's uint8 [b, h]."""
    count, d = codes.shape
    h = out.shape[1]
    for i in range(count):
        for j in range(h):
            out[i, j] = codes[i, j]
        for start in range(h, d, h):
            shift = start // h * bits
            for j in range(min(h, d - start)):
                out[i, j] |= codes[i, start + j] << shift


@kernel(f"void({BYTES_2D}, int64, {BYTES_OUT})")
def pack_string(codes: NDArray[np.uint8], bits: int, out: NDArray[np.uint8]) -> None:
    """`pack_codes` at 3, 5, 6 or 7 bits: codes uint8 [b, D] into the caller's uint8 [b, h]."""
    count, d = codes.shape
    whole = d - d % 8
    for i in range(count):
        k = 0
        for start in range(0, whole, 8):
            word = np.uint64(0)
            for j in range(8):
                word |= np.uint64(codes[i, start + j]) << np.uint64(j * bits)
            for _ in range(bits):
                out[i, k] = np.uint8(word & np.uint64(255))
                word >>= np.uint64(8)
                k += 1
        word = np.uint64(0)
        for j in range(whole, d):
            word |= np.uint64(codes[i, j]) << np.uint64((j - whole) * bits)
        for rest in range(k, out.shape[1]):
            out[i, rest] = np.uint8(word & np.uint64(255))
            word >>= np.uint64(8)


@kernel(f"void({BYTES_2D}, int64, {BYTES_OUT})")
def unpack_parts(packed: NDArray[np.uint8], bits: int, out: NDArray[np.uint8]) -> None:
    """`unpack_codes` at 1, 2, 4 or 8 bits: packed uint8 [b, h] into the caller's uint8 [b, D]."""
    count, d = out.shape
    h = packed.shape[1]
    mask = (1 << bits) - 1
    padded = (h + LANES - 1) // LANES * LANES
    last_record = packed.size - padded
    last_row = out.size - (8 // bits - 1) * h - padded
    for i in range(count):
        if i * h <= last_record and i * d <= last_row:
            target = i * d
            for shift in range(0, 8, bits):
                for j in range(0, h, LANES):
                    store_codes(out, target + j, part(bytes_at(packed, i * h + j), shift, mask))
                target += h
        else:
            first = 0
            for shift in range(0, 8, bits):
                for j in range(min(h, d - first)):
                    out[i, first + j] = (packed[i, j] >> shift) & mask
                first += h


@kernel(f"void({BYTES_2D}, int64, {BYTES_OUT})")
def unpack_string(packed: NDArray[np.uint8], bits: int, out: NDArray[np.uint8]) -> None:
    """`unpack_codes` at 3, 5, 6 or 7 bits: packed uint8 [b, h] into the caller's uint8 [b, D]."""
    count, d = out.shape
    h = packed.shape[1]
    chunks = (d + LANES - 1) // LANES
    last_record = packed.size - (chunks * 2 * bits - bits + 8)
    last_row = out.size - chunks * LANES
    for i in range(count):
        source = i * h
        if source <= last_record and i * d <= last_row:
            for j in range(0, d, LANES):
                low = uint64_at(packed, source)
                high = uint64_at(packed, source + bits)
                store_codes(out, i * d + j, string(low, high, bits))
                source += 2 * bits
        else:
            for j in range(d):
                out[i, j] = code_at_string(packed, source, h, bits, j)


def pack_codes(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack rows of codes.

    Args:
        codes: uint8 [b, D], each below 2**bits.
        bits: bits per code, 1 to 8.

    Returns:
        uint8 [b, h].
    """
    count, d = codes.shape
    out = np.empty((count, packed_bytes(d, bits)), np.uint8)
    pack = pack_parts if by_parts(bits) else pack_string
    if out.size:
        pack(np.ascontiguousarray(codes), bits, out)
    return out


def unpack_codes(packed: NDArray[np.uint8], d: int, bits: int) -> NDArray[np.uint8]:
    """Unpack rows of ``d`` codes: the reverse of `pack_codes`.

    Args:
        packed: uint8 [b, h].
        d: codes in a row.
        bits: bits per code, 1 to 8.

    Returns:
        uint8 [b, d].
    """
    out = np.empty((packed.shape[0], d), np.uint8)
    unpack = unpack_parts if by_parts(bits) else unpack_string
    if out.size:
        unpack(np.ascontiguousarray(packed), bits, out)
    return out
