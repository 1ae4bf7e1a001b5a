"""Dimensions by group beside numpy's SVD and all choices there are."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.errors import UsageError
from embcompress.methods.mixdim import MixDim
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings

FIELDS = {"a": (0, 40), "b": (40, 1000), "c": (1000, 9000), "d": (9000, 20_000)}
FREQUENCIES = 1.0 / np.random.default_rng(0).permutation(np.arange(1, 20_001))
RANKED = np.argsort(-FREQUENCIES, kind="stable")


def dims_of(table):
    return [int(r["dims"]) for r in table.form.method["resolved"]]


def best_rank(rows, rank, weights=None):
    """Rows on their mean and strongest axes, by numpy's SVD, weighted."""
    wide = rows.astype(np.float64)
    weights = np.ones(len(rows)) if weights is None else weights
    mean = weights @ wide / weights.sum()
    _, _, right = np.linalg.svd((wide - mean) * np.sqrt(weights)[:, None], full_matrices=False)
    return mean + (wide - mean) @ right[:rank].T @ right[:rank]


def squared(rows, restored, weights=None):
    own = ((rows.astype(np.float64) - restored) ** 2).sum(axis=1)
    return own.sum() if weights is None else weights @ own


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_power_of_field_size(alpha, glove_slice):
    """MDE: d = largest·(n_smallest / n)^alpha, and the best axes of each field."""
    table = compress(glove_slice, MixDim(alpha=alpha, rank=32), fields=FIELDS)
    sizes = np.array([b - a for a, b in FIELDS.values()])
    wanted = np.maximum(np.rint(32 * (40 / sizes) ** alpha), 1).astype(int)
    assert dims_of(table) == wanted.tolist()
    for (a, b), dim in zip(FIELDS.values(), wanted, strict=True):
        rows = glove_slice[a:b]
        ours, theirs = table.read(a, b), best_rank(rows, dim)
        assert squared(rows, ours) == pytest.approx(squared(rows, theirs), rel=1e-5)


def test_power_of_frequency(glove_slice):
    """CpRec: groups by frequency, each on its own axes, weighted."""
    table = compress(
        glove_slice, MixDim(by="frequency", groups="0.1,0.3", rank=24), frequencies=FREQUENCIES
    )
    dims = dims_of(table)
    assert dims[0] == 24 > dims[1] > dims[2] >= 1
    for rows, dim in zip((RANKED[:2000], RANKED[2000:8000], RANKED[8000:]), dims, strict=True):
        mine, weights = glove_slice[rows], FREQUENCIES[rows]
        theirs = best_rank(mine, dim, weights)
        ours = squared(mine, table.lookup(rows), weights)
        assert ours == pytest.approx(squared(mine, theirs, weights), rel=1e-5)


def test_errors_of_dimensions_are_exact(glove_slice):
    """What the knapsack reckons with is what comes out."""
    for projection in ("svd", "columns"):
        table = compress(
            glove_slice,
            MixDim(rule="budget", budget="3x", projection=projection),
            fields=FIELDS,
            frequencies=FREQUENCIES,
        )
        total = 0.0
        for (a, b), dim in zip(FIELDS.values(), dims_of(table), strict=True):
            rows, weights = glove_slice[a:b].astype(np.float64), FREQUENCIES[a:b]
            mean = weights @ rows / weights.sum()
            spread = (rows - mean) * np.sqrt(weights)[:, None]
            energies = np.linalg.svd(spread, compute_uv=False) ** 2
            if projection == "columns":
                energies = np.sort((spread**2).sum(axis=0))[::-1]
            total += energies[dim:].sum()
        found = squared(glove_slice, table.restore(), FREQUENCIES)
        assert found == pytest.approx(total, rel=1e-5)


def small_table():
    random = np.random.default_rng(3)
    rows = random.standard_normal((600, 6)) * np.array([5, 3, 2, 1, 0.5, 0.2])
    rows[:200] *= 3
    return rows.astype(np.float32)


def choices(groups, rows, weights, dims, fits):
    """The least weighted error over all dimensions that fit."""
    left = []
    for mine in groups:
        own = rows[mine].astype(np.float64)
        w = weights[mine]
        mean = w @ own / w.sum()
        energies = np.linalg.svd((own - mean) * np.sqrt(w)[:, None], compute_uv=False) ** 2
        left.append({dim: energies[dim:].sum() for dim in dims})
    return {
        chosen: sum(own[dim] for own, dim in zip(left, chosen, strict=True))
        for chosen in product(dims, repeat=len(groups))
        if fits(chosen)
    }


