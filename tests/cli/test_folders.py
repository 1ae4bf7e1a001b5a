"""Models in folders: compressed, looked up, checked and given back, in shards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import embcompress
from embcompress.artifact.atomic import AtomicFolder
from tests import reader

INDEX = "model.safetensors.index.json"
TABLE = "model.embed_tokens.weight"


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def write_model(folder, shards, **config):
    """A model as transformers saves it."""
    folder.mkdir(parents=True)
    names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    weight_map = {}
    for name, tensors in zip(names, shards, strict=True):
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    total = sum(t.nbytes for tensors in shards for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.txt").write_text("the\nof\n")
    return folder


TENSORS = [
    {TABLE: normal(9000, 16).astype(ml_dtypes.bfloat16), "norm.weight": normal(16)},
    {"layers.0.up.weight": normal(64, 16), "layers.0.up.bias": normal(64)},
    {"layers.1.up.weight": normal(64, 16), "position_ids": np.arange(9)},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "model", TENSORS)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def shards(folder):
    return sorted(name for name in files(folder) if name.endswith(".safetensors"))


@pytest.mark.parametrize(("limit", "count"), [(None, 1), ("60KB", 2), ("5KB", 3), ("1B", 7)])
def test_there_and_back(limit, count, model, run, tmp_path):
    output, back = tmp_path / "small", tmp_path / "back"
    words = ["--max-shard-size", limit] if limit else []
    code, out, err = run("quantize", model, "-o", output, "--json", *words)
    assert code == 0, err
    report = json.loads(out)
    assert len(shards(output)) == count
    weights = [p for p in output.iterdir() if p.name.startswith("model")]
    assert sum(p.stat().st_size for p in weights) == report["file_bytes"]
    code, dry, _ = run("quantize", model, "--dry-run", "--json", *words)
    assert json.loads(dry)["file_bytes"] == report["file_bytes"]
    assert json.loads(dry)["tables"][0]["parts"] == report["tables"][0]["parts"]
    assert (output / "tokenizer" / "vocab.txt").read_text() == "the\nof\n"

    # any safetensors reader finds the other tensors, through the index as ever
    weight_map = dict.fromkeys(load_file(output / shards(output)[0]), shards(output)[0])
    if count > 1:
        index = json.loads((output / INDEX).read_text())
        weight_map = index["weight_map"]
        found = {name: load_file(output / name) for name in set(weight_map.values())}
        size = sum(t.nbytes for tensors in found.values() for t in tensors.values())
        assert index["metadata"]["total_size"] == size
    for tensors in TENSORS:
        for name, tensor in tensors.items():
            if name != TABLE:
                assert np.array_equal(load_file(output / weight_map[name])[name], tensor)
    for name in shards(output):
        with safe_open(output / name, "np") as opened:
            assert opened.metadata()["format"] == "pt"

    rows = embcompress.open(output)[TABLE].restore()
    assert np.array_equal(embcompress.open(output)[TABLE].lookup([5, 8999]), rows[[5, 8999]])
    assert np.array_equal(reader.read(output)[TABLE], rows)
    if count > 1:
        assert np.array_equal(embcompress.open(output / INDEX)[TABLE].restore(), rows)
    assert run("verify", output)[0] == 0
    code, out, err = run("report", output, "--against", model, "--json", "--max-rel-error", 0.2)
    assert code == 0, err
    assert json.loads(out)["file_bytes"] == report["file_bytes"]
    assert json.loads(out)["tables"][0]["parts"] == report["tables"][0]["parts"]
    assert json.loads(run("inspect", output, "--json")[1])["bytes"] == report["file_bytes"]
    assert run("neighbors", output, "--ids", "3", "-k", "2")[0] == 0

    assert run("restore", output, "-o", back, "-q")[0] == 0
    restored = load_file(back / "model.safetensors")
    assert set(restored) == {name for tensors in TENSORS for name in tensors}
    assert restored[TABLE].dtype == ml_dtypes.bfloat16
    assert (back / "config.json").exists()
    assert run("restore", output, "-o", tmp_path / "back.v1", "-q")[0] == 0
    assert (tmp_path / "back.v1" / "model.safetensors").exists()
    for words in (["restore", output], ["quantize", model]):
        code, _, err = run(*words, "-o", tmp_path / "back.npz", "-q")
        assert (code, "makes a folder" in err) == (2, True)
    code, *_ = run("restore", output, "-o", tmp_path / "more", "--max-shard-size", "100KB", "-q")
    assert code == 0
    assert len(shards(tmp_path / "more")) == 2
    with_index = embcompress.read_table(tmp_path / "more", TABLE)
    assert np.array_equal(with_index, restored[TABLE].astype(np.float32))


def test_any_thread_count_gives_the_same_folder(model, run, tmp_path):
    for threads in (1, 2):
        words = ["--threads", threads, "--max-shard-size", "20KB", "-q"]
        assert run("quantize", model, "-o", tmp_path / str(threads), *words)[0] == 0
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_any_flipped_byte_is_noticed(model, run, tmp_path):
    output = tmp_path / "small"
    assert run("quantize", model, "-o", output, "--max-shard-size", "20KB", "-q")[0] == 0
    weights = [p for p in output.iterdir() if p.name.startswith("model")]
    draw = np.random.default_rng(2)
    for path in weights:
        whole = path.read_bytes()
        for at in [0, len(whole) - 1, *draw.integers(0, len(whole), 25)]:
            damaged = bytearray(whole)
            damaged[at] ^= 1 << draw.integers(0, 7)
            path.write_bytes(damaged)
            assert run("verify", output, "-q")[0] == 3, (path.name, at)
        path.write_bytes(whole)
    assert run("verify", output, "-q")[0] == 0


def test_shards_of_two_artifacts_do_not_mix(model, run, tmp_path):
    for bits in (4, 8):
        words = ["--bits", bits, "--max-shard-size", "30KB", "-q"]
        assert run("quantize", model, "-o", tmp_path / str(bits), *words)[0] == 0
    one, other = (sorted((tmp_path / b).glob("model-*")) for b in ("4", "8"))
    other[-1].rename(one[-1])
    assert run("verify", tmp_path / "4")[0] == 3


@pytest.mark.parametrize("words", [["-o", "new/"], ["-o", "there"],
                                   ["-o", "new", "--max-shard-size", "1MB"]])  # fmt: skip
def test_what_makes_a_folder_of_a_file(words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    np.save("t.npy", normal(3000, 8))
    assert run("quantize", "t.npy", *words, "-q")[0] == 0
    assert files(tmp_path / words[1].rstrip("/")).keys() == {"model.safetensors"}
    assert embcompress.open(words[1])["t"].shape == (3000, 8)


def test_a_model_into_one_file(model, run, tmp_path):
    output = tmp_path / "small.safetensors"
    assert run("quantize", model, "-o", output, "-q")[0] == 0
    assert output.is_file()
    assert np.array_equal(load_file(output)["norm.weight"], TENSORS[0]["norm.weight"])
    assert run("restore", output, "-o", tmp_path / "back.safetensors", "-q")[0] == 0


@pytest.fixture
def other_folder(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    return folder


def test_outputs_that_must_stay(model, run, tmp_path, other_folder):
    small = tmp_path / "small"
    assert run("quantize", model, "-o", small, "-q")[0] == 0
    before = files(small)
    inside = model / "inside"
    (tmp_path / "file").write_text("x")
    wrong = [
        (small, [], 2, "--force replaces it"),
        (other_folder, ["--force"], 2, "never replaced"),
        (model, ["--force"], 2, "the output is the input"),
        (model.parent, ["--force"], 2, "holds the input"),
        (inside, [], 2, "inside of the input"),
        (tmp_path / "file", ["--force"], 2, "is a file"),
        (tmp_path / "none" / "small", [], 4, "no such folder"),
        (tmp_path / "x.safetensors", ["--max-shard-size", "1MB"], 2, "makes a folder"),
        (tmp_path / "y", ["--max-shard-size", "0"], 2, "above 0"),
        (tmp_path / "y", ["--max-shard-size", "many"], 2, "not a size"),
    ]
    for output, words, exit_code, told in wrong:
        code, _, err = run("cast", model, "-o", output, "-q", *words)
        assert code == exit_code, (output, err)
        assert told in err
    assert files(small) == before
    assert (other_folder / "thesis.txt").exists()
    code, *_ = run("quantize", model, "-o", small, "-q", "--bits", 8, "--force")
    assert code == 0
    assert embcompress.open(small)[TABLE].form.method["spelled"] == "quantize --bits 8"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_force_leaves_other_files(model, run, tmp_path):
    small = tmp_path / "small"
    words = ["-o", small, "-q", "--force", "--max-shard-size"]
    assert run("quantize", model, *words, "20KB")[0] == 0
    (small / "notes").mkdir()
    (small / "notes" / "mine.txt").write_text("years of work")
    (small / "link").symlink_to("notes")
    (small / "config.json").write_text("older")
    assert run("quantize", model, *words, "60KB")[0] == 0
    assert (small / "link" / "mine.txt").read_text() == "years of work"
    assert (small / "config.json").read_text() == "{}"
    assert run("verify", small)[0] == 0
    assert len([n for n in shards(small) if n.startswith("model-")]) == len(shards(small)) == 2


def test_a_folder_with_an_artifact_of_another_name_stays(model, run, tmp_path):
    (tmp_path / "work").mkdir()
    assert run("quantize", model, "-o", tmp_path / "work" / "m.safetensors", "-q")[0] == 0
    code, _, err = run("quantize", model, "-o", tmp_path / "work", "-q", "--force")
    assert code == 2
    assert "never replaced" in err


def test_a_failed_gate_leaves_the_old_folder(model, run, tmp_path):
    small = tmp_path / "small"
    assert run("quantize", model, "-o", small, "-q")[0] == 0
    before = files(small)
    words = ["-o", small, "-q", "--force", "--max-rel-error", 0.0001]
    assert run("quantize", model, *words)[0] == 1
    assert files(small) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small"]


def test_two_runs_on_one_folder(model, run, tmp_path):
    with AtomicFolder(tmp_path / "small"):
        code, _, err = run("quantize", model, "-o", tmp_path / "small", "-q")
    assert code == 4
    assert "another run is writing it" in err


def test_what_a_killed_run_left_is_no_hindrance(model, run, tmp_path):
    hidden = tmp_path / ".small.part"
    (hidden / "deep").mkdir(parents=True)
    (hidden / "deep" / "left").write_text("x")
    (hidden / "0").write_text("x")
    assert run("quantize", model, "-o", tmp_path / "small", "-q")[0] == 0
    assert "0" not in files(tmp_path / "small")
    assert not hidden.exists()


@pytest.mark.slow
def test_killed_at_any_moment_the_old_folder_stays_whole(model, tmp_path):
    small = tmp_path / "small"
    words = [sys.executable, "-m", "embcompress", "quantize", str(model), "-o", str(small), "-q",
             "--max-shard-size", "20KB", "--force"]  # fmt: skip
    subprocess.run([*words, "--bits", "4"], check=True)
    whole = {4: files(small)}
    start = time.monotonic()
    subprocess.run([*words, "--bits", "8"], check=True)
    taken = time.monotonic() - start
    whole[8] = files(small)
    draw = np.random.default_rng(1)
    for _ in range(40):
        process = subprocess.Popen([*words, "--bits", str(draw.choice([4, 8]))])
        time.sleep(draw.uniform(0.3, 1.0) * taken)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert files(small) in whole.values()


def test_links_out_of_the_folder_are_not_copied(run, tmp_path):
    model = write_model(tmp_path / "model", TENSORS)
    (model / "secret.json").symlink_to("/etc/hostname")
    code, _, err = run("quantize", model, "-o", tmp_path / "small")
    assert code == 0
    assert "secret.json: not copied" in err
    assert not (tmp_path / "small" / "secret.json").exists()


def test_tied_by_content(run, tmp_path):
    head = {"lm_head.weight": TENSORS[0][TABLE]}
    model = write_model(tmp_path / "model", [*TENSORS, head])
    code, out, err = run("quantize", model, "-o", tmp_path / "small")
    assert code == 0
    assert f"'{TABLE}' and tensor 'lm_head.weight' hold the same values" in err
    assert "tied weights" in " ".join(out.split())
    code, _, err = run("quantize", model, "--dry-run", "--tables", TABLE, "--tables", "lm_head*")
    assert "tables 'model.embed_tokens.weight' and 'lm_head.weight'" in err


def test_tied_by_the_configuration(run, tmp_path):
    model = write_model(tmp_path / "model", TENSORS, tie_word_embeddings=True)
    code, _, err = run("quantize", model, "--dry-run")
    assert code == 0
    assert f"config.json ties the output head to '{TABLE}'" in err
    (model / "config.json").write_text("[" * 100_000)
    assert run("quantize", model, "--dry-run")[0] == 0


def test_a_small_shrink_is_told(run, tmp_path):
    tensors = {TABLE: normal(2000, 4), "layers.0.up.weight": normal(3000, 100)}
    model = write_model(tmp_path / "model", [tensors])
    code, out, err = run("quantize", model, "-o", tmp_path / "small")
    assert code == 0
    assert "the whole shrinks by 1." in err
    assert "the compressed tables are 2.6% of it" in " ".join(out.split())


def test_52_too_many_tables(run, tmp_path):
    from tests.tables.making import safetensors

    count, long = 24_000, "embeddings_of_" * 70
    header = ",".join(
        f'"{long}{i}":{{"dtype":"F32","shape":[1,1],"data_offsets":[{4 * i},{4 * i + 4}]}}'
        for i in range(count)
    )
    path = tmp_path / "many.safetensors"
    path.write_bytes(safetensors("{" + header + "}", bytes(4 * count)))
    start = time.process_time()
    code, _, err = run("cast", path, "-o", tmp_path / "small.safetensors", "-q")
    assert code == 3
    assert "24,000 tables are too many for one artifact" in err
    assert "--tables" in err
    assert time.process_time() - start < 15


def test_the_real_checkpoint(minilm_path, minilm, run, tmp_path):
    output = tmp_path / "small"
    code, out, err = run("quantize", minilm_path.parent, "-o", output, "--bits", 8, "--json",
                         "--tables", "*word_embeddings*", "--no-report")  # fmt: skip
    assert code == 0, err
    for name in ("config.json", "tokenizer.json", "vocab.txt", "modules.json"):
        assert (output / name).read_bytes() == (minilm_path.parent / name).read_bytes()
    assert (output / "1_Pooling" / "config.json").exists()
    table = embcompress.open(output)["embeddings.word_embeddings.weight"]
    assert np.abs(table.restore() - minilm).max() < 0.02
    assert Path(output / "model.safetensors").stat().st_size == json.loads(out)["file_bytes"]
