"""svd: the exact optimum, coordinates in fewer bits, ranks by budget and by error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.errors import UsageError
from embcompress.methods import SVD, Quantize, Rotate
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings
from tests.methods.test_quantize import relative_error


def ranks(table):
    return [s.codec.inner.dim for s in table.form.segments]


def low_rank(n, d, rank, seed, noise=0.0):
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n, rank)) @ random.standard_normal((rank, d))
    return (rows + noise * random.standard_normal((n, d))).astype(np.float32)


def best(rows, rank, center):
    """Error of numpy's truncated SVD, float64."""
    wide = rows.astype(np.float64)
    mean = wide.mean(axis=0) if center == "mean" else np.zeros(wide.shape[1])
    u, s, v = np.linalg.svd(wide - mean, full_matrices=False)
    return mean + (u[:, :rank] * s[:rank]) @ v[:rank]


@pytest.mark.parametrize("center", ["mean", "none"])
@pytest.mark.parametrize("rank", [1, 17, 49])
def test_error_is_the_exact_one(rank, center, glove_slice):
    rows = glove_slice[:6000]
    found = compress(rows, SVD(rank=rank, center=center)).restore()
    exact = relative_error(rows, best(rows, rank, center))
    assert relative_error(rows, found) == pytest.approx(exact, rel=1e-5)


def test_centering_never_loses(glove_slice):
    errors = [
        relative_error(glove_slice, compress(glove_slice, SVD(rank=9, center=c)).restore())
        for c in ("mean", "none")
    ]
    assert errors[0] <= errors[1]


def test_beside_scipy(glove_slice):
    from scipy.sparse.linalg import svds

    u, s, v = svds(glove_slice.astype(np.float64), 12)
    theirs = relative_error(glove_slice, (u * s) @ v)
    ours = relative_error(glove_slice, compress(glove_slice, SVD(rank=12, center="none")).restore())
    assert ours == pytest.approx(theirs, rel=1e-5)


def by_hand(rows, rank, bits):
    """Truncated SVD in numpy, then each row of coordinates to its own minimum and maximum."""
    wide = rows.astype(np.float64)
    mean = wide.mean(axis=0)
    _, _, v = np.linalg.svd(wide - mean, full_matrices=False)
    coords = (wide - mean) @ v[:rank].T
    low, high = coords.min(axis=1, keepdims=True), coords.max(axis=1, keepdims=True)
    scale = (high - low) / (2**bits - 1)
    return mean + (np.round((coords - low) / scale) * scale + low) @ v[:rank]


@pytest.mark.parametrize("rank", [12, 25, 50])
def test_int8_coordinates_beside_numpy(rank, glove_slice):
    rows = glove_slice[:5000]
    ours = relative_error(rows, compress(rows, SVD(rank=rank, coords="int8")).restore())
    assert ours <= 1.02 * relative_error(rows, by_hand(rows, rank, 8))


@pytest.mark.parametrize("bits", [3, 4])
def test_then_quantize_beside_numpy(bits, glove_slice):
    """minmax within 2% of numpy's; the least-squares ranges no worse."""
    rows = glove_slice[:5000]
    theirs = relative_error(rows, by_hand(rows, 40, bits))
    minmax = SVD(rank=40, then=f"quantize --bits {bits} --range minmax")
    assert relative_error(rows, compress(rows, minmax).restore()) == pytest.approx(theirs, rel=0.02)
    fitted = SVD(rank=40, then=f"quantize --bits {bits}")
    assert relative_error(rows, compress(rows, fitted).restore()) <= 1.001 * theirs


def test_int8_is_short_for_quantize(glove_slice):
    rows = glove_slice[:3000]
    short = compress(rows, SVD(rank=20, coords="int8")).restore()
    assert np.array_equal(short, compress(rows, SVD(rank=20, then="quantize --bits 8")).restore())


def test_frequencies_weight_the_axes():
    random = np.random.default_rng(5)
    rows = random.standard_normal((900, 12)).astype(np.float32)
    frequencies = random.zipf(1.4, 900).astype(float)
    found = compress(rows, SVD(rank=4, center="none"), frequencies=frequencies).restore()
    wide = rows * np.sqrt(frequencies)[:, None]
    _, _, v = np.linalg.svd(wide, full_matrices=False)
    wanted = (wide - wide @ v[:4].T @ v[:4]) ** 2
    lost = ((rows - found) ** 2 * frequencies[:, None]).sum()
    assert lost == pytest.approx(wanted.sum(), rel=1e-5)


