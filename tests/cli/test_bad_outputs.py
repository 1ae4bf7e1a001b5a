"""Rows 41 to 68 of the table of bad inputs that concern rows, outputs and artifacts: as data."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress

N, D = 300, 8


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def spoilt(value, *rows):
    table = normal(N, D)
    table[list(rows), 3] = value
    return table


def outlier():
    table = normal(N, D)
    table[7, 2] = 3e4
    return table


# (row of the table, the table, the verb, exit code, words on stderr)
ROWS = [
    ("41-nan", spoilt(np.nan, 4, 9), "quantize", 3, "2 rows hold NaN or infinity (row 4, 9)"),
    ("41-inf", spoilt(-np.inf, 5), "cast", 3, "1 row holds NaN or infinity (row 5)"),
    ("41-many", spoilt(np.nan, *range(50)), "kmeans", 3, "50 rows hold"),
    ("42-zero-row", np.vstack([np.zeros((1, D)), normal(N, D)]), "quantize", 0, ""),
    ("43-constant-row", np.vstack([np.full((1, D), 0.7), normal(N, D)]), "quantize", 0, ""),
    ("44-denormal-row", np.vstack([np.full((1, D), 1e-42), normal(N, D)]), "quantize", 0, ""),
    ("44-denormal-rows", normal(N, D) * 1e-40, "quantize", 0, ""),
    ("45-huge-row", spoilt(3e38, 4) + spoilt(-3e38, 5), "quantize", 0, ""),
    ("45-huge-row-kmeans", spoilt(3e38, 4), "kmeans", 0, ""),
    ("46-fp16-overflow", normal(N, D) * 1e6, "quantize", 0, ""),
    ("46-fp16-overflow-cast", normal(N, D) * 1e6, "cast", 3, "beyond fp16's 65504"),
    ("47-outlier-column", outlier(), "quantize", 0, ""),
]


@pytest.mark.parametrize(("table", "verb", "code", "words"), [r[1:] for r in ROWS],
                         ids=[r[0] for r in ROWS])  # fmt: skip
def test_rows(table, verb, code, words, run, tmp_path):
    np.save(tmp_path / "t.npy", table.astype(np.float32))
    output = tmp_path / "t.safetensors"
    small = ["--bits", "2"] if verb == "kmeans" else []
    got, out, err = run(verb, tmp_path / "t.npy", "-o", output, "--json", *small)
    assert got == code, err
    assert words in err
    assert output.exists() == (code == 0)
    if code == 0:
        rows = embcompress.open(output)["t"].restore()
        assert np.isfinite(rows).all()
        assert json.loads(out)["tables"][0]["errors"]["relative_error"] < 0.5
        if not table[0].any():
            assert not rows[0].any()


def test_47_an_outlier_column_is_told(run, tmp_path):
    table = normal(N, D)
    table[:, 2] *= 100
    np.save(tmp_path / "t.npy", table)
    output = tmp_path / "t.safetensors"
    code, out, _ = run("quantize", tmp_path / "t.npy", "-o", output)
    assert code == 0
    assert "column 2 holds 100% of the table's energy" in " ".join(out.split())
    assert "column 2 holds" in run("report", output)[1]


def test_41_nonfinite_zero(run, tmp_path):
    np.save(tmp_path / "t.npy", spoilt(np.nan, 4))
    output = tmp_path / "o.safetensors"
    code, *_ = run("cast", tmp_path / "t.npy", "-o", output, "--nonfinite", "zero", "-q")
    assert code == 0
    assert embcompress.open(output)["t"].lookup([4])[0, 3] == 0


def test_50_fewer_rows_than_groups(run, tmp_path):
    np.save(tmp_path / "t.npy", normal(5, D))
    code, _, err = run(
        "kmeans", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", "--per", "group"
    )
    assert code == 2
    assert "--groups 64 is more than its 5 rows" in err


def test_49_group_size_that_does_not_divide(run, tmp_path):
    np.save(tmp_path / "t.npy", normal(N, D))
    output = tmp_path / "o.safetensors"
    code, out, _ = run(
        "quantize", tmp_path / "t.npy", "-o", output, "--group-size", 3, "--bits", 3, "--json"
    )
    assert code == 0
    assert json.loads(out)["tables"][0]["parts"]["scale"] == N * 3 * 2


NAMES = ["a/b.embedding", "emb\nnewline", "emb 🙂", "emb" + "x" * 4096]


@pytest.mark.parametrize("name", NAMES, ids=lambda n: repr(n[:20]))
def test_53_odd_names(name, run, tmp_path):
    save_file({name: normal(20 * N, D), "tower.bias": normal(3)}, tmp_path / "m.safetensors")
    output = tmp_path / "o.safetensors"
    code, _, err = run("quantize", tmp_path / "m.safetensors", "-o", output)
    assert code == 0, err
    assert embcompress.open(output)[name].shape == (20 * N, D)


def test_53_reserved_names(run, tmp_path):
    save_file({"emb::rows": normal(N, D)}, tmp_path / "m.safetensors")
    code, _, err = run("cast", tmp_path / "m.safetensors", "-o", tmp_path / "o.safetensors")
    assert code == 3
    assert "::" in err


FREQUENCIES = [
    ("54-length", np.ones(N - 1), "300"),
    ("54-negative", np.r_[-1.0, np.ones(N - 1)], "row 0"),
    ("54-nan", np.r_[np.ones(N - 1), np.nan], f"row {N - 1}"),
    ("54-zero", np.zeros(N), "0"),
]


@pytest.mark.parametrize(("values", "words"), [f[1:] for f in FREQUENCIES],
                         ids=[f[0] for f in FREQUENCIES])  # fmt: skip
def test_54_frequencies(values, words, run, tmp_path):
    np.save(tmp_path / "t.npy", normal(N, D))
    np.save(tmp_path / "f.npy", values)
    code, _, err = run(
        "cast", tmp_path / "t.npy", "-o", tmp_path / "o", "--frequencies", tmp_path / "f.npy"
    )
    assert code == 2
    assert words in err


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "t.npy"
    np.save(path, normal(N, D))
    return path


def test_55_input_changes_while_it_is_read(source, run, tmp_path, monkeypatch):
    from embcompress.pipeline import run as run_module

    real = run_module.fit_tables

    def touched(*arguments):
        os.utime(source, ns=(1, 1))
        return real(*arguments)

    monkeypatch.setattr(run_module, "fit_tables", touched)
    output = tmp_path / "o.safetensors"
    code, _, err = run("cast", source, "-o", output)
    assert code == 4
    assert "changed while it was read" in err
    assert list(tmp_path.iterdir()) == [source]


def test_56_output_is_input(source, run):
    before = source.read_bytes()
    code, _, err = run("cast", source, "-o", source, "--force")
    assert code == 2
    assert "the output is the input" in err
    assert source.read_bytes() == before


def test_output_exists(source, run, tmp_path):
    output = tmp_path / "o.safetensors"
    output.write_bytes(b"precious")
    code, _, err = run("cast", source, "-o", output)
    assert code == 2
    assert "--force" in err
    assert output.read_bytes() == b"precious"
    assert run("cast", source, "-o", output, "--force", "-q")[0] == 0


def test_57_no_such_folder(source, run, tmp_path):
    code, _, err = run("cast", source, "-o", tmp_path / "none" / "o.safetensors")
    assert code == 4
    assert "no such folder" in err


def test_57_unwritable_folder(source, run, tmp_path, monkeypatch):
    # root may write anywhere, so the system's answer is played
    monkeypatch.setattr(os, "access", lambda path, mode, **_: not mode & os.W_OK)
    code, _, err = run("cast", source, "-o", tmp_path / "o.safetensors")
    assert code == 4
    assert "permission denied" in err


def test_58_disk_full(source, run, tmp_path, monkeypatch):
    import errno

    real = os.pwrite
    written = 0

    def full(fd, data, offset):
        nonlocal written
        written += len(data)
        if written > 2000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    code, _, err = run("cast", source, "-o", tmp_path / "o.safetensors")
    assert code == 4
    assert "no space left" in err
    assert list(tmp_path.iterdir()) == [source]


def test_58_disk_has_no_room(source, run, tmp_path, monkeypatch):
    class Stats:
        f_bavail, f_frsize = 1, 512

    monkeypatch.setattr(os, "fstatvfs", lambda fd: Stats)
    code, _, err = run("cast", source, "-o", tmp_path / "o.safetensors")
    assert code == 4
    assert "the disk has 512" in err


def test_61_two_runs_on_one_output(source, run, tmp_path):
    from embcompress.artifact.atomic import AtomicFile

    output = tmp_path / "o.safetensors"
    with AtomicFile(output):
        code, _, err = run("cast", source, "-o", output)
    assert code == 4
    assert "another run is writing it" in err


def test_62_too_little_memory(source, run, tmp_path):
    code, _, err = run("cast", source, "-o", tmp_path / "o.safetensors", "--memory", "10MB")
    assert code == 4
    assert "too little" in err


def test_63_closed_stdout(source, tmp_path):
    script = f"{sys.executable} -m embcompress methods | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.fixture
def artifact(source, run, tmp_path):
    path = tmp_path / "a.safetensors"
    assert run("kmeans", source, "-o", path, "--per", "group", "--groups", 5, "-q")[0] == 0
    return path


def edited(path: Path, change) -> None:
    """Rewrite an artifact's document, header and checksums: a forger's work, not an accident's."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    document = json.loads(header["__metadata__"]["embcompress"])
    change(document, header)
    header["__metadata__"]["embcompress"] = json.dumps(document)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = bytearray(raw[8 + length :])
    from embcompress.artifact.checksums import CHUNK, digest

    start = struct.pack("<Q", len(text)) + text
    digests = digest(start)
    spans = sorted(
        (i["data_offsets"], n)
        for n, i in header.items()
        if n not in ("__metadata__", "::checksums")
    )
    for (begin, end), _ in spans:
        digests += b"".join(
            digest(bytes(data[b : min(b + CHUNK, end)])) for b in range(begin, end, CHUNK)
        )
    begin, end = header["::checksums"]["data_offsets"]
    data[begin:end] = digests
    path.write_bytes(start + data)


