"""Recipes: what they say, what a plan and a run make of them, and how they come back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import embcompress
from embcompress.methods import registry
from embcompress.options import changed, declared
from embcompress.pipeline.recipe import read_recipe
from embcompress.pipeline.recipe_text import _inline
from tests.variants import variants

VARIANTS = dict(variants())


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a recommender's checkpoint, frequencies and fields; the current one."""
    monkeypatch.chdir(tmp_path)
    tensors = {
        "user_embedding.weight": normal(4100, 16),
        "item_embedding.weight": normal(700, 8, seed=1),
        "brand_embedding.weight": normal(90, 8, seed=2),
        "tower.0.weight": normal(32, 24, seed=3),
        "tower.0.bias": normal(32, seed=4),
    }
    save_file(tensors, "model.safetensors")
    counts = {n: np.arange(1.0, len(t) + 1) for n, t in tensors.items() if "emb" in n}
    save_file(counts, "counts.safetensors")
    return tmp_path


RULES = """
input = "model.safetensors"
output = "small.safetensors"

[[rules]]
match = "user*"
method = "quantize"
options = { bits = 2, range = "greedy" }

[[rules]]
match = ["item*", "brand*"]
method = "saec"
[rules.options]
clusters = 32
[rules.gates]
min_ratio = 1.5

[[rules]]
match = "*embedding*"
method = "pass"
"""


