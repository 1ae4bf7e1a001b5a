"""Where a labelled row stands among the rows of its label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel

BLOCK = 1024  # rows a directory entry
WORDS = BLOCK // 64


@inlined
def _ones(word: np.uint64) -> np.uint64:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@kernel(
    "void(Array(uint64, 2, 'C', readonly=True), Array(int64, 2, 'C', readonly=True),"
    " Array(int64, 1, 'C', readonly=True), int64[::1], int64[::1])"
)
def rank(
    planes: NDArray[np.uint64],
    directory: NDArray[np.int64],
    ids: NDArray[np.int64],
    labels: NDArray[np.int64],
    positions: NDArray[np.int64],
) -> None:
    """Label of each id, and how many earlier rows carry the same label.

    Args:
        planes: uint64 [p, w]; bit i % 64 of word i // 64 of plane j is bit j of row i's label.
        directory: int64 [blocks, 2**p]; rows of each label before rows 0, 1024, 2048, …
        ids: int64 [b], in range.
        labels: int64 [b], written.
        positions: int64 [b], written.
    """
    count = planes.shape[0]
    for i in range(ids.shape[0]):
        row = ids[i]
        word = row // 64
        bit = np.uint64(row % 64)
        label: Any = 0
        for p in range(count):
            label |= np.int64((planes[p, word] >> bit) & np.uint64(1)) << p
        block = row // BLOCK
        before = directory[block, label]
        for w in range(block * WORDS, word + 1):
            same = ~np.uint64(0)
            for p in range(count):
                plane = planes[p, w]
                same &= plane if (label >> p) & 1 else ~plane
            if w == word:
                same &= (np.uint64(1) << bit) - np.uint64(1)
            before += np.int64(_ones(same))
        labels[i] = label
        positions[i] = before
