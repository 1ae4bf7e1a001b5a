"""Sixteen packed codes at a time: from bytes of a record to `Lanes` of whole float32 numbers.

Used where LLVM's own vectorizer does poorly: rows are short, and it checks for overlap and peels
tails in every one (59 against 93 M rows/s at 64 columns of 4 bits, one thread).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from embcompress.kernels.lanes import LANES, SINGLE, Lanes
from embcompress.kernels.records import reader

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_INTS = ir.VectorType(_I32, LANES)

Bytes: TypeAlias = Any  # sixteen uint8, inside kernels only


class _BytesType(types.Type):
    vector = ir.VectorType(ir.IntType(8), LANES)

    def __init__(self) -> None:
        super().__init__(name=f"Bytes({LANES})")


@register_model(_BytesType)
class _BytesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.vector)


_BYTES = _BytesType()


def _shuffled(builder: Any, left: Any, right: Any, order: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, len(order)), order)
    return builder.shuffle_vector(left, right, mask)


def _repeated(builder: Any, value: Any, count: int) -> Any:
    nothing = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    first = builder.insert_element(nothing, value, _I32(0))
    return _shuffled(builder, first, nothing, [0] * count)


def _part(typing: Any, packed: Any, shift: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        packed, shift, mask = arguments
        moved = builder.lshr(builder.zext(packed, _INTS), _repeated(builder, shift, LANES))
        codes = builder.and_(moved, _repeated(builder, mask, LANES))
        return builder.sitofp(codes, ir.VectorType(ir.FloatType(), LANES))

    return SINGLE(_BYTES, types.int32, types.int32), generate


def _string(typing: Any, low: Any, high: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, high, bits = arguments
        steps = ir.Constant(ir.VectorType(_I64, 8), list(range(8)))
        shifts = builder.mul(_repeated(builder, bits, 8), steps)
        moved = [
            builder.trunc(builder.lshr(_repeated(builder, word, 8), shifts), ir.VectorType(_I32, 8))
            for word in (low, high)
        ]
        mask = builder.sub(builder.shl(_I32(1), builder.trunc(bits, _I32)), _I32(1))
        together = _shuffled(builder, moved[0], moved[1], list(range(LANES)))
        codes = builder.and_(together, _repeated(builder, mask, LANES))
        return builder.sitofp(codes, ir.VectorType(ir.FloatType(), LANES))

    return SINGLE(types.uint64, types.uint64, types.int64), generate


def _pick(typing: Any, table: Any, first: Any, codes: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, first, codes = arguments
        data = context.make_array(signature.args[0])(context, builder, table).data
        places = builder.fptosi(codes, _INTS)
        picked = ir.Constant(ir.VectorType(ir.FloatType(), LANES), ir.Undefined)
        for lane in range(LANES):
            place = builder.sext(builder.extract_element(places, _I32(lane)), _I64)
            number = builder.load(builder.gep(data, [builder.add(first, place)]))
            picked = builder.insert_element(picked, number, _I32(lane))
        return picked

    return SINGLE(table, types.int64, SINGLE), generate


def _choose(typing: Any, codes: Any, one: Any, zero: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, one, zero = arguments
        return builder.select(builder.fcmp_ordered("!=", codes, codes.type(None)), one, zero)

    return SINGLE(SINGLE, SINGLE, SINGLE), generate


#: ``bytes_at(array, offset)``: the 16 bytes from an offset on. Nothing checks bounds.
bytes_at: Callable[[Any, int], Bytes] = reader(_BYTES, _BytesType.vector)
#: ``part(packed, shift, mask)``: ``(packed >> shift) & mask`` in each lane.
part: Callable[[Bytes, int, int], Lanes] = intrinsic(_part)
#: ``string(low, high, bits)``: eight neighbouring codes of ``bits`` bits out of each word.
string: Callable[[np.uint64, np.uint64, int], Lanes] = intrinsic(_string)
#: ``pick(table, first, codes)``: in each lane ``table[first + code]``, ``table`` float32 and flat.
pick: Callable[[NDArray[np.float32], int, Lanes], Lanes] = intrinsic(_pick)
#: ``choose(codes, one, zero)``: the lane of ``one`` where the code is not 0, else of ``zero``.
choose: Callable[[Lanes, Lanes, Lanes], Lanes] = intrinsic(_choose)
