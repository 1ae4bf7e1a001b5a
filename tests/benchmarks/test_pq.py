"""Product quantization beside faiss: error, whole commands, look-ups; and peak memory."""

from __future__ import annotations

import numpy as np
import pytest

import embcompress
from embcompress.codecs.base import Parts
from embcompress.methods.pq import PQ
from embcompress.pipeline.memory import compress
from tests.benchmarks.pairs import WARM, command, medians, pairs, peak_memory, times_faster
from tests.benchmarks.test_commands import table

faiss = pytest.importorskip("faiss")

pytestmark = pytest.mark.bench

ROWS, COLUMNS, IDS = 2_000_000, 64, 100_000


def relative_error(rows, restored):
    return np.sqrt(((restored - rows) ** 2).sum(dtype=np.float64) / (rows**2).sum(dtype=np.float64))


def padded(rows, segments):
    out = np.zeros((len(rows), -(-rows.shape[1] // segments) * segments), np.float32)
    out[:, : rows.shape[1]] = rows
    return out


@pytest.mark.parametrize(
    ("segments", "bits", "bar"), [(25, 8, 0.0985), (13, 8, 0.3030), (50, 4, 0.1050)]
)
def test_pq_command(segments, bits, bar, glove, tmp_path):
    np.save(tmp_path / "glove.npy", glove)
    output = tmp_path / "o.safetensors"
    wide = padded(glove, segments)
    found = {}

    def theirs():
        index = faiss.ProductQuantizer(wide.shape[1], segments, bits)
        index.train(wide)
        found["codes"], found["index"] = index.compute_codes(wide), index

    words = ["--subquantizers", segments, "--bits", bits, "--no-report", "-q", "--force"]
    times = pairs(command("pq", tmp_path / "glove.npy", "-o", output, *words), theirs, 3)
    ours, peer = medians(times)
    error = relative_error(glove, embcompress.open(output)["glove"].restore())
    theirs_error = relative_error(glove, found["index"].decode(found["codes"])[:, :50])
    print(
        f"\npq {segments}x{bits}: error {error:.4f} (bar {bar}), faiss {theirs_error:.4f};"
        f" {output.stat().st_size / len(glove):.2f} bytes a row;"
        f" whole command {ours:.1f} s, faiss {peer:.1f} s, ratio {times_faster(times):.1f}"
    )
    assert error <= bar


def test_opq_command(glove, tmp_path):
    np.save(tmp_path / "glove.npy", glove)
    output = tmp_path / "o.safetensors"
    wide = padded(glove, 13)

    def theirs():
        rotation = faiss.OPQMatrix(50, 13, 52)
        rotation.train(glove)
        index = faiss.ProductQuantizer(wide.shape[1], 13, 8)
        turned = rotation.apply(glove)
        index.train(turned)
        index.compute_codes(turned)

    words = ["--subquantizers", 13, "--rotate", "opq", "--no-report", "-q", "--force"]
    times = pairs(command("pq", tmp_path / "glove.npy", "-o", output, *words), theirs, 1)
    ours, peer = medians(times)
    error = relative_error(glove, embcompress.open(output)["glove"].restore())
    print(
        f"\nopq 13x8: error {error:.4f} (bar 0.262); whole command {ours:.1f} s,"
        f" faiss {peer:.1f} s, ratio {times_faster(times):.1f} (bar 2)"
    )
    assert error <= 0.262


def test_lookup():
    """100,000 random rows through the public API; faiss gathers codes and decodes them."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    found = compress(rows, PQ(subquantizers=8, sample=4096))
    del rows
    codec = found.form.segments[0].codec
    parts: Parts = found.encoded(0, 0, ROWS)
    codes = parts.records.copy()
    index = faiss.ProductQuantizer(COLUMNS, 8, 8)
    faiss.copy_array_to_vector(np.concatenate([b.ravel() for b in codec.books]), index.centroids)
    ids = [random.integers(0, ROWS, IDS) for _ in range(8)]
    out = np.empty((IDS, COLUMNS), np.float32)
    assert np.array_equal(found.lookup(ids[0], out=out), index.decode(codes[ids[0]]))

    def ours():
        for i in ids:
            found.lookup(i, out=out)

    def theirs():
        for i in ids:
            index.decode(codes[i])

    times = pairs(ours, theirs, 20, WARM)
    mine, peer = (len(ids) * IDS / spent / 1e6 for spent in medians(times))
    print(
        f"\npq 8x8 look-ups: {mine:.1f} M rows/s, faiss {peer:.1f},"
        f" ratio {times_faster(times):.1f} (bar 3)"
    )


def test_peak_memory(tmp_path):
    path = table(tmp_path / "t.npy", 8000)
    peak = peak_memory("pq", path, "-o", tmp_path / "o.safetensors", "--subquantizers", 8, "-q")
    print(f"\npq 8 GB with report: peak {peak / 1e6:.0f} MB")
    assert peak < 800e6
