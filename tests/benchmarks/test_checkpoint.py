"""A checkpoint of 2 GB in shards: time beside a copy of the folder, and memory."""

from __future__ import annotations

import json
import shutil
import subprocess

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from embcompress.methods import registry
from embcompress.solvers.ranges import quantize_rows
from embcompress.tables.base import TILE
from embcompress.tables.source import open_source
from embcompress.threads import available, ordered
from tests.benchmarks.pairs import command, medians, pairs, peak_memory, seconds

pytestmark = pytest.mark.bench

ROWS, COLUMNS = 128_256, 2048
TABLE = "model.embed_tokens.weight"
SHARDS = 4
LAYERS = 11  # 8192x2048 each, beside the table
BALLAST = 3000  # MB


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Four shards in bf16, 2 GB in all."""
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    folder.mkdir()
    random = np.random.default_rng(0)
    block = random.standard_normal((8192, COLUMNS)).astype(np.float32)
    table = np.empty((ROWS, COLUMNS), ml_dtypes.bfloat16)
    for start in range(0, ROWS, len(block)):
        stop = min(start + len(block), ROWS)
        table[start:stop] = block[: stop - start] * (0.02 + start / ROWS)
    layer = block.astype(ml_dtypes.bfloat16)
    shards = [{TABLE: table}, *({} for _ in range(SHARDS - 1))]
    for i in range(3 * LAYERS + 11):
        shards[1 + i % (SHARDS - 1)][f"model.layers.{i}.mlp.weight"] = layer
    weight_map = {}
    for i, tensors in enumerate(shards, 1):
        name = f"model-{i:05}-of-{SHARDS:05}.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text("{}")
    yield folder
    shutil.rmtree(folder)


def kernel(folder, method):
    """Only the search of ranges and codes, over the same tiles and threads."""
    with open_source(folder) as source:
        rows = source.table(TABLE)
        tiles = [rows.read(at, min(at + TILE, ROWS)) for at in range(0, 8 * TILE, TILE)]

    def one(number):
        tile = tiles[number % len(tiles)]
        quantize_rows(tile, method.bits, method.range, method.bins, method.shrink, True)

    def all_of_them():
        for _ in ordered(one, range(-(-ROWS // TILE)), available()):
            pass

    return seconds(all_of_them, 1)


@pytest.mark.parametrize("ranges", ["minmax", "greedy", "lsq"])
def test_a_checkpoint_beside_a_copy(ranges, checkpoint, tmp_path):
    megabytes = sum(p.stat().st_size for p in checkpoint.iterdir()) / 1e6
    words = ["quantize", checkpoint, "-o", tmp_path / "small", "--bits", 4, "--range", ranges]
    words += ["--no-report", "-q", "--force"]
    copied = tmp_path / "copied"
    quantize = command(*words)

    def ready():
        """Have memory for what is written that the machine need not fetch first.

        A virtual machine gives free memory back after two seconds. Writing a file into memory that
        it has to ask for again took seven times as long, and only the copy, which begins at once in
        what it has just freed, was spared that.
        """
        ballast = tmp_path / "ballast"
        with open(ballast, "wb") as file:
            for _ in range(BALLAST):
                file.write(bytes(2**20))
        ballast.unlink()

    def ours_once():
        shutil.rmtree(tmp_path / "small", ignore_errors=True)
        quantize()

    def copy():
        shutil.rmtree(copied, ignore_errors=True)
        subprocess.run(["cp", "-r", checkpoint, copied], check=True)

    copy()
    own = kernel(checkpoint, registry()["quantize"](bits=4, range=ranges))
    ours, theirs = medians(pairs(ours_once, copy, 3, ready=ready))
    peak = peak_memory(*words)
    print(
        f"\nquantize --range {ranges}, a checkpoint of {megabytes:,.0f} MB in {SHARDS} shards:"
        f" {ours:.2f} s, cp -r {theirs:.2f} s, the kernel alone {own:.2f} s; without it"
        f" {(ours - own) / theirs:.2f} copies (bar 2.5); peak {peak / 1e6:.0f} MB (bar 1,000)"
    )
