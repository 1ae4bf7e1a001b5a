"""Codebooks of a row's segments by k-means, and the encoder that assigns rows to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.product import Product, segment_edges
from embcompress.errors import IOFailure, UsageError
from embcompress.kernels.lanes import LANES
from embcompress.kernels.product import add_up, nearest, pack_product
from embcompress.progress import Progress
from embcompress.solvers.encoder import Encoder
from embcompress.solvers.scalar_kmeans import codebook
from embcompress.solvers.statistics import Statistics
from embcompress.tables.rows import Rows
from embcompress.threads import ordered

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Books = list[Float32]

ROUNDS: Final = (25, 100)
LEAST_GAIN: Final = 1e-3
SAMPLE_ROWS: Final = 65_536
ROWS_PER_CODEWORD: Final = 256
CHUNK: Final = 16_384  # rows of a task, a multiple of 16
_EXACT_CODEWORDS = 256
_LARGEST_HALF = 65504.0
_SMALLEST_HALF = 2.0**-14
_COPIES = 4  # of the sample: itself, by columns, codes and distances, a rotation's


def training_rows(codewords: int) -> int:
    """Rows to train on unless told otherwise: 256 a codeword, at least 65,536."""
    return max(SAMPLE_ROWS, ROWS_PER_CODEWORD * codewords)


def power_of_two(size: float) -> float:
    """The power of two that brings numbers of about this size near 1: exact, never subnormal.

    Squares of float32 numbers past 1e19 or below 1e-19 leave its range; scaled ones do not.
    """
    if not size:
        return 1.0
    return float(2.0 ** np.clip(-np.round(np.log2(size)), -126, 126))


def fits_half(found: Statistics, *, rotated: bool) -> bool:
    """Whether fp16 can hold the codewords of some rows.

    Args:
        found: Of the rows.
        rotated: Whether they are turned first, so that a coordinate may be as long as a row.
    """
    longest = found.largest * (2 * len(found.squares) ** 0.5 if rotated else 1)
    small = found.root_mean_square < _SMALLEST_HALF and found.largest > 0
    return longest <= _LARGEST_HALF and not small


def check_segments(rows: Rows, segments: int | None) -> None:
    """Refuse more segments than columns.

    Raises:
        UsageError: There are.
    """
    d = rows.shape[1]
    if segments is not None and segments > d > 0:
        raise UsageError(
            f"{rows.name}: --subquantizers {segments} is more than its {d} columns; use {d} or"
            " fewer"
        )


def settled_segments(rows: Rows, asked: int | None) -> int | None:
    """The segments asked for, by default one for every two columns; None without columns."""
    d = rows.shape[1]
    return (asked or -(-d // 2)) if d else None


def check_memory(rows: Rows, sample: int) -> None:
    """Refuse to train on more rows than the machine has memory for.

    Raises:
        IOFailure: The sample and its copies are larger than the machine's memory.
    """
    n, d = rows.shape
    needed = min(n, sample) * (_COPIES * 4 * d + 24)
    if needed > (memory := physical_memory()):
        raise IOFailure(
            f"{rows.name}: training on {min(n, sample):,} rows takes {needed:,} bytes, the machine"
            f" has {memory:,}; use fewer --bits or a smaller --sample"
        )


def physical_memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class Tier:
    """Rows that may use the first codewords only.

    Args:
        rows: float32 [m, D].
        weights: float64 [m].
        codewords: How many they may use.
    """

    rows: Float32
    weights: Float64
    codewords: int


@dataclass(frozen=True, eq=False)
class Points:
    """Training rows, laid out for sixteen at a time.

    Args:
        columns: float32 [D, n], scaled; every tier is filled up with zeros to a multiple of 16.
        weights: float64 [n], 0 for what was filled up.
        tiers: First row, row after the last, and codewords of every tier, codewords ascending.
        scale: What rows were multiplied by.
    """

    columns: Float32
    weights: Float64
    tiers: tuple[tuple[int, int, int], ...]
    scale: float

    @classmethod
    def of(cls, tiers: Sequence[Tier], scale: float) -> Points:
        """Lay out tiers."""
        tiers = sorted(tiers, key=lambda tier: tier.codewords)
        sizes = [-(-len(t.rows) // LANES) * LANES for t in tiers]
        columns = np.zeros((tiers[0].rows.shape[1], sum(sizes)), np.float32)
        weights = np.zeros(sum(sizes))
        places = []
        at = 0
        for tier, size in zip(tiers, sizes, strict=True):
            own = slice(at, at + len(tier.rows))
            np.multiply(tier.rows.T, np.float32(scale), out=columns[:, own])
            weights[own] = tier.weights
            places.append((at, at + size, tier.codewords))
            at += size
        return cls(columns, weights, tuple(places), scale)

    def segment(self, first: int, stop: int) -> Float32:
        """Rows of weight above 0 in some columns, float32 [m, stop - first]."""
        return np.ascontiguousarray(self.columns[first:stop, self.weights > 0].T)


def train(
    points: Points,
    segments: int,
    seed: int,
    threads: int,
    half: bool,
    progress: Progress,
    rounds: tuple[int, int] = ROUNDS,
) -> Books:
    """Fit the codebooks of all segments.

    Weighted k-means from rows drawn in proportion to weight, until a round gains less than 0.1%,
    25 to 100 rounds; a codeword without rows moves to the row that is farthest from its own. A
    segment of one column has the exact solution of 1-D k-means up to 256 codewords; one with no
    more distinct rows than codewords has a codeword for each. Tiers are nested: every row takes
    the nearest of the codewords it may use, and all rows move the codewords they took.

    Args:
        points: The rows; every sum runs over them in one order, whatever the threads.
        segments: S.
        seed: Of the draw.
        threads: Cores to use.
        half: Whether codewords will be rounded to fp16.
        progress: Told of rounds times segments, the most rounds times S in all.
        rounds: Fewest and most.

    Returns:
        float32 [K_s, columns of s] of every segment, in the scale of the points. K_s is below the
        codewords of the last tier where there are fewer distinct rows.

    Source: Jégou, Douze and Schmid 2011, Product quantization for nearest neighbor search; Kang
    et al. 2020, Learning multi-granular quantized embeddings (nested tiers).
    """
    edges = segment_edges(len(points.columns), segments)
    books: Books = []
    active = []
    for s, (first, stop) in enumerate(pairwise(edges.tolist())):
        book, settled = first_book(points, first, stop, np.random.default_rng([seed, s]), half)
        books.append(book)
        if settled:
            progress.advance(rounds[1])
        else:
            active.append(s)
    fewest, most = rounds
    least = dict.fromkeys(active, np.inf)
    for number in range(most):
        assigned = assign(points, edges, books, active, threads)
        going = []
        for s in active:
            error = assigned.error(points, s)
            slow = number >= fewest and least[s] - error <= LEAST_GAIN * least[s]
            if slow or error == 0:
                progress.advance(most - number)
            else:
                going.append(s)
                least[s] = error
        move(points, edges, books, going, assigned, threads)
        progress.advance(len(going))
        active = going
        if not active:
            break
    return books


def first_book(
    points: Points, first: int, stop: int, random: np.random.Generator, half: bool
) -> tuple[Float32, bool]:
    """Codewords to begin with, and whether they are the best there are."""
    fewest, most = points.tiers[0][2], points.tiers[-1][2]
    rows = points.segment(first, stop)
    weights = points.weights[points.weights > 0]
    if not len(rows):
        return np.zeros((1, stop - first), np.float32), True
    if stop - first == 1 and fewest == most <= _EXACT_CODEWORDS:
        scale = np.float32(points.scale)
        found = np.unique(codebook(rows / scale, most, weights[:, None], half=half))
        return (found * scale)[:, None], True
    order = np.argsort(random.standard_exponential(len(rows)) / weights, kind="stable")
    drawn = _distinct(rows[order[: 2 * most]])
    if len(drawn) < most and 2 * most < len(rows):
        drawn = _distinct(rows[order])
    return drawn[:most].copy(), len(drawn) <= fewest


def _distinct(rows: Float32) -> Float32:
    """Distinct rows in the order in which they come first."""
    _, places = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(places)]


@dataclass(frozen=True, eq=False)
class Assigned:
    """The nearest codewords of all points.

    Args:
        codes: uint16 [n] by segment.
        distances: float32 [n] by segment, squared.
    """

    codes: dict[int, NDArray[np.uint16]]
    distances: dict[int, Float32]

    def error(self, points: Points, s: int) -> float:
        """Weighted sum of squared distances in a segment."""
        return float(np.einsum("i,i->", points.weights, self.distances[s].astype(np.float64)))


def assign(
    points: Points, edges: NDArray[np.int64], books: Books, some: Sequence[int], threads: int
) -> Assigned:
    """Find the nearest codeword that every point may use, in some segments."""
    n = len(points.weights)
    found = Assigned(
        {s: np.empty(n, np.uint16) for s in some}, {s: np.empty(n, np.float32) for s in some}
    )
    chunks = [
        (start, min(start + CHUNK, stop), codewords)
        for begin, stop, codewords in points.tiers
        for start in range(begin, stop, CHUNK)
    ]

    def one(task: tuple[int, tuple[int, int, int]]) -> None:
        s, (start, stop, codewords) = task
        first, width = int(edges[s]), int(edges[s + 1] - edges[s])
        usable = min(codewords, len(books[s]))
        book, codes, distances = books[s], found.codes[s], found.distances[s]
        nearest(points.columns, first, width, start, stop, book, usable, codes, distances)

    for _ in ordered(one, product(some, chunks), threads):
        pass
    return found


def move(
    points: Points,
    edges: NDArray[np.int64],
    books: Books,
    some: Sequence[int],
    assigned: Assigned,
    threads: int,
) -> None:
    """Move codewords to the weighted means of their points, in some segments."""

    def one(s: int) -> Float32:
        first, width = int(edges[s]), int(edges[s + 1] - edges[s])
        sums = np.zeros((len(books[s]), width))
        masses = np.zeros(len(books[s]))
        codes, distances = assigned.codes[s], assigned.distances[s]
        add_up(points.columns, first, width, codes, points.weights, sums, masses)
        book = books[s].copy()
        used = masses > 0
        book[used] = sums[used] / masses[used, None]
        _refill(points, first, book, np.flatnonzero(~used), distances)
        return book

    for s, book in zip(some, ordered(one, some, threads), strict=True):
        books[s] = book


def _refill(
    points: Points, first: int, book: Float32, empty: NDArray[np.intp], distances: Float32
) -> None:
    """Put codewords without points where points are farthest from theirs."""
    if not len(empty):
        return
    costs = points.weights * distances
    below = 0
    for start, _, codewords in points.tiers:
        mine = empty[(empty >= below) & (empty < codewords)]
        below = codewords
        count = min(len(mine), len(costs) - start)
        if count:
            farthest = np.argsort(-costs[start:], kind="stable")[:count] + start
            farthest = farthest[costs[farthest] > 0]
            book[mine[: len(farthest)]] = points.columns[first : first + book.shape[1], farthest].T
            costs[farthest] = 0


def together(books: Books, scale: float, half: bool, edges: NDArray[np.int64]) -> NDArray[Any]:
    """One array of all codebooks, as the codec stores it.

    Args:
        books: float32 [K_s, columns of s], scaled.
        scale: What they were multiplied by.
        half: Whether to round to fp16.
        edges: int64 [S + 1].

    Returns:
        fp16 or fp32 [K, D], K the largest K_s; shorter books repeat their last codeword.
    """
    k = max((len(book) for book in books), default=1)
    out = np.zeros((k, int(edges[-1])), np.float32)
    for (first, stop), book in zip(pairwise(edges.tolist()), books, strict=True):
        out[: len(book), first:stop] = book
        out[len(book) :, first:stop] = book[-1:]
    out /= np.float32(scale)
    return out.astype(np.float16) if half else out


@dataclass(frozen=True, eq=False)
class ProductEncoder(Encoder):
    """Assigns every segment of a row to the nearest codeword as it is stored.

    Args:
        codec: Holds the codewords.
        scale: A power of two that brings rows near 1.
        codewords: The first so many may be used.
    """

    codec: Product
    scale: float
    codewords: int

    @cached_property
    def _books(self) -> Books:
        return [np.ascontiguousarray(b * np.float32(self.scale)) for b in self.codec.books]

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        b = len(rows)
        columns = np.zeros((rows.shape[1], -(-b // LANES) * LANES), np.float32)
        np.multiply(rows.T, np.float32(self.scale), out=columns[:, :b])
        codes = np.empty((self.codec.segments, columns.shape[1]), np.uint16)
        distances = np.empty(columns.shape[1], np.float32)
        edges = pairwise(self.codec.edges.tolist())
        for (first, stop), book, own in zip(edges, self._books, codes, strict=True):
            nearest(columns, first, stop - first, 0, len(own), book, self.codewords, own, distances)
        return {"codes": pack_product(np.ascontiguousarray(codes[:, :b].T), self.codec.bits)}


def bits_for(codewords: int) -> int:
    """Bits that tell so many codewords apart."""
    return (codewords - 1).bit_length()


def fit_product(
    tiers: Sequence[Tier],
    segments: int,
    size: float,
    half: bool,
    seed: int,
    threads: int,
    progress: Progress,
) -> list[ProductEncoder]:
    """Train codebooks that all tiers share; an encoder for each tier, in the given order.

    Args:
        tiers: Training rows.
        segments: S.
        size: Root mean square of the rows' values.
        half: Whether codewords are stored in fp16.
        seed: Of the first codewords.
        threads: Cores to use.
        progress: Told of rounds, as the stage "training".
    """
    scale = power_of_two(size)
    points = Points.of(tiers, scale)
    with progress.stage("training", ROUNDS[1] * segments) as stage:
        books = train(points, segments, seed, threads, half, stage)
    d = len(points.columns)
    stored = together(books, scale, half, segment_edges(d, segments))
    counts = [min(tier.codewords, len(stored)) for tier in tiers]
    return [ProductEncoder(Product(d, segments, bits_for(k), stored), scale, k) for k in counts]
