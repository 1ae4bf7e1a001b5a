"""The drop-in modules, against PyTorch's own over the restored table."""

from __future__ import annotations

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import embcompress
from embcompress.errors import BadInput, UsageError
from embcompress.methods import registry
from tests.variants import information_for

torch = pytest.importorskip("torch")
et = pytest.importorskip("embcompress.torch")

N, D = 500, 12


@pytest.fixture(scope="module")
def tables():
    dense = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
    return {
        name: embcompress.compress(
            dense, cls(), name="emb.weight", **information_for(cls(), (N, D))
        )
        for name, cls in registry().items()
    }


@pytest.fixture
def table(tables):
    return tables["quantize"]


@pytest.fixture(params=["quantize", "saec", "mgqe"])
def some(request, tables):
    """Records; bit strings; tiers with a row map."""
    return tables[request.param]


def dense(table):
    return torch.from_numpy(table.restore())


IDS = torch.tensor([[0, 7, N - 1], [3, 3, 20]])


def test_every_method(tables):
    for table in tables.values():
        peer = torch.nn.Embedding.from_pretrained(dense(table))
        assert torch.equal(et.Embedding(table)(IDS), peer(IDS))


@pytest.mark.parametrize(
    "ids",
    [
        torch.tensor(5),
        torch.tensor([], dtype=torch.int64),
        torch.empty(2, 0, 3, dtype=torch.int32),
        torch.arange(12, dtype=torch.int32).reshape(3, 4).t(),
        torch.arange(2000).reshape(10, 200) % N,
        torch.tensor([1, 2], dtype=torch.uint8),
    ],
)
def test_ids_of_any_shape(ids, table):
    found = et.Embedding(table)(ids)
    assert found.shape == (*ids.shape, D)
    assert torch.equal(found, dense(table)[ids.long()])


def bags(seed=0, entries=300, count=40):
    random = np.random.default_rng(seed)
    inner = np.sort(random.integers(0, entries + 1, count - 1))
    offsets = torch.from_numpy(np.concatenate([[0], inner]))
    return torch.from_numpy(random.integers(0, N, entries)), offsets


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 3, -1])
@pytest.mark.parametrize("last", [False, True])
def test_bags(mode, padding, last, some):
    ids, offsets = bags()
    ids[::7], ids[1::9] = 3, N - 1
    if last:
        offsets = torch.cat([offsets, torch.tensor([len(ids)])])
    options = {"mode": mode, "padding_idx": padding, "include_last_offset": last}
    peer = torch.nn.EmbeddingBag.from_pretrained(dense(some), **options)
    ours = et.EmbeddingBag(some, **options)
    torch.testing.assert_close(ours(ids, offsets), peer(ids, offsets), rtol=1e-6, atol=2e-5)
    square = ids.reshape(30, 10)
    torch.testing.assert_close(ours(square), peer(square), rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize("padding", [None, 3])
def test_weighted_bags(padding, some):
    ids, offsets = bags()
    ids[::7] = 3
    weights = torch.rand(len(ids))
    peer = torch.nn.EmbeddingBag.from_pretrained(dense(some), mode="sum", padding_idx=padding)
    ours = et.EmbeddingBag(some, mode="sum", padding_idx=padding)
    expected = peer(ids, offsets, weights)
    torch.testing.assert_close(ours(ids, offsets, weights), expected, rtol=1e-6, atol=2e-5)
    expected = peer(ids.reshape(30, 10), per_sample_weights=weights.reshape(30, 10))
    found = ours(ids.reshape(30, 10), per_sample_weights=weights.reshape(30, 10))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: et.Embedding(t)(torch.tensor([N])), IndexError, f"id {N} is not in table"),
        (lambda t: et.Embedding(t)(torch.tensor([-1])), IndexError, "id -1 is not in table"),
        (lambda t: et.Embedding(t)(torch.tensor([0.5])), TypeError, "ids are integers"),
        (lambda t: et.Embedding(t, padding_idx=N), UsageError, f"padding_idx {N} is no row"),
        (lambda t: et.EmbeddingBag(t, mode="median"), UsageError, "mode is sum, mean or max"),
        (lambda t: et.EmbeddingBag(t)(torch.tensor([1])), ValueError, "want offsets"),
        (
            lambda t: et.EmbeddingBag(t)(torch.ones(2, 2, dtype=int), torch.tensor([0])),
            ValueError,
            "offsets go with ids [b]",
        ),
        (lambda t: et.EmbeddingBag(t)(torch.ones(1, 1, 1, dtype=int)), ValueError, "ids are [b]"),
        (
            lambda t: et.EmbeddingBag(t)(torch.tensor([1, 2]), torch.tensor([1])),
            ValueError,
            "offsets do not ascend",
        ),
        (
            lambda t: et.EmbeddingBag(t)(
                torch.ones(1, 1, dtype=int), per_sample_weights=torch.ones(1, 1)
            ),
            UsageError,
            "mode 'sum', not 'mean'",
        ),
        (
            lambda t: et.EmbeddingBag(t, mode="sum")(
                torch.ones(1, 1, dtype=int), per_sample_weights=torch.ones(1, 2)
            ),
            ValueError,
            "per_sample_weights are [1, 2], the ids [1, 1]",
        ),
        (
            lambda t: et.EmbeddingBag(t, mode="sum")(
                torch.ones(1, 1, dtype=int),
                per_sample_weights=torch.ones(1, 1, requires_grad=True),
            ),
            UsageError,
            "ask for a gradient",
        ),
        (lambda t: et.Embedding(t).requires_grad_(), UsageError, "has no gradient"),
        (lambda t: et.Embedding(t).weight.requires_grad_(), UsageError, "has no gradient"),
        (
            lambda t: setattr(et.Embedding(t).weight, "requires_grad", True),
            UsageError,
            "has no gradient",
        ),
        (lambda t: et.Embedding(t).weight.data, AttributeError, "dense() restores it"),
        (
            lambda t: torch.nn.functional.linear(torch.ones(1, D), et.Embedding(t).weight),
            TypeError,
            "linear wants a tensor; weight.dense()",
        ),
        (
            lambda t: et.Embedding(t)(IDS).sum().backward(),
            RuntimeError,
            "does not require grad",
        ),
    ],
)
def test_what_does_not_work(call, error, words, table):
    with pytest.raises(error) as caught:
        call(table)
    assert words in str(caught.value)


