"""Other formats into safetensors: exact values, keys of any bytes, and files that are refused."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import time
from pathlib import Path

import ml_dtypes  # noqa: F401
import numpy as np
import pytest
from safetensors.numpy import load_file

import embcompress
from embcompress.convert import text as text_module
from tests.tables.bad_conversions import CONVERSIONS, binary, zipped


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture
def convert(run, tmp_path):
    """Convert bytes under a name; gives the tensors, their keys for ``t``, and the messages."""

    def call(name, content, *words):
        path = tmp_path / name
        path.write_bytes(content)
        output = tmp_path / "out.safetensors"
        code, _, err = run("convert", path, "-o", output, "--force", *words)
        assert code == 0, err
        return load_file(output), err

    return call


def keys_of(tensors, name):
    lengths = tensors[f"{name}.keys.lengths"].astype(int)
    raw = tensors[f"{name}.keys"].tobytes()
    ends = np.cumsum(lengths)
    return [raw[end - length : end] for end, length in zip(ends, lengths, strict=True)]


@pytest.mark.parametrize("case", CONVERSIONS, ids=[case.id for case in CONVERSIONS])
def test_refused(case, run, tmp_path):
    if case.file.endswith(".pt"):
        pytest.importorskip("torch")
    if case.file.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / case.file).write_bytes(case.content)
    start = time.process_time()
    code, _, err = run("convert", tmp_path / case.file, "-o", tmp_path / "o.safetensors", "-q")
    assert code == case.code, err
    for word in (case.file, *case.words):
        assert word in err
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == [case.file]
    assert not Path("/tmp/embcompress-was-here").exists()
    assert time.process_time() - start < 6  # torch's own import among it


def test_numbers_of_the_table_are_all_there():
    assert {case.number for case in CONVERSIONS} >= {31, 32, 34, 36, 37, 39, 40}


SPELLED = ["0.1", "-1e-3", "1.", ".5", "+2", "1e-50", "3.4e38", "1.00000005960464477540",
           "0.30000000000000004", "123456789.123456789123456789", "-0", "16777217"]  # fmt: skip


def test_glove(convert):
    draw = random.Random(0)
    rows = [[draw.choice(SPELLED) for _ in range(5)] for _ in range(300)]
    content = "".join(f"w{i} {' '.join(row)}\n" for i, row in enumerate(rows)).encode()
    tensors, _ = convert("glove.txt", content)
    wanted = np.array([[np.float32(float(x)) for x in row] for row in rows])
    assert np.array_equal(tensors["glove"].view(np.uint32), wanted.view(np.uint32))
    assert keys_of(tensors, "glove") == [b"w%d" % i for i in range(300)]


def test_35_tokens_with_spaces_and_38_of_other_encodings(convert):
    tokens = [b"the", b". . .", b"at name@domain.com", "·\xa0½".encode(), b"caf\xe9", b"",
              b"x\x85y", b"1 2", b"t\tt", "😀".encode(), b"a" * 300]  # fmt: skip
    content = b"".join(token + b" 0.5 1.5\n" for token in tokens)
    tensors, err = convert("g.txt", content)
    assert keys_of(tensors, "g") == tokens
    assert "2 tokens are not UTF-8" in err
    assert tensors["g"].tolist() == [[0.5, 1.5]] * len(tokens)
    assert tensors["g.keys.lengths"].dtype == np.uint16


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n", b""])
def test_word2vec_text_and_vec(end, convert):
    rows = b"".join(b"w%d 1 %d 3" % (i, i) + (end or b"\n") for i in range(7))
    rows = rows if end else rows[:-1]
    tensors, _ = convert("wiki.vec", b"7 3\n" + rows + (b"\n\n" if end else b""))
    assert tensors["wiki"][:, 1].tolist() == list(range(7))
    assert len(keys_of(tensors, "wiki")) == 7


def test_text_of_numbers_without_a_header(convert):
    tensors, _ = convert("g.txt", b"5 2\n6 2\n7 3\n", "--name", "emb")
    assert tensors["emb"].shape == (3, 1)
    assert keys_of(tensors, "emb") == [b"5", b"6", b"7"]


def test_text_in_blocks(convert, monkeypatch):
    monkeypatch.setattr(text_module, "_BLOCK", 100)
    monkeypatch.setattr(text_module, "_DOUBTS", 4)
    table = normal(500, 3)
    lines = [f"w{i} " + " ".join(repr(float(x)) for x in row) for i, row in enumerate(table)]
    lines[77] = "w77 " + " ".join(["1.00000005960464477540000"] * 3)
    table[77] = np.float32(1.0000000596046448)
    for threads in (1, 2):
        tensors, _ = convert("g.txt", "\n".join(lines).encode(), "--threads", threads)
        assert np.array_equal(tensors["g"], table)
    assert keys_of(tensors, "g") == [b"w%d" % i for i in range(500)]


@pytest.mark.parametrize("newline", [True, False])
def test_word2vec_binary(newline, convert):
    table = normal(400, 6)
    tokens = [b"w%d" % i for i in range(399)] + [b"caf\xe9_\0\xff"]
    end = b"\n" if newline else b""
    rows = b"".join(t + b" " + r.tobytes() + end for t, r in zip(tokens, table, strict=True))
    tensors, err = convert("w.bin", b"400 6\n" + rows)
    assert np.array_equal(tensors["w"], table)
    assert keys_of(tensors, "w") == tokens
    assert "1 tokens are not UTF-8" in err


def test_word2vec_binary_in_blocks(convert, monkeypatch):
    from embcompress.convert import vectors

    monkeypatch.setattr(vectors, "_BLOCK", 64)
    monkeypatch.setattr(vectors, "_MOST_TOKEN", 20)
    tensors, _ = convert("w.bin", binary(300, 5, 300))
    assert tensors["w"].tolist() == [[0, 1, 2, 3, 4]] * 300


def test_vector_files(convert):
    table = normal(40, 9)
    head = struct.pack("<i", 9)
    tensors, _ = convert("t.fvecs", b"".join(head + row.tobytes() for row in table))
    assert np.array_equal(tensors["t"], table)
    whole = np.arange(360, dtype=np.uint8).reshape(40, 9)
    tensors, _ = convert("t.bvecs", b"".join(head + row.tobytes() for row in whole))
    assert tensors["t"].dtype == np.float16
    assert np.array_equal(tensors["t"], whole)
    tensors, _ = convert("t.fbin", struct.pack("<II", 40, 9) + table.tobytes())
    assert np.array_equal(tensors["t"], table)
    tensors, _ = convert("t", struct.pack("<II", 0, 9), "--format", "fbin")
    assert tensors["t"].shape == (0, 9)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save, convert):
    arrays = {
        "emb": normal(50, 7), "half": normal(4, 3).astype(np.float16), "ids": np.arange(9),
        "big": normal(5, 4).astype(">f8"), "fortran": np.asfortranarray(normal(30, 8, seed=1)),
        "cube": np.asfortranarray(normal(3, 4, 5)), "one": np.float32(3), "none": normal(0, 4),
    }  # fmt: skip
    buffer = io.BytesIO()
    save(buffer, **arrays)
    tensors, _ = convert("t.npz", buffer.getvalue())
    assert set(tensors) == set(arrays)
    for name, array in arrays.items():
        assert np.array_equal(tensors[name], array)
        assert tensors[name].dtype == np.asarray(array).dtype.newbyteorder("=")


def test_npz_in_pieces_that_break_numbers(convert, monkeypatch):
    from embcompress.convert import archives

    monkeypatch.setattr(archives, "_PIECE", 13)
    buffer = io.BytesIO()
    np.savez(buffer, a=normal(7, 3), b=np.asfortranarray(normal(7, 3)))
    tensors, _ = convert("t.npz", buffer.getvalue())
    assert np.array_equal(tensors["a"], tensors["b"])
    assert np.array_equal(tensors["a"], normal(7, 3))


def torch_bytes(state, **options):
    torch = pytest.importorskip("torch")
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("old", [False, True])
def test_torch(old, convert):
    torch = pytest.importorskip("torch")
    shared = torch.randn(30, 4)
    state = {
        "state_dict": {"emb.weight": shared, "head.weight": shared, "turned": shared.T},
        "bf16": torch.randn(5, 3).bfloat16(), "ids": torch.arange(4), "flag": torch.tensor([True]),
        "scalar": torch.tensor(2.5), "none": torch.empty(0, 3), "epoch": 7, "text": "x",
        "sparse": torch.eye(3).to_sparse(), "parameter": torch.nn.Parameter(torch.ones(2, 2)),
    }  # fmt: skip
    tensors, err = convert("model.pt", torch_bytes(state, _use_new_zipfile_serialization=not old))
    assert np.array_equal(tensors["state_dict.emb.weight"], shared.numpy())
    assert np.array_equal(tensors["state_dict.turned"], shared.numpy().T)
    assert np.array_equal(tensors["bf16"].view(np.uint16), state["bf16"].view(torch.uint16).numpy())
    assert tensors["ids"].tolist() == [0, 1, 2, 3]
    assert tensors["flag"].tolist() == [True]
    assert tensors["scalar"] == 2.5
    assert tensors["none"].shape == (0, 3)
    assert tensors["parameter"].tolist() == [[1, 1], [1, 1]]
    assert set(tensors) & {"epoch", "text", "sparse"} == set()
    assert "left out 3 values" in err
    assert "'state_dict.emb.weight' and 'state_dict.head.weight' share their storage" in err


def test_33_torch_that_is_missing_or_old(run, tmp_path, monkeypatch):
    (tmp_path / "m.pt").write_bytes(zipped({"a/data.pkl": b""}))
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else real(name)
    )
    code, _, err = run("convert", tmp_path / "m.pt", "-o", tmp_path / "o.safetensors")
    assert code == 2
    assert "pip install 'embcompress[torch]'" in err
    monkeypatch.setattr(importlib.util, "find_spec", real)
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    code, _, err = run("convert", tmp_path / "m.pt", "-o", tmp_path / "o.safetensors")
    assert code == 2
    assert "CVE-2025-32434" in err


def parquet_bytes(**columns):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=7)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["list", "fixed", "large", "double", "half"])
def test_parquet(kind, convert, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    from embcompress.convert import columns

    monkeypatch.setattr(columns, "_ROWS", 9)
    table = normal(40, 3).astype(np.float16)
    item = {"double": pa.float64(), "half": pa.float16()}.get(kind, pa.float32())
    wanted = {"fixed": pa.list_(item, 3), "large": pa.large_list(item)}.get(kind, pa.list_(item))
    lists = pa.array(list(table.astype(np.float64 if kind == "double" else np.float32))
                     if kind != "half" else list(table), wanted)  # fmt: skip
    content = parquet_bytes(
        word=[f"w{i}" for i in range(40)], vector=lists, id=np.arange(40) * 10**12
    )
    _, err = convert("t.parquet", content)
    assert "left out columns 'word', 'id'; --key-column makes one the rows' keys" in err
    tensors, err = convert("t.parquet", content, "--key-column", "word")
    assert "left out columns 'id'\n" in err
    assert np.array_equal(tensors["t"], table.astype(np.float32))
    assert keys_of(tensors, "t") == [b"w%d" % i for i in range(40)]
    tensors, _ = convert("t.parquet", content, "--key-column", "id", "--name", "emb")
    assert tensors["emb.keys"].tolist() == (np.arange(40) * 10**12).tolist()


PARQUET = [
    ("two columns", {"a": [[1.0]], "b": [[2.0]]}, [], 2, "--column"),
    ("no such column", {"a": [[1.0]]}, ["--column", "c"], 2, "no column 'c'"),
    ("integers", {"a": [[1]], "b": [[1.0]]}, ["--column", "a"], 3, "no list of floats"),
    ("no such key", {"a": [[1.0]]}, ["--key-column", "c"], 2, "no column 'c'"),
    ("key a list", {"a": [[1.0]]}, ["--key-column", "a"], 3, "texts, bytes or integers"),
    ("ragged", {"a": [[1.0, 2.0], [3.0]]}, [], 3, "row 1 has 1 numbers"),
    ("ragged later", {"a": [[1.0, 2.0]] * 20 + [[3.0]] * 20}, [], 3, "row 20 has 1 numbers"),
    ("list missing", {"a": [[1.0], None]}, [], 3, "row 1 has no list"),
    ("number missing", {"a": [[1.0], [None]]}, [], 3, "a number is missing"),
    ("key missing", {"a": [[1.0], [2.0]], "k": ["x", None]}, ["--key-column", "k"], 3, "row 1"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "words", "code", "told"), [p[1:] for p in PARQUET],
                         ids=[p[0] for p in PARQUET])  # fmt: skip
def test_wrong_parquet(columns, words, code, told, run, tmp_path):
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(**columns))
    output = tmp_path / "o.safetensors"
    got, _, err = run("convert", tmp_path / "t.parquet", "-o", output, *words)
    assert got == code, err
    assert told in err
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


@pytest.fixture
def words(run, tmp_path):
    """Word vectors whose tokens are of all kinds, converted and compressed."""
    tokens = ["the", "of", ". .", "kö", "the", "a,b", "the cat"]
    lines = [f"{t} {' '.join(map(str, r))}\n" for t, r in zip(tokens, normal(7, 300), strict=True)]
    (tmp_path / "w.txt").write_text("".join(lines))
    dense, small = tmp_path / "w.safetensors", tmp_path / "small.safetensors"
    assert run("convert", tmp_path / "w.txt", "-o", dense, "-q")[0] == 0
    assert run("quantize", dense, "-o", small, "-q")[0] == 0
    return small


def test_lookup_by_keys(words, run, tmp_path):
    table = embcompress.open(words)["w"]
    code, out, _ = run("lookup", words, "--keys", "of,the", "--json")
    found = json.loads(out)
    assert [(row["id"], row["key"]) for row in found] == [(1, "of"), (0, "the")]
    assert np.array_equal(np.array([r["row"] for r in found], np.float32), table.lookup([1, 0]))
    code, out, _ = run("lookup", words, "--keys", "kö")
    assert out.split()[0] == "kö"
    (tmp_path / "k.txt").write_text("a,b\nthe cat\n. .\n")
    code, out, _ = run("lookup", words, "--keys-file", tmp_path / "k.txt", "--json")
    assert [row["id"] for row in json.loads(out)] == [5, 6, 2]
    code, _, err = run("lookup", words, "--keys", "teh")
    assert code == 2
    assert "no key 'teh'" in err
    code, _, err = run("lookup", words, "--keys", "the", "--ids", "0")
    assert code == 2
    code, out, _ = run("neighbors", words, "--keys", "of", "-k", "1")
    query, row, _, key = out.split(maxsplit=3)
    assert (query, key.rstrip()) == (
        "1",
        ["the", "of", ". .", "kö", "the", "a,b", "the cat"][int(row)],
    )


def test_reports_name_rows_by_their_keys(words, run, tmp_path):
    dense = tmp_path / "w.safetensors"
    for told in (
        run("report", words, "--against", dense)[1],
        run("report", words)[1],
        run("quantize", dense, "-o", tmp_path / "again.safetensors")[1],
    ):
        assert re.search(r"row \d is '(the|of|\. \.|kö|a,b|the cat)'", " ".join(told.split()))


def test_tensors_that_only_have_the_name_are_no_keys(run, tmp_path):
    from safetensors.numpy import save_file

    tensors = {"emb": normal(2000, 8), "emb.keys": normal(3, 3), "emb.keys.lengths": normal(2000)}
    save_file(tensors, tmp_path / "m.safetensors")
    small = tmp_path / "small.safetensors"
    code, _, err = run("quantize", tmp_path / "m.safetensors", "-o", small, "--tables", "emb")
    assert code == 0, err
    assert "has no keys" in run("lookup", small, "--keys", "x")[2]
    lengths = np.full(2000, 9, np.uint8)
    save_file(
        tensors | {"emb.keys": lengths, "emb.keys.lengths": lengths}, tmp_path / "d.safetensors"
    )
    code, _, err = run("quantize", tmp_path / "d.safetensors", "-o", small, "-q", "--force",
                       "--tables", "emb")  # fmt: skip
    assert code == 0, err
    assert run("lookup", small, "--keys", "x")[0] == 3


def test_lookup_by_keys_of_shards_and_of_a_vocabulary(words, run, tmp_path):
    folder = tmp_path / "shards"
    code, *_ = run(
        "cast", tmp_path / "w.safetensors", "-o", folder, "--max-shard-size", "2KB", "-q"
    )
    assert code == 0
    assert json.loads(run("lookup", folder, "--keys", "kö", "--json")[1])[0]["id"] == 3
    model = tmp_path / "model"
    model.mkdir()
    from safetensors.numpy import save_file

    save_file({"emb.weight": normal(2000, 8)}, model / "model.safetensors")
    (model / "vocab.txt").write_text("".join(f"t{i}\n" for i in range(2000)))
    assert run("quantize", model, "-o", tmp_path / "small", "-q")[0] == 0
    assert (
        json.loads(run("lookup", tmp_path / "small", "--keys", "t77", "--json")[1])[0]["id"] == 77
    )


def test_integer_keys(run, tmp_path):
    content = parquet_bytes(vector=list(normal(500, 64)), id=np.arange(500) * 7)
    (tmp_path / "t.parquet").write_bytes(content)
    dense, small = tmp_path / "t.safetensors", tmp_path / "small.safetensors"
    assert run("convert", tmp_path / "t.parquet", "-o", dense, "--key-column", "id", "-q")[0] == 0
    assert run("quantize", dense, "-o", small, "-q")[0] == 0
    assert json.loads(run("lookup", small, "--keys", "21", "--json")[1])[0]["id"] == 3
    for wrong in ("22", "x"):
        assert run("lookup", small, "--keys", wrong)[0] == 2


def test_no_keys(run, tmp_path):
    np.save(tmp_path / "t.npy", normal(2000, 8))
    small = tmp_path / "small.safetensors"
    assert run("quantize", tmp_path / "t.npy", "-o", small, "-q")[0] == 0
    for verb in ("lookup", "neighbors"):
        code, _, err = run(verb, small, "--keys", "the")
        assert code == 2
        assert "has no keys" in err


WRONG = [
    (["-o", "o.npy"], 2, "convert writes .safetensors"),
    (["-o", "w.txt"], 2, "the output is the input"),
    (["-o", "o.safetensors", "--column", "x"], 2, "of Parquet"),
    (["-o", "o.safetensors", "--force", ".."], 2, ""),
    (["-o", "none/o.safetensors"], 4, "no such folder"),
    (["-o", "o.safetensors", "--format", "npz", "--name", "x"], 2, "--name"),
    (["-o", "o.safetensors", "--format", "fvecs"], 3, "no whole rows"),
    (["-o", "o.safetensors", "--format", "glove"], 2, "--format"),
    ([], 2, "-o"),
]


@pytest.mark.parametrize(("words", "code", "told"), WRONG)
def test_wrong_usage(words, code, told, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("w.txt").write_text("the 1 2\nof 3 4\n")
    got, _, err = run("convert", "w.txt", *words)
    assert got == code, err
    assert told in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.txt"]
