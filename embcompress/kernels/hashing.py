"""Hashes of keys: numbers as features, and slots of a memory that columns are gathered from.

All arithmetic is on uint64, modulo 2^64. With G = 0x9E3779B97F4A7C15 (SplitMix64's step) and
mix its finalizer,

    stream(seed, key) = mix(mix(seed + G) + G·(key + 1))
    hash j of a key   = mix(stream(seed, key) + G·(j + 1))
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel
from embcompress.kernels.records import FLOAT32_1D, FLOAT32_2D, FLOAT32_OUT, INT64_1D

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_ONE: Final = np.uint64(1)
_UNIT: Final = np.float32(2.0**-23)
_MOST: Final = 2**23


@inlined
def mix(word: Any) -> Any:
    """SplitMix64's finalizer of a uint64."""
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    return word ^ (word >> np.uint64(31))


@inlined
def stream(seed: Any, key: Any) -> Any:
    """Where the hashes of a key begin, uint64."""
    return mix(mix(np.uint64(seed) + _STEP) + _STEP * (np.uint64(key) + _ONE))


@inlined
def hash_of(begin: Any, j: Any) -> Any:
    """Hash j of a key whose hashes begin at ``begin``, uint64."""
    return mix(begin + _STEP * (np.uint64(j) + _ONE))


@kernel(f"void({INT64_1D}, int64, {FLOAT32_OUT})")
def hash_numbers(keys: NDArray[np.int64], seed: int, out: NDArray[np.float32]) -> None:
    """Numbers from -1 to 1 out of hashes: the upper 24 bits of hash j, less 2^23, times 2^-23.

    Args:
        keys: int64 [b], at least 0.
        seed: At least 0.
        out: float32 [b, k], the caller's, written; every step is exact.
    """
    for i in range(out.shape[0]):
        begin = stream(seed, keys[i])
        for j in range(out.shape[1]):
            high = np.int64(hash_of(begin, j) >> np.uint64(40))
            out[i, j] = np.float32(high - _MOST) * _UNIT


@kernel(f"void({INT64_1D}, int64, int64, boolean, {FLOAT32_1D}, {FLOAT32_OUT})")
def gather_slots(
    keys: NDArray[np.int64],
    seed: int,
    block: int,
    signed: bool,
    memory: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Gather rows from a memory: hash j of the key says where columns from j·block on lie.

    Columns of a block follow one another in the memory, around its end. They begin at the hash's
    upper 63 bits modulo the memory's size; when ``signed`` and the lowest bit is 1, they are
    negated.

    Args:
        keys: int64 [b], at least 0.
        seed: At least 0.
        block: Columns of a block, at least 1.
        signed: Whether blocks have a sign.
        memory: float32 [M], M at least 1.
        out: float32 [b, D], the caller's, written.
    """
    count, d = out.shape
    size = len(memory)
    for i in range(count):
        begin = stream(seed, keys[i])
        for number, first in enumerate(range(0, d, block)):
            word = hash_of(begin, number)
            slot = int(np.int64((word >> _ONE) % np.uint64(size)))
            negative = signed and (word & _ONE) == _ONE
            for column in range(first, min(first + block, d)):
                value = memory[slot]
                out[i, column] = -value if negative else value
                slot = slot + 1 if slot + 1 < size else 0


@kernel(
    f"void({INT64_1D}, {FLOAT32_2D}, Array(float64, 1, 'C', readonly=True), int64, int64, boolean,"
    " Array(float64, 1, 'C'), Array(float64, 1, 'C'))"
)
def add_to_slots(
    keys: NDArray[np.int64],
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    seed: int,
    block: int,
    signed: bool,
    sums: NDArray[np.float64],
    masses: NDArray[np.float64],
) -> None:
    """Add weighted numbers of rows, with their signs, to the slots that `gather_slots` reads.

    Args:
        keys: int64 [b], at least 0.
        rows: float32 [b, D].
        weights: float64 [b], or [0] for weights of 1.
        seed: At least 0.
        block: Columns of a block.
        signed: Whether blocks have a sign.
        sums: float64 [M], the caller's, added to.
        masses: float64 [M], the caller's; weights are added to it.
    """
    d = rows.shape[1]
    size = len(sums)
    for i in range(len(keys)):
        weight = weights[i] if len(weights) else 1.0
        begin = stream(seed, keys[i])
        for number, first in enumerate(range(0, d, block)):
            word = hash_of(begin, number)
            slot = int(np.int64((word >> _ONE) % np.uint64(size)))
            sign = -weight if signed and (word & _ONE) == _ONE else weight
            for column in range(first, min(first + block, d)):
                sums[slot] += sign * rows[i, column]
                masses[slot] += weight
                slot = slot + 1 if slot + 1 < size else 0
