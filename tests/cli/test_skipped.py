"""The gate on tables that were passed through although a rule was meant for them."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.test_recipes import normal

FOUND = "total: skipped tables {}, wanted at most 0 (--max-skipped; {})"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A checkpoint of a table, one that no reader takes, and what is no table; the current one."""
    monkeypatch.chdir(tmp_path)
    tensors = {
        "user_embedding.weight": normal(4100, 16),
        "item_embedding.weight": normal(700, 8),
        "stacked_embeddings": normal(4, 50, 8),
        "small_embedding.weight": normal(90, 8).astype(ml_dtypes.float8_e4m3fn),
        "user_embedding.position_ids": np.arange(20)[None],
        "user_embedding.offset": normal(16),
        "tower.weight": normal(32, 24),
    }
    save_file(tensors, "model.safetensors")
    return tmp_path


def write(*rules, bound=0):
    text = 'input = "model.safetensors"\noutput = "small.safetensors"\n'
    text += f"[gates]\nmax-skipped = {bound}\n"
    for match, method in rules:
        text += f'[[rules]]\nmatch = {json.dumps(match)}\nmethod = "{method}"\n'
    Path("embcompress.toml").write_text(text)


THREE = "'small_embedding.weight' (has dtype F8_E4M3, which cannot be read)"
STACK = "'stacked_embeddings' (has 3 dimensions)"


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ([("*embedding*", "cast")], [STACK, THREE]),
        ([("user*", "cast")], ["'item_embedding.weight' (no rule matches it)", STACK, THREE]),
        ([("user*", "cast"), ("item*", "pass")], [STACK, THREE]),
        ([("user*", "cast"), (["*_emb*", "!item*"], "cast")], None),
        ([(["*_embedding.*", "!small*"], "cast")], [STACK]),
        ([(["*_embedding.*", "!small*", "!stack*"], "cast")], []),
    ],
)
def test_of_recipes(rules, names, place, run):
    write(*rules)
    if names is None:  # a rule of which nothing is left
        assert run("plan", "-q")[0] == 2
        return
    lines = sorted(names)
    for verb in ("plan", "run"):
        code, _, err = run(verb, "-q")
        assert code == (1 if names else 0), err
        if names:
            assert FOUND.format(len(names), "").split(";")[0] in err
            assert all(line in err for line in lines)
    write(*rules, bound=len(names))
    assert run("plan", "-q")[0] == run("run", "-q", "--force")[0] == 0
    # the recipe judges the artifact as it judged the run
    assert run("report", "small.safetensors", "--gates", "embcompress.toml", "-q")[0] == 0
    write(*rules)
    code, _, err = run("report", "small.safetensors", "--gates", "embcompress.toml", "-q")
    assert code == (1 if names else 0)
    assert all(line in err for line in lines)


def test_of_verbs_and_reports(place, run):
    words = ["cast", "model.safetensors", "-o", "s.safetensors", "-q", "--max-skipped"]
    code, _, err = run(*words, 0, "--tables", "user*")
    assert code == 1
    assert "'item_embedding.weight' (no rule matches it)" in err
    assert not Path("s.safetensors").exists()
    code, _, err = run(*words, 2)
    assert code == 0, err
    code, _, err = run("report", "s.safetensors", "--max-skipped", 0, "-q")
    assert code == 1
    assert err == f"embcompress: {FOUND.format(2, f'{STACK}, {THREE}')}\n"
    excluded = ["--tables", "!stacked*", "--tables", "!small*"]
    assert run(*words, 0, "--force", *excluded)[0] == 0


def test_the_recipe_that_comes_back_leaves_out_the_same(place, run):
    """What a recipe passes through or excludes on purpose is so when it is run again."""
    write((["user*", "!small*"], "cast"), ("item*", "pass"), ("tower*", "pass"), bound=1)
    code, _, err = run("run", "-q")
    assert code == 0, err
    text = run("inspect", "small.safetensors", "--recipe")[1]
    assert 'match = ["user_embedding.weight", "!item_embedding.weight",' in text
    assert "tower" not in text  # no rule would be meant for it
    Path("again.toml").write_text(text)
    code, _, err = run("run", "again.toml", "-q", "-o", "again.safetensors")
    assert code == 0, err
    assert Path("again.safetensors").read_bytes() == Path("small.safetensors").read_bytes()


def test_many_are_cut(tmp_path, run):
    tensors = {f"emb_{i}.weight": normal(2, 3, 4) for i in range(9)} | {
        "emb.weight": normal(99, 64)
    }
    save_file(tensors, tmp_path / "m.safetensors")
    code, _, err = run("cast", tmp_path / "m.safetensors", "--dry-run", "-q", "--max-skipped", 1)
    assert code == 1
    assert "skipped tables 9, wanted at most 1" in err
    assert "'emb_3.weight' (has 3 dimensions), 5 more)" in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max-skipped = -1\n", "a whole number of tables"),
        ("max-skipped = 1.5\n", "is a number"),
        ("[[rules]]\ngates = { max-skipped = 0 }\n", "under [gates]"),
    ],
)
def test_wrong_bounds(text, words, place, run):
    assert run("cast", "model.safetensors", "-o", "s.safetensors", "-q")[0] == 0
    Path("g.toml").write_text(text)
    code, _, err = run("report", "s.safetensors", "--gates", "g.toml", "-q")
    assert code == 2
    assert words in err
