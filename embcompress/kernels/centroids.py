"""Decode rows that are rows of a codebook: ``out = book[code]``, codes in a bit string.

Codes come out of a file: a code past the last row has the last row.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.bitstring import BYTES_1D, code_at
from embcompress.kernels.jit import kernel
from embcompress.kernels.prefetch import prefetch, prefetch_span
from embcompress.kernels.records import FLOAT32_2D, FLOAT32_OUT, INT64_1D

_AHEAD: Final = 48
# Rows whose codewords are asked for before the first is copied. Measured on 64 columns, one
# thread, for groups of 8, 16 and 32: 82, 52 and 61 M rows/s with a book of 1 MB, 37, 42 and 48
# with one of 16 MB.
_NEAR: Final = 8
_FAR: Final = 32
_NEAR_BYTES: Final = 2**21


@kernel(f"void({BYTES_1D}, int64, int64, {FLOAT32_2D}, {INT64_1D}, {FLOAT32_OUT})")
def decode_centroids(
    string: NDArray[np.uint8],
    first: int,
    bits: int,
    book: NDArray[np.float32],
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Decode row ``rows[i]`` into ``out[i]``.

    Args:
        string: uint8, the codes with their tail as in `embcompress.kernels.bitstring`.
        first: Bit at which row 0 begins.
        bits: Bits per code, 1 to 32.
        book: float32 [K, D], C-contiguous, may be read-only; K and D at least 1.
        rows: int64 [b], positions in range, checked by the caller.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    count, d = out.shape
    mask = (np.int64(1) << bits) - 1
    last = book.shape[0] - 1
    codes = np.empty(_FAR, np.int64)
    group = _NEAR if 4 * book.size <= _NEAR_BYTES else _FAR
    for start in range(0, count, group):
        stop = min(start + group, count)
        for i in range(start, stop):
            if i + _AHEAD < count:
                prefetch(string, (first + rows[i + _AHEAD] * bits) >> 3)
            code = min(code_at(string, first + rows[i] * bits, mask), last)
            codes[i - start] = code
            prefetch_span(book, code * d * 4, 4 * d)
        for i in range(start, stop):
            code = codes[i - start]
            for j in range(d):
                out[i, j] = book[code, j]
