"""Shared rows and numbers: each fit beside another way to find it, sizes, and original numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.codecs.hostile import Config, Shared
from embcompress.codecs.load import load_codec
from embcompress.errors import BadInput, UsageError
from embcompress.methods import Hash, Rotate
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings
from tests import reader
from tests.methods.test_quantize import relative_error

N, D = 1003, 9
SCHEMES = ("naive", "qr", "memcom", "bch", "robe", "lma", "dhe")


def numbers(n=N, d=D, seed=0):
    random = np.random.default_rng(seed)
    return (random.standard_normal((n, d)) + random.standard_normal(d)).astype(np.float32)


def weighted_error(rows, restored, weights):
    squares = ((rows.astype(np.float64) - restored) ** 2).sum(axis=1)
    return float((weights * squares).sum())


def counts(n=N):
    return 1.0 / np.arange(1, n + 1)


@pytest.mark.parametrize("rows", [1, 7, 100, N])
@pytest.mark.parametrize("weights", [None, counts()], ids=["plain", "weighted"])
def test_naive_is_the_mean_of_a_bucket(rows, weights):
    table = numbers()
    restored = compress(table, Hash(rows=rows, dtype="fp32"), frequencies=weights).restore()
    for r in range(rows):
        some = table[r::rows].astype(np.float64)
        mean = np.average(some, axis=0, weights=None if weights is None else weights[r::rows])
        assert np.allclose(restored[r::rows], mean, rtol=1e-5, atol=1e-6)


def design(picks, columns):
    """Rows of ones where a number's shared rows are."""
    matrix = np.zeros((len(picks[0]), columns))
    for pick in picks:
        np.add.at(matrix, (np.arange(len(pick)), pick), 1)
    return matrix


def least_error(matrix, table, weights=None):
    """Squared error of the least-squares fit, by LAPACK."""
    root = np.sqrt(np.ones(len(table)) if weights is None else weights)[:, None]
    found = np.linalg.lstsq(matrix * root, table * root, rcond=None)[0]
    return float(((root * (table - matrix @ found)) ** 2).sum())