@pytest.mark.parametrize("rule", ["budget", "monotone"])
@pytest.mark.parametrize("budget", [3300, 3900, 5000, 7000, 12000])
def test_beside_all_choices(rule, budget):
    """No other dimensions within the bytes of the file leave less."""
    rows = small_table()
    weights = 1.0 / np.arange(1, 601)
    if rule == "budget":  # the best choice is not rising in frequency
        weights = np.ones(600) + 1e-3 * np.arange(600, 0, -1)
    groups = [np.arange(0, 60), np.arange(60, 300), np.arange(300, 600)]
    dims = [0, 1, 2, 4, 6]
    method = MixDim(
        by="frequency", rule=rule, groups="0.1,0.4", budget=str(budget), dims="0,1,2,4,6"
    )
    table = compress(rows, method, frequencies=weights)

    def bytes_of(chosen):
        """What rows and projections take: the rest of the file hardly depends on the choice."""
        return sum(
            4 * len(mine) * dim + (0 if dim == 6 else 4 * 6 * (dim + 1))
            for mine, dim in zip(groups, chosen, strict=True)
        )

    taken = tuple(dims_of(table))
    room = bytes_of(taken)
    rising = rule == "monotone"
    every = choices(
        groups, rows, weights, dims,
        lambda c: bytes_of(c) <= room and not (rising and list(c) != sorted(c, reverse=True)),
    )  # fmt: skip
    assert every[taken] == pytest.approx(min(every.values()))
    found = squared(rows, table.restore(), weights)
    assert found == pytest.approx(every[taken], rel=1e-5, abs=1e-9)


def test_a_rule_that_never_falls(glove_slice):
    """Rare rows that are hard to compress would take more than frequent ones."""
    rows = glove_slice.copy()
    rows[RANKED[:2000]] *= 0.01
    words = {"by": "frequency", "groups": "0.1,0.2", "budget": "4x"}
    free, rising = (
        dims_of(compress(rows, MixDim(rule=rule, **words), frequencies=FREQUENCIES))
        for rule in ("budget", "monotone")
    )
    assert free != sorted(free, reverse=True)
    assert rising == sorted(rising, reverse=True)


@pytest.fixture
def model(tmp_path, glove_slice):
    """Three tables of one recommender, their frequencies."""
    random = np.random.default_rng(1)
    tables = {
        "a.embedding.weight": glove_slice[:37],
        "b.embedding.weight": glove_slice[37:3000],
        "c.embedding.weight": (random.standard_normal((5000, 50)) * 0.3).astype(np.float32),
    }
    save_file(tables, tmp_path / "model.safetensors")
    save_file(
        {n: 1.0 / np.arange(1, len(t) + 1) for n, t in tables.items()},
        tmp_path / "counts.safetensors",
    )
    return tmp_path, tables


CASES = [
    ("--rule", "power"),
    ("--rule", "budget"),
    ("--rule", "budget", "--projection", "columns", "--block", "8"),
    ("--rule", "budget", "--coords", "int8"),
    ("--rule", "budget", "--then", "quantize --bits 4 --group-size 9"),
    ("--rule", "power", "--by", "frequency"),
    ("--rule", "monotone", "--by", "frequency", "--coords", "fp16"),
    ("--rule", "monotone", "--by", "frequency", "--then", "pq --bits 8 --codebook-dtype fp32"),
]


