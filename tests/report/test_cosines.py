"""The percentile of cosines, exact and by histogram."""

import numpy as np
import pytest

from embcompress.report import cosines
from embcompress.report.cosines import Cosines


def put_all(values, tile=1000):
    found = Cosines(len(values))
    for start in range(0, len(values), tile):
        found.put(start, values[start : start + tile])
    return found


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("spread", [1e-7, 1e-3, 0.3, 2.0])
def test_quantile(monkeypatch, exact, spread):
    if not exact:
        monkeypatch.setattr(cosines, "_EXACT_ROWS", 0)
    values = 1 - spread * np.random.default_rng(0).random(40_000) ** 2
    found = put_all(values)
    for share in (0.01, 0.5, 0.99):
        assert found.quantile(share) == pytest.approx(np.quantile(values, share), abs=1e-4)


@pytest.mark.parametrize("limit", [10, 0])
def test_extremes_and_gaps(monkeypatch, limit):
    monkeypatch.setattr(cosines, "_EXACT_ROWS", limit)
    assert put_all(np.array([-1.0, np.nan])).quantile(0.5) == pytest.approx(-1, abs=1e-4)
    assert put_all(np.array([1.0])).quantile(0.01) == pytest.approx(1, abs=1e-4)


def test_nothing_counts():
    assert np.isnan(put_all(np.array([np.nan])).quantile(0.01))
