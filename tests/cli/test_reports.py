"""Reports as typed: files, gates, baselines, GitHub Actions, comparisons, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from safetensors.numpy import save_file

from embcompress.report.model import Report

GLOVE = Path(__file__).parents[2] / "fixtures" / "glove.npy"
SUFFIXES = ("json", "md", "xml", "html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two artifacts of a small checkpoint, and their source."""
    from embcompress.cli.entry import run

    place = tmp_path_factory.mktemp("reports")
    random = np.random.default_rng(2)
    tensors = {
        f"emb_{name}.weight": random.standard_normal((n, 8)).astype(np.float32)
        for name, n in (("user", 900), ("item", 400))
    }
    save_file(tensors, place / "model.safetensors")
    for bits in (2, 4):
        words = ["quantize", str(place / "model.safetensors"), "--bits", str(bits), "-q"]
        assert run([*words, "-o", str(place / f"q{bits}.safetensors")]) == 0
    return place


@pytest.fixture
def place(folder, tmp_path, monkeypatch):
    """A folder of its own with all of them; the current one."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files():
    return [word for suffix in SUFFIXES for word in ("--report", f"r.{suffix}")]


def check_files(kind):
    """Every report file is there and of its kind."""
    for suffix in SUFFIXES:
        assert Path(f"r.{suffix}").stat().st_size > 40
    assert kind in Path("r.md").read_text()
    assert kind in Path("r.html").read_text()
    ET.parse("r.xml")
    return json.loads(Path("r.json").read_text())


def test_all_formats(place, run):
    code, out, _ = run("report", "q4.safetensors", "--against", "model.safetensors", "--json",
                       *files())  # fmt: skip
    assert code == 0
    document = check_files("q4.safetensors")
    assert document == json.loads(out)
    assert Report.from_json(document).tables[0].details.worst
    assert document["command"].startswith("embcompress report q4.safetensors --against")
    run("quantize", "model.safetensors", "-o", "new.safetensors", "-q", *files())
    assert check_files("new.safetensors")["tables"][0]["details"]["row_error"]["counts"]


def test_written_when_a_gate_fails(place, run):
    code, *_ = run("report", "q4.safetensors", "--max-rel-error", 0.001, "-q", *files())
    assert code == 1
    document = check_files("relative error")
    assert not all(g["passed"] for g in document["gates"])
    code, *_ = run("cast", "model.safetensors", "-o", "c", "--min-ratio", 9, "-q", *files())
    assert code == 1
    assert check_files("ratio")["artifact"] == "c"


@pytest.mark.parametrize("verb", ["report", "quantize"])
def test_written_when_there_is_no_report(verb, place, run):
    Path("bad.safetensors").write_bytes(Path("q4.safetensors").read_bytes()[:-40])
    run("report", "q4.safetensors", "-q", *files())
    words = ["report", "bad.safetensors"] if verb == "report" else [verb, "none.npy", "-o", "o"]
    code, *_ = run(*words, "-q", *files())
    assert code == 3
    document = check_files("bad.safetensors" if verb == "report" else "none.npy")
    assert set(document) == {"schema", "error"}
    assert ET.parse("r.xml").find("testsuite").get("errors") == "1"
    code, _, err = run("report", "q4.safetensors", "--baseline", "r.json")
    assert code == 3
    assert "failed run" in err


def test_names_are_whole_in_a_log(place, run, monkeypatch):
    """Where no terminal tells a width, names of usual length are not broken."""
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "model.encoder.feature_embeddings.weight"
    save_file({name: np.ones((300, 8), np.float32), "emb": np.ones((300, 8), np.float32)}, "m.st")
    assert name in run("quantize", "m.st", "-o", "m.safetensors", "--bits", 8)[1]
    assert name in run("inspect", "m.st")[1]


def test_exit_zero(place, run):
    words = ["report", "q4.safetensors", "--max-rel-error", 0.001, "-q", "--report", "r.xml"]
    assert run(*words)[0] == 1
    code, _, err = run(*words, "--exit-zero")
    assert code == 0
    assert "wanted at most 0.001" in err
    assert "<failure" in Path("r.xml").read_text()
    assert run("report", "none.safetensors", "--exit-zero")[0] == 3


def test_baseline(place, run):
    assert run("report", "q4.safetensors", "-q", "--report", "base.json")[0] == 0
    words = ["report", "q2.safetensors", "--baseline", "base.json"]
    code, out, _ = run(*words)
    assert code == 0
    assert "since base.json" in out
    assert run(*words, "--max-growth", "0%")[0] == 0
    code, _, err = run(*words, "--max-error-growth", "100%", "-q")
    assert code == 1
    assert "growth of the relative error" in err
    words = ["quantize", "model.safetensors", "--bits", 8, "-q", "-o", "q8.safetensors"]
    code, _, err = run(*words, "--baseline", "base.json", "--max-growth", "10%")
    assert code == 1
    assert "growth in bytes" in err
    assert not Path("q8.safetensors").exists()
    code, _, err = run(*words, "--max-growth", "10%")
    assert code == 1
    assert "--baseline" in err


GOOD_GATES = {
    "flat.toml": 'max-rel-error = 0.5\nmax_bytes = "1MB"\n',
    "table.toml": "[gates]\nmin-ratio = 2\n",
    "gates.json": '{"max-rel-error": 0.5, "max-growth": "5%"}',
    "pyproject.toml": "[tool.embcompress.gates]\nmin_ratio = 2\n",
    "recipe.toml": (
        'input = "x"\n[gates]\nmin-ratio = 1\n[[rules]]\nmatch = "*user*"\nmethod = "quantize"\n'
        "gates = { max-rel-error = 0.5 }\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD_GATES)
def test_gates_files(name, place, run):
    Path(name).write_text(GOOD_GATES[name])
    assert run("report", "q4.safetensors", "-q", "--report", "base.json")[0] == 0
    words = ["report", "q4.safetensors", "--gates", name, "--baseline", "base.json", "--json"]
    code, out, err = run(*words)
    assert code == 0, err
    asked = {g["gate"] for g in json.loads(out)["gates"]} - {"smaller", "compressed", "finite"}
    assert asked
    tighter = GOOD_GATES[name].replace("0.5", "0.001").replace("= 2", "= 200").replace("5%", "0%")
    Path(name).write_text(tighter)
    assert run(*words)[0] == 1


def test_gates_of_rules_and_flags(place, run):
    Path("r.toml").write_text(
        '[[rules]]\nmatch = "*user*"\ngates = { max-rel-error = 0.001 }\n'
        '[[rules]]\nmatch = "*"\ngates = { max-rel-error = 0.5 }\n'
    )
    code, _, err = run("report", "q4.safetensors", "--gates", "r.toml", "-q")
    assert code == 1
    assert err.count("\n") == 1
    assert "emb_user.weight" in err
    Path("g.toml").write_text("max-rel-error = 0.001\n")
    assert run("report", "q4.safetensors", "--gates", "g.toml", "-q")[0] == 1
    words = ["--gates", "g.toml", "--max-rel-error", 0.5]
    assert run("report", "q4.safetensors", *words, "-q")[0] == 0


BAD_GATES = {
    "typo": ("max-rel-eror = 0.1\n", 2, "did you mean 'max_rel_error'"),
    "typo below": ("[gates]\n\nmax-rel-eror = 0.1\n", 2, "line 3"),
    "text": ('max-rel-error = "low"\n', 2, "is a number"),
    "flag": ("max-rel-error = true\n", 2, "is a number"),
    "range": ("[gates]\nmin-recall = 95\n", 2, "from 0 to 1"),
    "nan": ("min-ratio = nan\n", 2, "0 or more"),
    "infinity": ("max-bits = inf\n", 2, "0 or more"),
    "endless": (f"min-ratio = 1{'0' * 400}\n", 2, "0 or more"),
    "size": ('max-bytes = "lots"\n', 2, "not a size"),
    "share": ('max-growth = "5"\n', 2, "not a share"),
    "none": ("", 2, "holds no gates"),
    "none in it": ('input = "x"\n', 2, "holds no gates"),
    "no toml": ("max-rel-error 0.1\n", 2, "is no TOML"),
    "twice": ("min-ratio = 1\nmin-ratio = 2\n", 2, "is no TOML"),
    "list": ("gates = [1]\n", 2, "is a table"),
    "rules": ("rules = 3\n", 2, "[[rules]]"),
    "bytes of a rule": ("[[rules]]\ngates = { max-bytes = 3 }\n", 2, "under [gates]"),
    "no such table": ('[[rules]]\nmatch = "x*"\ngates = { min-ratio = 1 }\n', 2, "for no table"),
    "lfs": ("version https://git-lfs.github.com/spec/v1\n", 3, "git lfs pull"),
    "html": ("<!doctype html><p>404", 3, "HTML page"),
    "deep": ("a = " + "[" * 100_000, 2, "is no TOML"),
}


@pytest.mark.parametrize("case", BAD_GATES)
def test_bad_gates(case, place, run):
    text, wanted, words = BAD_GATES[case]
    Path("gates.toml").write_text(text)
    code, _, err = run("report", "q4.safetensors", "--gates", "gates.toml", "-q")
    assert code == wanted, err
    assert words in err
    assert "gates.toml" in err
    assert len(err) < 700
    assert len(err.strip().splitlines()) <= 2


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 200_000, '"x"', '{"max-bits": 1e999}'])
def test_bad_gates_in_json(text, place, run):
    Path("gates.json").write_text(text)
    code, _, err = run("report", "q4.safetensors", "--gates", "gates.json", "-q")
    assert code == 2, err
    assert "gates.json" in err


def test_bad_gates_leave_no_old_report(place, run):
    assert run("report", "q4.safetensors", "-q", "--report", "r.json")[0] == 0
    for flag in ("--gates", "--baseline"):
        code, *_ = run("report", "q4.safetensors", flag, "none.json", "-q", "--report", "r.json")
        assert code == 3
        assert "none.json" in json.loads(Path("r.json").read_text())["error"]


def test_missing_files(place, run):
    for flag in ("--gates", "--baseline"):
        code, _, err = run("report", "q4.safetensors", flag, "none.json")
        assert code == 3
        assert "none.json: no such file" in err
    code, _, err = run("report", "q4.safetensors", "--report", "no/r.html")
    assert code == 4
    code, _, err = run("report", "q4.safetensors", "--report", "r.pdf")
    assert code == 2
    assert ".html" in err
    code, _, err = run("report", "q4.safetensors", "--max-growth", "5")
    assert code == 2
    assert "5%" in err


@pytest.fixture
def actions(monkeypatch, tmp_path):
    """A step of GitHub Actions; gives the job's summary."""
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    return summary


