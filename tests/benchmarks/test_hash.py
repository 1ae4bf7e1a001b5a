"""Fits of hashed forms beside reading the table, and look-ups beside numpy's take."""

from __future__ import annotations

import numpy as np
import pytest

import embcompress
from embcompress.methods import Hash
from embcompress.pipeline.context import RunContext
from embcompress.pipeline.segments import Reader, group
from embcompress.progress import Progress
from embcompress.tables.source import open_source
from embcompress.threads import available
from tests.benchmarks.pairs import command, medians, pairs
from tests.benchmarks.test_commands import table

pytestmark = pytest.mark.bench

BUFFER = 2**20


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """2,000,000 rows of 64 columns: 512 MB."""
    path = table(tmp_path_factory.mktemp("hash") / "t.npy", 512)
    yield path
    path.unlink()


def read_whole(path):
    """The file, into one buffer again and again: no page of it is kept."""
    buffer = bytearray(BUFFER)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


@pytest.mark.parametrize("scheme", ["naive", "qr", "memcom"])
def test_fit_beside_reading(path, scheme):
    """10x in fp32: a tenth of the numbers."""
    with open_source(path) as source:
        reader = Reader(source.table("t"), None, zero_nonfinite=False)
        (rows,) = group(reader, None, None, per_field=False).segments
        context = RunContext(0, available(), 2**62, 2**62, Progress())
        shared = rows.shape[0] * 54 // 640 if scheme == "memcom" else rows.shape[0] // 10 - 11
        method = Hash(scheme=scheme, rows=shared, dtype="fp32")
        planned = method.plan({"rows": rows}, context)["rows"]
        times = pairs(lambda: planned.fit(rows, context), lambda: np.load(path), 5)
        bare = pairs(lambda: planned.fit(rows, context), lambda: read_whole(path), 5)
    ours, theirs = medians(times)
    again, least = medians(bare)
    print(
        f"\nhash --scheme {scheme}, fit of 2,000,000x64 at 10x: {ours:.3f} s, np.load {theirs:.3f}"
        f" s, {ours / theirs:.1f} times (bar 3); reading into one buffer {least:.3f} s,"
        f" {again / least:.1f} times"
    )


@pytest.mark.parametrize("scheme", ["naive", "qr", "memcom", "bch", "robe", "lma", "dhe"])
def test_whole_command(path, scheme, tmp_path):
    output = tmp_path / "o.safetensors"
    words = ["--scheme", scheme, "--no-report", "-q", "--force"]
    words += [] if scheme == "dhe" else ["--budget", "10x"]
    times = pairs(command("hash", path, "-o", output, *words), lambda: np.load(path), 1)
    table = embcompress.open(output, threads=1)["t"]
    ids = np.random.default_rng(0).integers(0, 2_000_000, 100_000)
    out = np.empty((100_000, 64), np.float32)
    looked = pairs(lambda: table.lookup(ids, out), lambda: table.lookup(ids, out), 10, 2)
    rate = 1e-1 / medians(looked)[0]
    print(
        f"\nhash --scheme {scheme}, whole command: {medians(times)[0]:.2f} s,"
        f" look-ups {rate:.1f} M rows/s on one thread"
    )
