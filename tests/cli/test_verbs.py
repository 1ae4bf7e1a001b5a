"""The job as typed, and the habits of a tool: help, errors, JSON, gates, reports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import embcompress
from embcompress.methods import registry
from tests.variants import information_files

GLOVE = Path(__file__).parents[2] / "fixtures" / "glove.npy"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """glove.npy at 4 bits."""
    from embcompress.cli.entry import run

    path = tmp_path_factory.mktemp("verbs") / "glove.q4.safetensors"
    assert run(["quantize", str(GLOVE), "-o", str(path), "--bits", "4", "-q"]) == 0
    return path


def test_the_job_as_typed(run, tmp_path):
    output = tmp_path / "glove.q4.safetensors"
    code, out, err = run("quantize", GLOVE, "-o", output, "--bits", 4)
    assert code == 0, err
    assert "relative error" in out
    assert "taken: glove" in err
    code, out, _ = run("report", output, "--against", GLOVE)
    assert code == 0
    assert "recall@10" in out
    code, out, _ = run("lookup", output, "--ids", "0,17,19999")
    assert [line.split()[0] for line in out.splitlines()] == ["0", "17", "19999"]
    back = tmp_path / "back.npy"
    assert run("restore", output, "-o", back)[0] == 0
    table = embcompress.open(output)["glove"]
    assert np.array_equal(np.load(back), table.restore())
    typed = np.array(out.splitlines()[1].split()[1:], np.float32)
    assert np.array_equal(typed, table.lookup([17])[0])


def test_python_as_typed(artifact):
    art = embcompress.open(artifact)
    assert list(art) == ["glove"]
    ids = np.array([[3, 5], [0, 19999]], np.uint16)
    out = np.empty((2, 2, 50), np.float32)
    rows = art["glove"].lookup(ids, out=out)
    assert rows is out
    assert np.array_equal(rows, art["glove"].restore()[ids])
    table = embcompress.compress(np.load(GLOVE), embcompress.methods.Quantize(bits=4))
    assert type(table) is type(art["glove"])
    assert np.array_equal(table.restore(), art["glove"].restore())
    assert np.array_equal(embcompress.read_table(GLOVE), np.load(GLOVE))


@pytest.mark.parametrize(
    ("ids", "error", "words"),
    [
        ([20000], IndexError, "id 20000"),
        ([3, -1], IndexError, "id -1"),
        (np.array([2**63], np.uint64), IndexError, str(2**63)),
        ([0.5], TypeError, "float64"),
        ([True], TypeError, "bool"),
        (["a"], TypeError, "U1"),
    ],
    ids=str,
)
def test_wrong_ids(artifact, ids, error, words):
    with pytest.raises(error, match=words):
        embcompress.open(artifact)["glove"].lookup(ids)


@pytest.mark.parametrize(
    "out",
    [
        np.empty((2, 49), np.float32),
        np.empty((2, 50), np.float64),
        np.empty((50, 2), np.float32).T,
        np.broadcast_to(np.float32(0), (2, 50)),
    ],
    ids=["shape", "dtype", "order", "read-only"],
)
def test_wrong_out(artifact, out):
    with pytest.raises(ValueError, match="out"):
        embcompress.open(artifact)["glove"].lookup([0, 1], out=out)


def test_no_ids(artifact):
    assert embcompress.open(artifact)["glove"].lookup([]).shape == (0, 50)


GATES = [
    (["--max-rel-error", "0.01"], 1, "relative error"),
    (["--max-rel-error", "0.2"], 0, ""),
    (["--min-cosine", "0.9999"], 1, "cosine"),
    (["--min-recall", "0.99"], 1, "recall"),
    (["--min-recall", "0.5"], 0, ""),
    (["--max-bytes", "500KB"], 1, "bytes"),
    (["--max-bytes", "1MB"], 0, ""),
    (["--min-ratio", "10"], 1, "ratio"),
    (["--max-bits", "4"], 1, "bits"),
    (["--max-bits", "4.8"], 0, ""),
]


@pytest.mark.parametrize(("words", "code", "told"), GATES, ids=lambda v: str(v))
def test_gates(words, code, told, artifact, run, tmp_path):
    got, _, err = run("report", artifact, "--against", GLOVE, *words)
    assert got == code
    assert told in err
    output = tmp_path / "out.safetensors"
    got, _, err = run("quantize", GLOVE, "-o", output, *words)
    assert got == code
    assert output.exists() == (code == 0)
    if code:
        assert "--keep-failed" in err
        assert list(tmp_path.iterdir()) == []


def test_keep_failed(run, tmp_path):
    output = tmp_path / "out.safetensors"
    code, *_ = run("cast", GLOVE, "-o", output, "--min-ratio", 3, "--keep-failed", "-q")
    assert code == 1
    assert embcompress.open(output)["glove"].shape == (20000, 50)


def test_an_output_that_is_not_smaller_fails(run, tmp_path):
    code, _, err = run("cast", GLOVE, "-o", tmp_path / "o.safetensors", "--to", "fp32")
    assert code == 1
    assert "smaller" in err or "fewer" in err


def test_a_gate_that_cannot_be_evaluated_fails(artifact, run):
    code, _, err = run("report", artifact, "--min-recall", 0.5)
    assert code == 1
    assert "could not be evaluated" in err


def test_report_without_source_tells_kept_errors(artifact, run):
    _, out, _ = run("report", artifact, "--json")
    kept = json.loads(out)
    _, out, _ = run("report", artifact, "--against", GLOVE, "--json")
    measured = json.loads(out)
    ours, theirs = (r["tables"][0]["errors"]["relative_error"] for r in (kept, measured))
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert kept["tables"][0]["errors_from"] == "compression"
    assert measured["tables"][0]["errors_from"] == "source"


def test_report_of_another_source(artifact, run, tmp_path):
    other = tmp_path / "glove.npy"
    np.save(other, np.load(GLOVE)[:100])
    code, _, err = run("report", artifact, "--against", other)
    assert code == 3
    assert "100×50" in err


def test_report_files(artifact, run, tmp_path):
    for name in ("r.json", "r.md"):
        code, *_ = run("report", artifact, "--against", GLOVE, "--report", tmp_path / name)
        assert code == 0
    from embcompress.report.model import Report

    assert Report.from_json(json.loads((tmp_path / "r.json").read_text())).tables[0].errors
    assert "| " in (tmp_path / "r.md").read_text()
    code, _, err = run("report", artifact, "--report", tmp_path / "r.xls")
    assert code == 2
    assert ".json, .md, .xml, .html" in err


def test_frequencies_weight_the_report(run, tmp_path):
    frequencies = tmp_path / "f.txt"
    frequencies.write_text("\n".join(str(1000 / (i + 1)) for i in range(20000)))
    output = tmp_path / "o.safetensors"
    code, out, err = run(
        "quantize", GLOVE, "-o", output, "--frequencies", frequencies,
        "--keep-hot", 0.01, "--hot-as", "fp32", "--json",
    )  # fmt: skip
    assert code == 0, err
    errors = json.loads(out)["tables"][0]["errors"]
    assert errors["weighted_relative_error"] < 0.8 * errors["relative_error"]
    rows = embcompress.open(output)["glove"].lookup(np.arange(200))
    assert np.array_equal(rows, np.load(GLOVE)[:200])


def test_keep_hot_breaks_ties_by_row_number(run, tmp_path):
    table = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32)
    np.save(tmp_path / "t.npy", table)
    (tmp_path / "f.txt").write_text("1\n" * 1000)
    output = tmp_path / "o.safetensors"
    words = ["--frequencies", tmp_path / "f.txt", "--keep-hot", 0.0109, "--hot-as", "fp32"]
    assert run("binarize", tmp_path / "t.npy", "-o", output, *words, "-q")[0] == 0
    same = (embcompress.open(output)["t"].restore() == table).all(axis=1)
    assert same.nonzero()[0].tolist() == list(range(10))


def test_keep_hot_needs_frequencies(run, tmp_path):
    code, _, err = run("quantize", GLOVE, "-o", tmp_path / "o.safetensors", "--keep-hot", 0.1)
    assert code == 2
    assert "--frequencies" in err


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small recommender with two tables in different dtypes and other tensors."""
    random = np.random.default_rng(5)
    tensors = {
        "user_embedding.weight": random.standard_normal((3000, 16)).astype(np.float16),
        "item_embedding.weight": random.standard_normal((500, 8)).astype(np.float32),
        "tower.0.weight": random.standard_normal((32, 24)).astype(np.float32),
        "tower.0.bias": random.standard_normal(32).astype(np.float32),
        "step": np.array([7], np.int64),
    }
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt", "other": "kept"})
    return path, tensors


