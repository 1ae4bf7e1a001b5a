"""kmeans: the bar, and what sharing a codebook costs."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.methods import KMeans, Quantize
from embcompress.pipeline.memory import compress
from tests.methods.test_quantize import relative_error


def test_bar_on_minilm(minilm):
    table = compress(minilm, KMeans(bits=4))
    assert relative_error(minilm, table.restore()) <= 0.0855
    assert table.form.segments[0].codec.layout().record_bytes <= 225


def test_better_than_uniform_and_in_order(glove_slice):
    rows = glove_slice[:4000]
    error = {
        per: relative_error(rows, compress(rows, KMeans(per=per, groups=32)).restore())
        for per in ("row", "group", "table")
    }
    assert error["row"] < error["group"] < error["table"]
    assert error["row"] < relative_error(rows, compress(rows, Quantize()).restore())


def test_exact_is_never_worse_than_lloyd(glove_slice):
    rows = glove_slice[:2000]
    exact, lloyd = (
        ((rows - compress(rows, KMeans(bits=3, solver=s)).restore()) ** 2).sum(1)
        for s in ("exact", "lloyd")
    )
    assert (exact <= lloyd * (1 + 1e-3)).all()
    assert exact.sum() <= lloyd.sum()


def test_auto_solver_follows_the_cost(glove_slice):
    short = compress(glove_slice[:10], KMeans())
    assert short.form.method["resolved"][0]["solver"] == "exact"
    wide = np.random.default_rng(0).standard_normal((3, 5000)).astype(np.float32)
    long = compress(wide, KMeans(bits=8))
    assert long.form.method["resolved"][0]["solver"] == "lloyd"


def test_frequencies_weight_a_shared_codebook(glove_slice):
    rows = glove_slice[:3000].copy()
    rows[:100] *= 20
    heavy = np.where(np.arange(3000) < 100, 1e4, 1.0)
    method = KMeans(bits=2, per="table")
    plain = compress(rows, method).restore()
    weighted = compress(rows, method, frequencies=heavy).restore()
    assert relative_error(rows[:100], weighted[:100]) < relative_error(rows[:100], plain[:100])


@pytest.mark.parametrize("per", ["row", "group", "table"])
def test_few_distinct_values_are_exact(per):
    rows = np.random.default_rng(1).integers(-3, 4, (200, 9)).astype(np.float32)
    table = compress(rows, KMeans(bits=3, per=per, groups=4))
    assert np.array_equal(table.restore(), rows)
