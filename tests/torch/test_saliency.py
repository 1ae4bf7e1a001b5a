"""The collector of saliency, beside autograd by an explicit mask."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from embcompress.errors import BadInput, UsageError

torch = pytest.importorskip("torch")
from embcompress.torch import collect_saliency  # noqa: E402

D = 5
SIZES = (7, 4, 9)
STARTS = (0, 7, 11)


class Shared(torch.nn.Module):
    """One table for all fields, with offsets."""

    def __init__(self, sparse):
        super().__init__()
        torch.manual_seed(0)
        self.emb = torch.nn.Embedding(sum(SIZES), D, sparse=sparse)
        self.head = torch.nn.Linear(D * len(SIZES), 1)

    def forward(self, ids, mask=None, fill=None):
        rows = self.emb(ids + torch.tensor(STARTS))
        if mask is not None:
            rows = fill + mask * (rows - fill)
        return self.head(rows.flatten(1).tanh()).squeeze(1)


class Apart(torch.nn.Module):
    """One table a field."""

    def __init__(self, sparse):
        super().__init__()
        torch.manual_seed(0)
        self.tables = torch.nn.ModuleList([torch.nn.Embedding(n, D, sparse=sparse) for n in SIZES])
        self.head = torch.nn.Linear(D * len(SIZES), 1)

    def forward(self, ids, mask=None, fill=None):
        rows = torch.stack([t(ids[:, i]) for i, t in enumerate(self.tables)], dim=1)
        if mask is not None:
            rows = fill + mask * (rows - fill)
        return self.head(rows.flatten(1).tanh()).squeeze(1)


def batches(count=3):
    random = np.random.default_rng(4)
    for _ in range(count):
        ids = np.stack([random.integers(0, n, 30) for n in SIZES], axis=1)
        yield torch.from_numpy(ids), torch.from_numpy(random.random(30).astype(np.float32))


def loss(model, batch, **mask):
    ids, labels = batch
    return torch.nn.functional.mse_loss(model(ids, **mask), labels)


def tables_of(model):
    """Fields of every table, and the rows of every field."""
    if isinstance(model, Shared):
        weight = model.emb.weight.detach()
        return {"emb.weight": SIZES}, list(weight.split(list(SIZES)))
    names = [f"tables.{i}.weight" for i in range(len(SIZES))]
    return names, [t.weight.detach() for t in model.tables]


@pytest.mark.parametrize("kind", ["abs", "square"])
@pytest.mark.parametrize("fill", ["zero", "mean"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("made", [Shared, Apart])
def test_equals_autograd_by_a_mask(made, sparse, fill, kind):
    model = made(sparse)
    fields, rows = tables_of(model)
    with collect_saliency(model, fields, fill=fill, kind=kind) as found:
        for batch in batches():
            loss(model, batch).backward()
            found.step()
    values = torch.stack([torch.zeros(D) if fill == "zero" else r.mean(dim=0) for r in rows])
    wanted = torch.zeros((len(SIZES), D))
    for batch in batches():
        mask = torch.ones((len(SIZES), D), requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(model, batch, mask=mask, fill=values), mask)
        wanted += gradient.abs() if kind == "abs" else gradient.square()
    got = np.concatenate(list(found.values.values()))
    np.testing.assert_allclose(got, wanted.numpy(), rtol=2e-4, atol=1e-9)
    assert all(p.grad is None for p in model.parameters())


def test_means_are_weighted():
    model = Apart(sparse=False)
    counts = {"tables.0.weight": np.arange(7.0)}
    with collect_saliency(model, ["tables.0.weight"], frequencies=counts) as found:
        loss(model, next(batches())).backward()
        gradient = model.tables[0].weight.grad.double().clone()
        found.step()
    weight = model.tables[0].weight.detach().double()
    mean = torch.from_numpy(np.arange(7.0) / 21) @ weight
    wanted = ((weight - mean) * gradient).sum(dim=0).abs()
    np.testing.assert_allclose(found.values["tables.0.weight"][0], wanted.numpy())


def test_the_file_is_what_sseds_takes(tmp_path, run):
    model = Shared(sparse=True)
    with collect_saliency(model, {"emb.weight": SIZES}) as found:
        for batch in batches():
            loss(model, batch).backward()
            found.step()
    found.save(tmp_path / "g.safetensors")
    with safe_open(tmp_path / "g.safetensors", "np") as file:
        assert file.metadata() == {
            "fill": "mean",
            "kind": "abs",
            "batches": "3",
            "fields": json.dumps({"emb.weight": list(SIZES)}),
        }
    save_file({"emb.weight": model.emb.weight.detach().numpy()}, tmp_path / "m.safetensors")
    (tmp_path / "fields.json").write_text(json.dumps({"emb.weight": list(SIZES)}))
    code, _, err = run(
        "sseds", tmp_path / "m.safetensors", "-o", tmp_path / "o.safetensors", "--grads",
        tmp_path / "g.safetensors", "--fields", tmp_path / "fields.json", "--keep-failed",
    )  # fmt: skip
    assert code == 0, err
    assert "fill" not in err


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (["emb.wieght"], "did you mean 'emb.weight'"),
        ({"emb.weight": [7, 4]}, "end at row 11"),
        ({"emb.weight": {"a": (0, 7), "b": (8, 20)}}, "without gaps"),
        (["head.bias"], "matrix"),
        ({}, "names no table"),
    ],
)
def test_fields_that_cannot_be(fields, told):
    with pytest.raises(UsageError, match=told):
        collect_saliency(Shared(sparse=False), fields)


def test_frozen_and_silent_tables(tmp_path):
    model = Apart(sparse=False)
    model.tables[1].weight.requires_grad_(False)
    with pytest.raises(UsageError, match="frozen"):
        collect_saliency(model, ["tables.1.weight"])
    model = Shared(sparse=False)
    model.unused_emb = torch.nn.Embedding(3, D)
    with collect_saliency(model, ["emb.weight", "unused_emb.weight"]) as found:
        with pytest.raises(UsageError, match="after backward"):
            found.step()
        with pytest.raises(UsageError, match="no batch yet"):
            found.save(tmp_path / "g.safetensors")
        loss(model, next(batches())).backward()
        found.step()
        with pytest.raises(UsageError, match=r"'unused_emb\.weight' had no"):
            found.save(tmp_path / "g.safetensors")


def test_a_gradient_that_is_not_finite():
    model = Shared(sparse=False)
    with collect_saliency(model, ["emb.weight"]) as found:
        (loss(model, next(batches())) * float("inf")).backward()
        with pytest.raises(BadInput, match="not finite in batch 0"):
            found.step()


@pytest.mark.parametrize(
    "fields",
    [
        SIZES,
        STARTS,
        [*STARTS, sum(SIZES)],
        torch.tensor(SIZES),
        {"b": (7, 11), "a": (0, 7), "c": (11, 20)},
    ],
)
def test_ways_to_say_fields(fields):
    """All say the same, in a loop that clears gradients itself and was training before."""
    model = Shared(sparse=False)
    told = []
    for given in (SIZES, fields):
        loss(model, next(batches())).backward()  # left over from training
        with collect_saliency(model, {"emb.weight": given}) as found:
            for batch in batches():
                model.zero_grad()
                loss(model, batch).backward()
                found.step()
        told.append(found.values["emb.weight"])
        assert all(p.grad is None for p in model.parameters())
    assert told[0].shape == (len(SIZES), D)
    assert np.array_equal(told[0], told[1])
