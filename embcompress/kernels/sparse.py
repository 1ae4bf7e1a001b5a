"""Sparse rows: a bitmap or a list of kept columns, and the values of these, back to back.

A bitmap lies in the row's record: bit j % 8 of byte j // 8 is column j's; its values follow in the
record, or lie in ragged ``data``. A list lies in front of its values, in the record or in ``data``.
Ragged rows begin at the address of every 64th row plus what the rows since then take. Values are
fp32, fp16, or int8 times a scale. What comes out of a file may be anything: a span that leaves
``data`` is found before it is read, and a column past the last counts as the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcompress.kernels.bitstring import BYTES_1D
from embcompress.kernels.halves import from_half
from embcompress.kernels.hamming import popcount
from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES
from embcompress.kernels.prefetch import prefetch, prefetch_span
from embcompress.kernels.records import (
    FLOAT32_OUT,
    INT64_1D,
    float32_at,
    int8_at,
    pointer,
    uint8_at,
    uint16_at,
    uint32_at,
    uint64_at,
)

_GROUP: Final = 16
_AHEAD: Final = 24
"""Rows found before the first of them is written, and rows ahead of that to prefetch. Measured on
2,000,000 x 64 at 50%: groups of 8 to 64 and 16 to 64 rows ahead lie within 10%."""


def _expand(typing: Any, data: Any, offset: Any, mask: Any, out: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        lanes = ir.VectorType(ir.FloatType(), LANES)
        bits = ir.VectorType(ir.IntType(1), LANES)
        source = pointer(context, builder, kinds[0], arguments[:2], ir.FloatType())
        chosen = builder.bitcast(builder.trunc(arguments[2], ir.IntType(LANES)), bits)
        kind = ir.FunctionType(lanes, [source.type, bits, lanes])
        named = f"llvm.masked.expandload.v{LANES}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, named)
        values = builder.call(function, [source, chosen, ir.Constant(lanes, [0.0] * LANES)])
        place = context.make_array(kinds[3])(context, builder, arguments[3]).data
        target = builder.bitcast(builder.gep(place, [arguments[4]]), lanes.as_pointer())
        builder.store(values, target, align=4)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64, out, types.int64), generate


expand: Callable[[Any, int, Any, Any, int], None] = intrinsic(_expand)
"""``expand(data, offset, mask, out, index)``: sixteen numbers of ``out`` from a flat index on, the
next fp32 of ``data`` where a bit of the mask is 1, else 0. Reads no more than it uses."""


@kernel(
    f"int64({BYTES_1D}, int64, int64, int64, {BYTES_1D}, {INT64_1D}, int64, int64, float32,"
    f" {INT64_1D}, {FLOAT32_OUT})"
)
def decode_bitmaps(
    records: NDArray[np.uint8],
    size: int,
    at: int,
    inside: int,
    data: NDArray[np.uint8],
    addresses: NDArray[np.int64],
    width: int,
    scale_at: int,
    scale: float,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> int:
    """Decode row ``rows[i]`` into ``out[i]``.

    Args:
        records: uint8 [n * size], the records one after the other.
        size: Bytes of a record.
        at: Byte of a record at which the bitmap of ⌈D / 8⌉ bytes begins.
        inside: Byte of a record at which its values begin, as many as any row has ones; -1 where
            they are ragged.
        data: uint8, what holds the values: ``records`` again where they lie inside.
        addresses: int64 [⌈n / 64⌉], as in `RaggedRows`; not used with ``inside``.
        width: Bytes of a value: 4 fp32, 2 fp16, 1 int8.
        scale_at: Byte of a record with the fp32 scale of int8 values; -1 for ``scale``.
        scale: That of all rows.
        rows: int64 [b], positions in range, checked by the caller.
        out: float32 [b, D], C-contiguous, the caller's, written.

    Returns:
        -1, or the number i of the first row whose values leave ``data``.
    """
    count, d = out.shape
    h = (d + 7) >> 3
    total = np.int64(data.shape[0])
    last = total - width
    begins = np.empty(_GROUP, np.int64)
    for start in range(0, count, _GROUP):
        stop = min(start + _GROUP, count)
        for i in range(start, stop):
            row = rows[i]
            if i + _AHEAD < count:
                ahead = rows[i + _AHEAD]
                block = ahead if inside >= 0 else ahead >> 6 << 6
                prefetch_span(records, block * size, (ahead - block + 1) * size)
                if inside < 0:
                    prefetch(addresses, (ahead >> 6) * 8)
            place = row * size + at
            if inside >= 0:
                begin = row * size + inside
            else:
                begin = addresses[row >> 6]
                place -= (row & 63) * size
            before = np.int64(0)
            kept = np.int64(0)
            if h == 8:  # without this loop of its own half as many rows a second
                if inside < 0:
                    for _ in range(row & 63):
                        before += np.int64(popcount(uint64_at(records, place)))
                        place += size
                kept = np.int64(popcount(uint64_at(records, place)))
            else:
                for _ in range(1 + (row & 63 if inside < 0 else 0)):
                    before += kept
                    kept = np.int64(0)
                    for byte in range(0, h - 7, 8):
                        kept += np.int64(popcount(uint64_at(records, place + byte)))
                    word = np.uint64(0)
                    for byte in range(h & ~7, h):
                        word = word << np.uint64(8) | np.uint64(uint8_at(records, place + byte))
                    kept += np.int64(popcount(word))
                    place += size
            begin += before * width
            if begin < 0 or begin > total - kept * width:
                return i
            begins[i - start] = begin
            prefetch_span(data, begin, int(kept * width + 1))
        for i in range(start, stop):
            place = rows[i] * size
            factor = scale
            if scale_at >= 0:
                factor = float32_at(records, place + scale_at)
            source = begins[i - start]
            for column in range(0, d, 64):
                stretch = min(np.int64(64), d - column)
                word = np.uint64(0)
                bitmap = place + at + (column >> 3)
                if stretch == 64:
                    word = uint64_at(records, bitmap)
                else:
                    for byte in range((stretch - 1) >> 3, -1, -1):
                        word = word << np.uint64(8) | np.uint64(uint8_at(records, bitmap + byte))
                    word &= (np.uint64(1) << np.uint64(stretch)) - np.uint64(1)
                whole = (stretch + LANES - 1) // LANES * LANES
                if last < 0:
                    for j in range(stretch):
                        out[i, column + j] = 0
                elif width == 4 and i * d + column + whole <= count * d:
                    # what is written past the row is written again by the next
                    for j in range(0, stretch, LANES):
                        some = word & np.uint64(0xFFFF)
                        expand(data, source, some, out, i * d + column + j)
                        source += 4 * np.int64(popcount(some))
                        word >>= np.uint64(LANES)
                elif width == 4:
                    for j in range(stretch):
                        bit = np.int64(word & np.uint64(1))
                        full = float32_at(data, min(source, last))
                        out[i, column + j] = full if bit else np.float32(0)
                        source += 4 * bit
                        word >>= np.uint64(1)
                elif width == 2:
                    for j in range(stretch):
                        bit = np.int64(word & np.uint64(1))
                        value = from_half(uint16_at(data, min(source, last)))
                        out[i, column + j] = value if bit else np.float32(0)
                        source += 2 * bit
                        word >>= np.uint64(1)
                else:
                    for j in range(stretch):
                        bit = np.int64(word & np.uint64(1))
                        value = np.float32(np.float32(int8_at(data, min(source, last))) * factor)
                        out[i, column + j] = value if bit else np.float32(0)
                        source += bit
                        word >>= np.uint64(1)
    return -1


@kernel(
    f"int64({BYTES_1D}, int64, int64, int64, int64, {BYTES_1D}, {INT64_1D}, int64, int64, int64,"
    f" int64, float32, {INT64_1D}, {FLOAT32_OUT})"
)
def decode_lists(
    records: NDArray[np.uint8],
    size: int,
    count_at: int,
    count_bytes: int,
    fixed: int,
    data: NDArray[np.uint8],
    addresses: NDArray[np.int64],
    inside: int,
    index_bytes: int,
    width: int,
    scale_at: int,
    scale: float,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> int:
    """Decode row ``rows[i]`` into ``out[i]``.

    Args:
        records: uint8 [n * size], the records one after the other.
        size: Bytes of a record.
        count_at: Byte of a record that holds how many columns are kept; not used with ``fixed``.
        count_bytes: 1, 2 or 4.
        fixed: How many columns every row keeps, in its record; -1 where they are ragged.
        data: uint8, what holds lists and values: ``records`` again where they lie inside.
        addresses: int64 [⌈n / 64⌉], as in `RaggedRows`; not used with ``fixed``.
        inside: Byte of a record at which its list begins, with ``fixed``.
        index_bytes: Bytes of a column in a list: 1, 2 or 4.
        width: Bytes of a value: 4 fp32, 2 fp16, 1 int8.
        scale_at: Byte of a record with the fp32 scale of int8 values; -1 for ``scale``.
        scale: That of all rows.
        rows: int64 [b], positions in range, checked by the caller.
        out: float32 [b, D], D at least 1, C-contiguous, the caller's, written.

    Returns:
        -1, or the number i of the first row whose entries leave ``data``.
    """
    count, d = out.shape
    total = np.int64(data.shape[0])
    entry = index_bytes + width
    begins = np.empty(_GROUP, np.int64)
    kepts = np.empty(_GROUP, np.int64)
    for start in range(0, count, _GROUP):
        stop = min(start + _GROUP, count)
        for i in range(start, stop):
            row = rows[i]
            if i + _AHEAD < count:
                ahead = rows[i + _AHEAD]
                block = ahead if fixed >= 0 else ahead >> 6 << 6
                prefetch_span(records, block * size, (ahead - block + 1) * size)
                if fixed < 0:
                    prefetch(addresses, (ahead >> 6) * 8)
            begin = row * size + inside
            kept = np.int64(fixed)
            if fixed < 0:
                before = np.int64(0)
                kept = np.int64(0)
                place = (row >> 6 << 6) * size + count_at
                for _ in range(1 + (row & 63)):
                    before += kept
                    if count_bytes == 1:
                        kept = np.int64(uint8_at(records, place))
                    elif count_bytes == 2:
                        kept = np.int64(uint16_at(records, place))
                    else:
                        kept = np.int64(uint32_at(records, place))
                    place += size
                begin = addresses[row >> 6] + before * entry
            if begin < 0 or begin > total - kept * entry:
                return i
            begins[i - start] = begin
            kepts[i - start] = kept
            prefetch_span(data, begin, int(kept * entry + 1))
        for i in range(start, stop):
            factor = scale
            if scale_at >= 0:
                factor = float32_at(records, rows[i] * size + scale_at)
            for j in range(d):
                out[i, j] = 0
            source = begins[i - start]
            values = source + kepts[i - start] * index_bytes
            for _ in range(kepts[i - start]):
                if index_bytes == 1:
                    column = np.int64(uint8_at(data, source))
                elif index_bytes == 2:
                    column = np.int64(uint16_at(data, source))
                else:
                    column = np.int64(uint32_at(data, source))
                column = min(column, d - 1)
                if width == 4:
                    out[i, column] = float32_at(data, values)
                elif width == 2:
                    out[i, column] = from_half(uint16_at(data, values))
                else:
                    out[i, column] = np.float32(int8_at(data, values)) * factor
                source += index_bytes
                values += width
    return -1