def test_a_tower_above_can_be_trained(table):
    model = torch.nn.Sequential(et.Embedding(table), torch.nn.Linear(D, 1))
    model(IDS).sum().backward()
    assert [p.grad is not None for p in model.parameters()] == [True, True]
    model[0].requires_grad_(False)


def test_weight_stands_for_the_tensor(table):
    weight = et.Embedding(table).weight
    assert weight.shape == weight.size() == (N, D)
    assert (weight.size(1), weight.dim(), weight.numel(), len(weight)) == (D, 2, N * D, N)
    assert (weight.dtype, weight.device.type) == (torch.float32, "cpu")
    assert not weight.requires_grad
    assert weight.grad is None
    assert torch.equal(weight.dense(), dense(table))
    assert torch.equal(weight[IDS], dense(table)[IDS])
    assert "dense() restores it" in repr(weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_outputs_take_the_dtype_of_the_model(dtype, table):
    """The table is not cast with the model; its shared arrays keep their bytes."""
    for module in (et.Embedding(table), et.EmbeddingBag(table)):
        expected = module(IDS)
        model = torch.nn.Sequential(module).to(dtype)
        assert model(IDS).dtype == module.weight.dtype == dtype
        assert torch.equal(model(IDS), expected.to(dtype))


def test_state_dict_needs_no_file(tables, tmp_path):
    """Every method, through torch.save with weights_only and through safetensors."""
    from safetensors.torch import load_file, save_file

    blank = np.random.default_rng(5).standard_normal((N, D)).astype(np.float32)
    other = embcompress.compress(blank, registry()["cast"]())
    for table in tables.values():
        module = torch.nn.ModuleDict({"emb": et.Embedding(table)})
        state = module.state_dict()
        assert all(k.startswith("emb.weight::") for k in state)
        buffer = io.BytesIO()
        torch.save(state, buffer)
        buffer.seek(0)
        save_file(state, tmp_path / "state.safetensors")
        for loaded in (
            torch.load(buffer, weights_only=True),
            load_file(tmp_path / "state.safetensors"),
        ):
            fresh = torch.nn.ModuleDict({"emb": et.Embedding(other)})
            assert str(fresh.load_state_dict(loaded)) == "<All keys matched successfully>"
            assert torch.equal(fresh["emb"](IDS), module["emb"](IDS))
            again = fresh.state_dict()
            assert all(torch.equal(again[k], state[k]) for k in state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("weight::rows"), "'emb.weight::rows' is missing"),
        (lambda s: s.update({"weight::rows": s["weight::rows"][1:]}), "is not U8"),
        (lambda s: s.update({"weight::form": torch.zeros(9, dtype=torch.uint8)}), "malformed"),
        (lambda s: s.update({"weight::more": torch.zeros(2)}), "unknown tensors"),
        (lambda s: s.pop("weight::form"), 'Missing key(s) in state_dict: "weight::form"'),
        (lambda s: s.update({"weight": torch.zeros(N, D)}), "is a dense table"),
    ],
)
def test_spoilt_state_dicts(change, words, table):
    module = et.Embedding(table)
    state = module.state_dict()
    change(state)
    with pytest.raises(RuntimeError) as caught:
        module.load_state_dict(state)
    assert words in str(caught.value)


