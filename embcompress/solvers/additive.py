"""Additive codebooks: faiss begins, joint least squares refits, a beam encodes again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.additive import Additive, ranges
from embcompress.kernels.additive_search import beam_search, local_search
from embcompress.kernels.lanes import LANES
from embcompress.kernels.product import pack_product
from embcompress.progress import Progress
from embcompress.solvers.additive_refit import refit
from embcompress.solvers.encoder import Encoder
from embcompress.threads import one_blas_thread, ordered

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Search: TypeAlias = Literal["residual", "lsq", "product-residual"]

TILE: Final = 4096
LEAST_GAIN: Final = 1e-3
MOST_CODEWORDS: Final = 8192  # of the books of one range: their products take 256 MB
_BLOCK = 256  # rows whose products with all codewords are held at once
_TRIES = 8  # of the local search
_KMEANS_ROUNDS = 10


@dataclass(frozen=True)
class Searching:
    """How codes are searched.

    Args:
        beam: Beginnings that the beam search keeps.
        local: Whether a local search follows.
    """

    beam: int
    local: bool


class Searcher:
    """Books with the tables that the search for codes needs.

    Args:
        books: float32 [S, K, W], K a power of two.
        searching: How to search.
    """

    def __init__(self, books: Float32, searching: Searching) -> None:
        count, k, width = books.shape
        lanes = -(-k // LANES) * LANES
        padded = np.zeros((count, lanes, width), np.float32)
        padded[:, :k] = books
        self.books = books
        words = padded.reshape(-1, width)
        self._twice = np.ascontiguousarray(-2 * words.T)
        self._norms = np.einsum("skw,skw->sk", padded, padded)
        self._norms[:, k:] = np.inf
        self._pairs = words @ (2 * words).T
        self._lanes = lanes
        self._searching = searching

    def codes(self, rows: Float32) -> NDArray[np.uint16]:
        """Codes of rows [b, W], uint16 [b, S]; one BLAS thread is the caller's to see to."""
        count, k, _ = self.books.shape
        out = np.empty((len(rows), count), np.uint16)
        for start in range(0, len(rows), _BLOCK):
            own = out[start : start + _BLOCK]
            singles = rows[start : start + _BLOCK] @ self._twice
            singles += self._norms.reshape(-1)
            beam_search(singles, self._pairs, self._lanes, self._searching.beam, own)
            if self._searching.local:
                kicks = min(4, -(-count // 4))
                local_search(singles, self._pairs, self._lanes, k, _TRIES, kicks, own)
        return out

    def decoded(self, codes: NDArray[np.uint16]) -> Float32:
        """Sums of codewords, float32 [b, W]."""
        total: Float32 = self.books[0][codes[:, 0]]
        for s in range(1, len(self.books)):
            total += self.books[s][codes[:, s]]
        return total


@dataclass(frozen=True)
class Scaled:
    """Rows brought near 1 and around 0, and codewords brought back.

    Args:
        scale: A power of two.
        centre: float32 [D], in scaled rows.
        half: Whether codewords are stored in fp16.
    """

    scale: float
    centre: Float32
    half: bool

    def rows(self, rows: Float32) -> Float32:
        """Rows [b, D] as the search sees them."""
        found: Float32 = rows * np.float32(self.scale) - self.centre
        return found

    def stored(self, books: Float32, columns: slice) -> NDArray[Any]:
        """Books [S, K, W] as they are stored: the first one holds the centre."""
        with np.errstate(over="ignore", under="ignore"):
            wide = books.copy()
            wide[0] += self.centre[columns]
            wide /= np.float32(self.scale)
            return wide.astype(np.float16) if self.half else wide

    def searched(self, stored: NDArray[Any], columns: slice) -> Float32:
        """Stored books as the search sees them."""
        books: Float32 = stored.astype(np.float32) * np.float32(self.scale)
        books[0] -= self.centre[columns]
        return books


@dataclass(frozen=True, eq=False)
class AdditiveEncoder(Encoder):
    """Searches the codes of rows in the books as they are stored.

    Args:
        codec: Holds the books.
        scaled: How rows are scaled.
        searching: How codes are searched.
    """

    codec: Additive
    scaled: Scaled
    searching: Searching

    @cached_property
    def _searchers(self) -> list[Searcher]:
        return [
            Searcher(self.scaled.searched(books, slice(r.first, r.stop)), self.searching)
            for r, books in zip(self.codec.ranges, self.codec.range_books, strict=True)
        ]

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        """Search codes: see `Encoder.encode`."""
        codes = np.zeros((len(rows), self.codec.books), np.uint16)
        if rows.size:
            scaled = self.scaled.rows(rows)
            for r, searcher in zip(self.codec.ranges, self._searchers, strict=True):
                own = np.ascontiguousarray(scaled[:, r.first : r.stop])
                codes[:, r.start : r.end] = searcher.codes(own)
        return {"codes": pack_product(codes, self.codec.bits)}


def begin(rows: Float32, weights: Float64, books: int, bits: int, seed: int) -> Float32:
    """Residual codebooks to begin with, by faiss on one thread: the same on any.

    faiss takes no weights: rows of unequal weight are drawn anew in proportion to it. Where there
    are no more distinct rows than codewords, the first book is these rows and the others are 0.

    Args:
        rows: float32 [m, W].
        weights: float64 [m].
        books: S.
        bits: b.
        seed: Of k-means and of the draw.

    Returns:
        float32 [S, 2^b, W].

    Source: Chen, Guan and Wang 2010, Approximate nearest neighbor search by residual vector
    quantization.
    """
    import faiss
    from threadpoolctl import threadpool_limits

    k = 2**bits
    distinct = np.unique(rows, axis=0)
    if len(distinct) <= k:
        found = np.zeros((books, k, rows.shape[1]), np.float32)
        found[0, : len(distinct)] = distinct
        return found
    random = np.random.default_rng([seed, books, bits])
    if len(rows) and weights.any() and (weights != weights[0]).any():
        rows = rows[np.sort(random.choice(len(rows), len(rows), p=weights / weights.sum()))]
    quantizer = faiss.ResidualQuantizer(rows.shape[1], books, bits)
    quantizer.train_type = faiss.ResidualQuantizer.Train_default
    quantizer.max_beam_size = 1
    quantizer.cp.niter = _KMEANS_ROUNDS
    quantizer.cp.seed = seed & 0x7FFFFFFF
    quantizer.cp.min_points_per_centroid = 1
    quantizer.cp.max_points_per_centroid = len(rows)
    with threadpool_limits(limits=1):
        quantizer.train(np.ascontiguousarray(rows))
    trained: Float32 = faiss.vector_to_array(quantizer.codebooks).astype(np.float32)
    return trained.reshape(books, k, rows.shape[1])


def learn(
    rows: Float32,
    weights: Float64,
    start: Float32,
    scaled: Scaled,
    columns: slice,
    searching: Searching,
    rounds: int,
    threads: int,
    progress: Progress,
) -> NDArray[Any]:
    """Refit all books of a range together and encode again, while the error falls.

    Args:
        rows: float32 [m, W], scaled rows of the sample.
        weights: float64 [m].
        start: float32 [S, K, W], books to begin with.
        scaled: How books are stored; every error is that of books as stored.
        columns: The range.
        searching: How codes are searched.
        rounds: How often to refit at most.
        threads: Cores to use.
        progress: Told of rows encoded, ``rounds + 1`` times m in all.

    Returns:
        fp16 or fp32 [S, K, W], the best books, as stored.

    Source: Babenko and Lempitsky 2014, Additive quantization, section 3.3 (the joint refit).
    """
    stored = scaled.stored(start, columns)
    best, least = stored, np.inf
    for number in range(rounds + 1):
        books = scaled.searched(stored, columns)
        codes, error = encoded(rows, weights, books, searching, threads, progress)
        slow = number > 0 and least - error <= LEAST_GAIN * least
        if error < least:
            best, least = stored, error
        moved = None
        if number < rounds and not slow and error > 0:
            moved = scaled.stored(refit(rows, weights, codes, books, threads), columns)
        if moved is None or not np.isfinite(moved).all():
            progress.advance((rounds - number) * len(rows))
            break
        stored = moved
    return best


def encoded(
    rows: Float32,
    weights: Float64,
    books: Float32,
    searching: Searching,
    threads: int,
    progress: Progress,
) -> tuple[NDArray[np.uint16], float]:
    """Codes of all rows, uint16 [m, S], and their weighted squared error."""
    searcher = Searcher(books, searching)
    codes = np.empty((len(rows), len(books)), np.uint16)

    def one(tile: slice) -> tuple[int, float]:
        codes[tile] = searcher.codes(rows[tile])
        rest = (rows[tile] - searcher.decoded(codes[tile])).astype(np.float64)
        return len(rest), float(np.einsum("i,ij,ij->", weights[tile], rest, rest))

    error = 0.0
    tiles = [slice(a, a + TILE) for a in range(0, len(rows), TILE)]
    with one_blas_thread():
        for count, part in ordered(one, tiles, threads):
            error += part
            progress.advance(count)
    return codes, error


def fit_additive(
    sample: Float32,
    weights: Float64,
    books: int,
    splits: int,
    bits: int,
    scaled: Scaled,
    searching: Searching,
    rounds: int,
    seed: int,
    threads: int,
    progress: Progress,
) -> AdditiveEncoder:
    """Learn the books of every range.

    Args:
        sample: float32 [m, D], rows to train on.
        weights: float64 [m].
        books: S.
        splits: Ranges.
        bits: b.
        scaled: How rows are scaled and books stored.
        searching: How codes are searched.
        rounds: How often to refit at most.
        seed: Of the first books.
        threads: Cores to use.
        progress: Told of rows, as the stage "training".
    """
    d = sample.shape[1]
    dtype = np.float16 if scaled.half else np.float32
    parts = list(ranges(d, books, splits, 2**bits))
    codebook = np.zeros(sum(r.size for r in parts), dtype)
    heavy = weights > 0
    rows, weights = scaled.rows(sample[heavy]), weights[heavy]
    if rows.size:
        with progress.stage("training", splits * (rounds + 2) * len(rows)) as stage:
            for r in parts:
                columns = slice(r.first, r.stop)
                own = np.ascontiguousarray(rows[:, columns])
                start = begin(own, weights, r.end - r.start, bits, seed)
                stage.advance(len(rows))
                found = learn(
                    own, weights, start, scaled, columns, searching, rounds, threads, stage
                )
                codebook[r.at : r.at + r.size] = found.reshape(-1)
    return AdditiveEncoder(Additive(d, books, splits, bits, codebook), scaled, searching)
