"""Which tensors are taken, by name and by pattern."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from embcompress.errors import BadInput, UsageError
from embcompress.tables.choose import choose, reads_like_embedding
from embcompress.tables.source import open_source

from .making import entry, safetensors
from .real_names import FILES, WITH_BIAS

SHAPES = {
    "user_emb.weight": (4, 3),
    "item_emb.weight": (5, 3),
    "tower.0.weight": (3, 3),
    "tower.0.bias": (3,),
    "item_emb.weight.exp_avg": (5, 3),
    "stack_emb": (2, 3, 4),
}


def chosen(folder, tensors, patterns=()):
    """The choice for a file of tensors given by shapes or arrays; names taken, and all reasons."""
    path = folder / "model.safetensors"
    arrays = {
        name: np.ones(value, np.float32) if isinstance(value, tuple) else value
        for name, value in tensors.items()
    }
    save_file(arrays, path)
    with open_source(path) as source:
        choice = choose(source, patterns)
        reasons = {entry.name: entry.reason for entry in (*choice.taken, *choice.skipped)}
        assert set(reasons) == set(source.tensors)
        assert len(choice.taken) + len(choice.skipped) == len(reasons)
        return {taken.name for taken in choice.taken}, reasons


@pytest.mark.parametrize("model", FILES)
def test_real_checkpoints(tmp_path, model):
    tables, others = FILES[model]
    biases = {name.removesuffix("weight") + "bias" for name in others if name in WITH_BIAS}
    shapes = dict.fromkeys([*tables, *others], (2, 2)) | dict.fromkeys(biases, (2,))
    taken, _ = chosen(tmp_path, shapes)
    assert taken == set(tables)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wte.weight", "its name reads like an embedding ('wte')"),
        ("bags.weight", "its name does not read like an embedding"),
        ("embedding_bags.user.weight", "its name reads like an embedding ('embedding')"),
        ("emb.weight.exp_avg", "optimizer state (exp_avg)"),
        ("embeddings_project.weight", "a dense layer by its name ('project')"),
        ("rotary_emb.weight", "no embedding table by its name ('rotary')"),
        ("time_embed.0.weight", "a dense layer: it has a bias"),
        ("😀", "its name does not read like an embedding"),
        ("", "its name does not read like an embedding"),
    ],
)
def test_reasons(name, reason):
    assert reads_like_embedding(name, {name, "time_embed.0.bias"})[1] == reason


def test_by_name(tmp_path):
    tensors = SHAPES | {"ids_emb": np.ones((2, 2), np.int32)}
    taken, reasons = chosen(tmp_path, tensors)
    assert taken == {"user_emb.weight", "item_emb.weight"}
    assert reasons["tower.0.bias"] == "has 1 dimension"
    assert reasons["stack_emb"] == "has 3 dimensions"
    assert reasons["ids_emb"] == "has integers (I32)"


def test_the_only_float_table(tmp_path):
    odd = {"x": (3, 2), "y": (3,), "x.exp_avg": (3, 2), "z": np.ones((2, 2), np.int8)}
    taken, reasons = chosen(tmp_path, odd)
    assert taken == {"x"}
    assert reasons["x"] == "the file's only 2-D float tensor"
    taken, _ = chosen(tmp_path, {"embeddings_project.weight": (3, 2)})
    assert taken == {"embeddings_project.weight"}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["user*"], {"user_emb.weight"}),
        (["user*", "*item_emb.weight"], {"user_emb.weight", "item_emb.weight"}),
        (
            ["*"],
            {"user_emb.weight", "item_emb.weight", "tower.0.weight", "item_emb.weight.exp_avg"},
        ),
        (["!item*"], {"user_emb.weight"}),
        (["*", "!item*", "!tower*"], {"user_emb.weight"}),
        (["!tower*", "*weight", "!user_emb.weight"], {"item_emb.weight"}),
        (["[it]*.weight"], {"item_emb.weight", "tower.0.weight"}),
        (["tower.?.weight"], {"tower.0.weight"}),
        (["item_emb.weight.exp_avg"], {"item_emb.weight.exp_avg"}),
        (["*emb*"], {"user_emb.weight", "item_emb.weight", "item_emb.weight.exp_avg"}),
    ],
)
def test_patterns(tmp_path, patterns, expected):
    taken, reasons = chosen(tmp_path, SHAPES, patterns)
    assert taken == expected
    for name in set(reasons) - taken:
        assert reasons[name]


def test_reasons_of_patterns(tmp_path):
    _, reasons = chosen(tmp_path, SHAPES, ["*emb*", "!item*"])
    assert reasons["user_emb.weight"] == "matches '*emb*'"
    assert reasons["item_emb.weight"] == "excluded by '!item*'"
    assert reasons["tower.0.weight"] == "not named by --tables"
    assert reasons["stack_emb"] == "has 3 dimensions"


def test_an_exact_name_is_no_glob(tmp_path):
    taken, _ = chosen(tmp_path, {"a[0].w": (2, 2), "a0.w": (2, 2)}, ["a[0].w"])
    assert taken == {"a[0].w"}


@pytest.mark.parametrize(
    ("patterns", "error", "words"),
    [
        (["item_emb.wieght"], UsageError, "matches no tensor; .* are 'item_emb.weight', "),
        (["Item*"], UsageError, "'Item.' matches no tensor"),
        (["*", "!nothing*"], UsageError, "'!nothing.' matches no tensor"),
        (["*bias"], UsageError, "matches no 2-D float tensor .'tower.0.bias' has 1 dimension"),
        (["tower.0.bias"], BadInput, "'tower.0.bias' has 1 dimension; a table is 2-D"),
        (["stack_emb", "user*"], BadInput, "'stack_emb' has 3 dimensions"),
        (["ids"], BadInput, "'ids' has integers .I64.; cast it to float first"),
        (["user*", "!*"], UsageError, "no table to compress: .* name some with --tables"),
    ],
)
def test_refused_patterns(tmp_path, patterns, error, words):
    with pytest.raises(error, match=words):
        chosen(tmp_path, SHAPES | {"ids": np.ones((2, 2), np.int64)}, patterns)


def test_nothing_to_take_lists_the_candidates(tmp_path):
    with pytest.raises(UsageError, match=r"are 'w00', 'w01', .* and 12 more; name some"):
        chosen(tmp_path, {f"w{i:02}": (2, 2) for i in range(20)})
    with pytest.raises(UsageError, match="none of its 1 tensors is 2-D and of floats"):
        chosen(tmp_path, {"bias": (3,)})


def test_unknown_dtype_named(tmp_path):
    path = tmp_path / "q.safetensors"
    path.write_bytes(safetensors({"emb": entry("F4", [2, 2], 0, 2)}, b"ab"))
    with open_source(path) as source, pytest.raises(BadInput, match="F4, which cannot be read"):
        choose(source, ["emb"])


def test_npy(tmp_path):
    np.save(tmp_path / "glove.npy", np.ones((3, 2), np.float32))
    with open_source(tmp_path / "glove.npy") as source:
        assert choose(source).taken[0].reason == "the array of an .npy file"
        assert choose(source, ["gl*"]).taken[0].name == "glove"
        with pytest.raises(
            UsageError, match="matches no tensor; its 2-D float tensors are 'glove'"
        ):
            choose(source, ["word2vec"])


@pytest.mark.parametrize("name", ["a::b", "__metadata__"])
def test_reserved_names_of_files(tmp_path, name):
    np.save(tmp_path / f"{name}.npy", np.ones((3, 2), np.float32))
    with open_source(tmp_path / f"{name}.npy") as source, pytest.raises(BadInput, match="reserved"):
        choose(source)


def test_many_long_names_are_compared_quickly(tmp_path):
    shapes = {f"{'ab' * 1000}{i}": (1, 1) for i in range(3000)}
    with pytest.raises(UsageError, match="and 2992 more"):
        chosen(tmp_path, shapes, ["ab" * 5000])
