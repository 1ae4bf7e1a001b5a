"""DeepFM: first-order weights, a factorization machine and a network over the same embeddings."""

from __future__ import annotations

import numpy as np
import torch

from tests.deepfm.data import FIELDS, Examples

DIMENSION = 32
HIDDEN = (64, 32)
BATCH = 4096
EPOCHS = 6
RATE = 5e-3
DECAY = 1e-4
DROPOUT = 0.2


class DeepFM(torch.nn.Module):
    """Guo et al. 2017. One embedding table a field."""

    def __init__(self, categories: dict[str, int]) -> None:
        super().__init__()
        self.embedding = torch.nn.ModuleDict(
            {name: torch.nn.Embedding(n, DIMENSION) for name, n in categories.items()}
        )
        self.first = torch.nn.ModuleDict(
            {name: torch.nn.Embedding(n, 1) for name, n in categories.items()}
        )
        for name in categories:
            torch.nn.init.normal_(self.embedding[name].weight, std=0.05)
            torch.nn.init.zeros_(self.first[name].weight)
        layers: list[torch.nn.Module] = []
        width = DIMENSION * len(categories)
        for hidden in HIDDEN:
            layers += [torch.nn.Linear(width, hidden), torch.nn.ReLU(), torch.nn.Dropout(DROPOUT)]
            width = hidden
        self.deep = torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits [b] of category numbers int64 [b, fields]."""
        rows = torch.stack([self.embedding[f](ids[:, i]) for i, f in enumerate(FIELDS)], dim=1)
        linear = torch.cat([self.first[f](ids[:, i]) for i, f in enumerate(FIELDS)], dim=1)
        pairs = (rows.sum(dim=1).square() - rows.square().sum(dim=1)).sum(dim=1) / 2
        return self.bias + linear.sum(dim=1) + pairs + self.deep(rows.flatten(1)).squeeze(1)


def batches(examples: Examples, random: np.random.Generator | None = None):
    """Category numbers and labels, in order or shuffled."""
    order = np.arange(len(examples.labels))
    if random is not None:
        random.shuffle(order)
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        yield torch.from_numpy(examples.ids[some]), torch.from_numpy(examples.labels[some])


def loss(model: DeepFM, batch) -> torch.Tensor:
    ids, labels = batch
    return torch.nn.functional.binary_cross_entropy_with_logits(model(ids), labels)


def train(examples: Examples, categories: dict[str, int], seed: int) -> DeepFM:
    """A trained model, ready to predict."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = DeepFM(categories).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * -(-len(examples.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in batches(examples, random):
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def auc(model: DeepFM, examples: Examples) -> float:
    """Area under the ROC curve: the share of pairs of a liked and another in the right order."""
    with torch.inference_mode():
        scores = torch.cat([model(ids) for ids, _ in batches(examples)]).numpy()
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    liked = examples.labels > 0
    wins = ranks[liked].sum() - liked.sum() * (liked.sum() + 1) / 2
    return float(wins / (liked.sum() * (~liked).sum()))