def test_checkpoint_there_and_back(checkpoint, run, tmp_path):
    path, tensors = checkpoint
    output, back = tmp_path / "small.safetensors", tmp_path / "back.safetensors"
    code, out, err = run("quantize", path, "-o", output, "--bits", 8, "--json")
    assert code == 0, err
    assert "taken: user_embedding.weight" in err
    assert "passed through: tower.0.weight" in err
    assert {t["name"] for t in json.loads(out)["tables"]} == {
        "user_embedding.weight", "item_embedding.weight",
    }  # fmt: skip
    theirs = load_file(output)
    for name in ("tower.0.weight", "tower.0.bias", "step"):
        assert np.array_equal(theirs[name], tensors[name])
    assert run("restore", output, "-o", back)[0] == 0
    restored = load_file(back)
    assert set(restored) == set(tensors)
    for name, tensor in tensors.items():
        assert restored[name].dtype == tensor.dtype
        assert np.allclose(restored[name], tensor, atol=0.05)
    with safe_open(back, "np") as opened:
        assert opened.metadata() == {"format": "pt", "other": "kept"}
    code, _, err = run("restore", output, "-o", tmp_path / "x.npy")
    assert code == 2
    assert "--table" in err
    code, *_ = run("restore", output, "-o", tmp_path / "x.npy", "--table", "item_embedding.weight")
    assert np.load(tmp_path / "x.npy").shape == (500, 8)