@pytest.mark.parametrize("rows", [1, 17, 100, 501, 1002, N])
@pytest.mark.parametrize("weights", [None, counts()], ids=["plain", "weighted"])
def test_qr_sum_is_two_way_least_squares(rows, weights):
    table = numbers()
    i = np.arange(N)
    matrix = design([i % rows, rows + i // rows], rows + -(-N // rows))
    restored = compress(
        table, Hash(scheme="qr", rows=rows, dtype="fp32"), frequencies=weights
    ).restore()
    ours = weighted_error(table, restored, 1 if weights is None else weights)
    assert ours <= least_error(matrix, table, weights) * (1 + 1e-5) + 1e-8


def test_qr_of_rows_with_gaps():
    """Hot rows leave; the others keep their original numbers."""
    table, weights = numbers(), np.random.default_rng(3).permutation(counts())
    settings = Settings(keep_hot=0.2, hot_as="fp32")
    made = compress(
        table, Hash(scheme="qr", rows=60, dtype="fp32"), frequencies=weights, settings=settings
    )
    restored = made.restore()
    hot = np.argsort(-weights, kind="stable")[: int(0.2 * N)]
    assert np.array_equal(restored[hot], table[hot])
    cold = np.setdiff1d(np.arange(N), hot)
    codec = made.form.segments[1].codec
    assert codec.first == cold[0]
    i = cold - cold[0]
    matrix = design([i % 60, 60 + i // 60], codec.sharing.rows)
    ours = weighted_error(table[cold], restored[cold], weights[cold])
    assert ours <= least_error(matrix, table[cold], weights[cold]) * (1 + 1e-5)


def test_qr_product_is_rank_one_by_column():
    table = numbers(n=960)
    for rows in (40, 96, 480):
        grids = table.reshape(960 // rows, rows, D).astype(np.float64)
        rest = 0.0
        for j in range(D):
            rest += float((np.linalg.svd(grids[:, :, j], compute_uv=False)[1:] ** 2).sum())
        method = Hash(scheme="qr", rows=rows, combine="product", dtype="fp32")
        restored = compress(table, method).restore()
        assert ((table - restored) ** 2).sum() <= 1.005 * rest


@pytest.mark.parametrize("laps", [1, 2, 9, 17, 70, 501])
@pytest.mark.parametrize("columns", [1, 9, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_memcom_is_rank_one_of_each_bucket(laps, columns, weighted):
    """Few laps by the kernel, more by LAPACK, many through Gram matrices of columns."""
    table = numbers(d=columns)
    rows = -(-N // laps)
    weights = counts() if weighted else None
    root = np.sqrt(counts() if weighted else np.ones(N))[:, None]
    rest = sum(
        (np.linalg.svd((table * root)[r::rows], compute_uv=False)[1:] ** 2).sum()
        for r in range(rows)
    )
    restored = compress(
        table, Hash(scheme="memcom", rows=rows, dtype="fp32"), frequencies=weights
    ).restore()
    ours = weighted_error(table, restored, 1 if weights is None else weights)
    rounding = 2e-6 * ((table * root).astype(np.float64) ** 2).sum()  # scales are fp16
    assert ours <= rest * (1 + 1e-4) + rounding


@pytest.mark.parametrize("bits", [1, 3, 5, 9, 10, 32])
@pytest.mark.parametrize("weights", [None, counts()], ids=["plain", "weighted"])
def test_bch_beside_scipys_lsqr(bits, weights):
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import lsqr

    table = numbers()
    i = np.arange(N)
    bits_each = min(bits, 10)
    picks = [i >> k & 2**bits_each - 1 for k in range(0, 10, bits_each)]
    root = np.ones(N) if weights is None else np.sqrt(weights)
    matrix = csr_matrix(design(picks, 2**bits_each) * root[:, None])
    rest = 0.0
    for j in range(D):
        wanted = table[:, j] * root
        found = lsqr(matrix, wanted, atol=1e-12, btol=1e-12, iter_lim=5000)[0]
        rest += float(((matrix @ found - wanted) ** 2).sum())
    method = Hash(scheme="bch", bits=bits, dtype="fp32")
    restored = compress(table, method, frequencies=weights).restore()
    assert weighted_error(table, restored, root**2) <= rest * (1 + 1e-5) + 1e-8


def slots_by_reader(keys, blocks, slots, seed=0):
    """Slots and signs of every number, from the hashes of docs/format.md."""
    words = reader.hashes(seed, keys, -(-D // blocks))
    j = np.arange(D)
    at = (words >> np.uint64(1))[:, j // blocks] % np.uint64(slots)
    signs = 1.0 - 2.0 * (words & np.uint64(1))[:, j // blocks]
    return (at.astype(np.int64) + j % blocks) % slots, signs


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("block", [1, 4, 9])
def test_robe_slots_are_means(block, sign):
    table, slots = numbers(), 1200
    at, signs = slots_by_reader(np.arange(N), block, slots)
    signs = signs if sign else np.ones_like(signs)
    sums = np.bincount(at.ravel(), (signs * table).ravel(), slots)
    means = sums / np.maximum(np.bincount(at.ravel(), minlength=slots), 1)
    method = Hash(scheme="robe", slots=slots, block=block, sign=sign, dtype="fp32")
    restored = compress(table, method).restore()
    assert np.allclose(restored, means[at] * signs, rtol=1e-5, atol=1e-6)


def test_lma_shares_among_similar_rows():
    random = np.random.default_rng(1)
    kinds = random.standard_normal((30, D)).astype(np.float32)
    table = kinds[random.integers(0, 30, N)]
    table = table + 0.01 * random.standard_normal((N, D)).astype(np.float32)
    lma, robe = (
        relative_error(table, compress(table, Hash(scheme=s, slots=2000)).restore())
        for s in ("lma", "robe")
    )
    assert lma < 0.5 * robe
    made = compress(table, Hash(scheme="lma", slots=2000, bits=6))
    assert made.form.part_bytes()["signature"] == -(-N * 6 // 8) + 7
    keys = made.encoded(0, 0, N).packed["signature"].codes(np.arange(N))
    at, _ = slots_by_reader(keys, 1, 2000)
    sums = np.bincount(at.ravel(), table.ravel(), 2000)
    means = sums / np.maximum(np.bincount(at.ravel(), minlength=2000), 1)
    assert np.allclose(made.restore(), means[at], atol=2e-3)


@pytest.mark.parametrize("weights", [None, counts()], ids=["plain", "weighted"])
def test_dhe_output_layer_is_least_squares(weights):
    table = numbers()
    layer = reader.units(1, np.arange(9), 60)
    z = np.maximum(reader.units(0, np.arange(N), 8) @ layer[:8] + layer[8], 0)
    matrix = np.concatenate([z, np.ones((N, 1))], axis=1)
    method = Hash(scheme="dhe", hidden=60, hashes=8)
    restored = compress(table, method, frequencies=weights).restore()
    ours = weighted_error(table, restored, 1 if weights is None else weights)
    assert ours <= 1.001 * least_error(matrix, table, weights)


@pytest.mark.parametrize("ratio", [2, 4, 10])
@pytest.mark.parametrize("scheme", ["naive", "robe", "lma", "qr"])
def test_numbers_without_structure_leave_the_rest(scheme, ratio):
    """Slot means of i.i.d. numbers of mean zero leave √(1 − 1/ratio), whatever is shared."""
    n, d = 20_000, 16
    table = np.random.default_rng(5).standard_normal((n, d)).astype(np.float32)
    size = {"rows": n // ratio} if scheme in ("naive", "qr") else {"slots": n * d // ratio}
    bits = {"bits": 32} if scheme == "lma" else {}  # every row a signature of its own
    restored = compress(table, Hash(scheme=scheme, dtype="fp32", **size, **bits)).restore()
    # hashes leave some slots empty: exp(-ratio) of them
    used = 1 - np.exp(-ratio) if scheme in ("robe", "lma") else 1
    assert relative_error(table, restored) == pytest.approx((1 - used / ratio) ** 0.5, rel=0.005)


ODD = {
    "constant": np.full((300, 6), 0.37, np.float32),
    "zeros": np.zeros((300, 6), np.float32),
    "one column": numbers(300, 1),
    "huge": numbers(300, 6) * np.float32(1e37),
    "tiny": numbers(300, 6) * np.float32(1e-40),
    "heavy": (np.random.default_rng(1).standard_t(1, (300, 37)) ** 3).astype(np.float32),
    "duplicates": np.repeat(numbers(3, 6), 100, axis=0),
    "mixed": np.concatenate([numbers(299, 6) * np.float32(1e-30), numbers(1, 6) * 1e30]),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_odd_tables(name, scheme):
    table = ODD[name].astype(np.float32)
    method = Hash(scheme=scheme)
    restored = compress(table, method).restore()
    assert np.isfinite(restored).all()
    if name == "zeros":
        assert not restored.any()
        return
    assert relative_error(table, restored) < 1.01
    weighted = compress(table, method, frequencies=np.arange(300.0)).restore()
    assert np.isfinite(weighted).all()
    if name == "constant" and scheme != "dhe":
        assert relative_error(table, restored) < 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_thread_count_gives_the_same_bytes(scheme, glove_slice):
    rows = glove_slice[:9001]
    one, two = (
        compress(rows, Hash(scheme=scheme), settings=Settings(threads=t)).restore() for t in (1, 2)
    )
    assert np.array_equal(one, two)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Three tables and a tensor that is passed through."""
    path = tmp_path_factory.mktemp("hash") / "model.safetensors"
    tensors = {
        "embedding.a": numbers(9000, 8), "embedding.b": numbers(40, 8),
        "embedding.c": numbers(5000, 16),
    }  # fmt: skip
    save_file({**tensors, "tower.bias": np.zeros(5000, np.float32)}, path)
    weights = path.with_name("weights.safetensors")
    save_file({name: 1.0 / np.arange(1, len(t) + 1) for name, t in tensors.items()}, weights)
    return path, weights, sum(t.nbytes for t in tensors.values())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("grouping", [(), ("--keep-hot", "0.02")], ids=["whole", "hot"])
def test_files_stay_within_a_budget(scheme, grouping, model, run, tmp_path):
    path, weights, source = model
    output = tmp_path / "o.safetensors"
    words = [*grouping, "--frequencies", weights] if grouping else []
    code, out, err = run(
        "hash", path, "-o", output, "--scheme", scheme, "--budget", "8x", "--json", *words
    )
    assert code == 0, err
    passed = 4 * 5000
    size = output.stat().st_size - passed
    assert size <= source // 8
    if scheme not in ("bch", "dhe"):  # their sizes are powers of two, or have an end
        assert size >= 0.99 * (source // 8)
    assert sum(sum(t["parts"].values()) for t in json.loads(out)["tables"]) == size
    dense = embcompress.open(output)
    theirs = reader.read(output)
    for name in dense:
        assert np.array_equal(theirs[name], dense[name].restore())
    dry = run("hash", path, "--scheme", scheme, "--budget", "8x", "--json", *words, "--dry-run")
    assert json.loads(dry[1])["file_bytes"] == output.stat().st_size


def test_one_note_a_run(model, run, tmp_path):
    words = ["--set", "*.a:rows=7", "--set", "*.b:rows=9", "--no-report"]
    code, _, err = run("hash", model[0], "-o", tmp_path / "o.safetensors", *words)
    assert code == 0
    assert err.count("hash: a baseline") == 1
    words = ["--then", "hash --scheme qr", "--no-report"]
    code, _, err = run("rotate", model[0], "-o", tmp_path / "r.safetensors", *words)
    assert code == 0
    assert err.count("hash: a baseline") == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_original_numbers_behind_a_rotation(threads, glove_slice):
    """The codec inside gets row numbers too, with hot rows and fields apart."""
    rows = glove_slice[:6000]
    fields = {"a": (0, 7), "b": (7, 4100), "c": (4100, 6000)}
    table = compress(
        rows,
        Rotate(basis="pca", then="hash --scheme robe --slots 3000"),
        frequencies=np.random.default_rng(0).random(6000),
        fields=fields,
        settings=Settings(keep_hot=0.1, per_field=True, threads=threads),
    )
    dense = table.restore()
    ids = np.random.default_rng(1).integers(0, 6000, 700)
    assert np.array_equal(table.lookup(ids), dense[ids])
    assert np.array_equal(table.read(4000, 4200), dense[4000:4200])
    queries = rows[:3]
    scores = table.score(queries, ids, metric="cosine")
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(dense[ids], axis=1)
    expected = queries.astype(np.float64) @ dense[ids].T / lengths
    assert np.allclose(scores, expected, atol=1e-5)
    assert np.allclose(table.score(queries, metric="dot"), queries @ dense.T, atol=1e-3)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("--combine sum", "--combine is for --scheme qr, not naive"),
        ("--scheme qr --bits 3", "--bits is for --scheme bch and lma, not qr"),
        ("--scheme lma --block 3", "--block is for --scheme robe, not lma"),
        ("--scheme lma --sign", "--sign is for --scheme robe, not lma"),
        ("--scheme robe --slots 9 --budget 8x", "--budget and --slots both say the size"),
        ("--rows 50 --budget 8x", "--budget and --rows both say the size"),
        ("--scheme dhe --rows 4", "--rows is for --scheme naive and qr and memcom, not dhe"),
        ("--budget x", "'x' is no budget"),
        ("--rows 301", "--rows 301 is more than its 300 rows"),
        ("--scheme robe --block 7", "--block 7 is more than its 6 columns"),
        ("--scheme robe --slots 999999999999999", "use a smaller --slots"),
    ],
)
def test_refusals_come_before_work(words, cause, run, tmp_path):
    np.save(tmp_path / "t.npy", numbers(300, 6))
    code, _, err = run("hash", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", *words.split())
    assert code == (4 if "smaller --slots" in cause else 2)
    assert cause in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_budget_that_nothing_meets(scheme, model, run, tmp_path):
    code, _, err = run(
        "hash", model[0], "-o", tmp_path / "o.safetensors", "--scheme", scheme, "--budget", "500"
    )
    assert code == 2
    assert "--budget 500 is 500 bytes, but" in err
    with pytest.raises(UsageError, match="of whole tables"):
        compress(numbers(), Rotate(then=f"hash --scheme {scheme} --budget 8x"))


HASHED = {
    "scheme": "quotient", "first": 3, "span": 50, "size": 8, "combine": "sum", "scale": "none",
    "numbers": "fp32",
}  # fmt: skip
SLOTS = {"bits": 0, "block": 3, "signs": "none", "seed": 1, "slots": 20, "numbers": "fp32"}
NETWORK = {"hashes": 4, "hidden": 7, "seed": 1, "numbers": "fp32"}
CODECS = {
    "hashed": (HASHED, {"shared": (15, D)}),
    "hashed-slots": (SLOTS, {"memory": (20,)}),
    "hashed-network": (NETWORK, {"output": (8, D)}),
}


def loaded(name, changes=None, shape=None):
    config, arrays = CODECS[name]
    entry = {"codec": name, "version": 1, "config": {**config, **(changes or {})}}
    shared = {part: np.ones(shape or size, np.float32) for part, size in arrays.items()}
    return load_codec(D, entry, shared, "f: table 't'")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("hashed", {"scheme": "other"}), ("hashed", {"span": 0}), ("hashed", {"span": 60}),
        ("hashed", {"size": 0}), ("hashed", {"size": 2**48}), ("hashed", {"first": -1}),
        ("hashed", {"scheme": "bits", "size": 49}), ("hashed", {"scale": 2}),
        ("hashed", {"combine": "xor"}), ("hashed", {"more": 1}),
        ("hashed-slots", {"bits": 33}), ("hashed-slots", {"block": 0}),
        ("hashed-slots", {"block": D + 1}), ("hashed-slots", {"slots": 0}),
        ("hashed-slots", {"slots": 21}), ("hashed-slots", {"seed": 2**63}),
        ("hashed-slots", {"seed": -1}), ("hashed-network", {"hidden": 0}),
        ("hashed-network", {"hashes": 10**9}), ("hashed-network", {"hidden": 8}),
        ("hashed-network", {"numbers": "fp16"}),
    ],
)  # fmt: skip
def test_hostile_values(name, changes):
    assert loaded(name).by_id
    with pytest.raises(BadInput, match="table 't'"):
        loaded(name, changes)
    with pytest.raises(BadInput):
        loaded(name, {}, (3, 3))


@pytest.mark.parametrize("name", CODECS)
def test_numbers_outside_stay_inside(name):
    """A row map that does not fit a hashed segment cannot make it read elsewhere."""
    from embcompress.codecs.base import Parts

    codec = loaded(name)
    rows = np.array([[0, 0], [3, 0], [52, 0], [53, 0], [2**47, 0]])
    out = np.empty((5, D), np.float32)
    codec.decode(Parts(np.empty((1, 0), np.uint8)), rows, out)
    assert np.isfinite(out).all()


def test_config_and_shared_are_taken_whole():
    config = Config(dict(HASHED), "f")
    from embcompress.codecs.hashed import Hashed

    made = Hashed.load(D, config, Shared({"shared": np.ones((15, D), np.float32)}, "f"), 0)
    config.end()
    assert made.config() == HASHED
