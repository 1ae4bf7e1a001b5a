"""blake2b of eight messages of one length, side by side: one lane of a vector each.

RFC 7693 works on 64-bit words and one block after the other, so one message fills a quarter or an
eighth of a vector unit. Checksums are of chunks of one length; eight of them fill it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.records import pointer

LANES = 8
BLOCK = 128
DIGEST = 16

_WORD = ir.IntType(64)
_VECTOR = ir.VectorType(_WORD, LANES)
_IV = (
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
)  # fmt: skip
_SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
_COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
_DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
_ROUNDS = 12
_START = np.array([[word] * LANES for word in _IV], np.uint64)
_START[0] ^= np.uint64(0x01010000 | DIGEST)


def _compress(
    typing: Any, data: Any, start: Any, length: Any, count: Any, last: Any, h: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        text = pointer(context, builder, signature.args[0], arguments[:2], ir.IntType(8))
        state = context.make_array(signature.args[5])(context, builder, arguments[5])
        words = builder.bitcast(state.data, _WORD.as_pointer())
        rotate = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fshr.v{LANES}i64"
        )

        def spread(word: Any) -> Any:
            first = builder.insert_element(
                ir.Constant(_VECTOR, ir.Undefined), word, ir.IntType(32)(0)
            )
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(first, first, zeros)

        def constant(word: int) -> Any:
            return ir.Constant(_VECTOR, [word] * LANES)

        def of_state(i: int) -> Any:
            at = builder.gep(words, [_WORD(i * LANES)])
            return builder.bitcast(at, _VECTOR.as_pointer())

        def message(i: int) -> Any:
            found = ir.Constant(_VECTOR, ir.Undefined)
            for lane in range(LANES):
                offset = builder.add(builder.mul(arguments[2], _WORD(lane)), _WORD(8 * i))
                at = builder.bitcast(builder.gep(text, [offset]), _WORD.as_pointer())
                found = builder.insert_element(
                    found, builder.load(at, align=1), ir.IntType(32)(lane)
                )
            return found

        m = [message(i) for i in range(16)]
        h_before = [builder.load(of_state(i), align=8) for i in range(8)]
        v = [*h_before, *(constant(word) for word in _IV)]
        v[12] = builder.xor(v[12], spread(arguments[3]))
        v[14] = builder.xor(v[14], spread(arguments[4]))

        def turned(x: Any, y: Any, bits: int) -> Any:
            mixed = builder.xor(x, y)
            return builder.call(rotate, [mixed, mixed, constant(bits)])

        for number in range(_ROUNDS):
            order = _SIGMA[number % len(_SIGMA)]
            for i, (a, b, c, d) in enumerate((*_COLUMNS, *_DIAGONALS)):
                v[a] = builder.add(builder.add(v[a], v[b]), m[order[2 * i]])
                v[d] = turned(v[d], v[a], 32)
                v[c] = builder.add(v[c], v[d])
                v[b] = turned(v[b], v[c], 24)
                v[a] = builder.add(builder.add(v[a], v[b]), m[order[2 * i + 1]])
                v[d] = turned(v[d], v[a], 16)
                v[c] = builder.add(v[c], v[d])
                v[b] = turned(v[b], v[c], 63)
        for i in range(8):
            mixed = builder.xor(builder.xor(h_before[i], v[i]), v[i + 8])
            builder.store(mixed, of_state(i), align=8)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(data, whole, whole, types.uint64, types.uint64, h), generate


_block: Callable[..., None] = intrinsic(_compress)
"""``_block(data, start, length, count, last, h)``: take one block of every lane into h [8, LANES].

Lane l's block begins at ``start + l * length``; ``count`` is how many bytes it ends after, ``last``
all ones for the last block.
"""


@kernel("void(Array(uint8, 1, 'C', readonly=True), int64, uint64[:,::1])")
def digest_lanes(data: NDArray[np.uint8], length: int, h: NDArray[np.uint64]) -> None:
    """blake2b of LANES messages that lie back to back.

    Args:
        data: uint8 [LANES · length].
        length: Bytes of a message, a multiple of BLOCK above 0.
        h: uint64 [8, LANES]; begins as ``start()``, ends with the digests: the first DIGEST bytes
            of every column.
    """
    for at in range(0, length, BLOCK):
        last = np.uint64(0xFFFFFFFFFFFFFFFF) if at + BLOCK == length else np.uint64(0)
        _block(data, at, length, np.uint64(at + BLOCK), last, h)


def digests_of(data: NDArray[np.uint8], length: int) -> bytes:
    """blake2b digests of LANES messages that lie back to back, one after the other.

    Args:
        data: uint8 [LANES · length], contiguous.
        length: Bytes of a message, a multiple of BLOCK above 0.

    Returns:
        LANES · DIGEST bytes.
    """
    h = _START.copy()
    digest_lanes(data, length, h)
    return np.ascontiguousarray(h.T).view(np.uint8)[:, :DIGEST].tobytes()
