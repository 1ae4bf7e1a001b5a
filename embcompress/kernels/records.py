"""Row records: array types for kernel signatures, and unaligned little-endian fields.

A segment's fixed-size parts lie side by side in one C-contiguous array ``records`` uint8 [n, R].
A field is named by its byte offset from the start of that array, always an int64, and may lie at
any alignment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from embcompress.kernels.halves import converts_halves, half_to_float

# For signatures of kernels. A read-only type takes writable arrays too.
BYTES_2D = "Array(uint8, 2, 'C', readonly=True)"
INT64_1D = "Array(int64, 1, 'C', readonly=True)"
FLOAT32_1D = "Array(float32, 1, 'C', readonly=True)"
FLOAT32_2D = "Array(float32, 2, 'C', readonly=True)"
FLOAT32_OUT = "Array(float32, 2, 'C')"
BYTES_OUT = "Array(uint8, 2, 'C')"


def pointer(context: Any, builder: Any, kind: Any, place: Any, target: Any) -> Any:
    """LLVM pointer to a place: a contiguous array of numba type ``kind``, and a byte offset.

    An integer instead of the array is an address, as `address` gives it.
    """
    base, offset = place
    byte = ir.IntType(8).as_pointer()
    if isinstance(kind, types.Integer):
        data = builder.inttoptr(base, byte)
    else:
        data = builder.bitcast(context.make_array(kind)(context, builder, base).data, byte)
    return builder.bitcast(builder.gep(data, [offset]), target.as_pointer())


def _address(typing: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), generate


address: Callable[[Any], int] = intrinsic(_address)
"""Where a C-contiguous array begins. Helpers that take addresses instead of arrays count no
references, which in an inner loop can take ten times as long as the work. An array that the kernel
made itself is freed after its last mention: `keep` it until its address is used no more."""


def _keep(typing: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_dummy_value()

    return types.void(array), generate


keep: Callable[[Any], None] = intrinsic(_keep)
"""Mention an array, so that it lives until here."""


def reader(result: Any, stored: Any) -> Any:
    """Function ``(array, offset)`` for kernels that loads ``stored`` bits from any byte offset."""

    def read(typing: Any, array: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source = pointer(context, builder, signature.args[0], arguments, stored)
            return builder.load(source, align=1)

        return result(array, types.int64), generate

    return intrinsic(read)


def _number_at(typing: Any, array: Any, offset: Any, half: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = (context, builder, signature.args[0], arguments[:2])
        half = arguments[2]
        wanted = builder.icmp_unsigned("!=", half, half.type(0))
        with builder.if_else(wanted) as (narrow, wide):
            with narrow:
                bits = builder.load(pointer(*place, ir.IntType(16)), align=1)
                from_narrow, end_narrow = half_to_float(builder, bits), builder.block
            with wide:
                from_wide = builder.load(pointer(*place, ir.FloatType()), align=1)
                end_wide = builder.block
        number = builder.phi(ir.FloatType())
        number.add_incoming(from_narrow, end_narrow)
        number.add_incoming(from_wide, end_wide)
        return number

    return types.float32(array, types.int64, types.boolean), generate


uint8_at: Callable[[Any, int], np.uint8] = reader(types.uint8, ir.IntType(8))
uint16_at: Callable[[Any, int], np.uint16] = reader(types.uint16, ir.IntType(16))
uint32_at: Callable[[Any, int], np.uint32] = reader(types.uint32, ir.IntType(32))
uint64_at: Callable[[Any, int], np.uint64] = reader(types.uint64, ir.IntType(64))
int8_at: Callable[[Any, int], np.int8] = reader(types.int8, ir.IntType(8))
int64_at: Callable[[Any, int], int] = reader(types.int64, ir.IntType(64))
int16_at: Callable[[Any, int], np.int16] = reader(types.int16, ir.IntType(16))
float32_at: Callable[[Any, int], float] = reader(types.float32, ir.FloatType())


def writer(value: Any, stored: Any) -> Any:
    """Function ``(array, offset, value)`` for kernels that stores ``stored`` at any byte offset."""

    def write(typing: Any, array: Any, offset: Any, given: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target = pointer(context, builder, signature.args[0], arguments[:2], stored)
            builder.store(arguments[2], target, align=1)
            return context.get_dummy_value()

        return types.void(array, types.int64, value), generate

    return intrinsic(write)


put_float32: Callable[[Any, int, Any], None] = writer(types.float32, ir.FloatType())
put_int32: Callable[[Any, int, Any], None] = writer(types.int32, ir.IntType(32))


def _half_pair_at(typing: Any, array: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = pointer(context, builder, signature.args[0], arguments, ir.IntType(16))
        halves = [
            builder.load(builder.gep(source, [ir.Constant(ir.IntType(32), k)]), align=1)
            for k in range(2)
        ]
        if converts_halves():
            both = [
                builder.fpext(builder.bitcast(h, ir.HalfType()), ir.FloatType()) for h in halves
            ]
        else:
            both = [half_to_float(builder, h) for h in halves]
        return context.make_tuple(builder, signature.return_type, both)

    return types.UniTuple(types.float32, 2)(array, types.int64), generate  # type: ignore[attr-defined]


number_at: Callable[[Any, int, bool], float] = intrinsic(_number_at)
"""``number_at(array, offset, half)``: the fp16 (``half``) or fp32 number there, as float32."""
half_pair_at: Callable[[Any, int], tuple[float, float]] = intrinsic(_half_pair_at)
"""``half_pair_at(array, offset)``: the two fp16 numbers there, as float32."""
