"""The verb neighbors: both stages, its outputs, and what it refuses."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.pipeline import neighbors as pipeline

ROOT = Path(__file__).parents[2]
GLOVE = ROOT / "fixtures" / "glove.npy"
ROWS = 20_000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """glove.npy binarized and at 8 bits."""
    from embcompress.cli.entry import run

    folder = tmp_path_factory.mktemp("neighbors")
    for verb, name in ((["binarize"], "b1"), (["quantize", "--bits", "8"], "q8")):
        words = [verb[0], str(GLOVE), "-o", str(folder / f"{name}.safetensors"), *verb[1:], "-q"]
        assert run(words) == 0
    return folder


def searched(run, *words):
    code, out, err = run("neighbors", *words, "--json")
    assert code == 0, err
    found = json.loads(out)
    ids = [[n["id"] for n in entry["neighbors"]] for entry in found]
    scores = [[n["score"] for n in entry["neighbors"]] for entry in found]
    return [entry["query"] for entry in found], np.array(ids), np.array(scores)


def sorted_out(scores, own, k, smallest):
    """The k best of each row of scores, lower columns first among equals."""
    keys = scores if smallest else -scores
    found = []
    for row, mine in zip(keys, own, strict=True):
        order = np.lexsort((np.arange(len(row)), row))
        found.append(order[order != mine][:k])
    return np.array(found)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2", "hamming"])
@pytest.mark.parametrize("name", ["b1", "q8"])
def test_neighbors_are_the_best_scores(name, metric, files, run):
    if (name, metric) == ("q8", "hamming"):
        return
    path = files / f"{name}.safetensors"
    table = embcompress.open(path)["glove"]
    own = np.array([0, 17, 17, 19_999])
    queries, ids, scores = searched(
        run, path, "--ids", "0,17,17,19999", "-k", 5, "--metric", metric
    )
    assert queries == own.tolist()
    every = table.score(table.lookup(own), metric=metric)
    wanted = sorted_out(every, own, 5, metric in ("l2", "hamming"))
    assert np.array_equal(ids, wanted)
    assert np.allclose(scores, np.take_along_axis(every, wanted, 1), rtol=1e-6)


def test_lines(files, run):
    code, out, err = run("neighbors", files / "q8.safetensors", "--ids", "3:5", "-k", 2)
    assert code == 0
    assert err == ""
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == ["3", "3", "4", "4"]
    assert all(len(line) == 3 and 0 < float(line[2]) <= 1.0001 for line in lines)


def test_queries_from_a_file(files, run, tmp_path):
    asked = np.load(GLOVE)[:3].astype(np.float64)
    np.save(tmp_path / "q.npy", asked)
    save_file({"q": asked.astype(np.float16)}, tmp_path / "q.safetensors")
    for name in ("q.npy", "q.safetensors"):
        words = files / "q8.safetensors", "--queries", tmp_path / name, "-k", 1
        queries, ids, _ = searched(run, *words)
        assert queries == [0, 1, 2]
        assert ids[:, 0].tolist() == [0, 1, 2]


def test_rerank_is_exact_on_candidates(files, run):
    """All rows as candidates: the order is that of the source."""
    dense = np.load(GLOVE).astype(np.float64)
    dense /= np.linalg.norm(dense, axis=1)[:, None]
    own = np.array([5, 700])
    wanted = sorted_out(dense[own] @ dense.T, own, 10, smallest=False)
    words = files / "b1.safetensors", "--ids", "5,700", "--metric", "hamming", "--rerank", GLOVE
    _, ids, scores = searched(run, *words, "--candidates", ROWS)
    assert np.array_equal(ids, wanted)
    assert np.allclose(scores, np.take_along_axis(dense[own] @ dense.T, wanted, 1), atol=1e-6)
    _, few, _ = searched(run, *words)
    alone = searched(run, files / "b1.safetensors", "--ids", "5,700", "--metric", "hamming")[1]
    shared = [len(np.intersect1d(a, b)) for a, b in zip(few, wanted, strict=True)]
    before = [len(np.intersect1d(a, b)) for a, b in zip(alone, wanted, strict=True)]
    assert sum(shared) > sum(before)


def test_rerank_with_a_finer_artifact(files, run):
    finer = embcompress.open(files / "q8.safetensors")["glove"]
    words = files / "b1.safetensors", "--ids", "9", "--metric", "hamming", "--candidates", ROWS
    _, ids, scores = searched(
        run, *words, "--rerank", files / "q8.safetensors", "--rerank-metric", "l2", "-k", 4
    )
    every = finer.score(finer.lookup([9]), metric="l2")
    wanted = sorted_out(every, [9], 4, smallest=True)
    assert np.array_equal(ids, wanted)
    assert np.allclose(scores, np.take_along_axis(every, wanted, 1), rtol=1e-5)


def test_threads_and_passes_leave_results_alone(files, run, tmp_path, monkeypatch):
    words = [files / "b1.safetensors", "--ids", "0:40", "--metric", "hamming", "--force", "-q"]
    for i, threads in enumerate((1, 2)):
        npy = tmp_path / f"{i}.npy"
        assert run("neighbors", *words, "--threads", threads, "--npy", npy)[0] == 0
    first = np.load(tmp_path / "0.npy")
    assert first.dtype == np.int64
    assert first.shape == (40, 10)
    assert np.array_equal(first, np.load(tmp_path / "1.npy"))
    monkeypatch.setattr(pipeline, "_QUERIES", 7)
    assert run("neighbors", *words, "--npy", tmp_path / "1.npy")[0] == 0
    assert np.array_equal(first, np.load(tmp_path / "1.npy"))


def test_equal_rows_come_in_order(run, tmp_path):
    """Rows that are equal have equal scores wherever they lie, so the lower number is first."""
    rows = np.tile(np.random.default_rng(0).standard_normal((1, 24)), (9000, 1))
    np.save(tmp_path / "t.npy", rows.astype(np.float32))
    for verb in ("cast", "quantize", "binarize"):
        path = tmp_path / f"{verb}.safetensors"
        assert run(verb, tmp_path / "t.npy", "-o", path, "-q")[0] == 0
        _, ids, _ = searched(run, path, "--ids", "1,8999", "-k", 3)
        assert ids.tolist() == [[0, 2, 3], [0, 1, 2]]


def test_fewer_rows_than_neighbors(run, tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).standard_normal((4, 8)).astype("f4"))
    path = tmp_path / "t.safetensors"
    assert run("binarize", tmp_path / "t.npy", "-o", path, "-q", "--keep-failed")[0] in (0, 1)
    assert searched(run, path, "--ids", "2")[1].shape == (1, 3)
    assert searched(run, path, "--queries", tmp_path / "t.npy")[1].shape == (4, 4)
    assert searched(run, path, "--ids", "2", "--rerank", tmp_path / "t.npy")[1].shape == (1, 3)
    np.save(tmp_path / "none.npy", np.zeros((0, 8), np.float32))
    assert searched(run, path, "--queries", tmp_path / "none.npy")[0] == []


def test_refusals(files, run, tmp_path):
    np.save(tmp_path / "narrow.npy", np.zeros((2, 49), np.float32))
    np.save(tmp_path / "nan.npy", np.full((2, 50), np.nan, np.float32))
    np.save(tmp_path / "short.npy", np.zeros((7, 50), np.float32))
    np.save(tmp_path / "whole.npy", np.zeros((2, 50), np.int64))
    save_file({"a": np.zeros((9, 50), "f4"), "b": np.zeros((9, 50), "f4")}, tmp_path / "ab.st")
    b1, q8 = files / "b1.safetensors", files / "q8.safetensors"
    for words, code, told in (
        ([b1], 2, "--ids 0,17 or --queries FILE"),
        ([b1, "--ids", "1", "--queries", GLOVE], 2, "--ids 0,17 or --queries FILE"),
        ([b1, "--ids", "20000"], 2, "id 20000"),
        ([b1, "--ids", "-1"], 2, "id -1"),
        ([b1, "--ids", "x"], 2, "no row number"),
        ([b1, "--ids", "1", "-k", "0"], 2, "-k"),
        ([b1, "--ids", "1", "--metric", "edit"], 2, "--metric"),
        ([b1, "--ids", "1", "--table", "glov"], 2, "no table 'glov'"),
        ([q8, "--ids", "1", "--metric", "hamming"], 2, "stores no signs"),
        ([b1, "--queries", tmp_path / "narrow.npy"], 2, "50 columns"),
        ([b1, "--queries", tmp_path / "nan.npy"], 3, "query 0"),
        ([b1, "--queries", tmp_path / "whole.npy"], 2, "2-D float"),
        ([b1, "--queries", tmp_path / "no.npy"], 3, "no such file"),
        ([GLOVE, "--ids", "1"], 3, "not an embcompress artifact"),
        ([b1, "--ids", "1", "--candidates", "50"], 2, "--rerank"),
        ([b1, "--ids", "1", "--rerank", GLOVE, "--candidates", "5"], 2, "--candidates 5"),
        ([b1, "--ids", "1", "--rerank", tmp_path / "short.npy"], 3, "7×50"),
        ([b1, "--ids", "1", "--rerank", tmp_path / "ab.st"], 2, "no table 'glove'"),
        ([b1, "--ids", "1", "--rerank", tmp_path / "no.npy"], 3, "no such file"),
        ([b1, "--ids", "1", "--npy", b1], 2, "the output is the input"),
    ):
        got, out, err = run("neighbors", *words)
        assert got == code, (words, err)
        assert told in err, words
        assert out == ""
        assert len(err.strip().splitlines()) <= 2


def blocks(language):
    """Code blocks of the page."""
    page = (ROOT / "docs" / "similarity.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_what_the_page_shows_works(run, tmp_path, monkeypatch):
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    monkeypatch.chdir(tmp_path)
    commands = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    assert len(commands) >= 4
    for command in commands:
        code, out, err = run(*shlex.split(command, comments=True)[1:])
        assert code == 0, (command, err)
        assert out
    for code in blocks("python"):
        exec(compile(code, "similarity.md", "exec"), {})
