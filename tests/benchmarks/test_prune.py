"""Pruning 2,000,000 × 64 to half, and look-ups of what is kept, beside scipy's CSR matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

import embcompress
from embcompress.pipeline.segments import Reader
from tests.benchmarks.pairs import WARM, command, medians, pairs, peak_memory, seconds, times_faster

ROWS, COLUMNS, IDS, CALLS = 2_000_000, 64, 100_000, 4
BAR_BYTES = 800e6

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def table():
    rows = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    return rows * np.random.default_rng(1).lognormal(0, 0.3, (ROWS, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def file(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("prune") / "t.npy"
    np.save(path, table)
    return path


def pruned(table):
    """The same by numpy: half of all magnitudes."""
    size = np.abs(table)
    least = np.partition(size.ravel(), table.size // 2)[table.size // 2]
    return np.where(size >= least, table, 0)


def test_whole_command(file, table):
    output = file.with_suffix(".safetensors")
    words = ["prune", file, "-o", output, "--force", "-q"]
    peak = peak_memory(*words)
    ours = seconds(command(*words, "--no-report"), 0)
    theirs = seconds(lambda: scipy.sparse.csr_matrix(pruned(table)), 0)
    print(
        f"\nprune {ROWS:,}x{COLUMNS} to half: whole command without report {ours:.1f} s, numpy and"
        f" scipy in memory {theirs:.1f} s; with report peak {peak / 1e6:.0f} MB"
        f" (bar {BAR_BYTES / 1e6:.0f})"
    )
    assert peak < BAR_BYTES
    stored = embcompress.open(output)["t"]
    assert np.array_equal(stored.read(0, 4096), pruned(table)[:4096])


def test_passes(file, tmp_path, monkeypatch):
    from embcompress.cli.entry import run

    reads = []
    read = Reader.read
    monkeypatch.setattr(Reader, "read", lambda self, i: (reads.append(i), read(self, i))[1])
    assert run(["prune", str(file), "-o", str(tmp_path / "o.safetensors"), "-q"]) == 0
    tiles = -(-ROWS // 4096)
    print(f"\nprune: {len(reads):,} tiles read of {tiles}, {len(reads) / tiles:.2f} passes")


@pytest.mark.parametrize("values", ["fp32", "fp16", "int8"])
def test_lookup_beside_csr(values, file, table, tmp_path):
    output = tmp_path / "o.safetensors"
    command("prune", file, "-o", output, "--values", values, "-q", "--no-report")()
    stored = embcompress.open(output)["t"]
    csr = scipy.sparse.csr_matrix(stored.restore())
    random = np.random.default_rng(1)
    ids = [random.integers(0, ROWS, IDS) for _ in range(CALLS)]
    out = np.empty((IDS, COLUMNS), np.float32)
    assert np.array_equal(stored.lookup(ids[0][:1000]), csr[ids[0][:1000]].toarray())

    def ours():
        for i in ids:
            stored.lookup(i, out=out)

    def sparse_rows():
        for i in ids:
            csr[i]

    def dense_rows():
        for i in ids:
            csr[i].toarray(out=out)

    for name, theirs in (("CSR rows", sparse_rows), ("CSR rows made dense", dense_rows)):
        times = pairs(ours, theirs, 15, WARM)
        speeds = [CALLS * IDS / s / 1e6 for s in medians(times)]
        print(
            f"\npruned look-ups, {values}: {speeds[0]:.1f} M rows/s (bar 10), {name}"
            f" {speeds[1]:.1f}, ratio {times_faster(times):.2f}"
        )
