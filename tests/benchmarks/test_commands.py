"""Whole commands: speed beside a copy and beside torch's operator, memory, and the first word."""

from __future__ import annotations

import shutil
import subprocess
import sys
from statistics import median

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from tests.benchmarks.pairs import command, medians, pairs, peak_memory, times_faster

pytestmark = pytest.mark.bench

COLUMNS = 64
BLOCK = 250_000


def table(path, megabytes):
    """A table of normal numbers whose blocks differ, float32 [rows, 64]."""
    rows = megabytes * 10**6 // (4 * COLUMNS)
    array = open_memmap(path, "w+", dtype="<f4", shape=(rows, COLUMNS))
    block = np.random.default_rng(0).standard_normal((BLOCK, COLUMNS)).astype(np.float32)
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        array[start:stop] = block[: stop - start] * (1 + start / rows)
    array.flush()
    return path


@pytest.fixture(scope="module")
def two_gigabytes(tmp_path_factory):
    path = table(tmp_path_factory.mktemp("two") / "two.npy", 2000)
    yield path
    path.unlink()


def test_greedy_command_beside_torchs_operator(tmp_path):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(2)
    path = table(tmp_path / "t.npy", 320)
    rows = torch.from_numpy(np.load(path))
    times = pairs(
        command("quantize", path, "-o", tmp_path / "o.safetensors", "--range", "greedy",
                "--bits", 4, "--no-report", "-q", "--force"),
        lambda: torch.ops.quantized.embedding_bag_4bit_prepack(rows, optimized_qparams=True),
        2,
    )  # fmt: skip
    ours, theirs = medians(times)
    print(
        f"\nquantize --range greedy, 320 MB, whole command: {ours:.2f} s,"
        f" torch's operator {theirs:.2f} s, ratio {times_faster(times):.1f}"
    )


def test_minmax_command_beside_a_copy(two_gigabytes, tmp_path):
    output = tmp_path / "o.safetensors"
    times = pairs(
        command("quantize", two_gigabytes, "-o", output, "--range", "minmax", "--no-report",
                "-q", "--force"),
        lambda: shutil.copyfile(two_gigabytes, tmp_path / "copy.npy"),
        3,
    )  # fmt: skip
    ours, theirs = medians(times)
    print(
        f"\nquantize --range minmax, 2 GB, whole command: {ours:.2f} s, copy {theirs:.2f} s;"
        f" bar 3 copies + 2 s = {3 * theirs + 2:.2f} s"
    )


@pytest.mark.parametrize("megabytes", [2000, 8000])
def test_peak_memory(megabytes, tmp_path):
    path = table(tmp_path / "t.npy", megabytes)
    words = ["quantize", path, "-o", tmp_path / "o.safetensors", "--range", "minmax", "-q"]
    peak = peak_memory(*words, "--force")
    bounded = peak_memory(*words, "--force", "--memory", "500MB")
    print(
        f"\nquantize {megabytes} MB with report: peak {peak / 1e6:.0f} MB,"
        f" with --memory 500MB {bounded / 1e6:.0f} MB"
    )
    assert bounded < 500e6
    assert peak < 800e6


TYPER = """
import typer
app = typer.Typer()
@app.command()
def one(name: str): "One."
@app.command()
def two(name: str): "Two."
app(["--help"])
"""


def test_help_beside_a_small_typer_app():
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    ours = "import sys; from embcompress.cli.entry import run; sys.exit(run(['--help']))"
    times = pairs(
        lambda: subprocess.run([sys.executable, "-c", ours], **quiet),
        lambda: subprocess.run([sys.executable, "-c", TYPER], **quiet),
        15,
    )
    mine, theirs = medians(times)
    ratio = median(o / t for o, t in times)
    print(
        f"\n--help: {mine * 1e3:.0f} ms, two-command app {theirs * 1e3:.0f} ms, ratio {ratio:.2f}"
    )


VERBS = ["quantize", "quantize --range greedy", "kmeans", "binarize", "cast"]


@pytest.mark.parametrize("verb", VERBS)
def test_kernels_compile_once(verb, tmp_path):
    """Seconds spent on kernels in a process that has never run, and in the next."""
    np.save(tmp_path / "t.npy", np.random.default_rng(0).standard_normal((64, 32)).astype("f4"))
    script = (
        "import sys, time; from embcompress.kernels import jit; spent = [0.0]\n"
        "build = jit.Kernel._build\n"
        "def timed(self):\n"
        "    start = time.perf_counter(); found = build(self)\n"
        "    spent[0] += time.perf_counter() - start; return found\n"
        "jit.Kernel._build = timed\n"
        "from embcompress.cli.entry import run; code = run(sys.argv[1:])\n"
        "print(spent[0]); sys.exit(code)"
    )
    words = [*verb.split(), tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", "-q", "--force"]
    spent = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True,
            check=True, env={"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""},
        )  # fmt: skip
        spent.append(float(done.stdout.split()[-1]))
    print(f"\n{verb}: kernels {spent[0]:.2f} s the first time, {spent[1]:.2f} s after")
