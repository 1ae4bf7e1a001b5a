"""Hamming search beside faiss's, interleaved, on 2,000,000 rows of 64 bits."""

from __future__ import annotations

import numpy as np
import pytest

import embcompress
from embcompress.artifact.form import MEASURED, Form, Segment
from embcompress.artifact.rowmap import Whole
from embcompress.artifact.writer import ArtifactWriter, Plan
from embcompress.codecs.binary import Binary
from embcompress.pipeline.neighbors import nearest
from embcompress.progress import Progress
from tests.benchmarks.pairs import WARM, medians, pairs, times_faster

faiss = pytest.importorskip("faiss")
pytestmark = pytest.mark.bench

ROWS, COLUMNS = 2_000_000, 64
THREADS = 2
K = 10


@pytest.fixture(scope="module", params=["none", "row16"])
def binarized(request, tmp_path_factory):
    """An artifact without scales, or with one behind every row's signs."""
    path = tmp_path_factory.mktemp("neighbors") / "b.safetensors"
    codec = Binary(COLUMNS, request.param, None)
    form = Form("t", (ROWS, COLUMNS), "F32", Whole(ROWS), (Segment(ROWS, codec),), {})
    size = codec.layout().record_bytes
    records = np.random.default_rng(0).integers(0, 256, (ROWS, size), dtype=np.uint8)
    records[:, 8:] = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)[: size - 8]
    with ArtifactWriter(path, Plan((form,), (), {}, "bench"), 1) as writer:
        writer.sink(form).put_records(0, 0, records)
        writer.close_ragged()
        writer.finish({"t": np.zeros(len(MEASURED))})
        writer.commit()
    return path, records


@pytest.mark.parametrize("queries", [1, 100])
def test_hamming_beside_faiss(queries, binarized):
    path, records = binarized
    faiss.omp_set_num_threads(min(queries, THREADS))  # it does not split one query
    index = faiss.IndexBinaryFlat(COLUMNS)
    index.add(np.ascontiguousarray(records[:, :8]))
    table = embcompress.open(path)["t"]
    asked = table.lookup(np.arange(queries))
    codes = np.ascontiguousarray(records[:queries, :8])
    own = np.full(queries, -1)

    def ours():
        return nearest(table, asked, own, K, "hamming", THREADS, Progress())

    found, theirs = ours(), index.search(codes, K)
    assert np.array_equal(found[1], theirs[0])
    times = pairs(ours, lambda: index.search(codes, K), 30, WARM)
    mine, other = medians(times)
    print(
        f"\nHamming, {queries} queries over {ROWS:,}×{COLUMNS},"
        f" records of {records.shape[1]} bytes: {mine * 1e3:.2f} ms, faiss {other * 1e3:.2f} ms,"
        f" ratio {times_faster(times):.2f}"
    )
