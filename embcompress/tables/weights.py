"""Stored float weights, in a file or in memory, to float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.tables.file import SourceFile
from embcompress.tables.header import BITS, FLOATS

ITEM_BYTES = {dtype: BITS[dtype] // 8 for dtype in FLOATS}
"""Bytes of a weight of each dtype that a table may have."""

CHUNK_BYTES = 1 << 18
"""Bytes converted at a time: small enough to stay in the processor's cache."""


def stored_type(dtype: str, order: str = "<") -> np.dtype[Any]:
    """Give the numpy type that holds a dtype's values as they are stored.

    Args:
        dtype: One of the floats and integers; bfloat16 is held as uint16, truth values as uint8.
        order: Byte order, "<" or ">".
    """
    letter = {"BF16": "u", "BOOL": "u"}.get(dtype, dtype[0].lower())
    return np.dtype(f"{order}{letter}{BITS[dtype] // 8}")


def to_float32(stored: NDArray[Any], out: NDArray[np.float32]) -> None:
    """Convert weights.

    Args:
        stored: float16, float32 or float64 of either byte order, or uint16 holding the bits of
            bfloat16; any strides.
        out: float32 of the same shape; any strides. A float64 beyond float32 becomes infinite.
    """
    if stored.dtype.kind == "u":
        np.left_shift(stored, 16, out=out.view(np.uint32), dtype=np.uint32)
    else:
        with np.errstate(all="ignore"):
            out[...] = stored


def read_weights(
    file: SourceFile, offset: int, dtype: str, out: NDArray[np.float32], order: str = "<"
) -> None:
    """Read consecutive weights of a file as float32.

    Args:
        file: The file.
        offset: The first weight's first byte, counted from the start of the file.
        dtype: "F16", "BF16", "F32" or "F64".
        out: float32 [weights], contiguous, in the machine's byte order.
        order: The file's byte order, "<" or ">".

    Raises:
        IOFailure: The file ends early or cannot be read.
    """
    stored = stored_type(dtype, order)
    if stored == np.dtype(np.float32):
        file.read_into(out.data, offset)
        return
    step = CHUNK_BYTES // stored.itemsize
    scratch = np.empty(min(step, out.size), stored)
    for first in range(0, out.size, step):
        chunk = scratch[: out.size - first]
        file.read_into(chunk.view(np.uint8).data, offset + first * stored.itemsize)
        to_float32(chunk, out[first : first + step])