def test_actions(place, run, actions):
    code, _, err = run("report", "q4.safetensors", "--max-rel-error", 0.001, "-q")
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("::error title=embcompress::") for line in lines)
    assert "**FAILED**" in actions.read_text()
    before = actions.read_text()
    assert run("report", "q2.safetensors", "-q")[0] == 0
    assert actions.read_text().startswith(before)
    code, _, err = run("report", "none.safetensors")
    assert code == 3
    assert err.startswith("::error title=embcompress::none.safetensors: no such file")
    assert "none.safetensors: no such file" in actions.read_text()


def test_actions_show_the_worst_ten(place, run, actions):
    random = np.random.default_rng(0)
    tables = {
        f"emb_{i:02d}": (i + 1) * random.standard_normal((200, 8)).astype(np.float32)
        for i in range(14)
    }
    save_file(tables, "many.safetensors")
    code, _, err = run("quantize", "many.safetensors", "-o", "m.safetensors", "-q",
                       "--max-rel-error", 0.001)  # fmt: skip
    assert code == 1
    lines = err.splitlines()
    assert sum(line.startswith("::error") for line in lines) == 10
    assert lines[10] == "embcompress: 5 more; the report has them"
    got = [float(line.split("relative error ")[1].split(",")[0]) for line in lines[:10]]
    assert got == sorted(got, reverse=True)
    assert actions.read_text().count("**FAILED**") == 11


