"""Scales: where values lie, and round ticks."""

import pytest

from embcompress.report.html.labels import beside
from embcompress.report.html.scales import Scale, around


def test_places():
    line = Scale(0, 10, 100, 0)
    assert [line(v) for v in (0, 5, 10)] == [100, 50, 0]
    log = Scale(0.01, 1, 0, 200, log=True)
    assert [log(v) for v in (0.01, 0.1, 1)] == pytest.approx([0, 100, 200])
    assert log(0) == 0


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("ends", [(1e-8, 2), (0.05, 0.19), (0.2999, 0.3001), (1, 1e12), (3, 3.5)])
def test_ticks(ends, log):
    ticks = Scale(*ends, 0, 1, log).ticks(5)
    room = 1e-9 * (ends[1] - ends[0])
    assert 2 <= len(ticks) <= 9
    assert ticks == sorted(set(ticks))
    assert all(ends[0] - room <= t <= ends[1] + room for t in ticks)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [1e-200, 1], [3, 4]])
@pytest.mark.parametrize("log", [True, False])
def test_around(values, log):
    low, high = around(values, log=log)
    assert low < min(values)
    assert high > max(values)
    assert low > 0 or not log


def test_names_keep_apart():
    places = [(100.0 + 3 * i, 100.0, f"name {i}") for i in range(5)]
    texts = beside(places, 0, 400)
    assert len(set(texts)) == 5
    heights = [t.split(' y="')[1].split('"')[0] for t in texts]
    assert len(set(heights)) >= 3
