"""Several files read as one: Hugging Face shards, and row shards of torch's own writer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from embcompress.errors import BadInput, IOFailure
from embcompress.tables.folder import companions, find_weights
from embcompress.tables.source import open_source

from . import dcp

INDEX = "model.safetensors.index.json"


def normal(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.fixture
def model(tmp_path):
    """A model of two shards and what lies beside them."""
    folder = tmp_path / "model"
    folder.mkdir()
    shards = [
        {"emb.weight": normal(5000, 6), "a.bias": normal(3)},
        {"b.weight": normal(4, 4).astype(np.float16)},
    ]
    files = {}
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05}-of-00002.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt"})
        files |= dict.fromkeys(tensors, name)
    size = sum(t.nbytes for tensors in shards for t in tensors.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": files}))
    (folder / "config.json").write_text('{"tie_word_embeddings": false}')
    (folder / "pytorch_model.bin").write_bytes(b"the same again")
    (folder / ".gitattributes").write_text("*.bin filter=lfs")
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "model.safetensors").write_bytes(b"weights of another module")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"an export")
    return folder, {k: v for tensors in shards for k, v in tensors.items()}


@pytest.mark.parametrize("given", ["", INDEX])
def test_shards_are_one_source(given, model):
    folder, tensors = model
    with open_source(folder / given) as source:
        assert list(source.tensors) == ["a.bias", "emb.weight", "b.weight"]
        assert source.metadata == {"format": "pt"}
        assert source.warnings == []
        files = [p for p in folder.iterdir() if p.name.startswith("model")]
        assert source.bytes == sum(p.stat().st_size for p in files)
        for name, tensor in tensors.items():
            assert np.array_equal(source.read_tensor(name), tensor)
            info = source.tensors[name]
            assert source.read_raw(info, 1, 5) == tensor.tobytes()[1:5]
        table = source.table("emb.weight")
        assert np.array_equal(table.read(4090, 5000), tensors["emb.weight"][4090:])
        source.unchanged()


def test_companions(model):
    folder, _ = model
    (folder / "outside.json").symlink_to("/etc/hostname")
    found = dict(companions(find_weights(folder)))
    assert found == {
        "config.json": True, "outside.json": False, "2_Dense/model.safetensors": True,
    }  # fmt: skip


def test_a_change_of_any_shard_is_noticed(model):
    folder, _ = model
    with open_source(folder) as source:
        (folder / "model-00002-of-00002.safetensors").write_bytes(b"")
        with pytest.raises(IOFailure, match=r"00002.*changed"):
            source.unchanged()


def test_the_cache_of_the_hub_is_read_through_its_links(model, tmp_path):
    folder, tensors = model
    cache = tmp_path / "models--x--y"
    (cache / "blobs").mkdir(parents=True)
    snapshot = cache / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            file.rename(cache / "blobs" / file.name)
            (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    with open_source(snapshot) as source:
        assert np.array_equal(source.read_tensor("emb.weight"), tensors["emb.weight"])
    assert ("config.json", True) in companions(find_weights(snapshot))


def changed_index(folder, change):
    document = json.loads((folder / INDEX).read_text())
    change(document)
    (folder / INDEX).write_text(json.dumps(document))


def test_15_tensors_beyond_the_index_go_along(model):
    folder, _ = model
    changed_index(folder, lambda d: d["weight_map"].pop("a.bias"))
    with open_source(folder) as source:
        assert "a.bias" in source.tensors
        assert "1 tensors of its shards are not in it, such as 'a.bias'" in source.warnings[0]


@pytest.mark.parametrize("size", [1, 10**30, 0])
def test_19_wrong_total_size_is_told(size, model):
    folder, _ = model
    changed_index(folder, lambda d: d["metadata"].update(total_size=size))
    with open_source(folder) as source:
        if size < 10**18:
            assert f"total_size is {size:,}, the tensors have" in source.warnings[0]


@pytest.mark.parametrize("metadata", [{}, {"total_size": 1.5}, {"other": [{"a": [1]}], "x": None}])
def test_other_metadata_of_the_index_is_skipped(metadata, model):
    folder, _ = model
    changed_index(folder, lambda d: d.update(metadata=metadata, more={"deep": [[{}]]}))
    with open_source(folder) as source:
        assert source.warnings == []


def test_a_folder_of_one_file(tmp_path):
    save_file({"emb": normal(3, 2)}, tmp_path / "any.safetensors")
    with open_source(tmp_path) as source:
        assert list(source.tensors) == ["emb"]
    save_file({"emb": normal(3, 2)}, tmp_path / "model.safetensors")
    with open_source(tmp_path) as source:  # the model's own name wins over other files
        assert source.files.shards == ["model.safetensors"]


@pytest.fixture(scope="module")
def row_shards(tmp_path_factory):
    """A checkpoint that two ranks wrote with torch's Hugging Face writer."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("ranks") / "checkpoint"
    done = subprocess.run(
        [sys.executable, Path(dcp.__file__), folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_row_shards_of_torchs_writer(row_shards):
    wanted = dcp.tensors()
    assert len(list(row_shards.glob("*.safetensors"))) == dcp.RANKS
    with open_source(row_shards) as source:
        assert set(source.tensors) == set(wanted)
        assert source.metadata == {"format": "pt"}
        for name in ("user_embedding.weight", "item_embedding.weight", "tower.weight"):
            table = source.table(name)
            dense = wanted[name].float().numpy()
            assert np.array_equal(table.read(0, len(dense)), dense)
            middle = slice(len(dense) // 3, 2 * len(dense) // 3)
            assert np.array_equal(table.read(middle.start, middle.stop), dense[middle])
            info = source.tensors[name]
            raw = wanted[name].contiguous().view(dtype=__import__("torch").uint8).numpy().tobytes()
            assert source.read_raw(info, 0, info.nbytes) == raw
            assert source.read_raw(info, 7, info.nbytes - 3) == raw[7:-3]
        assert source.read_tensor("step") == 7


def test_one_row_shard_alone_is_refused(row_shards):
    second = sorted(row_shards.glob("*.safetensors"))[1]
    with pytest.raises(BadInput, match=r"rows 0 to .* are in no file"):
        open_source(second)


def test_flipped_bytes_of_an_index_give_success_or_refusal(model):
    folder, _ = model
    content = (folder / INDEX).read_bytes()
    draw = np.random.default_rng(4)
    accepted = 0
    for _ in range(800):
        damaged = bytearray(content)
        for _ in range(draw.integers(1, 4)):
            damaged[draw.integers(len(damaged))] = draw.choice([*b'{}[]",:09\\/.\0', 255])
        (folder / INDEX).write_bytes(damaged[: draw.integers(len(damaged) // 2, len(damaged) + 1)])
        try:
            open_source(folder).close()
            accepted += 1
        except BadInput:
            pass
    assert accepted < 800