def test_half_of_the_rank(glove_slice):
    assert ranks(compress(glove_slice[:100], SVD(rank_share=0.5))) == [25]
    assert ranks(compress(glove_slice[:20], SVD(rank_share=0.5))) == [10]


@pytest.mark.parametrize("target", [0.2, 0.5, 0.8])
def test_target_error_takes_the_smallest_rank(target, glove_slice):
    table = compress(glove_slice, SVD(target_error=target))
    (rank,) = ranks(table)
    assert relative_error(glove_slice, table.restore()) <= target
    lower = compress(glove_slice, SVD(rank=rank - 1)).restore()
    assert relative_error(glove_slice, lower) > target


@pytest.mark.parametrize("then", ["quantize --bits 4", "quantize --bits 8"])
def test_target_error_with_rounding(then, glove_slice):
    table = compress(glove_slice, SVD(target_error=0.3, then=then))
    (rank,) = ranks(table)
    assert relative_error(glove_slice, table.restore()) <= 0.3
    lower = compress(glove_slice, SVD(rank=rank - 2, then=then)).restore()
    assert relative_error(glove_slice, lower) > 0.3


def test_target_beyond_the_coordinates(glove_slice):
    with pytest.raises(UsageError, match=r"reach 0\.00\d+ at rank 50; .* ask for 0\.00\d+"):
        compress(glove_slice, SVD(target_error=1e-4, coords="int8"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Three tables of different size and spectrum, and a tensor that is passed through."""
    path = tmp_path_factory.mktemp("svd") / "model.safetensors"
    tensors = {
        "embedding.flat": low_rank(3000, 16, 16, 1),
        "embedding.steep": 3 * low_rank(900, 16, 3, 2, noise=0.01),
        "embedding.tiny": low_rank(3, 8, 3, 3),
        "tower.bias": np.zeros(2000, np.float32),
    }
    save_file(tensors, path)
    return path, tensors


@pytest.mark.parametrize("words", [[], ["--coords", "int8"], ["--then", "quantize --bits 3"]])
@pytest.mark.parametrize("budget", ["30KB", "4bpw", "3x"])
def test_budget_is_met_within_a_rank(budget, words, model, run, tmp_path):
    path, tensors = model
    output = tmp_path / "o.safetensors"
    code, _, err = run("svd", path, "-o", output, "--budget", budget, *words, "-q")
    assert code == 0, err
    weights = sum(t.size for n, t in tensors.items() if "embedding" in n)
    allowed = {"30KB": 30_000, "4bpw": weights // 2, "3x": 4 * weights // 3}[budget]
    taken = output.stat().st_size - 8000
    assert taken <= allowed
    tables = embcompress.open(output)
    bits = {(): 32, ("--coords", "int8"): 8, ("--then", "quantize --bits 3"): 3}[tuple(words)]
    for table in tables.values():
        n, d = table.shape
        if ranks(table)[0] < min(n, d):  # not one coordinate more would fit
            assert taken + n * (bits // 8 + 1) + 4 * d + 1 > allowed


def test_budget_is_shared_out_as_brute_force_would(model, run, tmp_path):
    path, tensors = model
    output = tmp_path / "o.safetensors"
    run("svd", path, "-o", output, "--budget", "60KB", "--center", "none", "-q")
    tables = embcompress.open(output)
    taken = {name: ranks(tables[name])[0] for name in tables}
    left, cost = {}, {}
    for name in taken:
        s = np.linalg.svd(tensors[name].astype(np.float64), compute_uv=False) ** 2
        left[name] = [s[r:].sum() for r in range(len(s) + 1)]
        cost[name] = 4 * sum(tensors[name].shape)
    spent = sum(cost[n] * r for n, r in taken.items())
    names = list(taken)
    lowest = min(
        (sum(left[n][r] for n, r in zip(names, some, strict=True)))
        for some in np.ndindex(*(len(left[n]) for n in names))
        if min(some) and sum(cost[n] * r for n, r in zip(names, some, strict=True)) <= spent
    )
    assert sum(left[n][r] for n, r in taken.items()) == pytest.approx(lowest, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rank", "9"], "--rank 9 is beyond 3, the smaller of its 3 rows and 8 columns; use 3"),
        (["--rank", "2", "--target-error", "0.1"], "--rank and --target-error both say the rank"),
        (["--budget", "1KB"], "--budget 1KB is 1,000 bytes, but rank 1 takes 1"),
        (["--coords", "int8", "--then", "cast"], "--coords and --then both store the coordinates"),
        (["--then", "quantise"], "no method is called 'quantise'; did you mean 'quantize'?"),
    ],
)
def test_bad_options(words, message, model, run, tmp_path):
    code, _, err = run("svd", model[0], "-o", tmp_path / "o.safetensors", *words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_rank_for_each_table(model, run, tmp_path):
    output = tmp_path / "o.safetensors"
    words = ["--rank", "8", "--set", "*.tiny:rank=3"]
    code, out, err = run("svd", model[0], "-o", output, *words, "--json")
    assert code == 0, err
    assert {t["name"] for t in json.loads(out)["tables"]} == set(embcompress.open(output))
    assert ranks(embcompress.open(output)["embedding.tiny"]) == [3]


def test_per_field_and_hot_rows(glove_slice):
    rows = glove_slice[:6000]
    fields = {"a": (0, 2500), "b": (2500, 6000)}
    settings = Settings(keep_hot=0.1, hot_as="fp32", per_field=True)
    table = compress(
        rows, SVD(rank=10), frequencies=np.arange(6000.0, 0, -1), fields=fields, settings=settings
    )
    restored = table.restore()
    assert np.array_equal(restored[:600], rows[:600])
    for start, stop in ((600, 2500), (2500, 6000)):
        assert relative_error(rows[start:stop], restored[start:stop]) < 1


def test_behind_a_rotation_and_before_one(glove_slice):
    rows = glove_slice[:3000]
    plain = relative_error(rows, compress(rows, SVD(rank=20)).restore())
    turned = compress(rows, Rotate(then="svd --rank 20")).restore()
    assert relative_error(rows, turned) == pytest.approx(plain, rel=1e-4)
    narrow = compress(rows, SVD(rank=20, then="quantize --bits 4")).restore()
    evened = compress(rows, SVD(rank=20, then='rotate --then "quantize --bits 4"')).restore()
    assert relative_error(rows, evened) < relative_error(rows, narrow)


def test_more_columns_than_the_gram_matrix_is_made_for():
    """Above 2,048 columns: the randomized solver leaves next to nothing more than numpy."""
    rows = low_rank(700, 2100, 30, 4, noise=0.5)
    found = compress(rows, SVD(rank=20)).restore()
    assert relative_error(rows, found) <= 1.002 * relative_error(rows, best(rows, 20, "mean"))
    table = compress(rows, SVD(target_error=0.3))
    assert relative_error(rows, table.restore()) <= 0.3
    assert ranks(table)[0] <= 31


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e30, 1e37])
def test_huge_and_tiny_values(scale):
    rows = (np.random.default_rng(0).uniform(-1, 1, (300, 37)) * scale).astype(np.float32)
    found = compress(rows, SVD(rank=37)).restore()
    assert np.isfinite(found).all()
    assert np.abs(found.astype(float) - rows).max() <= 1e-5 * scale + 1e-43


@pytest.mark.parametrize("rows", [np.zeros((50, 6)), np.full((50, 6), 7.25), np.ones((1, 4))])
def test_nothing_but_a_mean(rows):
    for method in (SVD(rank=1), SVD(target_error=0.1), SVD(target_error=0), SVD(coords="int8")):
        assert np.array_equal(compress(rows.astype(np.float32), method).restore(), rows)


def test_quantization_beats_svd_per_byte(glove_slice):
    """What the page says of trained tables."""
    plain = relative_error(glove_slice, compress(glove_slice, Quantize(bits=4)).restore())
    table = SVD(rank=6)  # 24 bytes a row and the axes; 4 bits take 29
    assert relative_error(glove_slice, compress(glove_slice, table).restore()) > 5 * plain


@pytest.mark.parametrize("d", [300, 2100])
def test_threads_change_no_bit(d):
    rows = low_rank(4500, d, 40, 6, noise=0.3)
    one, two = (compress(rows, SVD(rank=9), settings=Settings(threads=t)).restore() for t in (1, 2))
    assert np.array_equal(one, two)
