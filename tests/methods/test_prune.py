"""Pruned tables beside numpy's sort, their sizes, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse
from safetensors.numpy import save_file

import embcompress
from embcompress.errors import UsageError
from embcompress.methods.prune import Prune
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings


def kept_by_sort(table, count, axis=None):
    """The largest magnitudes, of all or along an axis; ties to the first."""
    if axis is None:
        order = np.argsort(-np.abs(table).ravel(), kind="stable")
        mask = np.zeros(table.size, bool)
        mask[order[:count]] = True
        return mask.reshape(table.shape)
    order = np.argsort(-np.abs(table), axis=axis, kind="stable")
    rank = np.argsort(order, axis=axis, kind="stable")
    return rank < count


@pytest.mark.parametrize("keep", [0.013, 0.5, 0.9])
@pytest.mark.parametrize("scope", ["global", "row", "column"])
def test_the_largest_values_are_kept(scope, keep, glove_slice):
    if scope == "row" and keep < 1 / 50:
        keep = 0.02
    count, axis = {
        "global": (int(keep * glove_slice.size), None),
        "row": (int(keep * 50 + 1e-9), 1),
        "column": (int(keep * 20_000 + 1e-9), 0),
    }[scope]
    wanted = np.where(kept_by_sort(glove_slice, count, axis), glove_slice, 0)
    table = compress(glove_slice, Prune(scope=scope, keep=keep))
    assert np.array_equal(table.restore(), wanted)


@pytest.mark.parametrize("scope", ["global", "row", "column"])
def test_soft_is_peps_code(scope, glove_slice):
    """sign(e)·relu(|e| - g), g the largest magnitude that is not kept."""
    size = np.abs(glove_slice)
    g = {
        "global": np.sort(size.ravel())[::-1][int(0.3 * size.size)],
        "row": np.sort(size, axis=1)[:, ::-1][:, 15:16],
        "column": np.sort(size, axis=0)[::-1][6000],
    }[scope]
    wanted = np.sign(glove_slice) * np.maximum(size - g, 0)
    table = compress(glove_slice, Prune(scope=scope, keep=0.3, soft=True))
    assert np.array_equal(table.restore(), wanted)


def test_beside_a_csr_matrix(glove_slice):
    """The same rows, in fewer bytes, as scipy's CSR with the smallest indices it has."""
    table = compress(glove_slice, Prune(keep=0.5))
    csr = scipy.sparse.csr_matrix(table.restore())
    ids = np.random.default_rng(0).integers(0, 20_000, 500)
    assert np.array_equal(table.lookup(ids), csr[ids].toarray())
    ours = sum(table.form.part_bytes().values()) + 4 * csr.nnz
    assert ours < 0.6 * (csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes)


def test_the_smaller_index_is_taken(glove_slice):
    kinds = {}
    for keep in (0.02, 0.5):
        kinds[keep] = compress(glove_slice, Prune(keep=keep)).form.segments[0].codec.index
    assert kinds == {0.02: "list", 0.5: "bitmap"}


def test_values(glove_slice):
    exact = compress(glove_slice, Prune()).restore()
    half = compress(glove_slice, Prune(values="fp16")).restore()
    assert np.array_equal(half, exact.astype(np.float16).astype(np.float32))
    step = np.abs(exact).max(axis=1, keepdims=True) / 127
    eighth = compress(glove_slice, Prune(values="int8")).restore()
    assert (np.abs(eighth - exact) <= step * 0.5001).all()
    table = compress(glove_slice, Prune(values="int8", scale="table")).restore()
    assert (np.abs(table - exact) <= np.abs(exact).max() / 127 * 0.5001).all()


def test_large_values_are_stored_in_fp32(glove_slice):
    rows = glove_slice.copy()
    rows[7, 3] = 1e37
    table = compress(rows, Prune(values="fp16"))
    assert table.form.segments[0].codec.numbers == "fp32"
    assert table.restore()[7, 3] == rows[7, 3]


@pytest.fixture
def model(tmp_path, glove_slice):
    """Two tables, one with values ten times as large."""
    tables = {
        "a.embedding.weight": glove_slice[:3000],
        "b.embedding.weight": np.ascontiguousarray(10 * glove_slice[3000:3700, :11]),
    }
    path = tmp_path / "model.safetensors"
    save_file(tables, path)
    return path, tables