def test_small_outputs_equal_the_library(run, tmp_path):
    """The file is what safetensors itself would write for the same tensors."""
    from safetensors.numpy import save

    output = tmp_path / "o.safetensors"
    assert run("quantize", GLOVE, "-o", output, "-q")[0] == 0
    with safe_open(output, "np") as opened:
        metadata = opened.metadata()
    assert save(load_file(output), metadata) == output.read_bytes()


def test_sets_and_tables(checkpoint, run, tmp_path):
    path, _ = checkpoint
    output = tmp_path / "o.safetensors"
    code, out, err = run(
        "quantize", path, "-o", output, "--tables", "*weight", "--tables", "!tower*",
        "--set", "*item*:bits=2", "--json",
    )  # fmt: skip
    assert code == 0, err
    methods = {t["name"]: t["method"] for t in json.loads(out)["tables"]}
    assert methods["item_embedding.weight"] == "quantize --bits 2"
    assert methods["user_embedding.weight"] == "quantize"
    code, _, err = run("quantize", path, "--dry-run", "--tables", "*itm*")
    assert code == 2
    assert "item_embedding.weight" in err


@pytest.mark.parametrize("verb", registry())
def test_dry_run_writes_nothing(verb, run, tmp_path):
    files = information_files(registry()[verb](), (20_000, 50), tmp_path)
    words = [word for name, file in files.items() for word in (f"--{name}", file)]
    before = list(tmp_path.iterdir())
    if verb == "mixdim":  # a group alone keeps all of its columns
        words += ["--rank", "25"]
    code, out, _ = run(verb, GLOVE, "--dry-run", "--json", *words)
    assert code == 0
    assert json.loads(out)["file_bytes"] < GLOVE.stat().st_size
    assert list(tmp_path.iterdir()) == before