def test_plan_and_run(place, run):
    Path("embcompress.toml").write_text(RULES.replace('"*embedding*"', '"tower*"'))
    code, out, err = run("plan")
    assert code == 0, err
    assert not Path("small.safetensors").exists()
    assert "quantize --bits 2" in " ".join(out.split())
    total = int(re.search(r"in all +([\d,]+) bytes", out)[1].replace(",", ""))
    planned = json.loads(run("plan", "--json")[1])
    code, out, err = run("run", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert Path("small.safetensors").stat().st_size == report["file_bytes"] == total
    for one, other in zip(planned["tables"], report["tables"], strict=True):
        assert one["parts"] == other["parts"]
    methods = {t["name"]: t["method"].split()[0] for t in report["tables"]}
    assert methods == {
        "user_embedding.weight": "quantize", "item_embedding.weight": "saec",
        "brand_embedding.weight": "saec",
    }  # fmt: skip
    assert "taken: item_embedding.weight (rule 2: matches 'item*')" in err
    lines = [line for line in err.splitlines() if line.startswith("passed through: ")]
    assert lines == [  # what could be compressed comes first
        "passed through: tower.0.weight (rule 3 passes it through)",
        "passed through: tower.0.bias (has 1 dimension)",
    ]
    bounds = [g for g in report["gates"] if g["gate"] == "min-ratio"]
    assert {g["table"] for g in bounds} == {"item_embedding.weight", "brand_embedding.weight"}
    assert run("verify", "small.safetensors")[0] == 0


def test_the_first_match_wins(place, run):
    Path("r.toml").write_text("""
        input = "model.safetensors"
        [[rules]]
        match = "item*"
        method = "pass"
        [[rules]]
        match = "*_embedding*"
        method = "cast"
        """)
    code, _, err = run("run", "r.toml", "-o", "o.safetensors")
    assert code == 0, err
    assert sorted(embcompress.open("o.safetensors")) == [
        "brand_embedding.weight", "user_embedding.weight",
    ]  # fmt: skip
    assert "item_embedding.weight" in load_file("o.safetensors")


def test_rules_without_match_take_names_that_read_like_embeddings(place, run):
    Path("pyproject.toml").write_text("""
        [project]
        name = "x"
        [[tool.embcompress.rules]]
        method = "cast"
        """)
    code, _, err = run("run", "--input", "model.safetensors", "-o", "o.safetensors", "-q")
    assert code == 0, err
    assert len(embcompress.open("o.safetensors")) == 3


def test_gates(place, run):
    text = RULES.replace("[[rules]]", "[gates]\nmax-bytes = '1MB'\n[[rules]]", 1)
    text = text.replace('match = "*embedding*"', 'match = "tower*"')
    Path("embcompress.toml").write_text(text)
    assert run("plan", "-q")[0] == run("run", "-q")[0] == 0
    failing = text.replace("1MB", "10KB").replace("min_ratio = 1.5", "max_rel_error = 0.01")
    Path("embcompress.toml").write_text(failing)
    code, _, err = run("plan", "-q")  # a plan knows sizes, not errors
    assert code == 1
    assert "file bytes" in err
    assert "relative error" not in err
    code, _, err = run("run", "-q", "--force")
    assert code == 1
    assert err.count("relative error") == 2
    assert "user_embedding" not in err.replace("total: file bytes", "")


def test_a_plan_counts_the_gates_that_the_artifact_keeps(place, run):
    """The recipe's gates on errors are not judged by a plan, but stand in the header."""
    text = RULES.replace("min_ratio = 1.5", "max_rel_error = 2\nmin_cosine = -1")
    Path("embcompress.toml").write_text(text.replace('"*embedding*"', '"tower*"'))
    code, out, err = run("plan", "--json")
    assert code == 0, err
    assert run("run", "-q")[0] == 0
    assert json.loads(out)["file_bytes"] == Path("small.safetensors").stat().st_size


def test_reports_are_written_beside_the_recipe(place, run):
    folder = place / "below"
    folder.mkdir()
    text = RULES.replace('"model', '"../model').replace('"*embedding*"', '"tower*"')
    (folder / "r.toml").write_text('report = ["r.json", "r.md"]\n' + text)
    code, _, err = run("run", folder / "r.toml", "-q")
    assert code == 0, err
    assert {p.name for p in folder.iterdir()} == {"r.toml", "r.json", "r.md", "small.safetensors"}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_of_every_method_is_reachable(name, tmp_path):
    method = VARIANTS[name]
    path = tmp_path / "r.toml"
    for options in (changed(method), {k: getattr(method, k) for k in declared(type(method))}):
        given = _inline({k: v for k, v in options.items() if v is not None})
        path.write_text(f"[[rules]]\nmethod = '{method.name}'\noptions = {given}\n")
        assert read_recipe(path).rules[0].method == method


# words of a run, and whether a recipe is what makes it
RUNS = {
    "verb": ["quantize", "--bits", "3"],
    "sets": ["quantize", "--set", "item*:bits=2", "--set", "brand*:range=greedy"],
    "hot": ["quantize", "--keep-hot", "0.1", "--hot-as", "int8", "--seed", "9",
            "--frequencies", "counts.safetensors"],
    "shards": ["cast", "--to", "bf16", "--max-shard-size", "20KB", "--tables", "user*"],
    "budget": ["xlightfm", "--budget", "8x"],
    "then": ["rotate", "--then", 'quantize --bits 2 --range "greedy"'],
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_an_artifact_gives_its_recipe_back(name, place, run):
    one = Path("one" if name == "shards" else "one.safetensors")
    other = Path("other" if name == "shards" else "other.safetensors")
    verb, *words = RUNS[name]
    code, _, err = run(verb, "model.safetensors", "-o", one, "-q", "--no-report", *words)
    assert code == 0, err
    code, text, _ = run("inspect", one, "--recipe")
    assert code == 0
    Path("again.toml").write_text(text)
    words = ["--input", "model.safetensors", "-o", other, "-q", "--no-report"]
    code, _, err = run("run", "again.toml", *words)
    assert code == 0, err
    assert contents(one) == contents(other)
    assert run("inspect", other, "--recipe")[1] == text.replace("one", "other")


def contents(path):
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return {p.name if path.is_dir() else "": p.read_bytes() for p in files}


def test_a_recipe_comes_back_with_gates_settings_and_rules_that_are_alike(place, run):
    Path("embcompress.toml").write_text("""
        input = "model.safetensors"
        output = "one/"
        frequencies = "counts.safetensors"
        [settings]
        seed = 3
        threads = 1
        [gates]
        max_bytes = "1MB"
        [[rules]]
        match = "user*"
        method = "xlightfm"
        options = { budget = "8x" }
        gates = { min_ratio = 4 }
        [[rules]]
        match = "*_embedding*"
        method = "xlightfm"
        options = { budget = "8x" }
        """)
    code, _, err = run("run", "-q", "--no-report", "--keep-failed")
    assert code in (0, 1), err
    code, text, _ = run("inspect", "one", "--recipe")
    assert text.count("[[rules]]") == 2
    assert "min_ratio = 4" in text
    assert "max_bytes = 1000000" in text
    assert "seed = 3" in text
    assert "threads" not in text  # it changes no byte
    Path("again.toml").write_text(text)
    run("run", "again.toml", "-q", "-o", "two/", "--no-report", "--keep-failed")
    assert contents(Path("one")) == contents(Path("two"))


def test_a_budget_is_of_the_tables_of_its_rule(place, run):
    Path("embcompress.toml").write_text("""
        input = "model.safetensors"
        [[rules]]
        match = "user*"
        method = "xlightfm"
        options = { budget = "40KB" }
        [[rules]]
        match = "item*"
        method = "xlightfm"
        options = { budget = "9KB" }
        [[rules]]
        match = "brand*"
        method = "cast"
        """)
    code, out, err = run("plan", "--json")
    assert code == 0, err
    sizes = {t["name"]: t["artifact_bytes"] for t in json.loads(out)["tables"]}
    assert 30_000 < sizes["user_embedding.weight"] <= 40_000
    assert 6_000 < sizes["item_embedding.weight"] <= 9_000


# (what is wrong, the recipe, the line it is told to be at, words)
WRONG = [
    ("no TOML", "input = model", 1, ["is no TOML"]),
    ("no rules", "input = 'x'", None, ["at least one [[rules]]"]),
    ("rules a table", "[rules]\nmethod = 'cast'", 1, ["at least one [[rules]]"]),
    ("wrong key", "\n\ninptu = 'x'\n[[rules]]\nmethod = 'cast'", 3, ["'inptu'", "'input'"]),
    ("wrong key of a rule", "[[rules]]\nmethod = 'cast'\n[[rules]]\nmach = 'x'", 4,
     ["rule 2", "'mach'", "'match'"]),
    ("wrong option", "[[rules]]\nmethod = 'quantize'\noptions = {bist = 2}", 3,
     ["rule 1", "quantize has no key 'bist'", "'bits'"]),
    ("wrong option below", "[[rules]]\nmethod = 'quantize'\n[rules.options]\nbist = 2", 4,
     ["'bist'", "'bits'"]),
    ("wrong option of the second", "[[rules]]\nmethod = 'quantize'\noptions.bits = 2\n[[rules]]\n"
     "method = 'quantize'\noptions.bitts = 2", 6, ["rule 2", "'bitts'", "'bits'"]),
    ("option of another method", "[[rules]]\nmethod = 'cast'\noptions.bits = 2", 3,
     ["cast has no key 'bits'", "its keys are to, rounding"]),
    ("value out of range", "[[rules]]\nmethod = 'quantize'\noptions.bits = 12", 3,
     ["--bits is a whole number from 1 to 8, not 12"]),
    ("value of a wrong type", "[[rules]]\nmethod = 'quantize'\noptions.bits = '4'", 3, ["not '4'"]),
    ("wrong choice", "[[rules]]\nmethod = 'quantize'\noptions.range = 'best'", 3, ["greedy"]),
    ("unknown method", "[[rules]]\nmethod = 'quantise'", 2, ["'quantize'"]),
    ("method with options", "[[rules]]\nmethod = 'quantize --bits 4'", 2, ["go into options"]),
    ("no method", "[[rules]]\nmatch = '*'", 1, ["names no method"]),
    ("method a number", "[[rules]]\nmethod = 4", 2, ["is a text"]),
    ("match a number", "[[rules]]\nmethod = 'cast'\nmatch = 4", 3, ["a list of texts"]),
    ("options a text", "[[rules]]\nmethod = 'cast'\noptions = '--to bf16'", None, ["a table"]),
    ("options of pass", "[[rules]]\nmethod = 'pass'\noptions.to = 'bf16'", 3, ["no options"]),
    ("wrong setting", "[settings]\nsead = 3\n[[rules]]\nmethod = 'cast'", 2, ["'sead'", "'seed'"]),
    ("wrong gate", "[gates]\nmax_rel_eror = 3\n[[rules]]\nmethod = 'cast'", 2, ["max_rel_error"]),
    ("gate of a wrong type", "[gates]\nmin_ratio = 'x'\n[[rules]]\nmethod = 'cast'", 2, ["number"]),
    ("gate out of range", "[gates]\nmin_recall = 2\n[[rules]]\nmethod = 'cast'", 2, ["from 0 to"]),
    ("max_bytes of a rule", "[[rules]]\nmethod = 'cast'\ngates.max_bytes = 5", 3, ["[gates]"]),
    ("shard size", "max_shard_size = 'big'\n[[rules]]\nmethod = 'cast'", 1, ["not a size"]),
    ("input a number", "input = 4\n[[rules]]\nmethod = 'cast'", 1, ["a path"]),
    ("no input", "[[rules]]\nmethod = 'cast'", None, ["names no input"]),
    ("nothing matches", "input = 'model.safetensors'\n[[rules]]\nmethod = 'cast'\nmatch = 'itm*'",
     2, ["rule 1: match 'itm*' matches no tensor", "'item_embedding.weight'"]),
    ("nothing is left", "input = 'model.safetensors'\n[[rules]]\nmethod = 'cast'\n[[rules]]\n"
     "method = 'cast'\nmatch = 'item*'", 4, ["rule 2", "earlier rules have taken"]),
    ("all pass", "input = 'model.safetensors'\n[[rules]]\nmethod = 'pass'", None,
     ["nothing to do"]),
    ("deep", "a = " + "[" * 5000, None, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_wrong_recipes(text, line, words, place, run):
    Path("embcompress.toml").write_text(text)
    code, _, err = run("run", "-o", "o.safetensors", "-q")
    assert code == 2, err
    assert err.count("\n") == 1
    assert "embcompress.toml" in err or "nothing to do" in err
    if line is not None:
        assert f"line {line}" in err
    for word in words:
        assert word in err
    assert not Path("o.safetensors").exists()


def test_where_a_recipe_is_looked_for(place, run):
    code, _, err = run("plan")
    assert code == 3
    assert "no embcompress.toml there" in err
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert run("plan")[0] == 3
    code, _, err = run("plan", "pyproject.toml")
    assert code == 2
    assert "no table [tool.embcompress]" in err
    assert run("plan", "none.toml")[0] == 3
    Path("bad.toml").write_bytes(b"\xff\xfe")
    assert run("plan", "bad.toml")[0] == 3


def test_inspect_recipe_of_what_is_no_artifact(place, run):
    code, _, err = run("inspect", "model.safetensors", "--recipe")
    assert code == 3
    assert "no embcompress artifact" in err


@pytest.mark.parametrize("recipe", ["[]", '{"settings": 4}', '{"gates": []}', '{"table_gates": 1}',
                                    '{"left_out": "a"}', '{"left_out": [4]}'])  # fmt: skip
def test_a_hostile_recipe_in_an_artifact(recipe, place, run):
    output = Path("o.safetensors")
    assert run("cast", "model.safetensors", "-o", output, "-q")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        from embcompress.artifact import reader

        real = reader.read_document
        patch.setattr(reader, "read_document", lambda *a: real(*a) | {"recipe": json.loads(recipe)})
        code, _, err = run("inspect", output, "--recipe")
    assert code == 3, err
    assert "malformed" in err


def test_every_method_has_a_rule(place):
    for name in registry():
        Path("r.toml").write_text(f"[[rules]]\nmethod = '{name}'\n")
        assert read_recipe(Path("r.toml")).rules[0].method == registry()[name]()