def test_a_state_dict_of_another_shape(table):
    small = embcompress.compress(np.eye(4, D, dtype=np.float32), registry()["quantize"]())
    with pytest.raises(RuntimeError, match=r"a table of \[4, 12\], the module \[500, 12\]"):
        et.Embedding(table).load_state_dict(et.Embedding(small).state_dict())


def test_copies_and_pickles(some):
    for module in (et.Embedding(some), et.EmbeddingBag(some, mode="sum", padding_idx=3)):
        for made in (copy.deepcopy(module), copy.copy(module), pickle.loads(pickle.dumps(module))):
            assert torch.equal(made(IDS), module(IDS))
            assert made.extra_repr() == module.extra_repr()
        buffer = io.BytesIO()
        torch.save(module, buffer)
        buffer.seek(0)
        assert torch.equal(torch.load(buffer, weights_only=False)(IDS), module(IDS))


def test_many_threads_at_once(some):
    module = et.EmbeddingBag(some)
    ids, offsets = bags(entries=20_000, count=2_000)
    expected = module(ids, offsets)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: module(ids, offsets), range(40)))
    assert all(torch.equal(f, expected) for f in found)


class Rows(torch.utils.data.Dataset):
    def __init__(self, module):
        self.module = module

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return self.module(torch.arange(i * 3000, (i + 1) * 3000) % N)


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_data_loader_workers(start, table):
    module = et.Embedding(table)
    data = Rows(module)
    expected = [data[i] for i in range(len(data))]  # threads of this process are at work before
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=2, multiprocessing_context=start
    )
    assert all(torch.equal(f, e) for f, e in zip(loader, expected, strict=True))


def test_a_mapped_file(tmp_path, run):
    rows = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
    np.save(tmp_path / "t.npy", rows)
    path = tmp_path / "t.safetensors"
    assert run("quantize", tmp_path / "t.npy", "-o", path, "-q")[0] == 0
    table = embcompress.open(path)["t"]
    mapped, read = et.Embedding(table, mmap=True), et.Embedding(table)
    assert torch.equal(mapped(IDS), read(IDS))
    state = mapped.state_dict()
    state["weight::rows"].zero_()  # a copy: the file cannot be written through it
    assert torch.equal(mapped(IDS), read(IDS))
    assert torch.equal(pickle.loads(pickle.dumps(mapped))(IDS), read(IDS))
    data = bytearray(path.read_bytes())
    data[-2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="is damaged"):
        et.Embedding(embcompress.open(path)["t"])


def compiled(module, *inputs, backend):
    torch._dynamo.reset()
    return torch.compile(module, fullgraph=True, backend=backend)(*inputs)


@pytest.mark.parametrize("module", [et.Embedding, et.EmbeddingBag])
def test_operators_are_sound(module, table):
    """PyTorch's own check of schema, fake kernel and autograd registration."""
    made = module(table)
    number = made._held.number
    if module is et.Embedding:
        torch.library.opcheck(torch.ops.embcompress.look_up, (IDS, number, D))
    else:
        edges = torch.tensor([0, 2, 6])
        arguments = (IDS.reshape(-1), edges, None, number, D, "sum", -1)
        torch.library.opcheck(torch.ops.embcompress.pool, arguments)


def model(table):
    tower = torch.nn.Sequential(torch.nn.Linear(D, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    return torch.nn.Sequential(et.Embedding(table), tower), torch.nn.Sequential(
        et.EmbeddingBag(table, mode="sum", padding_idx=3), tower
    )


def test_compiled_models(some):
    """One graph, no break, also when the shapes change and a table is exchanged."""
    for made in model(some):
        torch._dynamo.reset()
        quick = torch.compile(made, fullgraph=True, backend="aot_eager")
        for ids in (IDS, torch.arange(40).reshape(5, 8), torch.arange(60).reshape(20, 3)):
            torch.testing.assert_close(quick(ids), made(ids))
    bag = et.EmbeddingBag(some, mode="sum")
    ids, offsets = bags()
    weights = torch.rand(len(ids))
    torch._dynamo.reset()
    quick = torch.compile(bag, fullgraph=True, backend="aot_eager")
    assert torch.equal(quick(ids, offsets, weights), bag(ids, offsets, weights))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_by_the_default_backend(table):
    for made in model(table):
        torch._dynamo.reset()
        torch.testing.assert_close(torch.compile(made, fullgraph=True)(IDS), made(IDS))
        exported = torch.export.export(made, (IDS,))
        torch.testing.assert_close(exported.module()(IDS), made(IDS))
