"""Gradient files: what is read, and one clear line for each that is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from embcompress.errors import BadInput, UsageError
from embcompress.tables.gradients import gradients_of, read_gradients
from embcompress.tables.source import open_source

N, D = 12, 4
FIELDS = {"t": {"a": (0, 5), "b": (5, 12)}}


def read(path, shapes=None, fields=FIELDS):
    with open_source(path) as source:
        return read_gradients(source, shapes or {"t": (N, D)}, fields)


def saved(tmp_path, tensors, metadata=None):
    path = tmp_path / "g.safetensors"
    save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_saliency_of_fields(dtype, tmp_path):
    values = np.arange(8.0).reshape(2, 4).astype(dtype)
    path = saved(tmp_path, {"t": values, "other": np.zeros(3)}, {"fill": "mean", "kind": "abs"})
    found = read(path)["t"]
    assert np.array_equal(found.saliency, values)
    assert found.fill == "mean"
    assert found.rows is None
    assert np.array_equal(found.of_field(1).saliency, values[1:])


def test_an_npy_file_is_of_the_only_table(tmp_path):
    np.save(tmp_path / "any.npy", np.ones((2, 4)))
    found = read(tmp_path / "any.npy")["t"]
    assert np.array_equal(found.saliency, np.ones((2, 4)))
    assert found.fill is None
    with pytest.raises(UsageError, match="2 tables"):
        read(tmp_path / "any.npy", {"t": (N, D), "u": (N, D)})


def test_gradients_of_rows_stay_in_the_file(tmp_path):
    values = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
    path = saved(tmp_path, {"t": values})
    with open_source(path) as source:
        found = read_gradients(source, {"t": (N, D)}, FIELDS)["t"]
        assert found.saliency is None
        assert np.array_equal(found.rows.read(3, 7), values[3:7])


def test_as_many_fields_as_rows_is_saliency(tmp_path):
    path = saved(tmp_path, {"t": np.ones((1, D))})
    assert read(path, {"t": (1, D)}, {})["t"].saliency.shape == (1, D)


def test_a_table_without_rows(tmp_path):
    path = saved(tmp_path, {"t": np.ones((1, D))})
    assert read(path, {"t": (0, D)}, {"t": {}})["t"].saliency.shape == (1, D)


WRONG = [
    ({"u": np.ones((2, 4))}, {}, UsageError, "has no gradients for table 't'"),
    ({"t": np.ones((2, 5))}, {}, BadInput, r"shape \[2, 5\], not \[2, 4\]"),
    ({"t": np.ones((3, 4))}, {}, BadInput, r"shape \[3, 4\], not \[2, 4\]"),
    ({"t": np.ones(4)}, {}, BadInput, r"shape \[4\]"),
    ({"t": np.ones((2, 4), np.int64)}, {}, BadInput, r"has integers \(I64\), not gradients"),
    ({"t": np.full((2, 4), np.nan)}, {}, BadInput, "field 0 of table 't' has nan in column 0"),
    ({"t": np.array([[1, 2, 3, 4], [1, 2, np.inf, 4]])}, {}, BadInput, "field 1 .* column 2"),
    ({"t": np.ones((2, 4))}, {"fill": "median"}, BadInput, "records fill 'median'"),
    ({"t": np.ones((2, 4))}, {"fields": "{"}, BadInput, "are no JSON"),
    ({"t": np.ones((2, 4))}, {"fields": "[" * 100_000}, BadInput, "are no JSON"),
    ({"t": np.ones((2, 4))}, {"fields": "[1]"}, BadInput, "no object by table name"),
    (
        {"t": np.ones((2, 4))},
        {"fields": '{"t": [7, 5]}'},
        UsageError,
        "was collected for fields of",
    ),
    ({"t": np.ones((2, 4))}, {"fields": '{"t": 3}'}, UsageError, "was collected for fields of 3"),
]


@pytest.mark.parametrize(("tensors", "metadata", "kind", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_files(tensors, metadata, kind, message, tmp_path):
    with pytest.raises(kind, match=message) as caught:
        read(saved(tmp_path, tensors, metadata))
    assert "\n" not in str(caught.value)


def test_recorded_fields_that_fit(tmp_path):
    recorded = {"fields": json.dumps({"t": [5, 7], "other": [1]})}
    assert read(saved(tmp_path, {"t": np.ones((2, 4))}, recorded))["t"].saliency is not None


def test_one_field_of_a_file_for_several(tmp_path):
    with pytest.raises(BadInput, match="--fields says where its fields are"):
        read(saved(tmp_path, {"t": np.ones((2, 4))}), fields={})


def test_not_a_gradient_file(tmp_path):
    (tmp_path / "x").write_text("hello")
    with pytest.raises(BadInput):
        read(tmp_path / "x")
    with pytest.raises(BadInput, match="no such file"):
        read(tmp_path / "missing.npy")


def test_non_finite_gradients_of_rows_are_named(tmp_path, run):
    values = np.ones((9000, 4), np.float32)
    values[8123, 2] = np.nan
    np.save(tmp_path / "g.npy", values)
    np.save(tmp_path / "t.npy", np.random.default_rng(0).random((9000, 4)).astype(np.float32))
    words = ["-o", tmp_path / "o.safetensors", "--grads", tmp_path / "g.npy"]
    code, _, err = run("sseds", tmp_path / "t.npy", *words)
    assert code == 3
    assert "row 8123" in err
    assert "g.npy" in err


def test_a_saliency_of_zeros(tmp_path, run):
    np.save(tmp_path / "g.npy", np.zeros((1, 4)))
    np.save(tmp_path / "t.npy", np.random.default_rng(0).random((90, 4)).astype(np.float32))
    words = ["-o", tmp_path / "o.safetensors", "--grads", tmp_path / "g.npy"]
    code, _, err = run("sseds", tmp_path / "t.npy", *words)
    assert code == 3
    assert "every saliency is 0" in err


def test_arrays_in_memory():
    assert gradients_of(np.ones((2, D)), "t", (N, D), 2).saliency.shape == (2, D)
    assert gradients_of(np.ones((N, D)), "t", (N, D), 2).rows.shape == (N, D)
    with pytest.raises(BadInput, match="shape"):
        gradients_of(np.ones((3, D)), "t", (N, D), 2)
    with pytest.raises(UsageError, match="int64"):
        gradients_of(np.ones((2, D), int), "t", (N, D), 2)
    with pytest.raises(BadInput, match="finite"):
        gradients_of(np.full((2, D), np.inf), "t", (N, D), 2)
