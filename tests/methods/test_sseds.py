"""sseds: which columns are kept, what stands in for the others, and gradients that cannot rank."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.errors import UsageError
from embcompress.methods import Quantize, Sseds
from embcompress.pipeline.memory import compress
from embcompress.pipeline.run import Job
from embcompress.pipeline.run import run as run_job
from embcompress.pipeline.settings import Settings
from embcompress.progress import Progress

D = 6
FIELDS = {"a": (0, 40), "b": (40, 70), "c": (70, 270)}


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((270, D)).astype(np.float32) + 1


@pytest.fixture
def saliency():
    return np.random.default_rng(1).random((3, D))


def kept(table):
    """Columns kept of every field, as a mask [fields, D]."""
    mask = np.zeros((len(table.form.segments), table.shape[1]), bool)
    for i, segment in enumerate(table.form.segments):
        mask[i, segment.codec.kept] = True
    return mask


@pytest.mark.parametrize("keep", [0, 0.05, 0.5, 0.77, 1])
def test_keep_is_a_share_of_all_columns(rows, saliency, keep):
    table = compress(rows, Sseds(keep=keep), fields=FIELDS, gradients=saliency)
    order = np.argsort(-saliency, axis=None, kind="stable")[: int(keep * saliency.size)]
    wanted = np.zeros(saliency.size, bool)
    wanted[order] = True
    assert np.array_equal(kept(table), wanted.reshape(saliency.shape))
    found = table.restore()
    for (start, stop), mask in zip(FIELDS.values(), kept(table), strict=True):
        own = rows[start:stop]
        assert np.array_equal(found[start:stop][:, mask], own[:, mask])
        mean = own.mean(axis=0, dtype=np.float64)[~mask]
        np.testing.assert_allclose(found[start:stop][:, ~mask], np.tile(mean, (len(own), 1)), 1e-6)


def test_fills(rows, saliency):
    errors = {}
    for fill in ("zero", "mean", "project"):
        table = compress(rows, Sseds(fill=fill), fields=FIELDS, gradients=saliency)
        errors[fill] = np.square(table.restore() - rows).sum()
    assert errors["project"] < errors["mean"] < errors["zero"]


def test_project_is_least_squares(rows, saliency):
    table = compress(rows, Sseds(fill="project"), fields=FIELDS, gradients=saliency)
    mask = kept(compress(rows, Sseds(), fields=FIELDS, gradients=saliency))
    found = table.restore()
    for (start, stop), own in zip(FIELDS.values(), mask, strict=True):
        wide = rows[start:stop].astype(np.float64)
        if not own.any():
            continue
        inputs = np.column_stack([np.ones(len(wide)), wide[:, own]])
        wanted = inputs @ np.linalg.lstsq(inputs, wide[:, ~own], rcond=None)[0]
        np.testing.assert_allclose(found[start:stop][:, ~own], wanted, rtol=0, atol=2e-5)


def test_frequencies_weight_the_mean(rows, saliency):
    counts = np.random.default_rng(3).integers(0, 9, len(rows)).astype(float)
    table = compress(rows, Sseds(), fields=FIELDS, gradients=saliency, frequencies=counts)
    column = int(np.flatnonzero(~kept(table)[0])[0])
    mean = np.average(rows[:40, column].astype(np.float64), weights=counts[:40])
    assert table.restore()[0, column] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize(("fill", "center"), [("zero", False), ("mean", True)])
def test_gradients_of_rows(rows, fill, center, saliency):
    """Σ (E − fill)·∂L/∂E ranks, as numpy has it."""
    gradients = np.random.default_rng(5).standard_normal(rows.shape).astype(np.float32)
    table = compress(rows, Sseds(fill=fill), fields=FIELDS, gradients=gradients)
    wide = rows.astype(np.float64)
    moves = np.stack([
        np.abs(((wide[a:b] - center * wide[a:b].mean(axis=0)) * gradients[a:b]).sum(axis=0))
        for a, b in FIELDS.values()
    ])  # fmt: skip
    same = compress(rows, Sseds(fill="zero"), fields=FIELDS, gradients=moves)
    assert np.array_equal(kept(table), kept(same))


def test_without_gradients(rows):
    wide = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    for saliency, moves in (("energy", wide**2), ("magnitude", np.abs(wide))):
        table = compress(rows, Sseds(saliency=saliency, keep=0.5))
        best = np.sort(np.argsort(-moves.mean(axis=0))[:3])
        assert table.form.segments[0].codec.kept.tolist() == best.tolist()


def tables_of(sizes, columns, seed):
    random = np.random.default_rng(seed)
    tables = {
        f"emb{i}.weight": random.standard_normal((n, columns)).astype(np.float32)
        for i, n in enumerate(sizes)
    }
    return tables, {name: random.random((1, columns)) for name in tables}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.35, 0.6, 0.85])
def test_budget_is_best_to_one_column(seed, share, tmp_path):
    """Beside all sets of columns: what they save of the loss, at the same bytes of values."""
    sizes, columns = (300, 600, 900), 4
    tables, saliency = tables_of(sizes, columns, seed)
    save_file(tables, tmp_path / "t.safetensors")
    save_file(saliency, tmp_path / "g.safetensors", {"fill": "mean"})
    budget = int(sum(sizes) * columns * 4 * share) + 2500
    job = Job(
        input=tmp_path / "t.safetensors", output=tmp_path / "o.safetensors",
        method=Sseds(budget=str(budget)), grads=tmp_path / "g.safetensors", keep_failed=True,
    )  # fmt: skip
    total = run_job(job, Progress()).report.total
    assert total.artifact_bytes <= budget
    with embcompress.open(tmp_path / "o.safetensors") as artifact:
        masks = {name: kept(artifact[name])[0] for name in tables}
    spent = sum(4 * n * int(masks[name].sum()) for n, name in zip(sizes, masks, strict=True))
    gained = sum(float(saliency[name][0][mask].sum()) for name, mask in masks.items())
    left = [4 * n for n, name in zip(sizes, masks, strict=True) if not masks[name].all()]
    assert budget - total.artifact_bytes < min(left) + 200

    best = 0.0
    ordered = [np.sort(values[0])[::-1] for values in saliency.values()]
    for counts in itertools.product(range(columns + 1), repeat=3):
        if sum(4 * n * c for n, c in zip(sizes, counts, strict=True)) <= spent:
            best = max(best, sum(float(v[:c].sum()) for v, c in zip(ordered, counts, strict=True)))
    assert gained <= best + 1e-12
    assert best - gained < max(float(v.max()) for v in saliency.values())


def test_budget_equals_brute_force_when_columns_cost_the_same(tmp_path):
    tables, saliency = tables_of((500, 500, 500), 5, 9)
    save_file(tables, tmp_path / "t.safetensors")
    save_file(saliency, tmp_path / "g.safetensors", {"fill": "mean"})
    job = Job(
        input=tmp_path / "t.safetensors", output=tmp_path / "o.safetensors",
        method=Sseds(budget="2x"), grads=tmp_path / "g.safetensors",
    )  # fmt: skip
    run_job(job, Progress())
    with embcompress.open(tmp_path / "o.safetensors") as artifact:
        masks = np.concatenate([kept(artifact[name]) for name in tables])
    values = np.concatenate(list(saliency.values()))
    assert 5 <= masks.sum() <= 7
    best = max(
        itertools.combinations(values.ravel(), int(masks.sum())), key=lambda chosen: sum(chosen)
    )
    assert sorted(best) == sorted(values[masks])


def test_then(rows, saliency):
    table = compress(rows, Sseds(then="quantize --bits 8"), fields=FIELDS, gradients=saliency)
    mask = kept(table)[2]
    alone = compress(np.ascontiguousarray(rows[70:][:, mask]), Quantize(bits=8)).restore()
    assert np.array_equal(table.restore()[70:][:, mask], alone)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"keep": 0.5, "budget": "2x"}, "one of --keep"),
        ({"columns": "3-1"}, "ends before it begins"),
        ({"columns": "a"}, "0-7,12"),
        ({"keep": 1.5}, "--keep"),
        ({"then": "nothing"}, "no method"),
    ],
)
def test_options_that_cannot_work(options, told):
    with pytest.raises(UsageError, match=told):
        Sseds(**options)


@pytest.fixture
def files(tmp_path, rows):
    np.save(tmp_path / "t.npy", rows)
    (tmp_path / "fields.json").write_text(json.dumps([40, 30, 200]))
    return tmp_path


GOOD = np.random.default_rng(1).random((3, D))
BAD = {
    "shape": (GOOD[:2], {}, 3, "[2, 6], not [3, 6]"),
    "integers": ((GOOD * 9).astype(np.int64), {}, 3, "not gradients"),
    "infinite": (np.where(GOOD[1, 2] == GOOD, np.inf, GOOD), {}, 3, "field 1 of table"),
    "nan in rows": (np.full((270, D), np.nan, np.float32), {}, 3, "holds NaN"),
    "all zero": (np.zeros((3, D)), {}, 3, "every saliency is 0"),
    "another fill": (GOOD, {"fill": "zero"}, 2, "was collected for fill zero"),
    "an unknown fill": (GOOD, {"fill": "one"}, 3, "records fill 'one'"),
    "other fields": (GOOD, {"fields": '{"t": [100, 100, 70]}'}, 2, "collected for fields"),
    "broken fields": (GOOD, {"fields": "["}, 3, "no JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_gradients_that_cannot_rank(case, files, run):
    values, metadata, code, told = BAD[case]
    save_file({"t": values}, files / "g.safetensors", metadata)
    words = ["sseds", files / "t.npy", "-o", files / "o.safetensors", "--fields",
             files / "fields.json", "--grads", files / "g.safetensors"]  # fmt: skip
    found, _, err = run(*words)
    assert found == code, err
    last = err.strip().splitlines()[-1]
    assert told in last
    assert "g.safetensors" in last
    assert not (files / "o.safetensors").exists()


def test_gradients_that_are_not_there(files, run):
    words = ["sseds", files / "t.npy", "-o", files / "o.safetensors"]
    code, _, err = run(*words)
    assert code == 2
    assert "--grads FILE" in err
    save_file({"other": GOOD[:1]}, files / "g.safetensors")
    code, _, err = run(*words, "--grads", files / "g.safetensors")
    assert code == 2
    assert "no gradients for table" in err
    code, _, err = run(*words, "--grads", files / "none.npy")
    assert code == 3
    code, _, err = run("quantize", files / "t.npy", "-o", files / "o.safetensors", "--grads",
                       files / "g.safetensors")  # fmt: skip
    assert code == 2
    assert "takes no gradients" in err
    code, _, err = run(*words, "--grads", files / "t.npy")
    assert code == 2
    assert "the input itself" in err


def test_the_output_never_replaces_the_gradients(files, run):
    save_file({"t": GOOD[:1]}, files / "g.safetensors")
    code, _, err = run("sseds", files / "t.npy", "-o", files / "g.safetensors", "--grads",
                       files / "g.safetensors", "--force")  # fmt: skip
    assert code == 2, err


def test_doubts_are_told(files, run):
    words = ["sseds", files / "t.npy", "-o", files / "o.safetensors", "--force", "--fields",
             files / "fields.json", "--grads", files / "g.safetensors"]  # fmt: skip
    save_file({"t": GOOD}, files / "g.safetensors")
    assert "records no fill" in run(*words)[2]
    save_file({"t": -GOOD}, files / "g.safetensors", {"fill": "mean"})
    assert "vanish at a trained optimum" in run(*words)[2]
    random = np.random.default_rng(0)
    save_file({"t": random.standard_normal((270, D))}, files / "g.safetensors")
    assert "vanishes at a trained optimum" in run(*words)[2]


ODD = {
    "constant": np.full((50, 5), 3.25, np.float32),
    "zeros": np.zeros((50, 5), np.float32),
    "huge": np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32) * 1e37,
    "tiny": np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32) * 1e-40,
    "one row": np.arange(5, dtype=np.float32)[None],
    "one column": np.arange(50, dtype=np.float32)[:, None],
    "duplicates": np.repeat(np.eye(5, dtype=np.float32), 10, axis=0),
    "far from 0": np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32) + 1e4,
}


@pytest.mark.parametrize("fill", ["mean", "zero", "project"])
@pytest.mark.parametrize("ranking", ["energy", "magnitude", "gradient"])
@pytest.mark.parametrize("name", ODD)
def test_odd_tables(name, ranking, fill):
    table = ODD[name]
    columns = table.shape[1]
    told = np.arange(1.0, columns + 1)[None] if ranking == "gradient" else None
    found = compress(table, Sseds(saliency=ranking, fill=fill), gradients=told).restore()
    assert np.isfinite(found).all()
    same = (found == table).all(axis=0)
    assert same.sum() >= columns // 2
    if name in ("constant", "one row") and fill != "zero":
        assert np.allclose(found, table)


def test_hot_rows_stay_whole(rows, saliency):
    made = compress(
        rows, Sseds(keep=0.3), fields=FIELDS, gradients=saliency,
        frequencies=np.arange(len(rows), 0.0, -1.0),
        settings=Settings(keep_hot=0.1, hot_as="fp32"),
    )  # fmt: skip
    hot = len(rows) // 10
    assert np.array_equal(made.lookup(np.arange(hot)), rows[:hot])


def test_gradients_of_rows_in_several_tiles(tmp_path, run):
    random = np.random.default_rng(7)
    table = random.standard_normal((9001, 6)).astype(np.float32)
    gradients = random.standard_normal((9001, 6)).astype(np.float32)
    np.save(tmp_path / "t.npy", table)
    np.save(tmp_path / "g.npy", gradients)
    output = tmp_path / "o.safetensors"
    words = ["sseds", tmp_path / "t.npy", "-o", output, "--grads", tmp_path / "g.npy", "-q"]
    code, _, err = run(*words)
    assert code == 0, err
    wide = table.astype(np.float64)
    told = np.abs(((wide - wide.mean(axis=0)) * gradients).sum(axis=0))
    found = embcompress.open(output)["t"].form.segments[0].codec.kept
    assert found.tolist() == sorted(np.argsort(-told)[:3].tolist())
