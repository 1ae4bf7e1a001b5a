"""saec: as good as k-means elsewhere, codes to the bit, and tables that are odd."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import embcompress
from embcompress.methods import Rotate, Saec
from embcompress.pipeline.memory import compress
from embcompress.pipeline.run import Job
from embcompress.pipeline.run import run as run_job
from embcompress.pipeline.settings import Settings
from embcompress.pipeline.verification import verify
from embcompress.progress import Progress
from embcompress.solvers.nearest_rows import Frame, Nearest
from embcompress.solvers.row_kmeans import distinct_rows, row_centroids
from tests import reader
from tests.methods.test_quantize import relative_error


def codes_of(table):
    parts = table.encoded(0, 0, len(table))
    return parts.packed["codes"].codes(np.arange(len(table)))


@pytest.mark.parametrize("clusters", [256, 2000])
def test_beside_faiss(glove_slice, clusters):
    faiss = pytest.importorskip("faiss")
    kmeans = faiss.Kmeans(50, clusters, niter=25, seed=1, min_points_per_centroid=1)
    kmeans.cp.max_points_per_centroid = len(glove_slice)
    kmeans.train(glove_slice)
    theirs = kmeans.centroids[kmeans.assign(glove_slice)[1]]
    ours = compress(glove_slice, Saec(clusters=clusters)).restore()
    assert relative_error(glove_slice, ours) <= 1.003 * relative_error(glove_slice, theirs)


@pytest.mark.parametrize(("clusters", "bits"), [(1, 0), (2, 1), (3, 2), (256, 8), (257, 9)])
def test_codes_take_the_bits_they_need(glove_slice, clusters, bits):
    rows = glove_slice[:1003]
    table = compress(rows, Saec(clusters=clusters))
    assert table.form.part_bytes().get("codes", 0) == (-(-1003 * bits // 8) + 7 if bits else 0)
    assert table.form.part_bytes()["codebook"] == clusters * 50 * 2


def test_every_row_has_its_nearest_centroid(glove_slice):
    rows = glove_slice[:6000]
    table = compress(rows, Saec(clusters=1100))
    book = table.form.segments[0].codec.book.astype(np.float64)
    wide = rows.astype(np.float64)
    distances = (wide**2).sum(1)[:, None] - 2 * wide @ book.T + (book**2).sum(1)
    own = distances[np.arange(len(rows)), codes_of(table)]
    assert (own <= distances.min(axis=1) + 1e-4).all()


def test_codes_do_not_depend_on_threads_or_blocks(glove_slice):
    book = glove_slice[:1500]
    nearest = Nearest(Frame.around(book, float(np.abs(glove_slice).max())), book)
    codes, _ = nearest.assign(glove_slice[:4096])
    assert np.array_equal(codes[:1500], np.arange(1500))
    weights = np.ones(20_000)
    one, two = (row_centroids(glove_slice, weights, 1100, 10.0, 0, t) for t in (1, 2))
    assert np.array_equal(one, two)


def test_fewer_distinct_rows_than_clusters_are_exact():
    random = np.random.default_rng(1)
    kinds = random.integers(-5, 6, (40, 7)).astype(np.float32)
    rows = kinds[random.integers(0, 40, 3000)]
    table = compress(rows, Saec(clusters=200))
    assert table.form.segments[0].codec.bits == 6
    assert table.form.method["resolved"][0]["clusters"] == len(np.unique(rows, axis=0))
    assert np.array_equal(table.restore(), rows)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1.0, 1e30, 3e38])
def test_any_magnitude(scale):
    random = np.random.default_rng(2)
    centers = random.uniform(-1, 1, (4, 5)).astype(np.float32)
    rows = centers[random.integers(0, 4, 500)] * np.float32(scale)
    rows[0] = 0
    table = compress(rows, Saec(clusters=5))
    assert np.array_equal(table.restore(), rows) == (scale != 1.0)
    assert relative_error(rows, table.restore()) < 1e-3


@pytest.mark.parametrize("clusters", [1, 7, 1500])
def test_odd_tables(clusters):
    random = np.random.default_rng(3)
    constant = np.repeat(random.standard_normal((1, 6)).astype(np.float32), 2000, axis=0)
    one_column = random.standard_normal((2000, 1)).astype(np.float32)
    mostly_zero = np.zeros((2000, 6), np.float32)
    mostly_zero[:9] = random.standard_normal((9, 6))
    for rows in (constant, one_column, mostly_zero):
        restored = compress(rows, Saec(clusters=clusters)).restore()
        assert np.isfinite(restored).all()
    assert relative_error(one_column, compress(one_column, Saec(clusters=1500)).restore()) < 1e-3


def test_frequencies_and_head_choose_the_rows(glove_slice):
    rows = glove_slice[:4000]
    counts = 1.0 / np.arange(1, 4001)
    errors = {}
    for name, method, frequencies in (
        ("plain", Saec(clusters=64), None),
        ("weighted", Saec(clusters=64), counts),
        ("head", Saec(clusters=64, head=0.05), counts),
    ):
        restored = compress(rows, method, frequencies=frequencies).restore()
        errors[name] = [relative_error(rows[a:b], restored[a:b]) for a, b in ((0, 200), (0, 4000))]
    assert errors["head"][0] < errors["weighted"][0] < errors["plain"][0]
    assert errors["plain"][1] < errors["head"][1]


def test_small_samples_still_work(glove_slice):
    table = compress(glove_slice, Saec(clusters=300, sample=1))
    assert len(table.form.segments[0].codec.book) == 300
    assert relative_error(glove_slice, table.restore()) < 1


def test_answers_on_codes(glove_slice):
    rows = glove_slice[:3000]
    for clusters in (1, 50, 1100):
        table = compress(rows, Saec(clusters=clusters))
        codec, parts = table.form.segments[0].codec, table.encoded(0, 0, 3000)
        dense = table.restore().astype(np.float64)
        ids = np.random.default_rng(0).integers(0, 3000, 700)
        other = ids[::-1].copy()
        queries = glove_slice[5000:5003]
        close = dict(rtol=1e-4, atol=1e-4)
        assert np.allclose(codec.dots(parts, queries, ids), queries @ dense[ids].T, **close)
        assert np.allclose(codec.dots(parts, queries, ids[:9]), queries @ dense[ids[:9]].T, **close)
        assert np.allclose(codec.squared_norms(parts, ids), (dense[ids] ** 2).sum(1), **close)
        pairs = codec.pair_dots(parts, ids, other)
        if clusters <= 1024:
            assert np.allclose(pairs, (dense[ids] * dense[other]).sum(1), **close)
        else:
            assert pairs is None


@pytest.mark.parametrize("threads", [1, 2])
def test_bit_strings_over_tiles_fields_and_hot_rows(tmp_path, glove_slice, threads):
    """Codes of 3 bits whose tiles begin inside a byte: the file is what memory is."""
    rows, n = glove_slice[:13_001], 13_001
    counts = np.random.default_rng(4).zipf(1.3, n)
    fields = {"a": (0, 5), "b": (5, 4999), "c": (4999, n)}
    np.save(tmp_path / "t.npy", rows)
    np.save(tmp_path / "f.npy", counts)
    (tmp_path / "fields.json").write_text(str([b - a for a, b in fields.values()]))
    settings = Settings(keep_hot=0.013, per_field=True, threads=threads)
    for method in (Saec(clusters=5), Rotate(basis="pca", then="saec --clusters 5")):
        memory = compress(rows, method, frequencies=counts, fields=fields, settings=settings)
        output = tmp_path / "o.safetensors"
        job = Job(
            input=tmp_path / "t.npy",
            output=output,
            method=method,
            settings=settings,
            frequencies=tmp_path / "f.npy",
            fields=tmp_path / "fields.json",
            force=True,
        )
        report = run_job(job, Progress()).report
        assert sum(report.tables[0].parts.values()) == output.stat().st_size
        dry = run_job(replace(job, output=None), Progress()).report
        assert dry.tables[0].parts == report.tables[0].parts
        assert verify(output, 1, Progress()).problems == []
        dense = embcompress.open(output)["t"].restore()
        assert np.array_equal(dense, memory.restore())
        assert np.array_equal(dense, reader.read(output)["t"])
        ids = np.random.default_rng(5).integers(0, n, 500)
        assert np.array_equal(embcompress.open(output)["t"].lookup(ids), dense[ids])
        assert np.array_equal(embcompress.open(output)["t"].read(4321, 9007), dense[4321:9007])


def test_distinct_rows():
    rows = np.float32([[0, 1], [-0.0, 1], [2, 3], [0, 1], [4, 5]])
    assert distinct_rows(rows, 9).tolist() == [0, 2, 4]
    assert distinct_rows(rows, 1).tolist() == [0, 2]
    assert distinct_rows(np.empty((3, 0), np.float32), 9).tolist() == [0]


def test_refusals_come_before_work(run, tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).standard_normal((50, 4)).astype("f4"))
    np.save(tmp_path / "f.npy", np.arange(50))
    words = ["saec", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors"]
    code, _, err = run(*words, "--clusters", 51)
    assert code == 2
    assert "--clusters 51 is more than its 50 rows; use 50 or fewer" in err
    code, _, err = run(*words, "--clusters", 20, "--head", 0.1, "--frequencies", tmp_path / "f.npy")
    assert code == 2
    assert "takes 5 rows, fewer than --clusters 20" in err
    code, _, _ = run(*words, "--clusters", 50, "--keep-failed")
    assert code in (0, 1)
    assert np.isfinite(embcompress.open(tmp_path / "o.safetensors")["t"].restore()).all()


def test_damaged_codes_are_found(tmp_path, glove_slice, run):
    """A code past the codebook decodes to its last row, and verify names it."""
    from embcompress.codecs.base import PackedRows, Parts

    codec = compress(glove_slice[:300], Saec(clusters=5)).form.segments[0].codec
    strings = {"codes": PackedRows.build(np.array([1, 7, 2]), 3)}
    parts = Parts(np.empty((3, 0), np.uint8), 0, {}, strings)
    with pytest.raises(embcompress.errors.BadInput, match="row 1: its code is not below 5"):
        codec.check(parts, 0, 3)
    out = np.empty((3, 50), np.float32)
    codec.decode(parts, np.arange(3), out)
    assert np.array_equal(out[1], codec.book[4])


def test_one_huge_row_leaves_the_others_alone(glove_slice):
    rows = np.vstack([glove_slice[:3000], np.full((1, 50), 1e25, np.float32)])
    restored = compress(rows, Saec(clusters=1100)).restore()
    plain = compress(rows[:3000], Saec(clusters=1100)).restore()
    assert np.array_equal(restored[3000], rows[3000])
    ours, alone = (relative_error(rows[:3000], r[:3000]) for r in (restored, plain))
    assert ours <= 1.02 * alone
