"""Additive codes beside faiss's residual quantizer, and their look-ups beside decoding by faiss."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

from embcompress.codecs.additive import Additive
from embcompress.codecs.base import Parts
from embcompress.methods.aq import AQ
from embcompress.pipeline.memory import compress
from tests.benchmarks.pairs import WARM, medians, pairs, times_faster
from tests.methods.test_quantize import relative_error

faiss = pytest.importorskip("faiss")

pytestmark = pytest.mark.bench

THREADS = 2


@pytest.fixture(autouse=True)
def two_threads():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(THREADS)
    yield
    faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("search", ["residual", "lsq", "product-residual"])
def test_thirteen_books_of_glove(search, glove):
    """Error, bytes and seconds of 13 books of 256 codewords on 100,000 rows."""
    rows = glove[:100_000]
    start = perf_counter()
    table = compress(rows, AQ(codebooks=13, bits=8, search=search))
    seconds = perf_counter() - start
    codec = table.form.segments[0].codec
    size = codec.layout().record_bytes + codec.codebook.nbytes / len(rows)
    print(
        f"\naq --codebooks 13 --bits 8 --search {search}: error"
        f" {relative_error(rows, table.restore()):.4f} at {size:.2f} bytes a row, {seconds:.1f} s"
    )


def test_faiss_residual_of_glove(glove):
    rows = glove[:100_000]
    start = perf_counter()
    quantizer = faiss.ResidualQuantizer(50, 13, 8)
    quantizer.max_beam_size = 5
    quantizer.train(rows)
    decoded = quantizer.decode(quantizer.compute_codes(rows))
    seconds = perf_counter() - start
    size = 13 + 13 * 256 * 50 * 4 / len(rows)
    print(
        f"\nfaiss residual 13x8, beam 5: error {relative_error(rows, decoded):.4f} at"
        f" {size:.2f} bytes a row, {seconds:.1f} s"
    )


def test_look_ups_beside_faiss():
    """100,000 random rows of 2,000,000 x 64, 8 books of 256 codewords, one thread."""
    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(0)
    records = random.integers(0, 256, (2_000_000, 8), dtype=np.uint8)
    books = random.standard_normal(8 * 256 * 64).astype(np.float16)
    codec = Additive(64, 8, 1, 8, books)
    quantizer = faiss.ResidualQuantizer(64, 8, 8)
    faiss.copy_array_to_vector(books.astype(np.float32), quantizer.codebooks)
    quantizer.is_trained = True
    ids = random.integers(0, len(records), 100_000)
    out = np.empty((len(ids), 64), np.float32)
    times = pairs(
        lambda: codec.decode(Parts(records), ids, out),
        lambda: quantizer.decode(records[ids]),
        20,
        WARM,
    )
    ours, theirs = (len(ids) / t / 1e6 for t in medians(times))
    print(
        f"\nadditive 8x8 look-ups: {ours:.1f} M rows/s, faiss {theirs:.1f}, ratio"
        f" {times_faster(times):.1f}"
    )
