"""Folders of PyTorch's .bin shards into safetensors, one shard after another."""

from __future__ import annotations

import json
import os

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file as save_arrays

from embcompress.convert import models
from tests.cli.test_convert import normal
from tests.tables.bad_conversions import Runs, torch_file

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

INDEX = "pytorch_model.bin.index.json"
ONE, TWO = (f"pytorch_model-{i:05}-of-00002.bin" for i in (1, 2))
SHARDS = {
    ONE: {"emb.weight": torch.arange(600.0).reshape(100, 6).bfloat16(), "ids": torch.arange(4)},
    TWO: {"head.weight": torch.ones(3, 2), "head.turned": torch.arange(6.0).reshape(2, 3).T},
}
TENSORS = {name: tensor for tensors in SHARDS.values() for name, tensor in tensors.items()}


def write(folder, shards=SHARDS, index=None, **options):
    """A model as transformers saved it before safetensors."""
    folder.mkdir()
    files = {}
    for name, tensors in shards.items():
        torch.save(tensors, folder / name, **options)
        files |= dict.fromkeys(tensors, name)
    if index is not False:
        document = {"metadata": {"total_size": 1}, "weight_map": index or files}
        (folder / INDEX).write_text(json.dumps(document))
    (folder / "config.json").write_text("{}")
    (folder / "vocab.txt").write_text("".join(f"w{i}\n" for i in range(100)))
    torch.save({"lr": torch.tensor(0.1)}, folder / "training_args.bin")
    return folder


@pytest.fixture
def model(tmp_path):
    return write(tmp_path / "model")


def same(found):
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("given", ["", INDEX])
@pytest.mark.parametrize("old", [False, True])
def test_shards_into_a_folder(given, old, run, tmp_path):
    model = write(tmp_path / "model", _use_new_zipfile_serialization=not old)
    output = tmp_path / "dense"
    code, _, err = run("convert", model / given, "-o", output, "-q")
    assert code == 0, err
    assert sorted(p.name for p in output.iterdir()) == [
        "config.json", "model.safetensors", "vocab.txt",
    ]  # fmt: skip
    same(load_file(output / "model.safetensors"))
    with safe_open(output / "model.safetensors", "pt") as opened:
        assert opened.metadata() == {"format": "pt"}  # transformers loads no other
    small = tmp_path / "small"
    assert run("quantize", output, "-o", small, "-q")[0] == 0
    assert run("lookup", small, "--keys", "w7")[0] == 0


def test_shards_into_one_file_and_into_several(model, run, tmp_path, monkeypatch):
    one = tmp_path / "one.safetensors"
    assert run("convert", model, "-o", one, "-q")[0] == 0
    same(load_file(one))
    monkeypatch.setattr("embcompress.convert.stream.SHARD_BYTES", 1000)
    output = tmp_path / "dense"
    assert run("convert", model, "-o", output, "-q")[0] == 0
    index = json.loads((output / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in TENSORS.values())
    assert len(set(index["weight_map"].values())) == 2
    same({n: load_file(output / file)[n] for n, file in index["weight_map"].items()})


def test_one_file_beside_a_trainers(run, tmp_path):
    model = write(tmp_path / "model", {"pytorch_model.bin": TENSORS}, index=False)
    torch.save({"step": torch.tensor(3)}, model / "optimizer.pt")
    output = tmp_path / "dense"
    code, _, err = run("convert", model, "-o", output, "-q")
    assert code == 0, err
    same(load_file(output / "model.safetensors"))


def test_one_shard_is_in_memory_at_a_time(model, run, tmp_path, monkeypatch):
    loads = []
    real = models.dense_tensors

    def load(file, progress):
        loads.append(os.path.basename(file.path))
        return real(file, progress)

    monkeypatch.setattr(models, "dense_tensors", load)
    assert run("convert", model, "-o", tmp_path / "dense", "-q")[0] == 0
    assert loads == [ONE, TWO, ONE, TWO]  # for the header, then for the bytes


def test_what_goes_along_is_told(run, tmp_path):
    model = write(tmp_path / "model", index={"emb.weight": ONE, "head.weight": TWO})
    code, _, err = run("convert", model, "-o", tmp_path / "dense")
    assert code == 0
    assert "2 tensors of its shards are not in it, such as 'ids', 'head.turned'" in err


def damaged(what, folder):
    """A folder that is refused, and the words of the refusal."""
    if what == "shard missing":
        (write(folder) / TWO).unlink()
        return "1 of its 2 shards are missing", TWO
    if what == "tensor not there":
        write(folder, index={"emb.weight": ONE, "tail": TWO})
        return "names tensor 'tail'", "lacks it"
    if what == "tensor elsewhere":
        write(folder, index={"emb.weight": TWO, "head.weight": ONE})
        return "names tensor 'emb.weight'", "lacks it"
    if what == "in two shards":
        write(folder, {ONE: SHARDS[ONE], TWO: SHARDS[ONE]}, index={"emb.weight": ONE, "ids": TWO})
        return "tensor 'emb.weight' is in two shards", ONE, TWO
    if what == "climbing":
        write(folder, index={"emb.weight": "../x.bin"})
        return ("no file name below the folder",)
    if what == "code":
        (write(folder) / TWO).write_bytes(torch_file({"head.weight": Runs()}))
        return "could run code", "not loaded"
    if what == "LFS pointer":
        (write(folder) / TWO).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
        return TWO, "git lfs pull"
    if what == "cut":
        data = (write(folder) / TWO).read_bytes()
        (folder / TWO).write_bytes(data[:-200])
        return (TWO,)
    save_arrays({"head.weight": normal(3, 2)}, write(folder) / TWO)
    return TWO, "not a file of torch"


@pytest.mark.parametrize(
    "what",
    ["shard missing", "tensor not there", "tensor elsewhere", "in two shards", "climbing", "code",
     "LFS pointer", "cut", "another kind"],
)  # fmt: skip
def test_refused(what, run, tmp_path):
    words = damaged(what, tmp_path / "model")
    code, _, err = run("convert", tmp_path / "model", "-o", tmp_path / "dense", "-q")
    assert code == 3, err
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_wrong_usage(model, run, tmp_path):
    def told(*words):
        code, _, err = run("convert", *words)
        assert code == 2, err
        return err

    output = tmp_path / "dense"
    assert "makes a folder" in told(model, "-o", tmp_path / "dense.npy")
    assert "the output is the input" in told(model, "-o", model)
    assert "inside of the input" in told(model, "-o", model / "dense")
    assert "--name" in told(model, "-o", output, "--name", "x")
    assert "--format npz is of a file" in told(model, "-o", output, "--format", "npz")
    output.mkdir()
    (output / "mine").touch()
    assert "never replaced" in told(model, "-o", output, "--force")
    (tmp_path / "empty").mkdir()
    assert "name a file to convert" in told(tmp_path / "empty", "-o", tmp_path / "o")
    (model / INDEX).unlink()
    assert f"name a file to convert: '{ONE}'" in told(model, "-o", tmp_path / "o")
    save_arrays({"emb": normal(3, 2)}, model / "model.safetensors")
    assert "which every verb reads" in told(model, "-o", tmp_path / "o")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dense", "empty", "model"]


@pytest.mark.parametrize("given", ["", INDEX])
def test_other_verbs_name_convert(given, model, run, tmp_path):
    for words in (["quantize", "-o", tmp_path / "small"], ["inspect"]):
        code, _, err = run(words[0], model / given, *words[1:])
        assert code == 3
        assert "embcompress convert takes" in err
        assert err.count("\n") == 1
