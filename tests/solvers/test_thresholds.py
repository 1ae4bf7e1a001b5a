"""Exact thresholds beside numpy's sort."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from embcompress.solvers import thresholds
from embcompress.solvers.thresholds import column_thresholds, joint_threshold
from embcompress.tables.rows import Tile

HEIGHT = 64


@dataclass(eq=False)
class Held:
    """Rows in memory, in tiles of 64, every second row number."""

    values: np.ndarray
    name = "held"
    weights = None

    @property
    def shape(self):
        return self.values.shape

    @property
    def tiles(self):
        return -(-len(self.values) // HEIGHT)

    def tile(self, index):
        start = index * HEIGHT
        rows = np.ascontiguousarray(self.values[start : start + HEIGHT])
        return Tile(start, 2 * np.arange(start, start + len(rows)), rows, None)


def each(rows, function, stage):
    for index in range(rows.tiles):
        yield function(rows.tile(index))


def ids(rows):
    return 2 * np.arange(len(rows))


def largest(tables, count):
    """Masks of the largest magnitudes of several tables; ties to the first, no zeros."""
    flat = np.concatenate([np.abs(t).ravel() for t in tables])
    order = np.argsort(-flat, kind="stable")[:count]
    mask = np.zeros(len(flat), bool)
    mask[order] = True
    mask &= flat > 0
    ends = np.cumsum([t.size for t in tables])
    return [m.reshape(t.shape) for m, t in zip(np.split(mask, ends[:-1]), tables, strict=True)]


def tables_of(kind):
    random = np.random.default_rng(5)
    tables = [random.standard_normal((n, d)).astype(np.float32) for n, d in SHAPES]
    if kind == "tied":
        tables = [np.round(t, 1) for t in tables]
    if kind == "two values":
        tables = [np.sign(t).astype(np.float32) + (t > 1) for t in tables]
    if kind == "sorted":
        tables = [t * np.geomspace(1e-6, 1e6, len(t), dtype=np.float32)[:, None] for t in tables]
    if kind == "extreme":
        tables = [np.where(t > 0, t * np.float32(1e37), t * np.float32(1e-44)) for t in tables]
    if kind == "zeros":
        tables = [np.zeros_like(t) for t in tables]
    return tables


SHAPES = [(700, 9), (1, 1), (0, 4), (130, 3)]
KINDS = ["plain", "tied", "two values", "sorted", "extreme", "zeros"]


@pytest.mark.parametrize("small", [True, False], ids=["all at once", "guessed"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.97, 1.0])
def test_joint_threshold(share, kind, small, monkeypatch):
    if not small:
        monkeypatch.setattr(thresholds, "_FEW", 100)
        monkeypatch.setattr(thresholds, "_PEEKED", 4)
    tables = tables_of(kind)
    most = max(1, int(share * sum(t.size for t in tables)))
    found, kept = joint_threshold([Held(t) for t in tables], lambda k: k.sum() <= most, each)
    wanted = largest(tables, most)
    for table, above, count, mask in zip(tables, found, kept, wanted, strict=True):
        assert np.array_equal(above.kept(ids(table), table), mask)
        assert count == mask.sum()


def test_a_wrong_guess_is_mended(monkeypatch):
    """A threshold that no tile looked at suggests, and more magnitudes than may be held."""
    monkeypatch.setattr(thresholds, "_FEW", 100)
    monkeypatch.setattr(thresholds, "_PEEKED", 1)
    monkeypatch.setattr(thresholds, "_CLOSE", 300)
    table = np.random.default_rng(0).standard_normal((1000, 5)).astype(np.float32)
    table[300:] *= 100
    passes = []

    def counted(rows, function, stage):
        passes.append(stage)
        return each(rows, function, stage)

    (above,), _ = joint_threshold([Held(table)], lambda k: k.sum() <= 2000, counted)
    assert np.array_equal(above.kept(ids(table), table), largest([table], 2000)[0])
    assert len(passes) > 3


def test_one_pass_when_the_guess_is_right(monkeypatch):
    monkeypatch.setattr(thresholds, "_FEW", 100)
    table = np.random.default_rng(0).standard_normal((20_000, 4)).astype(np.float32)
    passes = []

    def counted(rows, function, stage):
        passes.append(stage)
        return each(rows, function, stage)

    (above,), _ = joint_threshold([Held(table)], lambda k: k.sum() <= 40_000, counted)
    assert np.array_equal(above.kept(ids(table), table), largest([table], 40_000)[0])
    assert len(passes) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_column_thresholds(share, kind, monkeypatch):
    monkeypatch.setattr(thresholds, "_COLUMNS", 4)
    for table in tables_of(kind):
        if not table.size:
            continue
        count = max(1, int(share * len(table)))
        above = column_thresholds(Held(table), count, each)
        wanted = [largest([column[:, None]], count)[0] for column in table.T]
        assert np.array_equal(above.kept(ids(table), table), np.concatenate(wanted, axis=1))


def test_soft_takes_the_largest_that_is_not_kept():
    table = np.random.default_rng(1).standard_normal((300, 4)).astype(np.float32)
    (above,), _ = joint_threshold([Held(table)], lambda k: k.sum() <= 500, each, soft=True)
    threshold = np.sort(np.abs(table).ravel())[::-1][500]
    assert (above.shrinking(table) == threshold).all()
    columns = column_thresholds(Held(table), 100, each, soft=True)
    assert np.array_equal(columns.shrinking(table), np.sort(np.abs(table), axis=0)[::-1][100])
