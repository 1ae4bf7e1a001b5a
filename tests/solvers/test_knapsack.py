"""The multiple-choice knapsack beside exhaustive search."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from embcompress.solvers.knapsack import Offer, choose


def offers(seed, things=4, options=5):
    random = np.random.default_rng(seed)
    return [
        [Offer(int(s), float(e)) for s, e in zip(sizes, errors, strict=True)]
        for sizes, errors in zip(
            random.integers(1, 60, (things, options)), random.random((things, options)), strict=True
        )
    ]


def cost(things, taken):
    return (
        sum(o[i].size for o, i in zip(things, taken, strict=True)),
        sum(o[i].error for o, i in zip(things, taken, strict=True)),
    )


@pytest.mark.parametrize("seed", range(20))
def test_near_the_best_choice(seed):
    things = offers(seed)
    every = [cost(things, t) for t in product(*(range(len(o)) for o in things))]
    least = min(size for size, _ in every)
    assert choose(things, least - 1) is None
    for budget in (least, least + 30, least + 90, 10**6):
        size, error = cost(things, choose(things, budget))
        best = min(e for s, e in every if s <= budget)
        assert size <= budget
        assert error <= best + max(o.error for own in things for o in own)
    assert error == pytest.approx(best)


def test_on_the_hull_it_is_the_best():
    """At the size it reached while following the hull, no choice has a smaller error."""
    things = [[Offer(1, 8.0), Offer(2, 4.0), Offer(3, 2.0)], [Offer(1, 3.0), Offer(2, 1.0)]]
    assert choose(things, 2) == [0, 0]
    assert choose(things, 3) == [1, 0]
    assert choose(things, 5) == [2, 1]


def test_what_is_left_is_spent():
    things = [[Offer(1, 10.0), Offer(100, 0.0)], [Offer(1, 1.0), Offer(5, 0.5)]]
    assert choose(things, 20) == [0, 1]
