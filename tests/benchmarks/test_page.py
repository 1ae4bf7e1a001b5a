"""The report's page: how large it is, and how long it takes beyond the metrics."""

from time import perf_counter, sleep

import pytest

from embcompress.report.html.page import to_html
from tests.benchmarks.pairs import REST
from tests.report.html.making import full, measured

pytestmark = pytest.mark.bench


def test_forty_tables():
    found = full(*(measured(f"embedding_bags.f{i}.weight", rows=3000, seed=i) for i in range(40)))
    times = []
    for _ in range(5):
        sleep(REST)
        start = perf_counter()
        text = to_html(found)
        times.append(perf_counter() - start)
    size = len(text.encode()) / 1e6
    print(f"\npage of 40 tables: {size:.2f} MB (bar 2), {min(times):.2f} s (bar 2)")
    assert size < 2
    assert min(times) < 2