def config(document):
    return document["tables"]["t"]["segments"][0]["config"]


FORGED = [
    ("66-few-books", lambda d, h: config(d).update(books=4)),
    ("67-newer-format", lambda d, h: d.update(format=2)),
    ("67-newer-codec", lambda d, h: d["tables"]["t"]["segments"][0].update(version=2)),
    ("67-unknown-codec", lambda d, h: d["tables"]["t"]["segments"][0].update(codec="new")),
    ("68-huge-books", lambda d, h: config(d).update(books=2**40)),
    ("68-huge-rows", lambda d, h: d["tables"]["t"].update(shape=[2**40, D])),
    ("68-huge-dimension", lambda d, h: d["tables"]["t"].update(shape=[N, 2**40])),
    ("68-negative", lambda d, h: d["tables"]["t"].update(shape=[-1, D])),
    ("68-bits", lambda d, h: config(d).update(bits=64)),
    ("68-more-config", lambda d, h: config(d).update(extra=1)),
    ("68-shared-elsewhere", lambda d, h: d["tables"]["t"]["segments"][0].update(
        shared={"codebook": "t::nowhere"})),
    ("68-shared-is-no-object", lambda d, h: d["tables"]["t"]["segments"][0].update(shared=[1])),
    ("68-map", lambda d, h: d["tables"]["t"].update(map={"kind": "whole", "segment": 3})),
    ("68-no-tables", lambda d, h: d.update(tables=[])),
    ("68-nested", lambda d, h: d["tables"]["t"].update(segments=[[[[]]]])),
]  # fmt: skip


