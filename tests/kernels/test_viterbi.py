"""Dependent quantization beside a plain dynamic programme over every magnitude."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.codecs.trellis_tables import Classes, Order, Tables
from embcompress.kernels.machine import STATES, machine, origins
from embcompress.solvers.trellis_search import LADDER, Searcher, bounds_at
from embcompress.solvers.trellis_tables import LOWEST, first_tables

R, N = 2, 9


def searcher(states: int, step: float = 0.3, highest: int = 9) -> Searcher:
    tables = first_tables(states, 10, highest)
    spreads = np.linspace(70, -60, N).round().astype(np.int64)
    gains = np.array([[-20, -10], [0, 5], [20, 9]], np.int64)
    lengths = np.array([30, 60, 95], np.int64)
    classes = Classes(gains, np.full(3, step, np.float32), lengths)
    return Searcher(tables, Order.of(tables, spreads, gains), classes, states)


def records(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    spreads = 0.3 * 2.0 ** (np.linspace(70, -60, N) / 24)
    return (random.standard_normal((count, R, N)) * spreads).reshape(count, R * N).astype("f4")


def reference(made: Searcher, y: np.ndarray, g: int, multiplier: float) -> float:
    """Least distortion + λ · bits over all sequences of magnitudes below the escape."""
    tables, order = made.tables, made.order
    moves = machine(tables.states)
    costs = np.full(tables.states, np.inf)
    costs[0] = 0
    for q in range(order.counts[g]):
        size = abs(float(y[order.places[g, q]])) / made.classes.steps[g]
        new = np.full(tables.states, np.inf)
        for s in range(tables.states):
            z = s & 1 if tables.states > 1 else 0
            t = order.tables[g, q] + z
            m = np.arange(tables.most[t])
            bits = tables.rate[t, : len(m)] + (m > 0)
            each = (size - tables.values[t, : len(m)]) ** 2 + multiplier * bits
            for parity in (0, 1):
                if len(some := each[parity::2]):
                    u = moves[s, parity]
                    new[u] = min(new[u], costs[s] + some.min())
        costs = new
    return float(costs.min())


@pytest.mark.parametrize("states", STATES)
def test_costs_are_the_least(states):
    """Neighbours of a size suffice: the trellis misses next to nothing of all magnitudes."""
    made = searcher(states)
    rows = records(40)
    curves = made.curves(rows, np.tile(np.arange(3), (len(rows), 1)))
    for i in range(len(rows)):
        for g in range(3):
            for lane in (0, 5, 11):
                least = reference(made, rows[i], g, float(LADDER[lane]))
                assert least - 1e-3 <= curves[i, g, lane] <= least * 1.001 + 1e-3


@pytest.mark.parametrize("states", STATES)
def test_machines(states):
    """Every state is reached from two others, and both quantizers lead on from it."""
    moves = machine(states)
    assert sorted(moves.ravel().tolist()) == sorted([*range(states)] * 2)
    for u, (one, p, other, q) in enumerate(origins(moves).tolist()):
        assert moves[one, p] == moves[other, q] == u
        assert (one, p) != (other, q)


@pytest.mark.parametrize("states", STATES)
def test_codes_fit_and_cost_what_is_said(states):
    made = searcher(states)
    rows = records(300, 1)
    candidates = np.tile(np.array([1, 2, -1]), (len(rows), 1))
    worth = np.full(candidates.shape, 2.0, np.float32)
    slack = np.full(len(rows), 0.1, np.float32)
    chosen, codes, found = made.paths(rows, candidates, worth, slack, 1)
    tables, order = made.tables, made.order
    assert set(chosen.tolist()) <= {-1, 1, 2}
    assert (chosen >= 0).mean() > 0.9
    for i in np.flatnonzero(chosen >= 0):
        g, s, bits, distortion = chosen[i], 0, 0.0, 0.0
        for q in range(order.counts[g]):
            z = s & 1 if states > 1 else 0
            t, m = order.tables[g, q] + z, abs(int(codes[i, q]))
            value = np.sign(codes[i, q]) * tables.values[t, m]
            bits += float(tables.rate[t, m]) + (m > 0)
            distortion += (rows[i, order.places[g, q]] / made.classes.steps[g] - value) ** 2
            s = tables.moves[s, m & 1]
        assert bits <= made.classes.lengths[g] - 0.1 + 1e-3
        assert found[i] == pytest.approx((bits, distortion), rel=1e-4, abs=1e-3)


def test_large_values_take_raw_bits_and_escapes():
    """A size far beyond its class is coded by an escape, and one beyond that not at all."""
    tables = first_tables(8, 10, 30)
    gains = np.array([[0]], np.int64)
    lengths = np.array([60], np.int64)
    order = Order.of(tables, np.array([24 * 8]), gains)
    made = Searcher(tables, order, Classes(gains, np.ones(1, np.float32), lengths), 32)
    rows = np.array([[300.0], [2000.0], [1e9]], np.float32)
    one = np.zeros((3, 1), np.int64)
    got, codes, found = made.paths(rows, one, np.ones((3, 1), "f4"), np.zeros(3, "f4"), 1)
    assert tables.low[order.tables[0, 0]] > 0
    assert got.tolist() == [0, 0, -1]
    assert found[:2, 1] == pytest.approx([0, 0], abs=1.01)
    assert codes[1, 0] // 2 ** tables.low[order.tables[0, 0]] >= tables.most[order.tables[0, 0]]


def test_bounds_are_those_of_the_curves():
    random = np.random.default_rng(3)
    curves = random.random((7, 2, 16), np.float32)
    lengths = random.random((7, 2)) * 50
    wanted = (curves.astype(np.float64) - LADDER * lengths[..., None]).max(axis=2)
    assert np.allclose(bounds_at(curves, lengths), wanted)


def test_lowest_coordinates_are_left_out():
    tables: Tables = first_tables(4, 10, LOWEST + 3)
    order = Order.of(tables, np.array([0, -1000, -20]), np.zeros((1, 1), np.int64))
    assert order.counts.tolist() == [2]
    assert sorted(order.places[0].tolist()) == [0, 1, 2]
    assert order.tables[0, 2] == tables.idle
