"""Whole models with compressed tables in the place of their embeddings."""

from __future__ import annotations

import io
import warnings

import pytest

import embcompress
from embcompress.errors import BadInput, UsageError

torch = pytest.importorskip("torch")
et = pytest.importorskip("embcompress.torch")
nn = torch.nn


class Ranker(nn.Module):
    """Two embeddings, a bag with padding, a shared one, a norm with buffers, and a tower."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.user_emb = nn.Embedding(300, 8, padding_idx=0)
        self.item_emb = nn.Embedding(400, 8)
        self.again = nn.ModuleList([self.item_emb])
        self.history_emb = nn.EmbeddingBag(400, 8, mode="sum", padding_idx=0)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 1)

    def forward(self, user, item, history):
        x = self.user_emb(user) + self.again[0](item) + self.history_emb(history)
        return self.head(self.norm(x))


def given():
    return torch.arange(6), torch.arange(6) + 390, torch.arange(24).reshape(6, 4)


@pytest.fixture
def checkpoint(tmp_path, run):
    """Compresses the state dict of a model: gives the artifact."""
    from safetensors.torch import save_file

    def make(model, *options, verb="quantize", tables="*emb*"):
        state = {k: v.contiguous().clone() for k, v in model.state_dict().items()}
        save_file(state, tmp_path / "model.safetensors")
        path = tmp_path / "model.small.safetensors"
        words = (verb, tmp_path / "model.safetensors", "-o", path, "--force", "-q")
        code, _, err = run(*words, "--tables", tables, *options)
        assert code == 0, err
        return path

    return make


def dense_twin(kind, path):
    """A model whose dense tables hold what the artifact decodes to."""
    model, artifact = kind(), embcompress.open(path)
    state = model.state_dict()
    for name, table in artifact.items():
        state[name].copy_(torch.from_numpy(table.restore()))
    return model.eval()


def trained():
    model = Ranker()
    model.norm.running_mean += 0.5
    model.norm.num_batches_tracked += 7
    return model.eval()


def test_a_model_is_loaded_whole(checkpoint):
    path = checkpoint(trained())
    model = Ranker().eval()
    with torch.no_grad():
        model.head.weight += 3  # is overwritten
    found = et.load_model(model, path)
    assert set(found.compressed) == {
        "user_emb.weight", "item_emb.weight", "again.0.weight", "history_emb.weight"
    }  # fmt: skip
    assert len(found.copied) == 7
    assert (found.restored, found.missing, found.unexpected) == ([], [], [])
    assert model.again[0] is model.item_emb
    assert (model.history_emb.mode, model.history_emb.padding_idx) == ("sum", 0)
    assert not model.user_emb.training
    twin = dense_twin(Ranker, path)
    twin.norm.load_state_dict(trained().norm.state_dict())
    torch.testing.assert_close(model(*given()), twin(*given()), rtol=1e-6, atol=1e-6)


def test_its_state_dict_loads_without_the_file(checkpoint):
    path = checkpoint(trained(), "--clusters", "20", verb="saec")
    model = Ranker().eval()
    et.load_model(model, path)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    path.unlink()
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    again = Ranker().eval()
    found = et.load_model(again, state)
    assert len(found.compressed) == 4
    assert torch.equal(again(*given()), model(*given()))
    again.load_state_dict(state)  # now that the modules are there
    assert found.compressed == et.load_model(again, state).compressed
    assert torch.equal(again(*given()), model(*given()))


def test_dtypes_of_the_model_stay(checkpoint):
    path = checkpoint(trained().to(torch.bfloat16))
    model = Ranker().to(torch.bfloat16).eval()
    et.load_model(model, path)
    assert model(*given()).dtype == model.user_emb(torch.tensor([1])).dtype == torch.bfloat16
    with torch.device("meta"):
        model = Ranker().eval()
    et.load_model(model, path, assign=True)
    model.to(torch.bfloat16)
    assert model(*given()).dtype == torch.bfloat16


def test_names_of_a_larger_model(checkpoint):
    path = checkpoint(nn.ModuleDict({"ranker": trained()}))
    found = et.load_model(Ranker(), path, prefix="ranker.")
    assert len(found.compressed) == 4


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: m.add_module("more", nn.Linear(1, 1)), "missing 'more.bias', 'more.weight'"),
        (lambda m: delattr(m, "head"), "unexpected 'head.bias', 'head.weight' (strict=False"),
        (lambda m: delattr(m, "user_emb"), "unexpected 'user_emb.weight'"),
        (
            lambda m: setattr(m, "user_emb", nn.Embedding(301, 8)),
            "'user_emb.weight' is [300, 8], in the model [301, 8]",
        ),
        (lambda m: setattr(m, "head", nn.Linear(8, 2)), "'head.weight' is [1, 8], in the model [2"),
        (
            lambda m: setattr(m, "user_emb", nn.Embedding(300, 8, max_norm=1)),
            "'user_emb.weight' has max_norm",
        ),
    ],
)
def test_what_does_not_fit_changes_nothing(spoil, words, checkpoint):
    path = checkpoint(trained())
    model = Ranker()
    spoil(model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(UsageError) as caught:
        et.load_model(model, path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], v) for k, v in before.items())


def test_not_strict(checkpoint):
    path = checkpoint(trained())
    model = Ranker()
    del model.user_emb
    model.more = nn.Linear(1, 1)
    found = et.load_model(model, path, strict=False)
    assert found.missing == ["more.bias", "more.weight"]
    assert found.unexpected == ["user_emb.weight"]


class Tied(nn.Module):
    """A word embedding, a second one of the same weight, and a head of the same weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.word_emb = nn.Embedding(200, 8)
        self.decoder_emb = nn.Embedding(200, 8)
        self.lm_head = nn.Linear(8, 200, bias=False)
        self.decoder_emb.weight = self.lm_head.weight = self.word_emb.weight

    def forward(self, ids):
        return self.lm_head(self.word_emb(ids) + self.decoder_emb(ids))