@pytest.mark.parametrize("change", [f[1] for f in FORGED], ids=[f[0] for f in FORGED])
@pytest.mark.parametrize("verb", ["lookup", "verify", "report"])
def test_forged_documents(change, verb, artifact, run):
    edited(artifact, change)
    words = ["--ids", "0,1"] if verb == "lookup" else []
    code, _, err = run(verb, artifact, *words)
    assert code == 3, err
    assert str(artifact) in err


def forged_number(artifact, tensor, raw: bytes, offset=0):
    opened = embcompress.open(artifact, check=False)
    info = opened.header.tensors[tensor]
    at = opened.header.data_start + info.begin + offset
    data = bytearray(artifact.read_bytes())
    data[at : at + len(raw)] = raw
    artifact.write_bytes(data)
    edited(artifact, lambda d, h: None)


def test_66_group_beyond_books(artifact, run):
    opened = embcompress.open(artifact)
    width = opened.header.tensors["t::rows"].shape[1]
    forged_number(artifact, "t::rows", b"\xff", width - 1)
    code, out, _ = run("verify", artifact)
    assert code == 3
    assert "its group is not below 5" in out
    code, _, err = run("lookup", artifact, "--ids", "0")
    assert code in (0, 3), err  # never a crash, never a read out of bounds


