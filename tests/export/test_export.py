"""Every target's files, loaded by the library they are for, give our rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import embcompress
from embcompress.export import registry as targets
from embcompress.methods import registry as methods
from tests.variants import information_files

N, D = 700, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    random = np.random.default_rng(0)
    np.save(folder / "t.npy", random.standard_normal((N, D)).astype(np.float32))
    np.save(folder / "f.npy", 1.0 / np.arange(1, N + 1))
    return folder


@pytest.fixture
def compressed(folder, run):
    """Runs a verb on the table: gives the artifact and its restored rows."""

    def make(*words, source="t.npy"):
        path = folder / ("-".join(words).replace("/", "") + f".{source}.safetensors")
        if not path.exists():
            needed = information_files(methods()[words[0]](), (N, D), folder)
            options = [word for name, file in needed.items() for word in (f"--{name}", file)]
            options += ["--frequencies", folder / "f.npy"] if "--keep-hot" in words else []
            done = run(
                words[0], folder / source, "-o", path, "-q", "--keep-failed", *words[1:], *options
            )
            assert done[0] in (0, 1), done[2]
        return path, next(iter(embcompress.open(path).values())).restore()

    return make


@pytest.fixture
def exported(run, tmp_path):
    """Exports an artifact: gives the output."""

    def make(path, target, name, *options):
        output = tmp_path / name
        code, out, err = run("export", path, "--to", target, "-o", output, "-q", *options)
        assert (code, out) == (0, ""), err
        return output

    return make


def wrote(path) -> dict[str, str]:
    with safe_open(path, "np") as file:
        return file.metadata() or {}


# FBGEMM and torch


@pytest.mark.parametrize(
    ("bits", "numbers", "operator"),
    [(8, "fp32", "byte"), (8, "fp16", "byte"), (4, "fp16", "4bit"), (2, "fp16", "2bit")],
)
def test_fused_rows_with_the_scale_at_the_tail(bits, numbers, operator, compressed, exported):
    """The bytes of torch's prepack, which its quantized bags read."""
    torch = pytest.importorskip("torch")
    words = ("quantize", "--bits", str(bits), "--range", "minmax", "--scale-dtype", numbers)
    path, rows = compressed(*words)
    output = exported(path, "fbgemm", "f.safetensors", "--scale-side", "tail")
    fused = torch.from_numpy(load_file(output)["t"])
    assert wrote(output) == {"t.rows": f"{D} columns of {bits} bits, scale at the tail"}
    source = torch.from_numpy(np.load(path.parent / "t.npy"))
    operators = torch.ops.quantized
    if (bits, numbers) != (8, "fp16"):  # torch has fp32 scales at 8 bits
        assert torch.equal(fused, getattr(operators, f"embedding_bag_{operator}_prepack")(source))
    ids = torch.arange(N)
    bag = getattr(operators, f"embedding_bag_{operator}_rowwise_offsets")
    found = bag(fused, ids, ids, False, 0, False, None, None, False)
    np.testing.assert_allclose(found, rows, rtol=2e-7, atol=3e-7)
    assert np.array_equal(getattr(operators, f"embedding_bag_{operator}_unpack")(fused), found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("alignment", [1, 16])
def test_fused_rows_with_the_scale_at_the_head(bits, alignment, compressed, exported):
    """What FBGEMM's table-batched inference holds."""
    torch = pytest.importorskip("torch")
    module = pytest.importorskip(
        "fbgemm_gpu.split_table_batched_embeddings_ops_inference", exc_type=ImportError
    )
    from fbgemm_gpu.split_embedding_configs import SparseType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation

    path, rows = compressed("quantize", "--bits", str(bits))
    options = ("--scale-side", "head", "--row-alignment", str(alignment))
    fused = load_file(exported(path, "fbgemm", "f.safetensors", *options))["t"]
    spec = ("t", N, D, SparseType[f"INT{bits}"], EmbeddingLocation.HOST)
    bags = module.IntNBitTableBatchedEmbeddingBagsCodegen(
        [spec], device="cpu", output_dtype=SparseType.FP32, row_alignment=alignment
    )
    bags.initialize_weights()
    ((weights, _),) = bags.split_embedding_weights(split_scale_shifts=False)
    assert weights.shape == fused.shape
    weights.copy_(torch.from_numpy(fused))
    found = bags(torch.arange(N), torch.arange(N + 1))
    np.testing.assert_allclose(found, rows, rtol=2e-7, atol=3e-7)


def test_fields_and_hot_rows_share_a_tensor(compressed, exported, folder):
    (folder / "fields.json").write_text("[100, 600]")
    words = ("quantize", "--bits", "8", "--per-field", "--fields", str(folder / "fields.json"))
    path, rows = compressed(*words, "--keep-hot", "0.1", "--hot-as", "int8")
    fused = load_file(exported(path, "fbgemm", "f.safetensors", "--scale-side", "head"))["t"]
    scale, bias = fused[:, :4].copy().view("<f2").astype(np.float32).T
    assert np.array_equal(fused[:, 4:] * scale[:, None] + bias[:, None], rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("side", ["head", "split"])
def test_torchrec_modules(bits, side, folder, compressed, exported):
    """Loaded by ``load_state_dict`` of a quantized collection; the tower's tensors go along."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchrec", exc_type=ImportError)
    from torchrec import KeyedJaggedTensor
    from torchrec.modules.embedding_configs import DataType, EmbeddingBagConfig
    from torchrec.quant.embedding_modules import EmbeddingBagCollection
    from torchrec.tensor_types import UInt2Tensor, UInt4Tensor

    random = np.random.default_rng(1)
    sizes = {"one": (300, 16), "two": (50, 8)}
    model = {
        f"embedding_bags.{k}.weight": random.standard_normal(s).astype(np.float32)
        for k, s in sizes.items()
    }
    save_file(model | {"tower.weight": np.ones((2, 3), np.float32)}, folder / "m.safetensors")
    words = ("quantize", "--bits", str(bits), "--tables", "embedding_bags*")
    path, _ = compressed(*words, source="m.safetensors")
    state = load_file(exported(path, "torchrec", "r.safetensors", "--scale-side", side))
    assert state.pop("tower.weight").tolist() == [[1, 1, 1]] * 2
    kind = DataType[f"INT{bits}"]
    tables = [
        EmbeddingBagConfig(
            name=k, num_embeddings=n, embedding_dim=d, feature_names=[k], data_type=kind
        )
        for k, (n, d) in sizes.items()
    ]
    modules = EmbeddingBagCollection(
        tables, False, torch.device("cpu"), quant_state_dict_split_scale_bias=side == "split"
    )
    wrap = {8: lambda x: x, 4: UInt4Tensor, 2: UInt2Tensor}[bits]
    tensors = {k: torch.from_numpy(v) for k, v in state.items()}
    tensors = {k: wrap(v) if k.endswith(".weight") else v for k, v in tensors.items()}
    assert str(modules.load_state_dict(tensors)) == "<All keys matched successfully>"
    ids = torch.arange(300)
    keyed = KeyedJaggedTensor.from_lengths_sync(
        keys=["one", "two"], values=torch.cat([ids, ids % 50]), lengths=torch.ones(600, dtype=int)
    )
    found, artifact = modules(keyed), embcompress.open(path)
    for name, own in (("one", ids), ("two", ids % 50)):
        rows = artifact[f"embedding_bags.{name}.weight"].lookup(own.numpy())
        np.testing.assert_allclose(found[name], rows, rtol=2e-7, atol=3e-7)


def test_torchrec_names(compressed, exported):
    path, _ = compressed("quantize")
    state = load_file(exported(path, "torchrec", "r.safetensors", "--scale-side", "split"))
    names = [
        "embedding_bags.t.weight",
        *(f"embedding_bags.t.weight_{p}" for p in ("qbias", "qscale")),
    ]
    assert sorted(state) == names


# faiss


FAISS = [
    (("pq", "--subquantizers", "8"), "IndexPQ", True),
    (("pq", "--subquantizers", "4", "--bits", "5"), "IndexPQ", True),
    (("pq", "--subquantizers", "8", "--bits", "4"), "IndexPQ", True),
    (("pq", "--subquantizers", "8", "--rotate", "opq"), "IndexPreTransform", False),
    (("pq", "--subquantizers", "8", "--rotate", "pca"), "IndexPreTransform", False),
    (("mgqe", "--subquantizers", "8"), "IndexPQ", True),
    (("aq", "--codebooks", "3", "--bits", "6"), "IndexResidualQuantizer", True),
    (("cast",), "IndexScalarQuantizer", True),
    (("cast", "--to", "bf16"), "IndexScalarQuantizer", True),
]


@pytest.mark.parametrize(("words", "kind", "exact"), FAISS, ids=[" ".join(w) for w, *_ in FAISS])
@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_faiss_indexes(words, kind, exact, metric, compressed, exported):
    import faiss

    path, rows = compressed(*words)
    index = faiss.read_index(str(exported(path, "faiss", "t.index", "--metric", metric)))
    assert type(index).__name__ == kind
    assert index.metric_type == {"l2": faiss.METRIC_L2, "dot": faiss.METRIC_INNER_PRODUCT}[metric]
    found = index.reconstruct_n(0, N)
    if exact:
        assert np.array_equal(found, rows)
    else:
        np.testing.assert_allclose(found, rows, rtol=0, atol=4e-6)
    scores = rows[:5] @ rows.T if metric == "dot" else -((rows[:5, None] - rows) ** 2).sum(-1)
    _, nearest = index.search(rows[:5], 3)
    best = np.take_along_axis(scores, nearest, axis=1)
    np.testing.assert_allclose(best, -np.sort(-scores, axis=1)[:, :3], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("d", [16, 13])
def test_faiss_binary(d, folder, compressed, exported):
    import faiss

    np.save(folder / "b.npy", np.load(folder / "t.npy")[:, :d])
    path, rows = (
        compressed("binarize", source="b.npy") if d == 16 else _thirteen(folder, compressed)
    )
    index = faiss.read_index_binary(str(exported(path, "faiss", "t.index")))
    assert type(index).__name__ == "IndexBinaryFlat"
    packed = np.packbits(rows > 0, axis=1)
    assert np.array_equal(np.stack([index.reconstruct(i) for i in range(N)]), packed)
    distances, _ = index.search(packed[:4], 2)
    assert (distances[:, 0] == 0).all()


def _thirteen(folder, compressed):
    np.save(folder / "b13.npy", np.load(folder / "t.npy")[:, :13])
    return compressed("binarize", source="b13.npy")


# model2vec


@pytest.fixture
def tokenizer(tmp_path):
    """A tokenizer.json of N words w0, w1, …, the last two of them added tokens."""
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {f"w{i}": i for i in range(N - 2)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="w0"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.add_tokens(["added1", "added2"])
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("words", "mapped", "dtype"),
    [
        (("saec", "--clusters", "20"), 20, "float16"),
        (("saec", "--clusters", "1"), 1, "float16"),
        (("saec", "--clusters", "20", "--keep-hot", "0.1"), 20 + N // 10, "float16"),
        (("rotate", "--basis", "pca", "--then", "saec --clusters 9"), 9, "float32"),
        (("quantize",), None, "float32"),
        (("kmeans", "--bits", "2"), None, "float32"),
    ],
    ids=str,
)
def test_model2vec_loads_it(words, mapped, dtype, tokenizer, compressed, exported):
    model2vec = pytest.importorskip("model2vec")
    path, rows = compressed(*words)
    output = exported(path, "model2vec", "static", "--tokenizer", tokenizer)
    model = model2vec.StaticModel.from_pretrained(output)
    found = model.embedding if mapped is None else model.embedding[model.token_mapping]
    assert np.array_equal(found.astype(np.float32), rows)
    assert model.embedding_dtype == dtype
    assert model.vocabulary_quantization == mapped
    encoded = model.encode("w5 w7 added2")
    np.testing.assert_allclose(encoded, rows[[5, 7, N - 1]].mean(axis=0), atol=2e-3)
    config = json.loads((output / "config.json").read_text())
    assert config["normalize"] is False


def test_model2vec_takes_the_tokenizer_of_the_folder(tokenizer, run, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    random = np.random.default_rng(0)
    save_file({"emb": random.standard_normal((N, D)).astype("f4")}, folder / "model.safetensors")
    shutil.copy(tokenizer, folder / "tokenizer.json")
    assert run("quantize", folder, "-o", tmp_path / "small", "-q")[0] == 0
    words = ("export", tmp_path / "small", "--to", "model2vec", "-o")
    assert run(*words, tmp_path / "static")[0] == 0
    assert (tmp_path / "static" / "tokenizer.json").read_bytes() == tokenizer.read_bytes()
    (tmp_path / "small" / "tokenizer.json").unlink()
    code, _, err = run(*words, tmp_path / "other")
    assert code == 2
    assert "--to model2vec wants --tokenizer" in err


def test_model2vec_scales_to_length_one(tokenizer, compressed, exported):
    model2vec = pytest.importorskip("model2vec")
    path, _ = compressed("saec", "--clusters", "20")
    options = ("--tokenizer", tokenizer, "--normalize")
    model = model2vec.StaticModel.from_pretrained(exported(path, "model2vec", "s", *options))
    assert np.linalg.norm(model.encode("w5 w9")) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("words", [("saec", "--clusters", "20"), ("quantize",)], ids=str)
def test_sentence_transformers_loads_it(words, normalize, tokenizer, compressed, exported):
    peer = pytest.importorskip("sentence_transformers", exc_type=ImportError)
    path, rows = compressed(*words)
    options = ("--tokenizer", tokenizer, *(["--normalize"] if normalize else []))
    output = exported(path, "model2vec", "static", *options)
    found = peer.SentenceTransformer(str(output), device="cpu").encode(["w5 w7 added2"])[0]
    mean = rows[[5, 7, N - 1]].mean(axis=0)
    expected = mean / np.linalg.norm(mean) if normalize else mean
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "is no tokenizer.json"),
        ("[" * 100_000, "is no tokenizer.json"),
        ('{"model": {"vocab": {"a": 0, "b": 1}}}', f"has 2 tokens, the table {N} rows"),
        ('{"model": {"vocab": [["a", 0.1]]}}', f"has 1 tokens, the table {N} rows"),
    ],
)
def test_other_tokenizers(text, words, compressed, run, tmp_path):
    path, _ = compressed("saec", "--clusters", "20")
    (tmp_path / "tokenizer.json").write_text(text)
    done = run(
        "export", path, "--to", "model2vec", "-o", tmp_path / "m",
        "--tokenizer", tmp_path / "tokenizer.json",
    )  # fmt: skip
    assert done[0] == 3
    assert words in done[2]
    assert not (tmp_path / "m").exists()


# word2vec, npz, safetensors


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["txt", "vec", "bin"])
@pytest.mark.parametrize("named", [False, True])
def test_gensim_reads_word_vectors(suffix, named, compressed, exported, tmp_path):
    gensim = pytest.importorskip("gensim")
    path, rows = compressed("quantize")
    words = [f"wört{i}" for i in range(N)] if named else [str(i) for i in range(N)]
    (tmp_path / "words.txt").write_text("\n".join(words) + "\n")
    options = ("--words", tmp_path / "words.txt") if named else ()
    output = exported(path, "word2vec", f"t.{suffix}", *options)
    read = gensim.models.KeyedVectors.load_word2vec_format
    found = read(str(output), binary=suffix == "bin")
    assert list(found.key_to_index) == words
    assert np.array_equal(found.vectors, rows)


def test_words_that_do_not_fit(compressed, run, tmp_path):
    path, _ = compressed("quantize")
    for text, code, said in (
        ("a\nb\n", 3, f"has 2 lines, the table {N} rows"),
        (
            "x\n" * 4 + "new york\n" + "x\n" * (N - 5),
            2,
            "the word of row 4, 'new york', is empty or has a space",
        ),
        ("\n" * N, 2, "the word of row 0, '', is empty"),
    ):
        (tmp_path / "w.txt").write_text(text)
        words = ("--to", "word2vec", "-o", tmp_path / "t.txt", "--words", tmp_path / "w.txt")
        done = run("export", path, *words)
        assert done[0] == code
        assert said in done[2]
        assert list(tmp_path.glob("*t.txt*")) == []


@pytest.mark.filterwarnings("ignore")
def test_words_that_travel_with_the_table(run, tmp_path, exported):
    """From a word2vec file through convert and quantize to a word2vec file."""
    gensim = pytest.importorskip("gensim")
    words = [f"wört{i}" for i in range(40)]
    rows = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    source = gensim.models.KeyedVectors(8)
    source.add_vectors(words, rows)
    source.save_word2vec_format(str(tmp_path / "source.txt"))
    assert run("convert", tmp_path / "source.txt", "-o", tmp_path / "c.safetensors")[0] == 0
    path = tmp_path / "q.safetensors"
    done = run("quantize", tmp_path / "c.safetensors", "-o", path, "-q", "--keep-failed")
    assert done[0] in (0, 1)
    read = gensim.models.KeyedVectors.load_word2vec_format
    found = read(str(exported(path, "word2vec", "back.txt")))
    assert list(found.key_to_index) == words
    ours = next(iter(embcompress.open(path).values())).restore()
    assert np.array_equal(found.vectors, ours)


@pytest.fixture
def checkpoint(folder, compressed):
    """A model in bf16 with other tensors, compressed."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    random = torch.Generator().manual_seed(0)
    tensors = {
        "word_emb.weight": torch.randn(N, D, generator=random).bfloat16(),
        "tag_emb.weight": torch.randn(200, D, generator=random).half(),
        "head.weight": torch.randn(3, D, generator=random).bfloat16(),
        "steps": torch.tensor(7),
        "mask": torch.tensor([True, False]),
    }
    save_torch(tensors, folder / "c.safetensors")
    path, _ = compressed("quantize", source="c.safetensors")
    return path, tensors


def test_numpy_reads_an_archive(checkpoint, exported):
    path, tensors = checkpoint
    found = np.load(exported(path, "npz", "t.npz"))
    assert set(found) == set(tensors)
    artifact = embcompress.open(path)
    assert np.array_equal(
        found["tag_emb.weight"], artifact["tag_emb.weight"].restore().astype("f2")
    )
    assert np.array_equal(found["word_emb.weight"], artifact["word_emb.weight"].restore())
    assert found["tag_emb.weight"].dtype == np.float16
    assert np.array_equal(found["head.weight"], tensors["head.weight"].float().numpy())
    assert (found["steps"].shape, int(found["steps"]), found["mask"].tolist()) == (
        (),
        7,
        [True, False],
    )
    again = exported(path, "npz", "again.npz", "--threads", "1")
    assert again.read_bytes() == (again.parent / "t.npz").read_bytes()


def test_safetensors_are_what_restore_writes(checkpoint, exported, run, tmp_path):
    path, _ = checkpoint
    output = exported(path, "safetensors", "dense.safetensors")
    assert run("restore", path, "-o", tmp_path / "r.safetensors", "-q")[0] == 0
    assert output.read_bytes() == (tmp_path / "r.safetensors").read_bytes()
    one = exported(path, "safetensors", "one.safetensors", "--table", "tag_emb.weight")
    with safe_open(one, "np") as file:
        assert list(file.keys()) == ["tag_emb.weight"]


# every method, every target


_GIVEN = {"fbgemm": ("--scale-side", "tail"), "torchrec": ("--scale-side", "head")}
_NAMES = {
    "faiss": "t.index", "fbgemm": "t.safetensors", "torchrec": "t.safetensors", "npz": "t.npz",
    "word2vec": "t.bin", "safetensors": "t.safetensors", "model2vec": "t",
}  # fmt: skip


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("method", methods())
def test_every_method_is_exported_or_told_why_not(
    method, target, compressed, run, tmp_path, tokenizer
):
    path, rows = compressed(method)
    words = ["export", path, "--to", target, "-o", tmp_path / _NAMES[target], "-q"]
    words += _GIVEN.get(target, ())
    words += ["--tokenizer", tokenizer] if target == "model2vec" else []
    before = sorted(tmp_path.iterdir())
    code, _, err = run(*words)
    if code:
        assert code == 2
        assert f"cannot be exported to {target}: " in err
        assert f"{target} takes {targets()[target].takes}" in err
        assert err.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before
        assert target in ("faiss", "fbgemm", "torchrec")
    elif target == "npz":
        assert np.array_equal(np.load(tmp_path / "t.npz")["t"], rows)
    else:
        assert (tmp_path / _NAMES[target]).exists()


@pytest.mark.parametrize("shape", [(0, 8), (1, 1), (1, 8), (5, 1)], ids=str)
@pytest.mark.parametrize("target", ["fbgemm", "torchrec", "npz", "word2vec", "safetensors"])
def test_odd_tables(shape, target, tmp_path, run):
    np.save(tmp_path / "o.npy", np.ones(shape, np.float32))
    path = tmp_path / "o.safetensors"
    assert run("quantize", tmp_path / "o.npy", "-o", path, "--bits", "8", "--keep-failed")[0] in (
        0,
        1,
    )
    words = ("--to", target, "-o", tmp_path / f"x{_NAMES[target]}", *_GIVEN.get(target, ()))
    assert run("export", path, *words)[0] in ((0,) if shape[0] else (0, 2))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "fbgem", "-o", "x"), "--to is one of faiss, fbgemm, model2vec, npz, safetensors,"
         " torchrec, word2vec, not 'fbgem'; did you mean 'fbgemm'?"),
        (("--to", "fbgemm", "-o", "x.safetensors"), "--to fbgemm wants --scale-side tail"),
        (("--to", "torchrec", "-o", "x.safetensors"), "--to torchrec wants --scale-side head"),
        (("--to", "torchrec", "-o", "x.safetensors", "--scale-side", "tail"), "wants --scale-side"),
        (("--to", "torchrec", "-o", "x.safetensors", "--scale-side", "split", "--row-alignment",
          "4"), "--row-alignment goes with --scale-side head"),
        (("--to", "model2vec", "-o", "x"), "--to model2vec wants --tokenizer"),
        (("--to", "npz", "-o", "x.npz", "--metric", "dot"), "--metric goes with --to faiss"),
        (("--to", "npz", "-o", "x.npz", "--scale-side", "head"), "with --to fbgemm or torchrec"),
        (("--to", "npz", "-o", "x.bin"), "x.bin: --to npz writes .npz"),
        (("--to", "word2vec", "-o", "x.npz"), "writes .txt or .vec or .bin"),
        (("--to", "npz", "-o", "x.npz", "--table", "u"), "no table 'u'"),
        (("--to", "npz", "-o", "t.safetensors"), "writes .npz"),
        (("--to", "safetensors", "-o", "t.safetensors", "--force"), "the output is the input"),
        (("--to", "safetensors", "-o", "old.safetensors"), "exists already; --force replaces it"),
        (("--to", "fbgemm", "-o", "x.safetensors", "--scale-side", "middle"), "middle"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_typed_wrong(words, said, compressed, run, tmp_path, monkeypatch):
    path, _ = compressed("quantize")
    shutil.copy(path, tmp_path / "t.safetensors")
    (tmp_path / "old.safetensors").write_text("old")
    monkeypatch.chdir(tmp_path)
    before = {p: p.read_bytes() for p in sorted(tmp_path.iterdir())}
    code, out, err = run("export", "t.safetensors", *words)
    assert (code, out) == (2, "")
    assert said in err.replace("\n", " ")
    assert {p: p.read_bytes() for p in sorted(tmp_path.iterdir())} == before


def test_several_tables(checkpoint, run, tmp_path):
    path, _ = checkpoint
    for target, name in (("word2vec", "t.txt"), ("faiss", "t.index")):
        done = run("export", path, "--to", target, "-o", tmp_path / name)
        assert done[0] == 2
        assert "choose with --table from ['tag_emb.weight', 'word_emb.weight']" in done[2]


@pytest.mark.parametrize(
    "target", ["faiss", "fbgemm", "npz", "word2vec", "safetensors", "model2vec"]
)
def test_damage_is_noticed_and_the_old_output_stays(target, compressed, run, tmp_path, tokenizer):
    verb = {"faiss": "cast", "model2vec": "saec"}.get(target, "quantize")
    path, _ = compressed(verb)
    part = "t::codes.bits" if verb == "saec" else "t::rows"
    data = bytearray(path.read_bytes())
    data[embcompress.open(path).start(part) + 3] ^= 4
    spoilt = tmp_path / "spoilt.safetensors"
    spoilt.write_bytes(data)
    output = tmp_path / _NAMES[target]
    if target != "model2vec":
        output.write_text("old")
    words = [*_GIVEN.get(target, ()), "--force"]
    words += ["--tokenizer", tokenizer] if target == "model2vec" else []
    code, _, err = run("export", spoilt, "--to", target, "-o", output, *words)
    assert code == 3
    assert "is damaged" in err
    assert target == "model2vec" or output.read_text() == "old"
    assert not list(tmp_path.glob(".*part"))


def test_a_model_folder_is_replaced_only_when_it_is_one(compressed, run, tmp_path, tokenizer):
    path, _ = compressed("saec")
    words = ("export", path, "--to", "model2vec", "--tokenizer", tokenizer, "-o", tmp_path / "m")
    assert run(*words)[0] == 0
    code, _, err = run(*words)
    assert (code, "--force replaces it" in err) == (2, True)
    assert run(*words, "--force")[0] == 0
    (tmp_path / "m" / "notes.txt").write_text("mine")
    assert run(*words, "--force")[0] == 2
    assert Path(tmp_path / "m" / "notes.txt").read_text() == "mine"