def test_actions_without_room(place, run, actions):
    actions.write_bytes(b"x" * (1024 * 1024 - 20))
    code, _, err = run("report", "q4.safetensors", "-q")
    assert code == 0
    assert "no room" in err
    assert actions.stat().st_size == 1024 * 1024 - 20
    actions.unlink()
    actions.mkdir()
    code, _, err = run("report", "q4.safetensors", "-q")
    assert code == 0
    assert "no summary written" in err


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("50% more\nhere", "::error title=embcompress::50%25 more%0Ahere"),
        ("a::b\r", "::error title=embcompress::a::b%0D"),
    ],
)
def test_annotations(message, line):
    from embcompress.cli.github import annotation

    assert annotation(message) == line


def test_compare(place, run):
    code, out, _ = run("compare", "q2.safetensors", "q4.safetensors", "--report", "c.html",
                       "--report", "c.json")  # fmt: skip
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("*  ")] == [
        ["*", "q4"], ["*", "q2"],
    ]  # fmt: skip
    assert "2 artifacts" in Path("c.html").read_text()
    words = ["compare", "q2.safetensors", "q4.safetensors", "--against", "model.safetensors"]
    code, out, _ = run(*words, "--json")
    measured = json.loads(out)
    kept = json.loads(Path("c.json").read_text())
    for one, other in zip(measured["artifacts"], kept["artifacts"], strict=True):
        assert one["pareto"]
        assert other["pareto"]
        errors = [r["report"]["total"]["relative_error"] for r in (one, other)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-9)
        assert one["report"]["tables"][0]["details"]
        assert other["report"]["tables"][0]["details"] is None


