"""tt: the optimum of every cut beside tensorly and numpy, ranks by budget and error, row order."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import embcompress
from embcompress.errors import IOFailure, UsageError
from embcompress.methods import TT, Rotate
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings
from embcompress.solvers.row_order import clustered_order
from embcompress.solvers.train_shape import parse_shape, usual_shape
from tests.methods.test_quantize import relative_error


def codec_of(table, segment=0):
    return table.form.segments[segment].codec


def tensor(rows, shape):
    """The table as numpy sees it: [n1·d1, n2·d2, …]."""
    n, d = np.prod(shape.rows), np.prod(shape.columns)
    padded = np.zeros((n, d))
    padded[: len(rows), : rows.shape[1]] = rows
    k = len(shape.rows)
    order = [i for pair in zip(range(k), range(k, 2 * k), strict=True) for i in pair]
    return padded.reshape(*shape.rows, *shape.columns).transpose(order).reshape(shape.sizes)


def dense(cores, shape, like):
    """A table from cores [r, n·d, r'] of its tensor."""
    whole = np.ones((1, 1))
    for core in cores:
        whole = np.tensordot(whole, core, axes=1).reshape(-1, core.shape[2])
    k = len(shape.rows)
    axes = [s for pair in zip(shape.rows, shape.columns, strict=True) for s in pair]
    order = [*range(0, 2 * k, 2), *range(1, 2 * k, 2)]
    table = whole.reshape(axes).transpose(order).reshape(np.prod(shape.rows), -1)
    return table[: like.shape[0], : like.shape[1]]


def by_hand(rows, shape, ranks):
    """TT-SVD by numpy, last core first, float64."""
    left, cores, rank = tensor(rows, shape), [], 1
    for k in range(len(shape.rows) - 1, 0, -1):
        u, s, v = np.linalg.svd(left.reshape(-1, shape.sizes[k] * rank), full_matrices=False)
        r = min(ranks[k - 1], len(s))
        cores.insert(0, v[:r].reshape(r, shape.sizes[k], rank))
        left, rank = u[:, :r] * s[:r], r
    cores.insert(0, left.reshape(1, shape.sizes[0], rank))
    return dense(cores, shape, rows)


SHAPES = [
    ("10x2,20x5,10x5", "12"),
    ("10x2,20x5,10x5", "7,30"),
    ("100x1,20x50", "25"),
    ("5x2,8x1,5x5,10x5", "9,20,15"),
    ("13x7,13x2,13x4", "20"),
    ("1x50,40x1,50x1", "30"),
    ("40x1,50x1,1x50", "30"),
]


@pytest.mark.parametrize(("shape", "rank"), SHAPES)
def test_error_is_that_of_numpys_cuts(shape, rank, glove_slice):
    rows, parsed = glove_slice[:2000], parse_shape(shape)
    table = compress(rows, TT(shape=shape, rank=rank))
    theirs = by_hand(rows, parsed, codec_of(table).ranks)
    assert relative_error(rows, table.restore()) == pytest.approx(
        relative_error(rows, theirs), rel=1e-5
    )


@pytest.mark.parametrize("rank", [8, 40])
def test_beside_tensorly(rank, glove_slice):
    tensorly = pytest.importorskip("tensorly")
    from tensorly.decomposition import tensor_train

    rows = glove_slice[:4000]
    table = compress(rows, TT(rank=str(rank)))
    shape = parse_shape(table.form.method["resolved"][0]["shape"])
    assert tensorly.get_backend() == "numpy"
    theirs = tensor_train(tensor(rows, shape), [1, *codec_of(table).ranks, 1])
    error = relative_error(rows, dense([np.asarray(f) for f in theirs.factors], shape, rows))
    assert relative_error(rows, table.restore()) <= 1.01 * error


def test_full_ranks_lose_nothing(glove_slice):
    rows = glove_slice[:500]
    table = compress(rows, TT(target_error=0))
    assert np.abs(table.restore() - rows).max() < 2e-5


@pytest.mark.parametrize("target", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("order", ["none", "cluster"])
def test_target_error(target, order, glove_slice):
    rows = glove_slice[:3000]
    table = compress(rows, TT(target_error=target, order=order))
    error = relative_error(rows, table.restore())
    assert error <= target
    assert error > target - 0.05
    smaller = tuple(max(1, int(0.9 * r)) for r in codec_of(table).ranks)
    lower = TT(rank=",".join(map(str, smaller)), order=order)
    assert relative_error(rows, compress(rows, lower).restore()) > target


def test_like_rows_side_by_side_help(glove_slice):
    rows = glove_slice[:6000]
    plain, clustered = (compress(rows, TT(rank="40", order=o)) for o in ("none", "cluster"))
    assert codec_of(clustered).bits == 13
    assert relative_error(rows, clustered.restore()) < 0.95 * relative_error(rows, plain.restore())


def test_order_recovers_sorted_blocks():
    """Shuffled rows of eight tight clusters come back in blocks."""
    random = np.random.default_rng(3)
    kinds = np.repeat(np.arange(8), 64)
    rows = random.standard_normal((8, 10))[kinds] * 5 + 0.1 * random.standard_normal((512, 10))
    shuffled = random.permutation(512)
    order = clustered_order(rows[shuffled].astype(np.float32), (8, 8, 8), lambda n: None)
    assert sorted(order) == list(range(512))
    found = kinds[shuffled][order].reshape(8, 64)
    assert (found == found[:, :1]).all()


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_order_of_equal_rows(n):
    order = clustered_order(np.ones((n, 3), np.float32), (10, 10, 10), lambda n: None)
    assert sorted(order) == list(range(n))


@pytest.mark.parametrize(
    ("n", "d"), [(1, 1), (7, 1), (400_000, 50), (10**9, 64), (3, 384), (12, 37), (0, 5), (5, 0)]
)
@pytest.mark.parametrize("columns", ["spread", "first", "last"])
def test_usual_shapes(n, d, columns):
    shape = usual_shape(n, d, columns)
    assert np.prod(shape.rows) >= n
    assert np.prod(shape.columns) >= d
    assert np.prod(shape.rows) <= max(1.5 * n, n + 8)
    assert np.prod(shape.columns) <= max(1.35 * d, d + 1)
    assert max(shape.sizes[:-1]) <= 2 * max(min(shape.sizes), d) or n < 20 or n > 10**7


def test_semi_tensor_reshape(glove_slice):
    """A ⋉ B = A(B ⊗ I_t): a factor of the columns handed through to the first core."""
    rows = glove_slice[:400]
    table = compress(rows, TT(shape="20x50,20x1", rank="6"))
    a, b = (core.astype(np.float64) for core in codec_of(table).cores)
    left = a.transpose(0, 1, 3, 2).reshape(20, 6 * 50)  # columns (rank, t), t = 50
    right = b[:, :, 0, 0].T  # rank × the second digit
    product = left @ np.kron(right, np.eye(50))
    assert np.allclose(product.reshape(400, 50), table.restore(), atol=1e-4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("tt") / "model.safetensors"
    random = np.random.default_rng(1)
    low = random.standard_normal((3000, 4)) @ random.standard_normal((4, 16))
    tensors = {
        "embedding.low": low.astype(np.float32),
        "embedding.full": random.standard_normal((900, 16)).astype(np.float32),
        "embedding.tiny": random.standard_normal((3, 8)).astype(np.float32),
        "tower.bias": np.zeros(2000, np.float32),
    }
    save_file(tensors, path)
    return path, tensors


@pytest.mark.parametrize("order", ["none", "cluster"])
@pytest.mark.parametrize("budget", ["30KB", "4bpw", "20x"])
def test_budget_is_met_within_a_rank(budget, order, model, run, tmp_path):
    path, tensors = model
    output = tmp_path / "o.safetensors"
    words = ["--budget", budget, "--order", order, "-q"]
    code, _, err = run("tt", path, "-o", output, *words)
    assert code == 0, err
    weights = sum(t.size for n, t in tensors.items() if "embedding" in n)
    allowed = {"30KB": 30_000, "4bpw": weights // 2, "20x": 4 * weights // 20}[budget]
    taken = output.stat().st_size - 8000
    assert taken <= allowed
    steps = []
    for table in embcompress.open(output).values():
        shape = parse_shape(table.form.method["resolved"][0]["shape"])
        ranks = codec_of(table).ranks
        for k, rank in enumerate(ranks):
            grown = (*ranks[:k], rank + 1, *ranks[k + 1 :])
            if shape.within(grown) == grown:
                steps.append(4 * (shape.numbers(grown) - shape.numbers(ranks)))
    assert taken + max(steps) > allowed - 200


def test_more_budget_smaller_error(glove_slice):
    rows = glove_slice[:5000]
    errors = [
        relative_error(rows, compress(rows, TT(budget=b)).restore())
        for b in ("40x", "20x", "10x", "5x", "2x")
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.85


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--rank", "0"], 2, "--rank '0' is no rank; write 64, or one for each cut"),
        (["--rank", "4,4,4"], 2, "gives 3 ranks, but --shape"),
        (["--rank", "9999"], 2, "is beyond"),
        (["--rank", "4", "--budget", "8x"], 2, "--rank and --budget both say the ranks"),
        (["--budget", "900"], 2, "--budget 900 is 900 bytes, but rank 1 takes"),
        (["--shape", "64by2"], 2, "is no shape; write NxD of 2 to 8 cores"),
        (["--shape", "0x2,3x8"], 2, "is no shape"),
        (["--shape", "10x4,10x4"], 2, "fewer than its 900 of 16; "),
        (["--shape", "10x40,1000x40"], 2, "far more than its 900 of 16; "),
    ],
)
def test_bad_options(words, code, message, model, run, tmp_path):
    found, _, err = run("tt", model[0], "-o", tmp_path / "o.safetensors", *words)
    assert found == code, err
    assert message in err
    assert err.count("\n") == 1


def test_clustering_too_large_for_the_memory(tmp_path, run):
    np.save(tmp_path / "t.npy", np.zeros((600_000, 64), np.float32))
    words = ["--order", "cluster", "--memory", "300MB"]
    code, _, err = run("tt", tmp_path / "t.npy", "-o", tmp_path / "o.safetensors", *words)
    assert code == 4
    assert "--order cluster holds the table twice, 307,200,000 bytes; raise --memory" in err


def test_a_cut_too_large_for_the_memory(glove_slice):
    from embcompress.pipeline.context import RunContext
    from embcompress.pipeline.run import group_table
    from embcompress.progress import Progress
    from embcompress.tables.memory import ArrayTable

    method = TT(shape="20000x1,1x50", rank="50")
    grouped = group_table(ArrayTable(glove_slice, "glove"), method, None, None, Settings())
    context = RunContext(0, 1, 5_000_000, 0, Progress())
    with pytest.raises(IOFailure, match=r"rank 50 at the last cut needs .* raise --memory"):
        method.fit(grouped.segments[0], context)


def test_uneven_cores_are_refused():
    rows = np.random.default_rng(0).standard_normal((20_000, 2)).astype(np.float32)
    with pytest.raises(UsageError, match=r"leaves a cut of 10,000 by 20,000 at rank 2"):
        compress(rows, TT(shape="10000x1,10000x1,1x2", rank="2"))


def test_hot_rows_and_fields(glove_slice):
    rows = glove_slice[:6000]
    fields = {"a": (0, 2500), "b": (2500, 6000)}
    settings = Settings(keep_hot=0.1, hot_as="fp32", per_field=True)
    for order in ("none", "cluster"):
        table = compress(
            rows, TT(rank="40", order=order), frequencies=np.arange(6000.0, 0, -1), fields=fields,
            settings=settings,
        )  # fmt: skip
        restored = table.restore()
        assert np.array_equal(restored[:600], rows[:600])
        assert relative_error(rows[600:], restored[600:]) < 0.85
        for segment, (start, stop) in ((1, (600, 2500)), (2, (2500, 6000))):
            own = rows[start:stop]
            alone = compress(own, TT(rank="40", order=order))
            assert codec_of(table, segment).ranks == codec_of(alone).ranks
            assert np.allclose(restored[start:stop], alone.restore(), atol=1e-4)


def test_behind_a_rotation(glove_slice):
    rows = glove_slice[:2000]
    turned = compress(rows, Rotate(basis="pca", then="tt --rank 40 --order cluster"))
    assert relative_error(rows, turned.restore()) < 0.9
    assert np.array_equal(turned.lookup([3, 1999, 7]), turned.restore()[[3, 1999, 7]])


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e30, 1e37])
@pytest.mark.parametrize("order", ["none", "cluster"])
def test_huge_and_tiny_values(scale, order):
    rows = (np.random.default_rng(0).uniform(-1, 1, (300, 37)) * scale).astype(np.float32)
    found = compress(rows, TT(target_error=0, order=order)).restore()
    assert np.abs(found.astype(float) - rows).max() <= 1e-4 * scale + 1e-43


@pytest.mark.parametrize("rows", [np.zeros((50, 6)), np.full((50, 6), 7.25), np.ones((1, 4))])
@pytest.mark.parametrize("order", ["none", "cluster"])
def test_constant_tables(rows, order):
    found = compress(rows.astype(np.float32), TT(target_error=0, order=order)).restore()
    assert np.allclose(found, rows, rtol=1e-5)
    found = compress(rows.astype(np.float32), TT(budget="1000000", order=order)).restore()
    assert np.allclose(found, rows, rtol=1e-5)


def test_dry_run_counts_the_slots(glove_slice, run, tmp_path):
    np.save(tmp_path / "t.npy", glove_slice[:5000])
    words = ["--order", "cluster", "--dry-run", "--json"]
    code, out, err = run("tt", tmp_path / "t.npy", *words)
    assert code == 0, err
    assert json.loads(out)["tables"][0]["parts"]["slots"] == -(-5000 * 13 // 8) + 7


@pytest.mark.parametrize("shape", ["40x1,10x1,25x32", "9000x1,2x32"])
@pytest.mark.parametrize("order", ["none", "cluster"])
def test_threads_change_no_bit(shape, order):
    """Tiles end inside groups of slots; the last cut has more columns than are solved whole."""
    rows = np.random.default_rng(8).standard_normal((9500, 32)).astype(np.float32)
    one, two = (
        compress(rows, TT(shape=shape, rank="7", order=order), settings=Settings(threads=t))
        for t in (1, 2)
    )
    assert np.array_equal(one.restore(), two.restore())
    theirs = by_hand(rows, parse_shape(shape), codec_of(one).ranks)
    if order == "none":
        ours = relative_error(rows, one.restore())
        assert ours == pytest.approx(relative_error(rows, theirs), rel=1e-5)
