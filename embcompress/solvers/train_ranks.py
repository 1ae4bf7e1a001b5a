"""Ranks of a tensor train by error drop per byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.solvers.tensor_train import Fixed, Train
from embcompress.solvers.train_shape import TrainShape


@dataclass(frozen=True)
class RankPath:
    """Ranks that grow.

    Args:
        ranks: From all 1 on.
        gains: Error drop per byte of every step, one fewer than ranks.
    """

    ranks: list[tuple[int, ...]]
    gains: list[float]


def rank_path(shape: TrainShape, train: Train, seen: Fixed, most: int) -> RankPath:
    """Grow the rank that removes most error per byte, again and again.

    With three cores, what ranks r₁ and r₂ hold of the squared norm is known: the sum over a ≤ r₁
    and b ≤ r₂ of the middle core's own squares, its singular values in it. Ranks of more cuts
    grow together.

    Args:
        shape: Of the train.
        train: Fitted with the largest ranks.
        seen: What those were chosen by.
        most: Numbers to stop at.
    """
    cuts = len(shape.rows) - 1
    ranks = (1,) * cuts
    path = RankPath([ranks], [])
    held = _held(train, seen) if cuts == 2 else None
    reach = tuple(core.shape[3] for core in train.cores[:-1])
    numbers = shape.numbers(ranks)
    while True:
        options = []
        for grown in _grown(shape, ranks, reach):
            size = shape.numbers(grown)
            if size <= most:
                drop = _drop(seen, ranks, grown) if held is None else _more(held, ranks, grown)
                options.append((drop / (4 * (size - numbers)), grown, size))
        if not options:
            return path
        gain, ranks, numbers = max(options)
        path.ranks.append(ranks)
        path.gains.append(gain)


def _grown(
    shape: TrainShape, ranks: tuple[int, ...], most: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """The next larger ranks: of one cut if there are two, else of all."""
    if len(ranks) == 2:
        ways = [(ranks[0] + 1, ranks[1]), (ranks[0], ranks[1] + 1)]
        return [w for w in ways if w[0] <= most[0] and w[1] <= most[1] and shape.within(w) == w]
    larger = tuple(min(max(ranks) + 1, m) for m in most)
    return [shape.within(larger)] if shape.within(larger) > ranks else []


def _drop(seen: Fixed, ranks: tuple[int, ...], grown: tuple[int, ...]) -> float:
    """What larger ranks hold more, by the singular values of their cuts."""
    spans = enumerate(zip(ranks, grown, strict=True))
    return float(sum(seen.seen[k][before:after].sum() for k, (before, after) in spans))


def _held(train: Train, seen: Fixed) -> NDArray[np.float64]:
    """Squared norm that ranks of two cuts hold, float64 [r₁ + 1, r₂ + 1]."""
    first, middle = (core.astype(np.float64) for core in train.cores[:2])
    own = np.einsum("iadb,iadb->ab", middle, middle)
    own *= np.einsum("iadb,iadb->b", first, first)[:, None]
    whole = own.sum()
    if whole > 0:
        own *= float(seen.seen[0].sum()) / whole
    return np.pad(own.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _more(held: NDArray[np.float64], ranks: tuple[int, ...], grown: tuple[int, ...]) -> float:
    return float(held[grown[0], grown[1]] - held[ranks[0], ranks[1]])
