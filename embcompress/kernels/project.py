"""Rows from coordinates: ``offset + coords @ basis``, every sum in one stated order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES, load, splat, store
from embcompress.kernels.records import FLOAT32_1D, FLOAT32_2D, FLOAT32_OUT


@kernel(f"void({FLOAT32_2D}, {FLOAT32_2D}, {FLOAT32_1D}, {FLOAT32_OUT})")
def project_wide(
    coords: NDArray[np.float32],
    basis: NDArray[np.float32],
    offset: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """`project` to 16 columns or more.

    Four rows by sixteen columns at a time stay in registers through all terms; the last sixteen
    columns may be computed twice. Four by thirty-two was a third faster with AVX-512, but three
    times slower with AVX2, which has too few registers for it.
    """
    count, k = coords.shape
    d = out.shape[1]
    last = d - LANES
    fours = count - count % 4
    for i in range(0, fours, 4):
        for column in range(0, d, LANES):
            first = min(column, last)
            row0 = load(offset, first)
            row1 = row0
            row2 = row0
            row3 = row0
            for j in range(k):
                term = load(basis, j * d + first)
                row0 = row0 + splat(coords[i, j]) * term
                row1 = row1 + splat(coords[i + 1, j]) * term
                row2 = row2 + splat(coords[i + 2, j]) * term
                row3 = row3 + splat(coords[i + 3, j]) * term
            store(out, i * d + first, row0)
            store(out, (i + 1) * d + first, row1)
            store(out, (i + 2) * d + first, row2)
            store(out, (i + 3) * d + first, row3)
    for i in range(fours, count):
        for column in range(0, d, 4 * LANES):
            first0 = min(column, last)
            first1 = min(column + LANES, last)
            first2 = min(column + 2 * LANES, last)
            first3 = min(column + 3 * LANES, last)
            part0 = load(offset, first0)
            part1 = load(offset, first1)
            part2 = load(offset, first2)
            part3 = load(offset, first3)
            for j in range(k):
                coordinate = splat(coords[i, j])
                part0 = part0 + coordinate * load(basis, j * d + first0)
                part1 = part1 + coordinate * load(basis, j * d + first1)
                part2 = part2 + coordinate * load(basis, j * d + first2)
                part3 = part3 + coordinate * load(basis, j * d + first3)
            store(out, i * d + first0, part0)
            store(out, i * d + first1, part1)
            store(out, i * d + first2, part2)
            store(out, i * d + first3, part3)


@kernel(f"void({FLOAT32_2D}, {FLOAT32_2D}, {FLOAT32_1D}, {FLOAT32_OUT})")
def project_narrow(
    coords: NDArray[np.float32],
    basis: NDArray[np.float32],
    offset: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """`project` to fewer than 16 columns."""
    count, k = coords.shape
    for i in range(count):
        for column in range(out.shape[1]):
            total = offset[column]
            for j in range(k):
                total += coords[i, j] * basis[j, column]
            out[i, column] = total


@kernel(f"void({FLOAT32_2D}, {FLOAT32_1D}, {FLOAT32_OUT})")
def shift(
    coords: NDArray[np.float32], offset: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Add an offset to every row.

    Args:
        coords: float32 [b, D].
        offset: float32 [D].
        out: float32 [b, D], the caller's, written; may be ``coords``.
    """
    for i in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[i, column] = offset[column] + coords[i, column]


def project(
    coords: NDArray[np.float32],
    basis: NDArray[np.float32],
    offset: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Multiply coordinates by a basis.

    ``out[i] = offset + coords[i, 0] * basis[0] + coords[i, 1] * basis[1] + ...``, from left to
    right in float32, every product and every sum rounded: a row has the same bits in any batch.

    Args:
        coords: float32 [b, K], C-contiguous, may be read-only, as the others.
        basis: float32 [K, D].
        offset: float32 [D]; zeros for none.
        out: float32 [b, D], C-contiguous, the caller's, written.
    """
    if out.shape[1] >= LANES:
        project_wide(coords, basis, offset, out)
    else:
        project_narrow(coords, basis, offset, out)
