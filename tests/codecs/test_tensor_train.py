"""Tensor trains from files that lie."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.codecs.base import PackedRows, Parts
from embcompress.codecs.hostile import Config
from embcompress.codecs.load import load_codec
from embcompress.codecs.tensor_train import TensorTrain
from embcompress.errors import BadInput

GOOD = {"rows": [3, 4], "columns": [2, 3], "ranks": [2], "slots": 0}
CORES = {"core0": np.ones((3, 1, 2, 2), np.float32), "core1": np.ones((4, 2, 3, 1), np.float32)}


def loaded(config, arrays=CORES, dim=5):
    values = {"codec": "tensor-train", "version": 1, "config": config}
    return load_codec(dim, values, arrays, "file")


def test_round_trip():
    codec = loaded(GOOD)
    assert codec.config() == GOOD
    out = np.empty((2, 5), np.float32)
    codec.decode(Parts(np.empty((2, 0), np.uint8), first=4), np.array([0, 1]), out)
    assert (out == 2).all()


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [3]},
        {"rows": [3, 0]},
        {"rows": [3, -4]},
        {"rows": [3, True]},
        {"rows": [3, 4.0]},
        {"rows": "34"},
        {"rows": []},
        {"rows": [1] * 9, "columns": [1] * 9, "ranks": [1] * 8},
        {"rows": [2**31, 2**31]},
        {"columns": [2, 2]},
        {"columns": [2, 1000]},
        {"columns": [2**31, 2**31]},
        {"ranks": []},
        {"ranks": [3]},
        {"ranks": [2, 1]},
        {"slots": 33},
        {"slots": -1},
        {"more": 1},
    ],
)
def test_bad_config(change):
    with pytest.raises(BadInput):
        loaded(GOOD | change)


@pytest.mark.parametrize(
    "change",
    [
        {"core1": np.ones((4, 2, 3, 2), np.float32)},
        {"core1": np.ones((4, 2, 3, 1))},
        {"core0": np.full((3, 1, 2, 2), np.nan, np.float32)},
    ],
)
def test_bad_cores(change):
    with pytest.raises(BadInput):
        loaded(GOOD, CORES | change)


def test_a_missing_core():
    with pytest.raises(BadInput, match="'core1' is missing"):
        loaded(GOOD, {"core0": CORES["core0"]})


def test_a_slot_past_the_end():
    codec = TensorTrain(5, 4, tuple(CORES.values()))
    strings = {"slots": PackedRows.build(np.array([11, 15, 0]), 4)}
    parts = Parts(np.empty((3, 0), np.uint8), 0, {}, strings)
    with pytest.raises(BadInput, match="row 1: its slot is not below 12"):
        codec.check(parts, 0, 3)
    out = np.empty((3, 5), np.float32)
    codec.decode(parts, np.arange(3), out)
    assert np.isfinite(out).all()


def test_more_rows_than_slots():
    codec = TensorTrain(5, 0, tuple(CORES.values()))
    parts = Parts(np.empty((4, 0), np.uint8), first=10)
    with pytest.raises(BadInput, match="row 2: its slot is not below 12"):
        codec.check(parts, 0, 4)


@pytest.mark.parametrize("value", [3, None, [1, 2, 3], [1, "2"], [1, 9]])
def test_lists_of_numbers(value):
    with pytest.raises(BadInput, match="not 2 to 2 numbers from 1 to 8"):
        Config({"key": value}, "here").integers("key", 2, 2, 1, 8)
