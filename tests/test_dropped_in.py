"""A method that registers by existing gets verb, help, docs, dry run, look-ups and checks."""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
import embcompress.errors
from embcompress.codecs import load
from embcompress.codecs.base import Codec
from embcompress.methods import registry
from embcompress.methods.base import Method
from embcompress.pipeline.verification import verify
from embcompress.progress import Progress


@pytest.fixture
def dropped_in():
    """The method in the registry, and out of it again."""
    registry(), load.registry()
    methods, codecs = list(Method.registered), list(Codec.registered)
    sys.modules.pop("tests.dropped_in", None)
    module = importlib.import_module("tests.dropped_in")
    registry.cache_clear()
    load.registry.cache_clear()
    yield module
    Method.registered[:], Codec.registered[:] = methods, codecs
    registry.cache_clear()
    load.registry.cache_clear()


@pytest.fixture
def source(tmp_path):
    """Two tables, one with weights ten times as large, and a bystander."""
    random = np.random.default_rng(0)
    tables = {
        "user_embedding.weight": random.standard_normal((4500, 6)).astype(np.float32),
        "item_embedding.weight": 10 * random.standard_normal((130, 9)).astype(np.float32),
        "tower.bias": np.arange(7, dtype=np.int64),
    }
    path = tmp_path / "model.safetensors"
    save_file(tables, path)
    return path, tables


def test_everything_works(dropped_in, source, run, tmp_path):
    path, tables = source
    code, out, _ = run("test-largest", "--help")
    assert code == 0
    assert "Share of the weights to keep" in " ".join(out.split())
    output = tmp_path / "small.safetensors"
    code, dry, err = run("test-largest", path, "--dry-run", "--json")
    assert code == 0, err
    code, real, err = run("test-largest", path, "-o", output, "--json")
    assert code == 0, err

    assert json.loads(dry)["file_bytes"] == json.loads(real)["file_bytes"] == output.stat().st_size
    assert verify(output, 1, Progress()).problems == []
    artifact = embcompress.open(output)
    kept = {}
    for name in ("user_embedding.weight", "item_embedding.weight"):
        dense = artifact[name].restore()
        kept[name] = dense != 0
        assert np.array_equal(dense[kept[name]], tables[name][kept[name]])
        ids = np.random.default_rng(1).integers(0, len(dense), 300)
        assert np.array_equal(artifact[name].lookup(ids), dense[ids])
        assert np.array_equal(artifact[name].read(7, 100), dense[7:100])
    share = sum(k.sum() for k in kept.values()) / sum(k.size for k in kept.values())
    assert share == pytest.approx(0.2, abs=0.01)
    assert kept["item_embedding.weight"].mean() > 0.8  # one threshold over both tables
    assert np.array_equal(np.frombuffer(artifact.raw("tower.bias"), np.int64), tables["tower.bias"])


def test_bytes_do_not_depend_on_threads(dropped_in, source, run, tmp_path):
    path, _ = source
    files = []
    for threads in (1, 2):
        output = tmp_path / f"{threads}.safetensors"
        code, _, err = run("test-largest", path, "-o", output, "-q", "--threads", threads)
        assert code == 0, err
        files.append(output.read_bytes())
    assert files[0] == files[1]


def test_hot_rows_and_ragged_rows_together(dropped_in, source, run, tmp_path):
    path, tables = source
    frequencies = tmp_path / "frequencies.safetensors"
    save_file(
        {n: np.arange(len(t), dtype=np.float64) for n, t in tables.items() if t.ndim == 2},
        frequencies,
    )
    output = tmp_path / "hot.safetensors"
    code, _, err = run(
        "test-largest", path, "-o", output, "--keep-hot", 0.1, "--frequencies", frequencies, "-q"
    )
    assert code == 0, err
    dense = embcompress.open(output)["user_embedding.weight"].restore()
    table = tables["user_embedding.weight"]
    assert np.array_equal(dense[-450:], table[-450:].astype(np.float16).astype(np.float32))
    assert verify(output, 1, Progress()).problems == []


def test_damaged_lengths_are_refused(dropped_in, source, run, tmp_path):
    path, _ = source
    output = tmp_path / "small.safetensors"
    run("test-largest", path, "-o", output, "-q")
    artifact = embcompress.open(output, check=False)
    info = artifact.header.tensors["item_embedding.weight::entries.lengths"]
    raw = bytearray(output.read_bytes())
    raw[artifact.header.data_start + info.end - 1] = 255
    output.write_bytes(raw)
    with pytest.raises(embcompress.errors.BadInput):
        embcompress.open(output)["item_embedding.weight"].lookup([129])
    with pytest.raises(embcompress.errors.BadInput, match="outside its data"):
        embcompress.open(output, check=False)["item_embedding.weight"].lookup([129])


def test_ragged_parts_have_shards_of_their_own(dropped_in, source, run, tmp_path):
    path, _ = source
    output = tmp_path / "small"
    words = ["--max-shard-size", "9KB", "--json"]
    code, real, err = run("test-largest", path, "-o", output, *words)
    assert code == 0, err
    _, dry, _ = run("test-largest", path, "--dry-run", *words)
    found = sum(p.stat().st_size for p in output.iterdir())
    assert found == json.loads(real)["file_bytes"] == json.loads(dry)["file_bytes"]
    assert run("verify", output)[0] == 0
    assert run("test-largest", path, "-o", tmp_path / "one.safetensors", "-q")[0] == 0
    ours, theirs = (embcompress.open(p) for p in (output, tmp_path / "one.safetensors"))
    for name in ours:
        assert np.array_equal(ours[name].restore(), theirs[name].restore())
