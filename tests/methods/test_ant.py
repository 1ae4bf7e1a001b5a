"""ANT: codes beside scipy's non-negative least squares, anchors beside k-means, and sizes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.codecs.base import Parts
from embcompress.codecs.combination import Combination
from embcompress.codecs.load import load_codec
from embcompress.errors import BadInput
from embcompress.kernels.combination import add_anchor_terms
from embcompress.methods import ANT, Rotate, Saec
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings
from embcompress.solvers.anchors import Pursuit
from tests.methods.test_quantize import relative_error


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def squared_errors(rows, book, codes, values):
    found = np.einsum("bs,bsd->bd", values, book.astype(np.float64)[codes])
    return ((rows - found) ** 2).sum(axis=1)


@pytest.mark.parametrize("scale", [1e-38, 1.0, 1e37])
@pytest.mark.parametrize(("anchors", "columns"), [(5, 8), (12, 8), (40, 8), (12, 3)])
def test_all_anchors_are_nonnegative_least_squares(anchors, columns, scale):
    from scipy.optimize import nnls

    rows, book = numbers(60, columns), numbers(anchors, columns, seed=1)
    factor = np.float32(scale)
    nonzeros = min(anchors, 2 * columns)
    pursuit = Pursuit(book * factor, nonzeros, "fp16", 2.0 ** -round(np.log2(scale)))
    codes, values = pursuit.codes(rows * factor)
    assert (values >= 0).all()
    ours = squared_errors(rows, book, codes, values)
    theirs = np.array([nnls(book.T.astype(np.float64), row)[1] ** 2 for row in rows])
    size = (rows.astype(np.float64) ** 2).sum(axis=1)
    # pursuit reaches the optimum where it is not stopped by its number of anchors
    assert (ours <= theirs + 2e-5 * size).all()


def test_values_are_the_best_on_their_anchors_and_anchors_are_near_the_best():
    from scipy.optimize import nnls

    rows, book = numbers(80, 6), numbers(9, 6, seed=1)
    codes, values = Pursuit(book, 2, "fp16", 1.0).codes(rows)
    ours = squared_errors(rows, book, codes, values)
    wide = book.astype(np.float64)
    for i, row in enumerate(rows):
        own = codes[i][values[i] > 0]
        best = nnls(wide[own].T, row)[1] ** 2 if len(own) else float(row @ row)
        assert ours[i] == pytest.approx(best, rel=1e-4, abs=1e-6)
    pairs = [list(pair) for pair in combinations(range(9), 2)]
    exact = sum(min(nnls(wide[p].T, row)[1] ** 2 for p in pairs) for row in rows)
    assert ours.sum() <= 1.1 * exact


def test_rows_that_are_combinations_come_back():
    random = np.random.default_rng(2)
    book = numbers(30, 40)
    codes = np.array([random.choice(30, 3, replace=False) for _ in range(500)])
    values = random.random((500, 3)) + 0.5
    rows = np.einsum("bs,bsd->bd", values, book[codes]).astype(np.float32)
    found, weights = Pursuit(book, 3, "fp16", 1.0).codes(rows)
    assert np.array_equal(np.sort(found, axis=1), np.sort(codes, axis=1))
    assert squared_errors(rows, book, found, weights).max() < 1e-6


def test_odd_anchors_and_rows():
    book = numbers(6, 5)
    book[1], book[2], book[3] = 0, book[0], -book[0]
    rows = np.concatenate([numbers(20, 5), np.zeros((1, 5), np.float32), -book[4:5]])
    for nonzeros in (1, 3, 6):
        codes, values = Pursuit(book, nonzeros, "fp16", 1.0).codes(rows)
        assert (values >= 0).all()
        errors = squared_errors(rows, book, codes, values)
        assert (errors <= (rows.astype(np.float64) ** 2).sum(axis=1) + 1e-6).all()
        assert not values[20].any()


def test_anchor_terms():
    random = np.random.default_rng(4)
    codes = random.integers(0, 7, (50, 3)).astype(np.uint16)
    values, rows, weights = random.random((50, 3)), numbers(50, 4), random.random(50)
    x = np.zeros((50, 7))
    np.add.at(x, (np.arange(50)[:, None], codes), values)
    normal, cross = np.zeros((7, 7)), np.zeros((7, 4))
    add_anchor_terms(codes, values, rows, weights, normal, cross)
    assert np.allclose(normal, (x * weights[:, None]).T @ x)
    assert np.allclose(cross, (x * weights[:, None]).T @ rows)


@pytest.mark.parametrize("nonzeros", [1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_never_worse_than_kmeans(glove_slice, nonzeros, weighted):
    rows = glove_slice[:6000]
    counts = 1.0 / np.arange(1, 6001) if weighted else None
    root = 1 if counts is None else np.sqrt(counts)[:, None]
    for anchors in (1, 60):
        if nonzeros > anchors:
            continue
        kmeans = compress(rows, Saec(clusters=anchors), frequencies=counts).restore()
        method = ANT(anchors=anchors, nonzeros=nonzeros)
        ours = compress(rows, method, frequencies=counts).restore()
        bar = relative_error(rows * root, kmeans * root)
        assert relative_error(rows * root, ours * root) <= bar * (1 + 1e-3)


def test_figures(glove_slice):
    """What three things are worth: more anchors a row, more anchors, least-squares anchors."""
    rows = glove_slice[:6000]
    errors = [
        relative_error(rows, compress(rows, ANT(anchors=a, nonzeros=s)).restore())
        for a, s in ((64, 1), (64, 4), (64, 8), (256, 8))
    ]
    assert errors == sorted(errors, reverse=True)
    made = compress(rows, ANT(anchors=64, nonzeros=4))
    book = compress(rows, Saec(clusters=64)).form.segments[0].codec.book
    codes, values = Pursuit(book, 4, "fp16", 1.0).codes(rows)
    on_centroids = squared_errors(rows, book, codes, values).sum()
    assert ((rows - made.restore()) ** 2).sum() < 0.97 * on_centroids
    fine = compress(rows, ANT(anchors=64, nonzeros=4, values="uint8"))
    assert relative_error(rows, fine.restore()) <= 1.02 * relative_error(rows, made.restore())
    assert fine.form.part_bytes()["codes"] == 6000 * 3
    assert fine.form.part_bytes()["values"] == 6000 * 4
    assert made.form.part_bytes()["values"] == 6000 * 8


@pytest.mark.parametrize("values", ["fp16", "uint8"])
@pytest.mark.parametrize(
    "table",
    [
        np.full((300, 6), 0.37), np.zeros((300, 6)), numbers(300, 1), numbers(300, 6) * 1e37,
        numbers(300, 6) * 1e-40, np.random.default_rng(1).standard_t(1, (300, 37)) ** 3,
        np.repeat(numbers(3, 6), 100, axis=0), numbers(2, 5),
    ],
    ids=["constant", "zeros", "column", "huge", "tiny", "heavy", "duplicates", "two"],
)  # fmt: skip
def test_odd_tables(table, values):
    rows = table.astype(np.float32)
    restored = compress(rows, ANT(values=values)).restore()
    assert np.isfinite(restored).all()
    if rows.any():
        assert relative_error(rows, restored) < 1
    weighted = compress(rows, ANT(values=values), frequencies=np.arange(len(rows)) * 1.0)
    assert np.isfinite(weighted.restore()).all()


def test_any_thread_count_gives_the_same_rows(glove_slice):
    rows = glove_slice[:9001]
    one, two = (
        compress(rows, ANT(anchors=300), settings=Settings(threads=t)).restore() for t in (1, 2)
    )
    assert np.array_equal(one, two)


@pytest.mark.parametrize("budget", ["12x", "8x", "5bpw", "300KB"])
def test_files_stay_within_a_budget(budget, run, tmp_path):
    tensors = {"embedding.a": numbers(9000, 16), "embedding.b": numbers(70, 16)}
    save_file(tensors, tmp_path / "m.safetensors")
    output = tmp_path / "o.safetensors"
    words = ["ant", tmp_path / "m.safetensors", "-o", output, "--anchors", 64, "-q"]
    source = sum(t.nbytes for t in tensors.values())
    allowed = {"12x": source // 12, "8x": source // 8, "5bpw": source * 5 // 32, "300KB": 300_000}
    code, _, err = run(*words, "--budget", budget)
    assert code == 0, err
    size = output.stat().st_size
    assert size <= allowed[budget]
    entry = embcompress.open(output).document["tables"]["embedding.a"]["method"]["resolved"][0]
    more = ["--nonzeros", entry["nonzeros"] + 1, "--force", "--keep-failed"]
    if entry["nonzeros"] < 64:
        run(*words, *more)
        assert output.stat().st_size > allowed[budget]


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("--anchors 301", "--anchors 301 is more than its 300 rows"),
        ("--anchors 3 --nonzeros 4", "--nonzeros 4 is more than --anchors 3"),
        ("--budget 8x --nonzeros 4", "--budget and --nonzeros both say the size"),
        ("--budget 200", "one anchor a row takes"),
        ("--budget x", "is no budget"),
        ("--values int8", "int8"),
    ],
)
def test_refusals(words, cause, run, tmp_path):
    np.save(tmp_path / "t.npy", numbers(300, 6))
    code, _, err = run("ant", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", *words.split())
    assert code == 2
    assert cause in err


def test_behind_a_rotation(glove_slice):
    rows = glove_slice[:3000]
    restored = compress(rows, Rotate(then="ant --anchors 40 --nonzeros 3")).restore()
    assert relative_error(rows, restored) < 0.8


CONFIG = {"anchors": 20, "nonzeros": 3, "values": "fp16", "numbers": "fp32"}


@pytest.mark.parametrize(
    "changes",
    [
        {"anchors": 0}, {"anchors": 21}, {"anchors": 4097}, {"nonzeros": 0}, {"nonzeros": 21},
        {"values": "int8"}, {"numbers": "fp16"}, {"bits": 3},
    ],
)  # fmt: skip
def test_hostile_values(changes):
    shared = {"anchors": np.ones((20, 4), np.float32)}
    entry = {"codec": "combination", "version": 1, "config": CONFIG}
    assert load_codec(4, entry, shared, "f").config() == CONFIG
    with pytest.raises(BadInput, match="f: "):
        load_codec(4, {**entry, "config": {**CONFIG, **changes}}, shared, "f")


def test_damaged_codes_and_values_are_found():
    codec = Combination(4, 2, "fp16", numbers(5, 4))
    records = np.zeros((3, 5), np.uint8)
    records[1, 0] = 7 << 3
    with pytest.raises(BadInput, match="row 1: a code is not below 5"):
        codec.check(Parts(records), 0, 3)
    out = np.empty((3, 4), np.float32)
    codec.decode(Parts(records), np.arange(3), out)
    assert np.isfinite(out).all()
    records[:, 0] = 0
    records[2, 1:3] = np.array([np.inf], np.float16).view(np.uint8)
    with pytest.raises(BadInput, match="row 2: a number of its values is not finite"):
        codec.check(Parts(records), 0, 3)