class Scaled(nn.Embedding):
    """An embedding whose forward is its own."""

    def forward(self, ids):
        return super().forward(ids) * 3


@pytest.mark.parametrize("names", [("word_emb.weight",), ("word_emb.weight", "lm_head.weight")])
def test_a_tied_head_gets_the_restored_table(names, checkpoint, tmp_path):
    """As checkpoints hold it: once, or once for each module."""
    full = Tied()
    only = nn.ParameterDict({n.replace(".", "/"): full.state_dict()[n] for n in names})
    path = checkpoint(_Named(only), tables="word_emb*")
    model = Tied()
    if len(names) == 1:
        with pytest.warns(UserWarning, match=r"'lm_head.weight' is not the weight of a plain emb"):
            found = et.load_model(model, path)
        assert found.restored == ["lm_head.weight"]
    else:
        found = et.load_model(model, path)
        assert found.copied == ["lm_head.weight"]
    assert found.compressed == ["word_emb.weight", "decoder_emb.weight"]
    assert model.word_emb.table is model.decoder_emb.table
    dense = torch.from_numpy(embcompress.open(path)["word_emb.weight"].restore())
    head = dense if len(names) == 1 else full.lm_head.weight
    ids = torch.arange(9)
    torch.testing.assert_close(model(ids), 2 * dense[ids] @ head.t())


class _Named(nn.Module):
    """Holds parameters under given dotted names."""

    def __init__(self, parameters):
        super().__init__()
        self.parameters_ = parameters

    def state_dict(self):
        return {k.replace("/", "."): v for k, v in self.parameters_.items()}


def test_an_embedding_with_a_forward_of_its_own_is_restored(checkpoint):
    model = nn.ModuleDict({"emb": Scaled(100, 8)})
    path = checkpoint(model)
    fresh = nn.ModuleDict({"emb": Scaled(100, 8)})
    with pytest.warns(UserWarning, match="gets the table of 'emb.weight' restored"):
        found = et.load_model(fresh, path)
    assert (found.compressed, found.restored) == ([], ["emb.weight"])
    dense = torch.from_numpy(embcompress.open(path)["emb.weight"].restore())
    assert torch.equal(fresh["emb"](torch.arange(5)), dense[:5] * 3)


def test_a_mapped_file_and_an_open_artifact(checkpoint):
    path = checkpoint(trained())
    models = Ranker().eval(), Ranker().eval(), Ranker().eval()
    et.load_model(models[0], path, mmap=True)
    with embcompress.open(path) as artifact:
        et.load_model(models[1], artifact)
        et.load_model(models[2], artifact, mmap=True)
    expected = models[0](*given())
    assert all(torch.equal(m(*given()), expected) for m in models)


def test_damage_is_noticed(checkpoint):
    path = checkpoint(trained())
    artifact = embcompress.open(path)
    at = artifact.start("user_emb.weight::rows")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="user_emb"):
        et.load_model(Ranker(), path)


def sentences(encoder, tokenizer, texts):
    """Embeddings as the model card says: mean over tokens, length 1."""
    tokenizer.enable_padding()
    batch = tokenizer.encode_batch(texts)
    ids, mask = (torch.tensor([getattr(e, k) for e in batch]) for k in ("ids", "attention_mask"))
    with torch.no_grad():
        hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return nn.functional.normalize(mean)


TEXTS = [
    "A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby.",
    "A man is riding a horse.", "A woman is playing violin.", "Two men pushed carts.",
    "A cheetah is running behind its prey.", "Embedding tables are most of a recommender.",
]  # fmt: skip


def test_buffers_that_a_model_does_not_save(checkpoint):
    class Newer(Ranker):
        def __init__(self, *, saved=False):
            super().__init__()
            self.register_buffer("position_ids", torch.arange(5), persistent=saved)

    older = Newer(saved=True)
    older.position_ids += 7
    model = Newer()
    found = et.load_model(model, checkpoint(older))
    assert (found.missing, found.unexpected) == ([], [])
    assert model.position_ids.tolist() == list(range(5))
    with torch.device("meta"):
        model = Newer()
    with pytest.raises(UsageError, match="'position_ids' is on the meta device"):
        et.load_model(model, checkpoint(older), assign=True)
    assert et.load_model(model, checkpoint(older), assign=True, strict=False).missing == []


@pytest.mark.slow
def test_the_minilm_sentence_encoder(minilm_path, tmp_path, run):
    """A real checkpoint: all three embeddings at 4 bits, outputs before and after."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    from safetensors.torch import load_file

    folder = minilm_path.parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.BertConfig.from_json_file(folder / "config.json")
        before, after = (transformers.BertModel(config, add_pooling_layer=True) for _ in range(2))
    before.load_state_dict(load_file(minilm_path), strict=False)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    path = tmp_path / "minilm.safetensors"
    assert run("quantize", minilm_path, "-o", path, "-q")[0] == 0
    found = et.load_model(after, path)  # the file's position_ids are a buffer that is not saved
    assert "embeddings.word_embeddings.weight" in found.compressed
    assert (found.restored, found.missing, found.unexpected) == ([], [], [])
    one = sentences(before.eval(), tokenizer, TEXTS)
    other = sentences(after.eval(), tokenizer, TEXTS)
    cosines = (one * other).sum(1)
    drift = ((one @ one.t()) - (other @ other.t())).abs().max()
    print(f"\nMiniLM, embeddings at 4 bits: lowest cosine {cosines.min():.4f}, drift {drift:.4f}")
    assert cosines.min() > 0.99
    assert drift < 0.03
