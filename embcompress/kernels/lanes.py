"""Sixteen float numbers side by side: a value type that kernels compute with, one SIMD lane each.

A kernel that handles sixteen rows at once writes ``error = error + residual * residual`` on
`Lanes`, and every lane does exactly what the scalar statement would do, in the same order: no
fused multiply-add, no reordered sum. The compiler is given vector instructions to begin with: the
same search as loops over arrays of sixteen, left to its vectorizer, ran at a quarter of the speed.
A processor with narrower registers splits a value into two or four.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, lower_builtin, register_model, type_callable
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

LANES = 16
_INT32 = ir.VectorType(ir.IntType(32), LANES)
_ELEMENTS = {"float32": ir.FloatType(), "float64": ir.DoubleType(), "mask": ir.IntType(1)}


class Mask:
    """Sixteen truth values. Exists inside kernels only."""

    def __and__(self, other: Mask) -> Mask:
        """Both."""
        raise NotImplementedError


class Lanes:
    """Sixteen float32 (or, after `widen`, float64) numbers. Exists inside kernels only."""

    def __add__(self, other: Lanes) -> Lanes:
        """Lane by lane, as are all others."""
        raise NotImplementedError

    __sub__ = __mul__ = __truediv__ = __add__

    def __lt__(self, other: Lanes) -> Mask:
        """True in the lanes where self is smaller; false where either is NaN."""
        raise NotImplementedError


class _Vector(types.Type):
    def __init__(self, element: str) -> None:
        self.element = element
        super().__init__(name=f"Lanes({element})")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: _Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(_ELEMENTS[kind.element], LANES))


SINGLE, _DOUBLE, _MASK = _Vector("float32"), _Vector("float64"), _Vector("mask")


def _binary(function: Any, result: _Vector | None, emit: Callable[[Any, Any, Any], Any]) -> None:
    """Teach the compiler an operator between two values of one kind."""

    @type_callable(function)  # type: ignore[untyped-decorator]
    def typed(context: Any) -> Any:
        def kind(left: Any, right: Any) -> Any:
            known = isinstance(left, _Vector) and left == right
            return (result or left) if known else None

        return kind

    @lower_builtin(function, _Vector, _Vector)  # type: ignore[untyped-decorator]
    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit(builder, *args)


_binary(operator.add, None, lambda builder, a, b: builder.fadd(a, b))
_binary(operator.sub, None, lambda builder, a, b: builder.fsub(a, b))
_binary(operator.mul, None, lambda builder, a, b: builder.fmul(a, b))
_binary(operator.truediv, None, lambda builder, a, b: builder.fdiv(a, b))
_binary(operator.lt, _MASK, lambda builder, a, b: builder.fcmp_ordered("<", a, b))
_binary(operator.and_, None, lambda builder, a, b: builder.and_(a, b))


def _operation(result: Any, arguments: Any, emit: Callable[..., Any]) -> Any:
    """An intrinsic's answer: its signature, and the code that `emit(builder, *values)` builds."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return emit(builder, *values)

    return result(*arguments), generate


def _pointer(
    context: Any, builder: Any, kind: Any, array: Any, index: Any, element: Any = None
) -> Any:
    """Address of sixteen elements of an array of numba type `kind`, from a flat index on.

    An integer instead of an array is the address of elements of an LLVM type.
    """
    if isinstance(kind, types.Integer):
        data = builder.inttoptr(array, element.as_pointer())
    else:
        element = context.get_data_type(kind.dtype)
        data = context.make_array(kind)(context, builder, array).data
    lanes = ir.VectorType(element, LANES)
    return builder.bitcast(builder.gep(data, [index]), lanes.as_pointer())


def _splat(context: Any, number: Any) -> Any:
    def emit(builder: Any, value: Any) -> Any:
        empty = ir.Constant(ir.VectorType(ir.FloatType(), LANES), ir.Undefined)
        first = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, empty, ir.Constant(_INT32, [0] * LANES))

    return _operation(SINGLE, (types.float32,), emit)