def test_dry_run_judges_sizes(run):
    assert run("quantize", GLOVE, "--dry-run", "--max-bytes", "1MB")[0] == 0
    code, _, err = run("quantize", GLOVE, "--dry-run", "--max-bytes", "100KB")
    assert code == 1
    assert "file bytes" in err
    assert "not written" not in err
    code, _, err = run("quantize", GLOVE, "--dry-run", "--max-rel-error", 1)
    assert code == 1
    assert "nothing was measured" in err


def test_inspect(artifact, checkpoint, run):
    code, out, _ = run("inspect", GLOVE)
    assert code == 0
    assert "20000×50" in out
    code, out, _ = run("inspect", artifact, "--json")
    found = json.loads(out)
    assert found["kind"] == "embcompress artifact"
    assert found["tensors"][0]["verdict"] == "compressed: quantize"
    code, out, _ = run("inspect", checkpoint[0], "--json")
    verdicts = {t["tensor"]: t["verdict"] for t in json.loads(out)["tensors"]}
    assert verdicts["user_embedding.weight"].startswith("taken")
    assert verdicts["tower.0.weight"].startswith("passed through")


def test_verify(artifact, run):
    code, out, _ = run("verify", artifact)
    assert code == 0
    assert "sound" in out


def test_lookup_outputs(artifact, run, tmp_path):
    rows = embcompress.open(artifact)["glove"].lookup([5, 6, 7])
    code, out, _ = run("lookup", artifact, "--ids", "5:8", "--json")
    assert np.array_equal(np.array([r["row"] for r in json.loads(out)], np.float32), rows)
    np.save(tmp_path / "ids.npy", np.array([5, 6, 7]))
    code, *_ = run(
        "lookup", artifact, "--ids-file", tmp_path / "ids.npy", "--npy", tmp_path / "rows.npy"
    )
    assert code == 0
    assert np.array_equal(np.load(tmp_path / "rows.npy"), rows)
    code, _, err = run("lookup", artifact, "--ids", "5,20000")
    assert code == 2
    assert "id 20000" in err
    code, _, err = run("lookup", artifact, "--ids", "five")
    assert code == 2


def test_methods_lists_every_name(run):
    _, out, _ = run("methods", "--json")
    names = {row["name"] for row in json.loads(out)}
    assert set(registry()) <= names
    assert {
        "L2Q-GCN", "DCF", "DCMF", "DPR", "DFM", "HashGNN", "Guan uniform", "Guan k-means",
        "Xu 16-bit", "ALPT", "Yang mixed precision",
    } <= names  # fmt: skip


def test_presets_run(run, tmp_path):
    """Every listed command is one that works."""
    (tmp_path / "f.txt").write_text("\n".join(str(i) for i in range(20000)))
    (tmp_path / "fields.json").write_text("[5000, 15000]")
    np.save(tmp_path / "saliency.npy", np.random.default_rng(0).random((1, 50)))
    _, out, _ = run("methods", "--json")
    import shlex

    for i, row in enumerate(json.loads(out)):
        words = shlex.split(row["command"])[1:]
        places = {"INPUT": GLOVE, "glove.npy": GLOVE}
        words = [str(places.get(w, w)) for w in words]
        at = words.index("-o") + 1
        words[at] = str(tmp_path / f"{i}.safetensors")
        side = {"--frequencies": "f.txt", "--fields": "fields.json", "--grads": "saliency.npy"}
        for flag, file in side.items():
            if flag in words:
                words[words.index(flag) + 1] = str(tmp_path / file)
        code, _, err = run(*words, "-q", "--no-report")
        assert code == 0, (row["command"], err)


WRONG = [
    (["quantize"], "INPUT"),
    (["quantize", GLOVE], "-o OUTPUT is missing"),
    (["quantize", GLOVE, "--bits", "12"], "--bits"),
    (["quantize", GLOVE, "--bits", "four"], "--bits"),
    (["quantize", GLOVE, "--range", "best"], "--range"),
    (["quantise", GLOVE], "Did you mean 'quantize'"),
    (["quantize", GLOVE, "--bit", "4"], "--bits"),
    (["quantize", GLOVE, "-o", "/tmp/x", "--max-bytes", "lots"], "not a size"),
    (["quantize", GLOVE, "-o", "/tmp/x", "--per-field"], "--fields"),
    (["rotate", GLOVE, "-o", "/tmp/x", "--then", "quantise"], "did you mean 'quantize'"),
    (["lookup", GLOVE], "--ids"),
]


