"""Records of different lengths in bits: where they lie, and how their bits are put together.

Every record has a class, which says its length. One address is kept for 64 records, so that a
record is found by adding up the lengths of at most 63 others.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.bitstring import BYTES_1D, code_at
from embcompress.kernels.jit import kernel
from embcompress.kernels.records import INT64_1D, uint64_at

_BLOCK: Final = 64


@kernel(
    f"int64({BYTES_1D}, int64, int64, int64, int64, Array(uint32, 1, 'C', readonly=True),"
    f" Array(uint64, 1, 'C', readonly=True), int64, {INT64_1D}, int64, {INT64_1D},"
    " Array(int64, 1, 'C'), Array(int64, 1, 'C'))"
)
def locate_records(
    string: NDArray[np.uint8],
    bits: int,
    known: int,
    skipped: int,
    apart: int,
    addresses: NDArray[np.uint32],
    bases: NDArray[np.uint64],
    origin: int,
    lengths: NDArray[np.int64],
    room: int,
    records: NDArray[np.int64],
    classes: NDArray[np.int64],
    begins: NDArray[np.int64],
) -> int:
    """Find records; everything from the file is checked.

    Args:
        string: uint8, classes of the records from ``skipped`` on, with 7 zero bytes.
        bits: Bits of a class, 1 to 16.
        known: Classes that there are.
        skipped: Records before the string, a multiple of 64.
        apart: Blocks of 64 records between bases.
        addresses: uint32, of blocks from ``skipped`` on, counted from the base before.
        bases: uint64, of every ``apart`` blocks of all.
        origin: The bit that begins are counted from.
        lengths: int64 [2**bits], bits of a record by its class.
        room: Bits that there are.
        records: int64 [b], in range.
        classes: int64 [b], written.
        begins: int64 [b], written.

    Returns:
        The first record that does not lie in the room or has no known class; -1 for none.
    """
    mask = (np.int64(1) << bits) - 1
    last, end = np.int64(-2), np.int64(0)
    per = 64 // bits
    for i in range(len(records)):
        record = records[i] - skipped
        block = record // _BLOCK
        first = block * _BLOCK
        if record == last + 1 and record != first:
            begin = end
        else:
            begin = np.int64(bases[records[i] // _BLOCK // apart]) + np.int64(addresses[block])
            begin -= origin
            if 64 % bits == 0:
                before = first
                while before + per <= record:
                    word = uint64_at(string, before * bits >> 3)
                    for _ in range(per):
                        begin += lengths[np.int64(word & np.uint64(mask))]
                        word >>= np.uint64(bits)
                    before += per
                if before < record:
                    word = uint64_at(string, before * bits >> 3)
                    for _ in range(record - before):
                        begin += lengths[np.int64(word & np.uint64(mask))]
                        word >>= np.uint64(bits)
            else:
                for before in range(first, record):
                    begin += lengths[code_at(string, before * bits, mask)]
        code = code_at(string, record * bits, mask)
        end = begin + lengths[code]
        if code >= known or begin < 0 or begin > room or end > room:
            return int(records[i])
        classes[i] = code
        begins[i] = begin
        last = record
    return -1


@kernel(f"void({BYTES_1D}, int64, int64, Array(uint8, 1, 'C'), int64)")
def copy_bits(
    source: NDArray[np.uint8], start: int, count: int, target: NDArray[np.uint8], at: int
) -> None:
    """Put bits into a target of zeros.

    Args:
        source: uint8, with 8 bytes after the last bit.
        start: First bit of the source.
        count: Bits.
        target: uint8, zeros from bit ``at`` on, with 8 bytes after the last bit.
        at: First bit of the target.
    """
    done = 0
    while done < count:
        bit = at + done
        size = min(8 - (bit & 7), count - done)
        byte = (np.int64(uint64_at(source, (start + done) >> 3)) >> ((start + done) & 7)) & (
            (1 << size) - 1
        )
        target[bit >> 3] |= np.uint8(byte << (bit & 7))
        done += size


def joined(pieces: list[tuple[NDArray[np.uint8], int, int]], first: int) -> NDArray[np.uint8]:
    """Bits of several strings back to back.

    Args:
        pieces: uint8 string with 8 spare bytes, its first bit, and how many bits.
        first: Bit of the result at which they begin; the bits before it are 0.

    Returns:
        uint8, with 8 zero bytes after the last bit.
    """
    total = first + sum(count for _, _, count in pieces)
    target = np.zeros((total + 7) // 8 + 8, np.uint8)
    at = first
    for source, start, count in pieces:
        copy_bits(source, start, count, target, at)
        at += count
    return target
