"""Conversions between float32 and the two 16-bit float formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel


@cache
def halves() -> NDArray[np.float32]:
    """The float32 values of all fp16 bit patterns: read-only float32 [65536].

    For numpy code. Kernels compute instead (`from_half`): look-ups of 256 KB of scales and biases
    slowed a decode of random rows from 80 to 65 M rows/s.
    """
    table = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    table.flags.writeable = False
    return table


def half_to_float(builder: Any, bits: Any) -> Any:
    """LLVM float32 of an fp16 pattern i16, exact for subnormals, infinities and NaN too.

    Integer arithmetic and one exact product, so that no processor mode (flush to zero) and no
    missing conversion instruction changes the result.
    """
    integer, number = ir.IntType(32), ir.FloatType()
    wide = builder.zext(bits, integer)
    sign = builder.shl(builder.and_(wide, integer(0x8000)), integer(16))
    rebias = integer(112 << 23)  # from an exponent bias of 15 to one of 127
    moved = builder.shl(builder.and_(wide, integer(0x7FFF)), integer(13))
    normal = builder.add(moved, rebias)
    # An exponent of all zeros or all ones is rare enough for a branch, which saves 1 ns a row.
    exponent = builder.and_(wide, integer(0x7C00))
    next_exponent = builder.and_(builder.add(wide, integer(0x0400)), integer(0x7C00))
    rare = builder.icmp_unsigned("<=", next_exponent, integer(0x0400))
    before = builder.block
    with builder.if_then(rare, likely=False):
        fraction = builder.sitofp(builder.and_(wide, integer(0x03FF)), number)
        subnormal = builder.bitcast(builder.fmul(fraction, number(2.0**-24)), integer)
        small = builder.icmp_unsigned("==", exponent, integer(0))
        other = builder.select(small, subnormal, builder.add(normal, rebias))
        inside = builder.block
    magnitude = builder.phi(integer)
    magnitude.add_incoming(normal, before)
    magnitude.add_incoming(other, inside)
    return builder.bitcast(builder.or_(magnitude, sign), number)


@cache
def converts_halves() -> bool:
    """Whether the processor widens fp16 itself: exactly, whatever its mode.

    Elsewhere the compiler would call a function that is not there. Kernels compiled for another
    processor are not taken from the cache.
    """
    from llvmlite import binding

    arm = binding.get_default_triple().startswith(("aarch64", "arm64"))
    return arm or bool(binding.get_host_cpu_features().get("f16c"))


def _from_half(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return half_to_float(builder, arguments[0])

    return types.float32(types.uint16), generate


def _from_bfloat(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        moved = builder.shl(builder.zext(arguments[0], integer), integer(16))
        return builder.bitcast(moved, ir.FloatType())

    return types.float32(types.uint16), generate


from_half: Callable[[np.uint16], np.float32] = intrinsic(_from_half)
"""``from_half(bits)``: the float32 equal to an fp16 bit pattern."""

from_bfloat: Callable[[np.uint16], np.float32] = intrinsic(_from_bfloat)
"""``from_bfloat(bits)``: the float32 equal to a bf16 bit pattern."""


@kernel("void(Array(uint32, 1, 'C', readonly=True), Array(uint16, 1, 'C'))")
def round_to_bfloat(bits: NDArray[np.uint32], out: NDArray[np.uint16]) -> None:
    """Round float32 bit patterns uint32 [n] to bf16 patterns in the caller's ``out`` uint16 [n]."""
    for i in range(bits.shape[0]):
        whole = bits[i]
        magnitude = whole & np.uint32(0x7FFFFFFF)
        odd = (whole >> np.uint32(16)) & np.uint32(1)
        rounded = np.uint32(whole + np.uint32(0x7FFF) + odd) >> np.uint32(16)
        if magnitude > np.uint32(0x7F800000):  # NaN, made quiet
            rounded = (whole >> np.uint32(16)) | np.uint32(0x40)
        elif magnitude == np.uint32(0x7F800000):
            rounded = whole >> np.uint32(16)
        elif magnitude >= np.uint32(0x7F7F8000):  # would round to infinity
            rounded = ((whole >> np.uint32(16)) & np.uint32(0x8000)) | np.uint32(0x7F7F)
        out[i] = np.uint16(rounded)


def to_bfloat(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to bf16, to nearest, ties to even.

    Args:
        values: float32 of any shape. Finite values too large for bf16 become its largest.

    Returns:
        bf16 bit patterns, uint16 of the same shape.
    """
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    out = np.empty(flat.shape, np.uint16)
    round_to_bfloat(flat.view(np.uint32), out)
    return out.reshape(values.shape)
