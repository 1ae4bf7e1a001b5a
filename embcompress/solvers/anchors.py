"""Anchors and the non-negative sparse codes of rows on them, fitted in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.combination import Combination, Values
from embcompress.kernels.combination import add_anchor_terms, pursue
from embcompress.kernels.lanes import LANES
from embcompress.kernels.product import pack_product
from embcompress.solvers.encoder import Encoder
from embcompress.solvers.product import power_of_two
from embcompress.solvers.shared_rows import stored
from embcompress.threads import one_blas_thread, ordered

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Codes = NDArray[np.uint16]

ROUNDS = 15
_LEAST_GAIN = 1e-3
_PULL = 1e-3  # how much anchors hold on to where they are, of a mean anchor's weight
_PRODUCTS = 2**22  # rows times anchors at a time
_LARGEST_HALF = 65504.0
_LEVELS = 255


@dataclass(frozen=True, eq=False)
class Pursuit:
    """Finds codes on given anchors.

    Args:
        book: float32 [K, D], the anchors as they are stored.
        nonzeros: Codes of a row, s.
        values: How a row's numbers are stored.
        scale: A power of two that rows are multiplied by first.
    """

    book: Float32
    nonzeros: int
    values: Values
    scale: float

    @cached_property
    def _lengths(self) -> Float64:
        lengths: Float64 = np.linalg.norm(self.book.astype(np.float64), axis=1)
        return np.where(lengths > 0, lengths, 1)

    @cached_property
    def _units(self) -> Float32:
        """Anchors of length 1, float32 [Kp, D]: with rows of zeros up to a multiple of 16."""
        units = np.zeros((-(-len(self.book) // LANES) * LANES, self.book.shape[1]), np.float32)
        units[: len(self.book)] = self.book / self._lengths[:, None]
        return units

    @cached_property
    def gram(self) -> Float32:
        """Products of anchors of length 1, float32 [K, Kp]."""
        wide = self._units.astype(np.float64)
        with one_blas_thread():
            found: Float64 = wide[: len(self.book)] @ wide.T
        return found.astype(np.float32)

    def codes(self, rows: Float32) -> tuple[Codes, Float64]:
        """Codes and numbers of rows, uint16 and float64 [b, s]; one BLAS thread is the caller's."""
        codes = np.empty((len(rows), self.nonzeros), np.uint16)
        values = np.empty((len(rows), self.nonzeros))
        step = max(16, _PRODUCTS // len(self.book))
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            products: Any = (rows[some] * np.float32(self.scale)) @ self._units.T
            pursue(products, self.gram, codes[some], values[some])
        return codes, values / (self._lengths[codes] * self.scale)

    def parts(self, values: Float64) -> dict[str, Any]:
        """A codec's fields of numbers."""
        if self.values == "fp16":
            return {"values": np.minimum(values, _LARGEST_HALF).astype(np.float16)}
        most = np.minimum(values.max(axis=1, initial=0), _LARGEST_HALF)
        scales = (most / _LEVELS).astype(np.float16)
        wide = np.where(scales > 0, scales, np.inf).astype(np.float64)[:, None]
        levels = np.minimum(np.rint(values / wide), _LEVELS).astype(np.uint8)
        return {"values": levels, "scale": scales}

    def rounded(self, values: Float64) -> Float64:
        """Numbers as they are stored, float64 [b, s]."""
        parts = self.parts(values)
        wide: Float64 = parts["values"].astype(np.float64)
        return wide * parts["scale"].astype(np.float64)[:, None] if "scale" in parts else wide


@dataclass(frozen=True)
class CombinationEncoder(Encoder):
    """Finds the codes of rows."""

    codec: Combination
    pursuit: Pursuit

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        """Codes and numbers."""
        codes, values = self.pursuit.codes(rows)
        return {"codes": pack_product(codes, self.codec.bits)} | self.pursuit.parts(values)


def fit_anchors(
    rows: Float32,
    weights: Float64,
    first: Float32,
    nonzeros: int,
    values: Values,
    largest: float,
    *,
    half: bool,
    threads: int,
    tick: Callable[[], None] = lambda: None,
) -> Pursuit:
    """Anchors of small weighted squared error: codes and least-squares anchors in turn.

    Ends after a round that gains less than 0.1%, or 15, with the anchors that were best.

    Args:
        rows: float32 [m, D].
        weights: float64 [m]; rows of weight 0 do not count unless all are.
        first: float32 [K, D], anchors to begin with.
        nonzeros: Codes of a row, at most K.
        values: How a row's numbers are stored.
        largest: Magnitude that no row exceeds.
        half: Whether anchors are stored in fp16.
        threads: Cores to use; they do not change the outcome.
        tick: Told of every round.
    """
    if not weights.any():
        weights = np.ones(len(rows))

    def pursuit(book: NDArray[Any]) -> Pursuit:
        held = stored(book, half=half).astype(np.float32)
        return Pursuit(held, nonzeros, values, power_of_two(largest))

    best = now = pursuit(first)
    lowest = np.inf
    with one_blas_thread():
        for _ in range(ROUNDS):
            error, normal, cross = _round(now, rows, weights, threads)
            tick()
            gained = error < lowest * (1 - _LEAST_GAIN)
            if error < lowest:
                best, lowest = now, error
            if not gained or error == 0:
                break
            pull = _PULL * np.trace(normal) / len(normal)
            if not pull > 0:
                break
            wanted = cross + pull * now.book
            moved = np.linalg.solve(normal + pull * np.eye(len(normal)), wanted)
            now = pursuit(moved)
    return best


def _round(
    now: Pursuit, rows: Float32, weights: Float64, threads: int
) -> tuple[float, Float64, Float64]:
    """Weighted squared error of anchors, and the normal equations of better ones."""
    step = max(16, _PRODUCTS // len(now.book))
    _ = now.gram  # made once, before the threads ask for it
    wide = now.book.astype(np.float64)

    def one(start: int) -> tuple[Codes, Float64, float]:
        some = slice(start, start + step)
        codes, values = now.codes(rows[some])
        values = now.rounded(values)
        left = rows[some].astype(np.float64)
        for t in range(now.nonzeros):
            left -= values[:, t : t + 1] * wide[codes[:, t]]
        return codes, values, float(weights[some] @ np.einsum("ij,ij->i", left, left))

    k, d = now.book.shape
    normal, cross = np.zeros((k, k)), np.zeros((k, d))
    error = 0.0
    starts = range(0, len(rows), step)
    for start, (codes, values, own) in zip(starts, ordered(one, starts, threads), strict=True):
        some = slice(start, start + step)
        error += own
        add_anchor_terms(codes, values, rows[some], weights[some], normal, cross)
    return error, normal, cross
