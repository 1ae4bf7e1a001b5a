"""saec as a whole command beside faiss's k-means, look-ups, and memory."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

import embcompress
from embcompress.kernels.bitstring import pack_bit_string
from embcompress.kernels.centroids import decode_centroids
from tests.benchmarks.pairs import command, pairs, peak_memory, times_faster
from tests.benchmarks.test_commands import table
from tests.methods.test_quantize import relative_error

faiss = pytest.importorskip("faiss")

pytestmark = pytest.mark.bench

BARS = {4096: 0.6824, 16384: 0.6253}


def by_faiss(rows, clusters):
    """faiss's k-means of all rows, 25 rounds: what they become, and seconds."""
    start = perf_counter()
    kmeans = faiss.Kmeans(rows.shape[1], clusters, niter=25, seed=1)
    kmeans.cp.max_points_per_centroid = len(rows)
    kmeans.train(rows)
    codes = kmeans.assign(rows)[1]
    return kmeans.centroids[codes], perf_counter() - start


@pytest.mark.parametrize("clusters", BARS)
def test_glove_beside_faiss(clusters, glove, tmp_path):
    faiss.omp_set_num_threads(2)
    np.save(tmp_path / "g.npy", glove)
    output = tmp_path / "o.safetensors"
    call = command(
        "saec", tmp_path / "g.npy", "-o", output, "--clusters", clusters, "--threads", 2,
        "--no-report", "-q", "--force",
    )  # fmt: skip
    seconds = []
    start = perf_counter()
    call()
    seconds.append(perf_counter() - start)
    restored, theirs = by_faiss(glove, clusters)
    start = perf_counter()
    call()
    seconds.append(perf_counter() - start)
    ours = relative_error(glove, embcompress.open(output)["g"].restore())
    peer = relative_error(glove, restored)
    print(
        f"\nsaec K = {clusters}: error {ours:.4f} in {seconds[0]:.1f} and {seconds[1]:.1f} s,"
        f" faiss between them {peer:.4f} in {theirs:.1f} s,"
        f" {2 * theirs / sum(seconds):.1f} times faster"
    )
    assert ours <= 1.01 * BARS[clusters]


def test_a_million_rows_and_65536_clusters(tmp_path):
    random = np.random.default_rng(0)
    rows = random.standard_normal((1_000_000, 64)).astype(np.float32)
    rows *= random.lognormal(0, 0.5, (1_000_000, 1)).astype(np.float32)
    np.save(tmp_path / "t.npy", rows)
    start = perf_counter()
    command(
        "saec", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", "--clusters", 65536,
        "--no-report", "-q",
    )()  # fmt: skip
    print(f"\nsaec K = 65,536 on 1,000,000 x 64: {perf_counter() - start:.0f} s; bar 300")


def test_peak_memory(tmp_path):
    path = table(tmp_path / "t.npy", 8000)
    words = ["saec", path, "-o", tmp_path / "o.safetensors", "--clusters", 1024, "--no-report"]
    peak = peak_memory(*words, "-q")
    sample = 256 * 1024 * 64 * 4
    print(f"\nsaec K = 1,024, 8 GB: peak {peak / 1e6:.0f} MB, of which sample {sample / 1e6:.0f}")
    assert peak - sample < 800e6


@pytest.mark.parametrize("clusters", [4096, 65536])
def test_lookups_beside_numpy(clusters):
    """100,000 random ids of 2,000,000 rows of 64 columns, one thread."""
    random = np.random.default_rng(0)
    codes = random.integers(0, clusters, 2_000_000)
    bits = (clusters - 1).bit_length()
    string = pack_bit_string(codes, bits, 0)
    book = random.standard_normal((clusters, 64)).astype(np.float32)
    ids = random.integers(0, 2_000_000, 100_000)
    narrow, out = codes.astype(np.uint16), np.empty((100_000, 64), np.float32)
    times = pairs(
        lambda: decode_centroids(string, 0, bits, book, ids, out),
        lambda: np.take(book, np.take(narrow, ids), axis=0, out=out, mode="clip"),
        40,
    )
    mine = np.median([t[0] for t in times])
    print(
        f"\nK = {clusters}: {100_000 / mine / 1e6:.0f} M rows/s, numpy's take from uint16 codes"
        f" ratio {times_faster(times):.2f}"
    )