@pytest.mark.parametrize("words", CASES, ids=" ".join)
@pytest.mark.parametrize("budget", ["8x", "120KB"])
def test_budgets_are_met_from_below(words, budget, model, run):
    folder, tables = model
    path, output = folder / "model.safetensors", folder / "o.safetensors"
    counts = ["--frequencies", folder / "counts.safetensors"] if "--by" in words else []
    code, out, err = run(
        "mixdim", path, "-o", output, "--budget", budget, *words, *counts, "--json"
    )
    assert code == 0, err
    weights = sum(t.size for t in tables.values())
    allowed = {"8x": weights // 2, "120KB": 120_000}[budget]
    size = output.stat().st_size
    assert json.loads(out)["file_bytes"] == size <= allowed
    step = 4 * 5000 + 4 * 50 * 2 + 512  # the largest group with one coordinate more
    assert size > allowed - step * (8 if "--block" in words else 2)
    _, dry, _ = run("mixdim", path, "--dry-run", "--budget", budget, *words, *counts, "--json")
    assert json.loads(dry)["file_bytes"] == size


def test_a_budget_is_better_spent_than_by_a_power(model, run):
    folder, _ = model
    errors = {}
    for rule in ("power", "budget"):
        output = folder / f"{rule}.safetensors"
        words = ["--rule", rule, "--budget", "4x", "--json"]
        code, out, err = run("mixdim", folder / "model.safetensors", "-o", output, *words)
        assert code == 0, err
        tables = json.loads(out)["tables"]
        errors[rule] = sum(t["errors"]["mse"] * np.prod(t["shape"]) for t in tables)
    assert errors["budget"] < errors["power"]


def test_columns_by_blocks(glove_slice):
    """NIS: whole blocks of columns are kept, the others hold their mean."""
    method = MixDim(rule="budget", budget="3x", projection="columns", block=10)
    table = compress(glove_slice, method, fields=FIELDS)
    rows = table.restore()
    for (a, b), dim in zip(FIELDS.values(), dims_of(table), strict=True):
        exact = (rows[a:b] == glove_slice[a:b]).all(axis=0)
        assert exact.reshape(5, 10).all(axis=1).sum() * 10 == exact.sum() == dim
        if dim < 50:
            mean = glove_slice[a:b].mean(axis=0, dtype=np.float64)
            np.testing.assert_allclose(rows[a, ~exact], mean[~exact], rtol=1e-5, atol=1e-6)


def test_dimensions_zero_and_all(glove_slice):
    rows = glove_slice.copy()
    rows[1000:9000] = 0.25
    method = MixDim(rule="budget", budget="1.4x")
    table = compress(rows, method, fields=FIELDS)
    dims = dims_of(table)
    assert dims[0] == 50
    assert dims[2] == 0
    assert np.array_equal(table.read(0, 40), rows[:40])
    assert np.array_equal(table.read(1000, 9000), rows[1000:9000])
    assert table.form.segments[2].codec.layout().record_bytes == 0


def test_then_is_of_the_coordinates(glove_slice):
    table = compress(glove_slice, MixDim(rank=20, then="quantize --bits 4"), fields=FIELDS)
    codecs = [s.codec for s in table.form.segments]
    assert [(c.inner.name, c.inner.bits) for c in codecs] == [("uniform", 4)] * 4
    assert [c.inner.dim for c in codecs] == dims_of(table)


def test_with_hot_rows_and_groups_in_fields(glove_slice):
    table = compress(
        glove_slice,
        MixDim(by="frequency", rule="monotone", budget="4x"),
        frequencies=FREQUENCIES,
        fields=FIELDS,
        settings=Settings(keep_hot=0.01, hot_as="fp32", per_field=True),
    )
    hot = RANKED[:200]
    assert np.array_equal(table.lookup(hot), glove_slice[hot])
    assert len(table.form.segments) == 1 + 4 * 4


@pytest.mark.parametrize("kind", ["zeros", "constant", "tiny", "heavy", "1e37"])
@pytest.mark.parametrize("words", [{}, {"rule": "budget", "budget": "3x"}], ids=str)
def test_odd_values(kind, words):
    random = np.random.default_rng(1)
    table = {
        "zeros": np.zeros((900, 5)),
        "constant": np.full((900, 5), 0.1),
        "tiny": random.standard_normal((900, 5)) * 1e-40,
        "heavy": random.standard_cauchy((900, 5)) ** 3,
        "1e37": random.uniform(-1e37, 1e37, (900, 5)),
    }[kind].astype(np.float32)
    rows = compress(table, MixDim(**words), fields={"a": (0, 1), "b": (1, 20), "c": (20, 900)})
    assert np.isfinite(rows.restore()).all()


WRONG = [
    (["--rule", "budget"], "--rule budget needs --budget"),
    (["--rule", "budget", "--dims", "2,4"], "--rule budget needs --budget"),
    (["--rule", "monotone", "--budget", "4x"], "add --by frequency"),
    (["--by", "frequency"], "need --frequencies"),
    (["--dims", "64,128"], "--dims 64,128 are beyond 50"),
    (["--dims", "few"], "are not dimensions such as"),
    (["--rank", 64], "--rank 64 is beyond its 50 columns"),
    (["--rank", 0], "--rank"),
    (["--groups", "0.5,0.6"], "are not shares"),
    (["--alpha", 0.5, "--rule", "budget", "--budget", "4x"], "--alpha is of --rule power"),
    (["--alpha", 0.5, "--budget", "4x"], "--alpha is of --rule power without --budget"),
    (["--alpha", 1.5], "--alpha"),
    (["--block", 4], "--block is of --projection columns"),
    (["--coords", "int8", "--then", "pq"], "give one of them"),
    (["--then", "quantise"], "did you mean 'quantize'"),
    (["--budget", "500B"], "the smallest dimensions (alpha 1"),
    (["--budget", "500B", "--rule", "budget"], "the smallest dimensions take"),
]


@pytest.mark.parametrize(("words", "told"), WRONG, ids=lambda v: str(v)[-40:])
def test_usage_errors(words, told, model, run):
    folder, _ = model
    output = folder / "o.safetensors"
    code, _, err = run("mixdim", folder / "model.safetensors", "-o", output, *words)
    assert code == 2
    assert told in err
    told_lines = [line for line in err.strip().splitlines() if "one group only" not in line]
    assert 1 <= len(told_lines) <= 2
    assert not output.exists()


def test_coordinates_have_no_frequency_groups(glove_slice):
    from embcompress.methods import Rotate

    with pytest.raises(UsageError, match="cannot compress coordinates"):
        compress(glove_slice, Rotate(then="mixdim --by frequency"), frequencies=FREQUENCIES)
    table = compress(glove_slice, Rotate(then="mixdim --rank 10"))
    assert table.form.segments[0].codec.inner.name == "projected"


def test_one_group_is_told_of(run, tmp_path, glove_slice):
    np.save(tmp_path / "t.npy", glove_slice[:500])
    words = ["mixdim", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", "--rank", 9]
    code, _, err = run(*words)
    assert code == 0
    assert "there is one group only" in err
    assert dims_of(embcompress.open(tmp_path / "o.safetensors")["t"]) == [9]