def _load(context: Any, array: Any, index: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = _pointer(target, builder, array, values[0], values[1], ir.FloatType())
        return builder.load(pointer, align=4)

    return SINGLE(array, types.intp), generate


def _store(context: Any, array: Any, index: Any, value: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = _pointer(target, builder, array, values[0], values[1], ir.FloatType())
        builder.store(values[2], pointer, align=4)
        return target.get_dummy_value()

    return types.void(array, types.intp, SINGLE), generate


def _store_first(context: Any, array: Any, index: Any, value: Any, count: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = _pointer(target, builder, array, *values[:2])
        lanes, integer = values[2], ir.IntType(32)
        empty = ir.Constant(_INT32, ir.Undefined)
        many = builder.insert_element(empty, builder.trunc(values[3], integer), integer(0))
        many = builder.shuffle_vector(many, empty, ir.Constant(_INT32, [0] * LANES))
        kept = builder.icmp_signed("<", ir.Constant(_INT32, list(range(LANES))), many)
        kind = ir.FunctionType(ir.VoidType(), [lanes.type, pointer.type, integer, kept.type])
        name = f"llvm.masked.store.v{LANES}f32.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [lanes, pointer, integer(4), kept])
        return target.get_dummy_value()

    return types.void(array, types.intp, SINGLE, types.intp), generate


def _store_codes(context: Any, array: Any, index: Any, value: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = _pointer(target, builder, array, *values[:2])
        codes = builder.fptoui(values[2], ir.VectorType(ir.IntType(8), LANES))
        builder.store(codes, pointer, align=1)
        return target.get_dummy_value()

    return types.void(array, types.intp, SINGLE), generate


def _store_mask(context: Any, array: Any, index: Any, mask: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, values: Any) -> Any:
        if isinstance(array, types.Integer):
            data = builder.inttoptr(values[0], ir.IntType(LANES).as_pointer())
        else:
            data = target.make_array(array)(target, builder, values[0]).data
        bits = builder.bitcast(values[2], ir.IntType(LANES))
        builder.store(bits, builder.gep(data, [values[1]]))
        return target.get_dummy_value()

    return types.void(array, types.intp, _MASK), generate


def _transpose(
    context: Any, source: Any, at: Any, stride: Any, target: Any, to: Any, step: Any
) -> Any:
    def generate(machine: Any, builder: Any, signature: Any, values: Any) -> Any:
        first, start, apart, second, out, between = values

        def row(kind: Any, array: Any, index: Any, gap: Any, number: int) -> Any:
            offset = builder.mul(gap, ir.Constant(gap.type, number))
            return _pointer(machine, builder, kind, array, builder.add(index, offset))

        align = source.dtype.bitwidth // 8
        rows = [
            builder.load(row(source, first, start, apart, number), align=align)
            for number in range(LANES)
        ]
        half = LANES // 2
        low = [lane for i in range(half) for lane in (i, LANES + i)]
        orders = [ir.Constant(_INT32, low), ir.Constant(_INT32, [lane + half for lane in low])]
        for _ in range(4):  # each round interleaves row i with row i + 8
            rows = [
                builder.shuffle_vector(rows[i], rows[i + half], order)
                for i in range(half)
                for order in orders
            ]
        for number, lanes in enumerate(rows):
            builder.store(lanes, row(target, second, out, between, number), align=align)
        return machine.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def _unary(name: str) -> Callable[[Any, Any], Any]:
    def typed(context: Any, value: Any) -> Any:
        def emit(builder: Any, lanes: Any) -> Any:
            suffix = "f32" if value == SINGLE else "f64"
            kind = ir.FunctionType(lanes.type, [lanes.type])
            named = f"llvm.{name}.v{LANES}{suffix}"
            function = cgutils.get_or_insert_function(builder.module, kind, named)
            return builder.call(function, [lanes])

        return _operation(value, (value,), emit)

    return typed


def _extreme(sign: str) -> Callable[[Any, Any, Any], Any]:
    def typed(context: Any, left: Any, right: Any) -> Any:
        def emit(builder: Any, a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(sign, a, b), a, b)

        return _operation(left, (left, left), emit)

    return typed


def _equal(context: Any, left: Any, right: Any) -> Any:
    def emit(builder: Any, a: Any, b: Any) -> Any:
        return builder.fcmp_ordered("==", a, b)

    return _operation(_MASK, (left, left), emit)


def _select(context: Any, mask: Any, yes: Any, no: Any) -> Any:
    return _operation(yes, (_MASK, yes, yes), lambda builder, *values: builder.select(*values))


def _any_lane(context: Any, mask: Any) -> Any:
    def emit(builder: Any, lanes: Any) -> Any:
        bits = builder.bitcast(lanes, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return _operation(types.boolean, (_MASK,), emit)


def _widen(context: Any, value: Any) -> Any:
    wide = ir.VectorType(ir.DoubleType(), LANES)
    return _operation(_DOUBLE, (SINGLE,), lambda builder, lanes: builder.fpext(lanes, wide))


def _to_half(context: Any, value: Any) -> Any:
    """Round by integer arithmetic: not every target of the compiler converts to fp16 itself."""

    def emit(builder: Any, lanes: Any) -> Any:
        def constant(number: int) -> Any:
            return ir.Constant(_INT32, [number] * LANES)

        def number(value: float) -> Any:
            return ir.Constant(lanes.type, [value] * LANES)

        bits = builder.bitcast(lanes, _INT32)
        sign = builder.and_(bits, constant(-(1 << 31)))
        size = builder.and_(bits, constant(0x7FFFFFFF))
        odd = builder.and_(builder.lshr(size, constant(13)), constant(1))
        up = builder.add(builder.add(size, constant(0xFFF)), odd)
        normal = builder.and_(up, constant(~0x1FFF))
        largest = constant(0x477FE000)
        too_large = builder.icmp_unsigned(">", normal, largest)
        normal = builder.select(too_large, largest, normal)
        # Below 2**-14 the spacing is 2**-24, which is float32's at one half.
        plain = builder.bitcast(size, lanes.type)
        small = builder.fsub(builder.fadd(plain, number(0.5)), number(0.5))
        is_small = builder.icmp_unsigned("<", size, constant(0x38800000))
        size = builder.select(is_small, builder.bitcast(small, _INT32), normal)
        return builder.bitcast(builder.or_(size, sign), lanes.type)

    return _operation(SINGLE, (SINGLE,), emit)


def _compiled(function: Callable[..., Any]) -> Any:
    return intrinsic(function)


#: Sixteen copies of a number.
splat: Callable[[float], Lanes] = _compiled(_splat)
#: Sixteen neighbours of a C-contiguous float32 array, from a flat index on. Nothing checks bounds.
#: Here, in `store` and in `store_mask` an address may stand for the array.
load: Callable[[Any, int], Lanes] = _compiled(_load)
#: Write sixteen neighbours of a C-contiguous float32 array, from a flat index on.
store: Callable[[Any, int, Lanes], None] = _compiled(_store)
#: Write the first few of sixteen: store_first(array, index, lanes, count); none below a count of 1.
store_first: Callable[[Float32, int, Lanes, int], None] = _compiled(_store_first)
#: Write sixteen whole numbers of 0 to 255 into a C-contiguous uint8 array, from a flat index on.
store_codes: Callable[[NDArray[np.uint8], int, Lanes], None] = _compiled(_store_codes)
#: Write a mask into a uint16 array at a flat index, lane i as bit i.
store_mask: Callable[[Any, int, Mask], None] = _compiled(_store_mask)
#: Transpose sixteen by sixteen elements: transpose(source, at, stride, target, to, step) reads row
#: k at the flat index at + k * stride, and writes column k at to + k * step, in this order.
transpose: Callable[[NDArray[Any], int, int, NDArray[Any], int, int], None] = _compiled(_transpose)
#: Nearest whole numbers, ties to even.
rint: Callable[[Lanes], Lanes] = _compiled(_unary("rint"))
sqrt: Callable[[Lanes], Lanes] = _compiled(_unary("sqrt"))
magnitude: Callable[[Lanes], Lanes] = _compiled(_unary("fabs"))
#: The smaller, the larger of two; the second one where either is NaN.
lower: Callable[[Lanes, Lanes], Lanes] = _compiled(_extreme("<"))
upper: Callable[[Lanes, Lanes], Lanes] = _compiled(_extreme(">"))
equal: Callable[[Lanes, Lanes], Mask] = _compiled(_equal)
#: The second argument where the mask holds, else the third.
select: Callable[[Mask, Lanes, Lanes], Lanes] = _compiled(_select)
any_lane: Callable[[Mask], bool] = _compiled(_any_lane)
#: The same numbers in float64.
widen: Callable[[Lanes], Lanes] = _compiled(_widen)
#: The nearest fp16 numbers, ties to even, at most 65504 in size, as float32.
to_half: Callable[[Lanes], Lanes] = _compiled(_to_half)
