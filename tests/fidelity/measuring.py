"""Figures of commands, each file written by one process and decoded by another."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.fidelity.tables import write_table

FILE = Path(__file__).parents[1] / "fidelity.json"
LONGEST = 180
"""Seconds that a command may take on the made table."""

METHODS = (
    "cast",
    "quantize --bits 4",
    "quantize --bits 2",
    "kmeans --per table --bits 4",
    "kmeans --per table --bits 2",
    "binarize --scale row",
    'rotate --then "quantize --bits 4"',
    'rotate --then "quantize --bits 2"',
    "pq",
    "pq --bits 4",
    "aq --codebooks 8",
    "aq --codebooks 16",
    "mgqe",
    "xlightfm --budget 8x",
    "xlightfm --budget 16x",
    "saec",
    "ant",
    "ant --budget 8x",
    "hash --scheme memcom --budget 8x",
    "hash --scheme memcom --budget 16x",
    "svd --budget 8x",
    'svd --rank-share 0.9 --then "quantize --bits 4"',
    'svd --budget 16x --then "quantize --bits 4"',
    "tt --budget 8x",
    "tt --budget 16x",
    "mixdim --rule budget --budget 8x --coords fp16",
    'mixdim --by frequency --rule budget --budget 8x --then "quantize --bits 4"',
    'mixdim --by frequency --rule budget --budget 16x --then "quantize --bits 4"',
    'sseds --saliency energy --budget 8x --then "quantize --bits 4"',
    'sseds --saliency energy --budget 16x --then "quantize --bits 4"',
    "prune --keep 0.25 --values int8",
    "prune --keep 0.1 --values int8",
    "limit --budget 4bpw",
    "limit --budget 4bpw --effort best",
    "limit --budget 2bpw",
    "limit --budget 2bpw --effort best",
)
"""Each method at about 2 and 4 bits a weight, where it has such settings."""

SLOW = (
    "aq --codebooks 16",
    "xlightfm --budget 16x",
    "ant --budget 8x",
    "hash --scheme memcom --budget 16x",
    "tt --budget 16x",
    "mixdim --rule budget --budget 8x --coords fp16",
    'mixdim --by frequency --rule budget --budget 16x --then "quantize --bits 4"',
    'sseds --saliency energy --budget 16x --then "quantize --bits 4"',
    "prune --keep 0.1 --values int8",
    "limit --budget 4bpw --effort best",
    "limit --budget 2bpw --effort best",
)
"""Left out on the made table."""

EFFORTS = {"fast": " --effort fast", "normal": "", "best": " --effort best"}
BITS = (1, 2, 3, 4)
CURVES = tuple(f"limit --budget {b}bpw{text}" for b in BITS for text in EFFORTS.values())
RECORDS = tuple(f"limit --budget 2bpw --rows-per-record {count}" for count in (1, 2, 4))
PLAIN = "limit --budget 2bpw --states 1"
UNSEEN = tuple(f"limit --budget {b}bpw" for b in BITS)
FEW = ("quantize --bits 4", "limit --budget 5bpw", "limit --budget 4bpw")

TABLES = {
    "items": ("MovieLens items, 3,706×64", METHODS),
    "glove": ("GloVe, 400,000×50", tuple(dict.fromkeys((*METHODS, *CURVES, *RECORDS, PLAIN)))),
    "minilm": ("MiniLM, 30,522×384", tuple(dict.fromkeys((*METHODS, *CURVES)))),
    "made": ("made, 2,000,000×64", tuple(t for t in METHODS if t not in SLOW)),
    "wordllama": ("WordLlama, 32,000×256", UNSEEN),
    "few": ("GloVe's first rows, 200×50", FEW),
}

LOOKUPS = """
import sys, time
import numpy as np
import embcompress
with embcompress.open(sys.argv[1]) as artifact:
    (table,) = artifact.values()
    ids = np.random.default_rng(0).integers(0, table.shape[0], 100_000)
    best = float("inf")
    for _ in range(24):
        start = time.perf_counter()
        table.lookup(ids)
        best = min(best, time.perf_counter() - start)
print(len(ids) / best)
"""


def process(*words: object, longest: float | None = None) -> tuple[str, float]:
    """What a process of this Python prints, and the seconds it took.

    Raises:
        RuntimeError: It failed; the text is its last line.
        subprocess.TimeoutExpired: It took longer than ``longest`` seconds.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True, text=True, check=False, timeout=longest,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(said[-1])
    return done.stdout, time.perf_counter() - started


def measure(text: str, table: Path, output: Path, longest: float | None) -> dict[str, Any]:
    """Figures of a command: one process writes the file, others decode it.

    Args:
        text: The command without its files.
        table: The source, .npy.
        output: Where the artifact goes; left there.
        longest: Seconds that compression may take; any when None.
    """
    words = [*shlex.split(text), "--no-report", "--keep-failed", "--force", "-q"]
    if text.startswith("mgqe") or "--by frequency" in text:
        frequencies = table.with_name("frequencies.npy")
        np.save(frequencies, 1.0 / np.arange(1, len(np.load(table, mmap_mode="r")) + 1))
        words += ["--frequencies", str(frequencies)]
    verb, *rest = words
    try:
        command = ("-m", "embcompress", verb, table, "-o", output, *rest)
        _, seconds = process(*command, longest=longest)
    except subprocess.TimeoutExpired:
        return {"left_out": f"over {LONGEST // 60} minutes"}
    printed, _ = process("-m", "embcompress", "report", output, "--against", table, "--json")
    (report,) = json.loads(printed)["tables"]
    errors = report["errors"]
    found = {
        "bits": report["bits_per_weight"],
        "decibels": errors["decibels_above_limit"],
        "error": errors["relative_error"],
        "limit": errors["limit_relative_error"],
        "cosine_mean": errors["cosine_mean"],
        "cosine_p1": errors["cosine_p1"],
        "seconds": round(seconds, 1),
    }
    if verb in ("limit", "quantize"):
        found["lookups"] = round(float(process("-c", LOOKUPS, output)[0]))
    return found


def wanted(kept: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Tables and commands that have not been measured."""
    for name, (_, methods) in TABLES.items():
        for text in methods:
            if text not in kept.get(name, {}):
                yield name, text


def run(kept: dict[str, dict[str, Any]]) -> None:
    """Measure what is missing; every figure is written as soon as it is known.

    A command that fails is said and left missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, text in list(wanted(kept)):
            table = Path(folder) / f"{name}.npy"
            if not table.exists():
                write_table(name, table)
            longest = LONGEST if name == "made" else None
            try:
                found = measure(text, table, Path(folder) / "out.safetensors", longest)
            except RuntimeError as failure:
                print(f"{name}: {text}: failed: {failure}", file=sys.stderr)
                continue
            kept.setdefault(name, {})[text] = found
            FILE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
            print(f"{name}: {text}: {found}", file=sys.stderr)
