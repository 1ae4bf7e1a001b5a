"""Pooled look-ups: every method, against look-ups added up one after the other."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

import embcompress
from embcompress.errors import UsageError
from embcompress.methods import Quantize, registry
from embcompress.pipeline.settings import Settings
from tests.variants import information_for

N, D = 700, 12


@pytest.fixture(scope="module")
def tables():
    dense = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
    made = {
        name: embcompress.compress(dense, cls(), **information_for(cls(), (N, D)))
        for name, cls in registry().items()
    }
    hot = Settings(keep_hot=0.1)
    ranks = 1.0 / np.arange(1, N + 1)
    made["hot"] = embcompress.compress(dense, Quantize(), frequencies=ranks, settings=hot)
    made["groups"] = embcompress.compress(dense, Quantize(bits=3, group_size=5))
    made["fp32"] = embcompress.compress(dense, Quantize(bits=2, scale_dtype="fp32"))
    return made


def bags(seed=1, entries=900, count=60):
    random = np.random.default_rng(seed)
    inner = np.sort(random.integers(0, entries + 1, count - 1))
    return random.integers(0, N, entries), np.concatenate([[0], inner, [entries]])


def added_up(rows, offsets, mode):
    out = np.zeros((len(offsets) - 1, D), np.float32)
    for bag, (a, b) in enumerate(itertools.pairwise(offsets)):
        if a < b:
            total = rows[a:b].max(axis=0) if mode == "max" else np.add.accumulate(rows[a:b])[-1]
            out[bag] = total / np.float32(b - a) if mode == "mean" else total
    return out


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_every_method(tables, mode):
    ids, offsets = bags()
    for name, table in tables.items():
        expected = added_up(table.lookup(ids), offsets, mode)
        found = table.sum_bags(ids, offsets, mode=mode)
        scale = np.abs(table.lookup(ids)).max() * 100
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-7 * scale, err_msg=name)


def test_weights(tables):
    ids, offsets = bags()
    weights = np.random.default_rng(2).standard_normal(len(ids)).astype(np.float32)
    for name, table in tables.items():
        expected = added_up(table.lookup(ids) * weights[:, None], offsets, "sum")
        found = table.sum_bags(ids, offsets, weights)
        scale = np.abs(table.lookup(ids)).max() * 100
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-7 * scale, err_msg=name)


def test_a_bag_of_one_row_is_that_row(tables):
    ids = np.arange(N)
    for table in tables.values():
        for mode in ("sum", "mean", "max"):
            found = table.sum_bags(ids, np.arange(N + 1), mode=mode)
            assert found.tobytes() == table.restore().tobytes()


def test_any_thread_count_and_any_call_gives_the_same_bits(tables):
    ids, offsets = bags(entries=30_000, count=500)
    for table in tables.values():
        table.threads = 1
        once = table.sum_bags(ids, offsets)
        table.threads = 3
        assert table.sum_bags(ids, offsets).tobytes() == once.tobytes()
        alone = [
            table.sum_bags(ids[a:b], [0, b - a])[0] for a, b in itertools.pairwise(offsets[:21])
        ]
        assert np.stack(alone).tobytes() == once[:20].tobytes()


def test_no_ids_no_bags_and_empty_bags(tables):
    for table in tables.values():
        nothing = np.empty(0, np.int64)
        assert table.sum_bags(nothing, [0]).shape == (0, D)
        assert (table.sum_bags(nothing, [0, 0, 0]) == 0).all()
        filled = table.sum_bags([5], [0, 0, 1, 1])
        assert (filled[[0, 2]] == 0).all()
        assert np.array_equal(filled[1], table.lookup(5))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (([N], [0, 1]), {}, IndexError, f"id {N} is not in table"),
        (([0.5], [0, 1]), {}, TypeError, "ids are integers"),
        (([1, 2], [0, 1]), {}, ValueError, "offsets do not ascend from 0 to the 2 ids"),
        (([1, 2], [0, 2, 1, 2]), {}, ValueError, "offsets do not ascend"),
        (([1, 2], [1, 2]), {}, ValueError, "offsets do not ascend"),
        (([1, 2], []), {}, ValueError, "offsets are integers"),
        (([1, 2], [[0, 2]]), {}, ValueError, "offsets are integers"),
        (([1, 2], [0, 2], [1.0]), {}, ValueError, "weights are [1], ids [2]"),
        (([1], [0, 1], [1.0]), {"mode": "mean"}, UsageError, "weights go with sums"),
        (([1], [0, 1]), {"mode": "median"}, UsageError, "sum, mean or max, not 'median'"),
        (([1], [0, 1]), {"out": np.empty((2, D), np.float32)}, ValueError, "out is float32 [2,"),
    ],
)
def test_what_does_not_fit(tables, arguments, options, error, words):
    with pytest.raises(error) as caught:
        tables["quantize"].sum_bags(*arguments, **options)
    assert words in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(tables):
    """Threads of a pool do not follow into a child, which would wait for them for ever."""
    table, ids = tables["quantize"], np.arange(10_000) % N
    table.threads = 2
    expected = table.lookup(ids)
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(table.lookup(ids), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