def test_66_nan_centroid(artifact, run):
    forged_number(artifact, "t::codebook", np.float16(np.nan).tobytes())
    code, _, err = run("lookup", artifact, "--ids", "0")
    assert code == 3
    assert "holds a NaN" in err


def test_66_nan_scale(source, run, tmp_path):
    path = tmp_path / "q.safetensors"
    run("quantize", source, "-o", path, "-q")
    width = embcompress.open(path).header.tensors["t::rows"].shape[1]
    forged_number(path, "t::rows", np.float16(np.inf).tobytes(), 2 * width - 2)
    code, out, _ = run("verify", path)
    assert code == 3
    assert "row 1: bias is not finite" in out


def test_65_flipped_bit(artifact, run):
    raw = bytearray(artifact.read_bytes())
    info = embcompress.open(artifact).header
    raw[info.data_start + info.tensors["t::rows"].begin + 17] ^= 1
    artifact.write_bytes(raw)
    code, out, _ = run("verify", artifact)
    assert code == 3
    assert "tensor 't::rows' is damaged between its bytes 0 and" in out
    code, _, err = run("lookup", artifact, "--ids", "3")
    assert code == 3
    assert "damaged" in err


def test_truncated_artifact(artifact, run):
    artifact.write_bytes(artifact.read_bytes()[:-20])
    assert run("lookup", artifact, "--ids", "3")[0] == 3


def test_an_artifact_is_no_source(artifact, run, tmp_path):
    code, _, err = run("cast", artifact, "-o", tmp_path / "again.safetensors")
    assert code == 3
    assert "artifact already" in err


def test_a_source_is_no_artifact(source, run):
    code, _, err = run("lookup", source, "--ids", "0")
    assert code == 3
    assert "artifact" in err


@pytest.mark.parametrize("verb", ["pq --rotate opq", "binarize --rotate itq", "saec", "rotate"])
def test_huge_values_are_turned(verb, run, tmp_path):
    np.save(tmp_path / "t.npy", normal(N, D) * np.float32(1e37))
    words = [*verb.split(), tmp_path / "t.npy", "-o", tmp_path / "o.safetensors"]
    code, _, err = run(*words, "--keep-failed", "-q")
    assert code in (0, 1), err
    assert np.isfinite(embcompress.open(tmp_path / "o.safetensors")["t"].restore()).all()