def test_one_threshold_over_all_tables(model, run, tmp_path):
    path, tables = model
    code, _, err = run("prune", path, "-o", tmp_path / "o.safetensors", "--keep", 0.2, "-q")
    assert code == 0, err
    artifact = embcompress.open(tmp_path / "o.safetensors")
    both = np.concatenate([t.ravel() for t in tables.values()])
    wanted = np.where(kept_by_sort(both, int(0.2 * len(both))), both, 0)
    assert np.array_equal(np.concatenate([artifact[n].restore().ravel() for n in tables]), wanted)


@pytest.mark.parametrize("scope", ["global", "row", "column"])
@pytest.mark.parametrize("values", ["fp32", "int8"])
@pytest.mark.parametrize("budget", ["6x", "61KB", "5bpw"])
def test_budgets_are_met_from_below(scope, values, budget, model, run, tmp_path):
    """Everything counted; a little more would not fit."""
    path, tables = model
    output = tmp_path / "o.safetensors"
    words = ["--budget", budget, "--scope", scope, "--values", values]
    code, out, err = run("prune", path, "-o", output, *words, "--json")
    assert code == 0, err
    weights = sum(t.size for t in tables.values())
    allowed = {"6x": 4 * weights // 6, "61KB": 61_000, "5bpw": weights * 5 // 8}[budget]
    size = output.stat().st_size
    assert json.loads(out)["file_bytes"] == size <= allowed
    slack = {"global": 16, "row": 4 * 3700 + 64, "column": 4 * 61 + 64}[scope]
    assert size > allowed - slack
    _, dry, _ = run("prune", path, "--dry-run", *words, "--json")
    assert json.loads(dry)["file_bytes"] == size


def test_with_hot_rows_and_fields(glove_slice):
    frequencies = 1.0 / np.arange(1, 20_001)
    table = compress(
        glove_slice,
        Prune(keep=0.25),
        frequencies=frequencies,
        fields={"a": (0, 7000), "b": (7000, 20_000)},
        settings=Settings(keep_hot=0.01, hot_as="fp32", per_field=True),
    )
    rows = table.restore()
    assert np.array_equal(rows[:200], glove_slice[:200])
    cold = glove_slice[200:]
    wanted = np.where(kept_by_sort(cold, int(0.25 * cold.size)), cold, 0)
    assert np.array_equal(rows[200:], wanted)


def test_after_a_rotation(glove_slice):
    from embcompress.methods import Rotate

    table = compress(glove_slice, Rotate(basis="pca", then="prune --keep 0.4 --values fp16"))
    codec = table.form.segments[0].codec
    assert codec.inner.name == "sparse"
    error = np.linalg.norm(table.restore() - glove_slice) / np.linalg.norm(glove_slice)
    assert error < 0.5
    assert np.array_equal(table.read(100, 333), table.restore()[100:333])


@pytest.mark.parametrize("kind", ["zeros", "constant", "tiny", "huge", "heavy"])
@pytest.mark.parametrize("scope", ["global", "row", "column"])
@pytest.mark.parametrize("values", ["fp32", "fp16", "int8"])
def test_odd_values(kind, scope, values):
    random = np.random.default_rng(1)
    table = {
        "zeros": np.zeros((70, 5)),
        "constant": np.full((70, 5), 0.1),
        "tiny": random.standard_normal((70, 5)) * 1e-40,
        "huge": random.uniform(-3.4e38, 3.4e38, (70, 5)),
        "heavy": random.standard_cauchy((70, 5)) ** 3,
    }[kind].astype(np.float32)
    rows = compress(table, Prune(scope=scope, keep=0.6, values=values)).restore()
    assert np.isfinite(rows).all()
    assert (rows != 0).sum() <= 0.6 * table.size
    assert np.linalg.norm(rows.astype(np.float64) - table) <= np.linalg.norm(
        table.astype(np.float64)
    )


def test_two_passes(tmp_path, run, monkeypatch):
    """One pass finds the threshold and the statistics, one encodes."""
    from embcompress.pipeline.segments import Reader
    from embcompress.solvers import thresholds

    monkeypatch.setattr(thresholds, "_FEW", 1000)
    table = np.random.default_rng(0).standard_normal((400_000, 3)).astype(np.float32)
    np.save(tmp_path / "t.npy", table)
    reads = []
    read = Reader.read

    def counted(self, index):
        reads.append(index)
        return read(self, index)

    monkeypatch.setattr(Reader, "read", counted)
    code, _, err = run("prune", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", "-q")
    assert code == 0, err
    tiles = -(-400_000 // 4096)
    assert len(reads) <= 2 * tiles + 66  # those peeked at, and one where ties are told apart
    restored = embcompress.open(tmp_path / "o.safetensors")["t"].restore()
    assert np.array_equal(restored, np.where(kept_by_sort(table, table.size // 2), table, 0))


FREQUENCIES = 1.0 / np.random.default_rng(0).permutation(np.arange(1, 20_001))
FIELDS = {"a": (0, 7000), "b": (7000, 20_000)}


@pytest.mark.parametrize("weighted", [True, False])
def test_rows_with_most_frequency_times_norm_are_kept(weighted, glove_slice):
    """OptEmbed's rows: the others are the weighted mean of those dropped of their field."""
    frequencies = FREQUENCIES if weighted else None
    weights = FREQUENCIES if weighted else np.ones(20_000)
    table = compress(
        glove_slice,
        Prune(rows=True, keep=0.29),
        frequencies=frequencies,
        fields=FIELDS,
        settings=Settings(per_field=True),
    )
    rank = weights * np.linalg.norm(glove_slice.astype(np.float64), axis=1)
    kept = np.zeros(20_000, bool)
    kept[np.argsort(-rank, kind="stable")[:5800]] = True
    rows = table.restore()
    assert np.array_equal(rows[kept], glove_slice[kept])
    for a, b in FIELDS.values():
        mine = np.arange(a, b)[~kept[a:b]]
        mean = weights[mine] @ glove_slice[mine].astype(np.float64) / weights[mine].sum()
        np.testing.assert_allclose(rows[mine], np.tile(mean, (len(mine), 1)), rtol=1e-5, atol=1e-6)
    absent = [s.codec.layout().record_bytes for s in table.form.segments if s.rows]
    assert sorted(absent) == [0, 0, 200, 200]


def test_dropped_rows_take_a_bit_each(glove_slice, tmp_path, run):
    np.save(tmp_path / "t.npy", glove_slice)
    output = tmp_path / "o.safetensors"
    words = ["--rows", "--keep", 0.1, "--then", "quantize --bits 4"]
    code, _, err = run("prune", tmp_path / "t.npy", "-o", output, "-q", *words)
    assert code == 0, err
    assert output.stat().st_size < 2000 * 29 + 20_000 / 8 * 1.3 + 2000


def test_rows_beside_hot_rows(glove_slice):
    table = compress(
        glove_slice,
        Prune(rows=True, keep=0.5, values="fp16"),
        frequencies=FREQUENCIES,
        settings=Settings(keep_hot=0.01, hot_as="fp32"),
    )
    hot = np.argsort(-FREQUENCIES, kind="stable")[:200]
    assert np.array_equal(table.lookup(hot), glove_slice[hot])
    assert [s.rows for s in table.form.segments] == [200, 9900, 9900]


def test_large_values_in_either_tier(glove_slice):
    for row in (0, 19_999):
        rows = glove_slice.copy()
        rows[row, 0] = 1e6
        frequencies = np.where(np.arange(20_000) < 10_000, 1.0, 1e-9)
        table = compress(rows, Prune(rows=True, values="fp16"), frequencies=frequencies)
        assert table.form.segments[0].codec.dtype == "fp32"


def test_columns_of_groups_by_energy(glove_slice):
    """DNIS: whole columns of groups by frequency; no other ones of as many values hold more."""
    table = compress(
        glove_slice, Prune(scope="group", keep=0.4, groups="0.1,0.3"), frequencies=FREQUENCIES
    )
    ranked = np.argsort(-FREQUENCIES, kind="stable")
    groups = [ranked[:2000], ranked[2000:8000], ranked[8000:]]
    gains, values = [], 0
    for number, (mine, segment) in enumerate(zip(groups, table.form.segments, strict=True)):
        rows = glove_slice[mine]
        energies = FREQUENCIES[mine] @ rows.astype(np.float64) ** 2
        kept = getattr(segment.codec, "kept", np.empty(0, int))
        gains += [(e / len(mine), number, j, j in kept) for j, e in enumerate(energies)]
        values += len(mine) * len(kept)
        wanted = np.zeros_like(rows)
        wanted[:, kept] = rows[:, kept]
        assert np.array_equal(table.lookup(mine), wanted)
    assert 0.4 * 1e6 - 2000 < values <= 0.4 * 1e6
    flags = [kept for *_, kept in sorted(gains, reverse=True)]
    first_out = flags.index(False)
    assert all(flags[:first_out])  # what follows are smaller groups that still fit
    assert sum(flags[first_out:]) <= 5


@pytest.mark.parametrize("words", [["fp32"], ["fp16"], ["int8"]], ids=str)
def test_budgets_of_groups(words, model, run, tmp_path):
    path, tables = model
    save_file(
        {n: 1.0 / np.arange(1, len(t) + 1) for n, t in tables.items()}, tmp_path / "f.safetensors"
    )
    output = tmp_path / "o.safetensors"
    words = ["--scope", "group", "--budget", "6x", "--values", *words]
    words += ["--frequencies", tmp_path / "f.safetensors"]
    code, out, err = run("prune", path, "-o", output, *words, "--json")
    assert code == 0, err
    size = output.stat().st_size
    allowed = 4 * sum(t.size for t in tables.values()) // 6
    assert json.loads(out)["file_bytes"] == size <= allowed
    assert size > allowed - 1500 * 4 - 300  # a column of the largest group
    _, dry, _ = run("prune", path, "--dry-run", *words, "--json")
    assert json.loads(dry)["file_bytes"] == size


def test_groups_of_coordinates_are_refused(glove_slice):
    from embcompress.methods import Rotate

    for words in ("--rows", "--scope group"):
        with pytest.raises(UsageError, match="cannot compress coordinates"):
            compress(glove_slice, Rotate(then=f"prune {words}"), frequencies=FREQUENCIES)


WRONG = [
    (["--rows", "--budget", "4x"], "--rows needs --keep"),
    (["--rows", "--scope", "row"], "--rows drops whole rows"),
    (["--scope", "group"], "need --frequencies"),
    (["--scope", "group", "--groups", "1.5"], "are not shares"),
    (["--then", "pq"], "--then is of --rows"),
    (["--rows", "--then", "quantise"], "did you mean 'quantize'"),
    (["--rows", "--then", "pq", "--values", "int8"], "--then does not go with --values"),
    (["--keep", 0.01, "--scope", "row"], "keeps none of 50 columns; the least is 0.02"),
    (["--keep", 0, "--scope", "row"], "--keep"),
    (["--keep", 1.2], "--keep"),
    (["--keep", 0.5, "--budget", "4x"], "give one of them"),
    (["--budget", "1KB"], "no values at all take"),
    (["--budget", "3KB", "--scope", "row"], "one column a row takes"),
    (["--budget", "huge"], "is no budget"),
    (["--scale", "table"], "--scale table is of --values int8"),
]


@pytest.mark.parametrize(("words", "told"), WRONG, ids=lambda v: str(v)[-40:])
def test_usage_errors(words, told, model, run, tmp_path):
    code, _, err = run("prune", model[0], "-o", tmp_path / "o.safetensors", *words)
    assert code == 2
    assert told in err
    assert 1 <= len(err.strip().splitlines()) <= 2
    assert not (tmp_path / "o.safetensors").exists()


def test_nan_is_refused(glove_slice, tmp_path, run):
    rows = glove_slice.copy()
    rows[77, 3] = np.nan
    np.save(tmp_path / "t.npy", rows)
    for scope in ("global", "row", "column"):
        code, _, err = run(
            "prune", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", "--scope", scope
        )
        assert code == 3
        assert "row 77" in err


def test_budgets_of_coordinates_are_refused(glove_slice):
    from embcompress.methods import Rotate

    with pytest.raises(UsageError, match="--budget is of whole tables"):
        compress(glove_slice, Rotate(then="prune --budget 4x"))
