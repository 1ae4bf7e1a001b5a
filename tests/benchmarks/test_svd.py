"""svd beside numpy's and scipy's decompositions: whole commands, error, and peak memory."""

from __future__ import annotations

import numpy as np
import pytest

import embcompress
from tests.benchmarks.pairs import command, medians, pairs, peak_memory, times_faster
from tests.benchmarks.test_commands import table

pytestmark = pytest.mark.bench

ROWS, COLUMNS, RANK = 2_000_000, 64, 32


@pytest.fixture(scope="module")
def half_gigabyte(tmp_path_factory):
    """Rows of falling energy along random axes."""
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("svd") / "t.npy"
    axes = np.linalg.qr(random.standard_normal((COLUMNS, COLUMNS)))[0]
    axes = (axes * np.geomspace(1, 0.1, COLUMNS)[:, None]).astype(np.float32)
    rows = random.standard_normal((ROWS, COLUMNS), np.float32) @ axes
    np.save(path, rows)
    yield path
    path.unlink()


def test_command_beside_numpy_and_scipy(half_gigabyte, tmp_path):
    from scipy.sparse.linalg import svds

    rows = np.load(half_gigabyte)
    output = tmp_path / "o.safetensors"
    words = ["--rank", RANK, "--center", "none", "--no-report", "-q", "--force"]
    ours = command("svd", half_gigabyte, "-o", output, *words)
    found = {}

    def whole():
        found["numpy"] = np.linalg.svd(rows, full_matrices=False)[1]

    for name, theirs, bar in (
        ("numpy.linalg.svd", whole, 6),
        ("scipy svds", lambda: svds(rows, RANK), 3),
    ):
        times = pairs(ours, theirs, 1 if bar == 6 else 3)
        mine, peer = medians(times)
        print(
            f"\nsvd --rank {RANK} of {ROWS:,}×{COLUMNS}, whole command: {mine:.2f} s, {name}"
            f" {peer:.2f} s, ratio {times_faster(times):.1f} (bar {bar})"
        )
    squares = found["numpy"].astype(np.float64) ** 2
    exact = np.sqrt(squares[RANK:].sum() / squares.sum())
    with embcompress.open(output) as artifact:
        error = artifact.measured("t")["relative_error"]
    print(f"error {error:.7f}, exact {exact:.7f}, apart {abs(error / exact - 1):.1e} (bar 1e-5)")


@pytest.mark.parametrize("words", [["svd", "--rank", 32], ["tt", "--rank", 64]], ids=str)
def test_peak_memory(words, tmp_path):
    path = table(tmp_path / "t.npy", 8000)
    peak = peak_memory(*words, path, "-o", tmp_path / "o.safetensors", "--no-report", "-q")
    print(f"\n{words[0]} 8 GB: peak {peak / 1e6:.0f} MB (bar 1,000)")
    assert peak < 1e9
