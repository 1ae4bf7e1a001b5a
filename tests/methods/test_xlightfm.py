"""Codewords chosen for each field under a budget."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.errors import UsageError
from embcompress.methods.rotate import Rotate
from embcompress.methods.xlightfm import XLightFM
from embcompress.pipeline.memory import compress


def field(rows, columns, spread, seed):
    random = np.random.default_rng(seed)
    return (random.standard_normal((rows, columns)) * spread).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Three tables, two fields in the last one, and a tensor that is passed through."""
    path = tmp_path_factory.mktemp("xl") / "model.safetensors"
    tensors = {
        "embedding.a": field(9000, 8, 1.0, 1),
        "embedding.b": field(30, 8, 1.0, 2),
        "embedding.c": np.concatenate([field(4000, 8, 0.01, 3), field(6000, 8, 2.0, 4)]),
    }
    save_file({**tensors, "tower.bias": np.zeros(5000, np.float32)}, path, {"made": "by hand"})
    fields = path.with_name("fields.json")
    whole = {"embedding.a": [9000], "embedding.b": [30]}
    fields.write_text(
        json.dumps(whole | {"embedding.c": {"quiet": [0, 4000], "loud": [4000, 10000]}})
    )
    return path, fields, sum(t.nbytes for t in tensors.values())


def counts(path):
    """Codewords of every field."""
    tables = embcompress.open(path).document["tables"]
    return {
        name: [r["codewords"] for r in table["method"]["resolved"]]
        for name, table in tables.items()
    }


@pytest.mark.parametrize("budget", ["8x", "20x", "3bpw", "100KB", "60000", "10KB", "500KB"])
def test_file_stays_within_the_budget(budget, model, run, tmp_path):
    path, fields, source = model
    output = tmp_path / "o.safetensors"
    code, out, err = run(
        "xlightfm", path, "-o", output, "--budget", budget, "--fields", fields, "--json"
    )
    assert code == 0, err
    allowed = {
        "8x": source // 8, "20x": source // 20, "3bpw": source * 3 // 32, "100KB": 10**5,
        "60000": 60000, "10KB": 10**4, "500KB": 5 * 10**5,
    }[budget]  # fmt: skip
    passed = 4 * 5000
    assert output.stat().st_size - passed <= allowed
    parts = [sum(t["parts"].values()) for t in json.loads(out)["tables"]]
    assert sum(parts) <= allowed


def test_loud_fields_get_more_codewords(model, run, tmp_path):
    path, fields, _ = model
    output = tmp_path / "o.safetensors"
    code, _, err = run("xlightfm", path, "-o", output, "--budget", "80KB", "--fields", fields, "-q")
    assert code == 0, err
    found = counts(output)
    quiet, loud = found["embedding.c"]
    assert quiet < found["embedding.a"][0] <= loud
    assert found["embedding.b"][0] > 1


def test_larger_budgets_have_smaller_errors(glove_slice):
    errors = []
    for budget in ("20x", "12x", "8x", "6x"):
        restored = compress(glove_slice, XLightFM(budget=budget)).restore()
        errors.append(float(((restored - glove_slice) ** 2).sum()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 5


def test_no_budget_takes_the_most_codewords(glove_slice):
    resolved = compress(glove_slice, XLightFM(max_codewords=32)).form.method["resolved"][0]
    assert resolved["codewords"] == 32


def test_hot_rows_count(model, run, tmp_path):
    path, _, source = model
    output, weights = tmp_path / "o.safetensors", tmp_path / "w.safetensors"
    rows = {"embedding.a": 9000, "embedding.b": 30, "embedding.c": 10000}
    save_file({name: np.arange(n, 0.0, -1.0) for name, n in rows.items()}, weights)
    words = ["--budget", "8x", "--keep-hot", "0.05", "--frequencies", weights]
    code, _, err = run("xlightfm", path, "-o", output, *words, "-q")
    assert code == 0, err
    assert output.stat().st_size - 4 * 5000 <= source // 8


def test_a_budget_below_one_codeword(model, run, tmp_path):
    path, *_ = model
    code, _, err = run("xlightfm", path, "-o", tmp_path / "o.safetensors", "--budget", "900")
    assert code == 2
    assert "--budget 900 is 900 bytes, but one codeword a field takes" in err


@pytest.mark.parametrize("budget", ["x", "0x", "12 apples"])
def test_no_budget(budget, run, model, tmp_path):
    code, _, err = run("xlightfm", model[0], "-o", tmp_path / "o.safetensors", "--budget", budget)
    assert code == 2
    assert f"--budget '{budget}' is no budget" in err


def test_part_of_the_tables(model, run, tmp_path):
    words = ["--budget", "8x", "--set", "*.a:subquantizers=2"]
    code, _, err = run("xlightfm", model[0], "-o", tmp_path / "o.safetensors", *words)
    assert code == 2
    assert "--budget is over all tables together" in err


def test_behind_a_rotation(glove_slice):
    with pytest.raises(UsageError, match="of whole tables"):
        compress(glove_slice[:500], Rotate(then="xlightfm --budget 8x"))