def test_compare_refuses(place, run):
    code, _, err = run("compare", "q2.safetensors")
    assert code == 2
    assert "two artifacts" in err
    assert run("cast", GLOVE, "-o", "glove.safetensors", "-q", "--no-report")[0] == 0
    code, _, err = run("compare", "q2.safetensors", "glove.safetensors")
    assert code == 3
    assert "does not hold the tables of" in err
    code, _, err = run("compare", "q2.safetensors", "q4.safetensors", "--report", "c.md")
    assert code == 2


def test_keys_are_told(place, run):
    table = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    lines = (f"wörd{i} " + " ".join(f"{v:.6f}" for v in row) for i, row in enumerate(table))
    Path("v.txt").write_text("\n".join(lines) + "\n")
    assert run("convert", "v.txt", "-o", "v.safetensors", "-q")[0] == 0
    code, _, err = run("quantize", "v.safetensors", "-o", "q.safetensors", "--report", "a.json",
                       "--bits", 2, "-q")  # fmt: skip
    assert code == 0, err
    code, _, err = run("report", "q.safetensors", "--against", "v.safetensors", "-q",
                       "--report", "b.json", "--report", "b.html")  # fmt: skip
    assert code == 0, err
    for name in ("a.json", "b.json"):
        details = json.loads(Path(name).read_text())["tables"][0]["details"]
        assert all(details["keys"][str(w["row"])] == f"wörd{w['row']}" for w in details["worst"])
    assert "wörd" in Path("b.html").read_text()


def test_paths_that_are_no_text(place, run):
    import os

    name = os.fsdecode(b"q\xff.safetensors")
    Path("q4.safetensors").rename(name)
    code, *_ = run("report", name, "-q", *files())
    assert code == 0
    assert check_files("udcff.safetensors")["artifact"] == name
