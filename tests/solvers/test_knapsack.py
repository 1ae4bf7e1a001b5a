"""The multiple-choice knapsack beside exhaustive search."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from embcompress.solvers import knapsack
from embcompress.solvers.knapsack import Level, Offer, choose, choose_rising


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


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("unit", [1, 4, 1000])
def test_rising_is_exact(seed, unit, monkeypatch):
    """Beside all choices: chains of 3, 2 and 1 things whose levels never fall."""
    random = np.random.default_rng([seed, unit])
    chains = [
        [
            [
                Level(int(level), Offer(unit * int(random.integers(0, 50)), float(random.random())))
                for level in sorted(random.choice(6, 4, replace=False))
            ]
            for _ in range(length)
        ]
        for length in (3, 2, 1)
    ]
    budget = unit * int(random.integers(0, 200)) + int(random.integers(unit))
    things = [thing for chain in chains for thing in chain]
    best = None
    for numbers in product(range(4), repeat=6):
        chosen = [thing[i] for thing, i in zip(things, numbers, strict=True)]
        a, b, c, d, e, _ = (option.level for option in chosen)
        if not (a <= b <= c and d <= e) or sum(o.offer.size for o in chosen) > budget:
            continue
        error = sum(o.offer.error for o in chosen)
        best = error if best is None else min(best, error)
    found = choose_rising(chains, budget)
    if best is None:
        assert found is None
        return
    chosen = [
        [thing[i] for thing, i in zip(chain, own, strict=True)]
        for chain, own in zip(chains, found, strict=True)
    ]
    for own in chosen:
        assert [o.level for o in own] == sorted(o.level for o in own)
    assert sum(o.offer.size for own in chosen for o in own) <= budget
    assert sum(o.offer.error for own in chosen for o in own) == pytest.approx(best)
    monkeypatch.setattr(knapsack, "_CELLS", 24 * 40)  # bytes rounded up: near, never over
    rough = choose_rising(chains, budget)
    if rough is not None:
        own = [
            thing[i]
            for chain, numbers in zip(chains, rough, strict=True)
            for thing, i in zip(chain, numbers, strict=True)
        ]
        assert sum(o.offer.size for o in own) <= budget
