"""cast beside numpy and ml_dtypes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from embcompress.errors import BadInput
from embcompress.methods import Cast
from embcompress.pipeline.memory import compress

DTYPES = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("to", DTYPES)
def test_nearest_is_the_librarys_rounding(to, glove_slice):
    restored = compress(glove_slice, Cast(to=to)).restore()
    assert np.array_equal(restored, glove_slice.astype(DTYPES[to]).astype(np.float32))


@pytest.mark.parametrize("to", DTYPES)
def test_stochastic_takes_a_neighbour_and_keeps_the_mean(to):
    value = np.float32(1.0003)
    rows = np.full((2000, 50), value)
    rows[:, 25:] *= -1
    restored = compress(rows, Cast(to=to, rounding="stochastic")).restore()
    step = {"fp16": 2.0**-10, "bf16": 2.0**-7}[to]
    assert set(np.unique(restored)) == {-1 - step, -1.0, 1.0, 1 + step}
    assert np.abs(restored).mean() == pytest.approx(value, abs=4 * step / np.sqrt(rows.size))


@pytest.mark.parametrize("to", ["fp16", "bf16", "int16"])
def test_stochastic_repeats_with_its_seed(to, glove_slice):
    from embcompress.pipeline.settings import Settings

    method = Cast(to=to, rounding="stochastic")
    one, same, other = (
        compress(glove_slice[:500], method, settings=Settings(seed=s)).restore() for s in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("to", ["fp16", "bf16"])
def test_exact_values_stay(to):
    rows = np.array([[0, -0.0, 1, -2, 0.5, 1024, 2.0**-14, 6.5e4 if to == "bf16" else 65504]])
    rows = rows.astype(DTYPES[to]).astype(np.float32)
    for rounding in ("nearest", "stochastic"):
        restored = compress(rows, Cast(to=to, rounding=rounding)).restore()
        assert np.array_equal(restored, rows)


def test_int16_is_within_half_a_step(glove_slice):
    restored = compress(glove_slice, Cast(to="int16")).restore()
    step = np.abs(glove_slice).max(1, keepdims=True) / 32767
    assert (np.abs(restored - glove_slice) <= 0.51 * step).all()


def test_values_beyond_fp16_are_refused():
    with pytest.raises(BadInput, match="beyond fp16's 65504; use bf16 or int16"):
        compress(np.full((2, 2), 7e4, np.float32), Cast())
    assert compress(np.full((2, 2), 3e38, np.float32), Cast(to="bf16")).restore()[0, 0] > 2.9e38