@pytest.mark.parametrize(("words", "told"), WRONG, ids=lambda v: str(v)[-40:])
def test_usage_errors_are_two_lines(words, told, run):
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert told in err
    assert 1 <= len(err.strip().splitlines()) <= 2
    assert "╭" not in err


def test_missing_file(run, tmp_path):
    code, _, err = run("quantize", tmp_path / "none.npy", "-o", tmp_path / "o")
    assert code == 3
    assert "no such file" in err
    assert len(err.strip().splitlines()) == 1


def test_bugs_exit_70(run, monkeypatch, tmp_path):
    from embcompress.pipeline import run as run_module

    def broken(*arguments):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(run_module, "fit_tables", broken)
    code, _, err = run("cast", GLOVE, "-o", tmp_path / "o")
    assert code == 70
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err
    code, _, err = run("cast", GLOVE, "-o", tmp_path / "o", "--debug")
    assert "Traceback" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_nothing(number, code, tmp_path):
    table = tmp_path / "t.npy"
    np.save(table, np.random.default_rng(0).standard_normal((400_000, 64)).astype(np.float32))
    words = ["kmeans", str(table), "-o", str(tmp_path / "o.safetensors"), "--bits", "6"]
    process = subprocess.Popen(
        [sys.executable, "-m", "embcompress", *words], stderr=subprocess.PIPE, text=True,
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),  # nohup and & pass on ignoring
    )  # fmt: skip
    part = tmp_path / ".o.safetensors.part"
    deadline = time.monotonic() + 60
    while not part.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "nothing was left" in err
    assert os.listdir(tmp_path) == ["t.npy"]


LAZY = ("numpy", "numba", "scipy", "faiss", "torch", "safetensors", "ml_dtypes")


@pytest.mark.parametrize("words", [["--help"], ["quantize", "--help"], ["--version"]], ids=str)
def test_help_imports_nothing_heavy(words):
    script = (
        "import sys; from embcompress.cli.entry import run; code = run(sys.argv[1:]);"
        f"sys.exit(code or ','.join(m for m in {LAZY} if m in sys.modules) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_verb_imports_nothing_of_others():
    script = (
        "import sys; from embcompress.cli.entry import run; code = run(['quantize', '--help']);"
        "others = {f'embcompress.{m}' for m in ('methods.pq', 'cli.exports', 'cli.rows')};"
        "sys.exit(code or ','.join(others & sys.modules.keys()) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_verb_has_help_and_example(run):
    _, out, _ = run("--help")
    verbs = [
        *registry(),
        "report",
        "inspect",
        "verify",
        "lookup",
        "neighbors",
        "restore",
        "methods",
    ]
    for verb in verbs:
        assert re.search(rf"\b{verb}\b", out)
        code, text, _ = run(verb, "--help")
        assert code == 0
        assert "Example: embcompress" in " ".join(text.split())


def test_read_only_install_without_home(tmp_path):
    """Kernels compile without any folder for their cache."""
    script = (
        "import numpy as np, embcompress as e;"
        "t = e.compress(np.ones((3, 4), 'f4'), e.methods.Cast());"
        "print(t.lookup([1]).tolist())"
    )
    package = Path(embcompress.__file__).parent
    copy = tmp_path / "embcompress"
    import shutil

    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"NUMBA_CACHE_LOCATOR_CLASSES": "", "HOME": "/proc/none"}
    guard = "import os, sys; sys.path.insert(0, os.getcwd());"
    for folder in copy.rglob("*"):
        if folder.is_dir():
            folder.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", guard + script],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    for folder in copy.rglob("*"):
        if folder.is_dir():
            folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[[1.0, 1.0, 1.0, 1.0]]"
