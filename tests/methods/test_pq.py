"""Product quantization beside faiss, and on tables that leave it nothing to learn."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.errors import IOFailure, UsageError
from embcompress.methods.pq import PQ
from embcompress.pipeline.memory import compress
from embcompress.solvers import product


def relative_error(rows, restored):
    wide = rows.astype(np.float64)
    return np.sqrt(((restored - wide) ** 2).sum() / (wide**2).sum())


def parts_of(table):
    """The codec of a table and all its codes."""
    codec = table.form.segments[0].codec
    rows = np.arange(len(table))
    return codec, codec.codes(table.encoded(0, 0, len(table)), rows)


@pytest.mark.parametrize(("segments", "bits"), [(10, 4), (5, 8), (25, 6), (10, 10)])
def test_faiss_decodes_to_the_same_rows(segments, bits, glove_slice):
    """Our codebooks in a faiss.ProductQuantizer, our codes packed for it."""
    faiss = pytest.importorskip("faiss")
    table = compress(glove_slice, PQ(subquantizers=segments, bits=bits))
    codec, codes = parts_of(table)
    theirs = faiss.ProductQuantizer(50, segments, bits)
    faiss.copy_array_to_vector(np.concatenate([b.ravel() for b in codec.books]), theirs.centroids)
    packed = faiss.pack_bitstrings(codes.astype(np.int32), bits)
    assert np.array_equal(theirs.decode(packed), table.restore())
    assert packed.shape[1] == codec.layout().record_bytes


def test_codes_are_the_nearest_codewords(glove_slice):
    table = compress(glove_slice, PQ(subquantizers=7, bits=5))
    codec, codes = parts_of(table)
    for s, book in enumerate(codec.books):
        rows = glove_slice[:, codec.edges[s] : codec.edges[s + 1]]
        distances = ((rows[:, None] - book) ** 2).sum(-1)
        chosen = distances[np.arange(len(rows)), codes[:, s]]
        np.testing.assert_allclose(chosen, distances.min(1), rtol=1e-5)


@pytest.mark.parametrize(("segments", "bits"), [(25, 8), (13, 8), (50, 4)])
def test_no_worse_than_faiss(segments, bits, glove_slice):
    faiss = pytest.importorskip("faiss")
    padded = np.zeros((len(glove_slice), -(-50 // segments) * segments), np.float32)
    padded[:, :50] = glove_slice
    faiss.omp_set_num_threads(1)
    theirs = faiss.ProductQuantizer(padded.shape[1], segments, bits)
    theirs.train(padded)
    peer = theirs.decode(theirs.compute_codes(padded))[:, :50]
    ours = compress(glove_slice, PQ(subquantizers=segments, bits=bits)).restore()
    assert relative_error(glove_slice, ours) <= 1.003 * relative_error(glove_slice, peer)


def test_rotation_helps(glove_slice):
    plain, pca, opq = (
        relative_error(
            glove_slice, compress(glove_slice, PQ(subquantizers=10, bits=6, rotate=r)).restore()
        )
        for r in ("none", "pca", "opq")
    )
    assert opq <= pca < plain


def test_default_is_a_segment_for_two_columns():
    rows = np.random.default_rng(0).standard_normal((300, 7)).astype(np.float32)
    resolved = compress(rows, PQ()).form.method["resolved"][0]
    assert resolved["subquantizers"] == 4
    assert resolved["sample"] == 65536


@pytest.mark.parametrize("rotate", ["none", "pca", "opq"])
@pytest.mark.parametrize(
    "rows",
    [
        np.repeat(np.arange(12, dtype=np.float32).reshape(4, 3), 100, axis=0),
        np.zeros((50, 6), np.float32),
        np.full((50, 6), 7.5, np.float32),
        np.arange(5, dtype=np.float32)[:, None],
        np.ones((1, 4), np.float32),
        np.ones((5, 0), np.float32),
        np.ones((0, 5), np.float32),
    ],
    ids=["duplicates", "zeros", "constant", "one column", "one row", "no columns", "no rows"],
)
def test_few_distinct_rows_are_exact(rows, rotate):
    table = compress(rows, PQ(bits=3, rotate=rotate))
    np.testing.assert_allclose(table.restore(), rows, atol=4e-3 if rotate != "none" else 0)
    assert table.form.segments[0].rows == len(rows)


def test_one_codeword_takes_no_bytes():
    table = compress(np.full((50, 6), 7.5, np.float32), PQ())
    assert table.form.segments[0].codec.layout().record_bytes == 0


@pytest.mark.parametrize(
    ("size", "rotate"),
    [(1e-42, "none"), (1e-30, "opq"), (1e-6, "none"), (1e6, "opq"), (1e30, "opq"), (3e38, "none")],
)
def test_any_magnitude(size, rotate):
    random = np.random.default_rng(0)
    rows = (random.uniform(-1, 1, (600, 6)) * size).astype(np.float32)
    table = compress(rows, PQ(subquantizers=3, bits=6, rotate=rotate))
    assert relative_error(rows, table.restore()) < 0.25


def test_rows_too_large_to_turn():
    with pytest.raises(UsageError, match=r"values as large as 3e\+38 .* use --rotate none"):
        compress(np.full((9, 4), 3e38, np.float32), PQ(rotate="opq"))


def test_frequent_rows_come_back_better(glove_slice):
    heavy = np.where(np.arange(len(glove_slice)) < 100, 1e4, 1.0)
    method = PQ(subquantizers=5, bits=6)
    plain = compress(glove_slice, method).restore()
    weighted = compress(glove_slice, method, frequencies=heavy).restore()
    head = glove_slice[:100]
    assert relative_error(head, weighted[:100]) < 0.8 * relative_error(head, plain[:100])


def test_more_segments_than_columns():
    with pytest.raises(UsageError, match="--subquantizers 9 is more than its 4 columns; use 4"):
        compress(np.zeros((9, 4), np.float32), PQ(subquantizers=9))


def test_sample_smaller_than_a_codebook():
    with pytest.raises(UsageError, match="--sample 300 is fewer rows than --bits 9"):
        compress(np.zeros((600, 4), np.float32), PQ(bits=9, sample=300))


def test_too_little_memory(monkeypatch):
    monkeypatch.setattr(product, "physical_memory", lambda: 10**4)
    with pytest.raises(IOFailure, match=r"training on 600 rows takes .* smaller --sample"):
        compress(np.zeros((600, 4), np.float32), PQ())


def test_answers_on_codes(glove_slice):
    """Look-up tables give what decoded rows give."""
    table = compress(glove_slice, PQ(subquantizers=6, bits=5))
    codec = table.form.segments[0].codec
    parts = table.encoded(0, 0, len(table))
    random = np.random.default_rng(0)
    one, other = random.integers(0, len(table), (2, 9000))
    dense = table.restore()
    queries = random.standard_normal((3, 50)).astype(np.float32)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(codec.dots(parts, queries, one), queries @ dense[one].T, **close)
    assert codec.dots(parts, queries, one[:4]) is None
    norms = (dense[one].astype(np.float64) ** 2).sum(1)
    np.testing.assert_allclose(codec.squared_norms(parts, one), norms, **close)
    products = (dense[one].astype(np.float64) * dense[other]).sum(1)
    np.testing.assert_allclose(codec.pair_dots(parts, one, other), products, **close)


def test_damaged_codes_are_named(glove_slice):
    from embcompress.codecs.base import Parts
    from embcompress.codecs.product import Product
    from embcompress.errors import BadInput
    from embcompress.kernels.product import pack_product

    codec = Product(4, 2, 3, np.zeros((5, 4), np.float16))
    records = pack_product(np.array([[0, 4], [4, 4], [0, 5]], np.uint16), 3)
    with pytest.raises(BadInput, match="row 12: a code is not below 5"):
        codec.check(Parts(np.concatenate([np.zeros((10, 1), np.uint8), records])), 10, 13)
