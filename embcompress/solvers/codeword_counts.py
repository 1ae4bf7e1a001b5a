"""What product codes cost and leave, by the number of codewords."""

from __future__ import annotations

from typing import Final

from embcompress.codecs.product import segment_edges
from embcompress.progress import Progress
from embcompress.solvers.knapsack import Offer
from embcompress.solvers.product import (
    Float32,
    Float64,
    Points,
    Tier,
    assign,
    bits_for,
    power_of_two,
    train,
)

_ROUNDS: Final = (6, 12)
_LEAST_ROWS: Final = 8192
_ROWS_PER_CODEWORD: Final = 32


def counts_up_to(rows: int, most: int) -> list[int]:
    """Numbers of codewords to choose from: powers of two, and one for every row."""
    top = max(1, min(rows, most))
    return [*(2**i for i in range((top - 1).bit_length())), top]


def product_bytes(rows: int, columns: int, segments: int, codewords: int, number: int) -> int:
    """Bytes of product codes and their codebooks, whose numbers take ``number`` bytes."""
    return rows * -(-segments * bits_for(codewords) // 8) + codewords * columns * number


def offers_of(
    sample: Float32,
    weights: Float64,
    counts: list[int],
    segments: int,
    size: float,
    total: tuple[int, float],
    number: int,
    seed: int,
    threads: int,
    progress: Progress,
) -> list[Offer]:
    """Bytes and errors of product codes of some rows.

    For every number of codewords a short k-means (6 to 12 rounds) on 32 rows a codeword, at least
    8,192; the error is that of the whole sample, scaled to all rows.

    Args:
        sample: float32 [m, D].
        weights: float64 [m].
        counts: Numbers of codewords.
        segments: S.
        size: Root mean square of the values.
        total: Rows, and the sum of their weights.
        number: Bytes of a number of a codebook.
        seed: Of the first codewords.
        threads: Cores to use.
        progress: Told of counts, one each.
    """
    rows, mass = total
    d = sample.shape[1]
    edges = segment_edges(d, segments)
    drawn = float(weights.sum())
    share = mass / drawn if drawn else 0.0
    scale = power_of_two(size)
    everything = Points.of([Tier(sample, weights, max(counts))], scale)
    offers: list[Offer] = []
    for codewords in counts:
        step = len(sample) // max(_LEAST_ROWS, _ROWS_PER_CODEWORD * codewords) or 1
        some = Points.of([Tier(sample[::step], weights[::step], codewords)], scale)
        books = train(some, segments, seed, threads, False, Progress(), _ROUNDS)
        found = assign(everything, edges, books, range(segments), threads)
        error = sum(found.error(everything, s) for s in range(segments))
        offers.append(
            Offer(product_bytes(rows, d, segments, codewords, number), error * share / scale**2)
        )
        progress.advance(1)
    return offers
