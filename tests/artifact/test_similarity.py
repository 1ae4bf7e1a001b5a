"""Scores on codes are the scores of decoded rows, for every method and every row map."""

from __future__ import annotations

import numpy as np
import pytest

import embcompress
from embcompress.errors import BadInput, UsageError
from embcompress.kernels.bits import unpack_codes
from embcompress.methods import registry
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings
from tests.goldens import CASES as GOLDENS
from tests.goldens import artifact as golden
from tests.goldens import place_of
from tests.variants import by_frequency, groupings, information_for, variants

N, D = 1500, 11
FIELDS = {"small": (0, 3), "middle": (3, 700), "large": (700, N)}
VARIANTS = dict(variants())
GROUPINGS = dict(groupings())
CASES = dict.fromkeys(
    [(v, "whole") for v in VARIANTS] + [(m, g) for m in registry() for g in GROUPINGS]
)
METRICS = ("dot", "cosine", "l2")


def table():
    random = np.random.default_rng(4)
    rows = random.standard_normal((N, D)).astype(np.float32) + np.float32(0.5)
    rows *= np.exp(random.standard_normal((N, 1))).astype(np.float32)
    rows[5], rows[6], rows[8], rows[9] = 0, 0.25, 1e-39, 1e-20
    return rows


def queries(d, count=7):
    made = np.random.default_rng(5).standard_normal((count, d)).astype(np.float32)
    made[3:4] = 0
    return made


def expected(asked, rows, metric, offset=0.0):
    """Scores in float64, and the size that their rounding is relative to.

    A row that is short because an offset was cancelled keeps the offset's rounding.
    """
    a, b = asked.astype(np.float64), rows.astype(np.float64)
    lengths = np.linalg.norm(b, axis=1)
    sizes = np.linalg.norm(a, axis=1)[:, None] * lengths
    larger = np.linalg.norm(a, axis=1)[:, None] * (lengths + offset)
    products = a @ b.T
    if metric == "dot":
        return products, larger
    if metric == "cosine":
        zeros = np.zeros_like(products)
        cosines = np.divide(products, sizes, out=zeros.copy(), where=sizes > 0)
        return cosines, np.divide(larger, sizes, out=zeros, where=sizes > 0)
    distances = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    return distances, (a**2).sum(axis=1)[:, None] + lengths**2 + offset**2


def offset_of(compressed):
    """The largest norm of an offset in a table."""
    offsets = [getattr(s.codec, "offset", np.zeros(1)) for s in compressed.form.segments]
    return max((float(np.linalg.norm(offset)) for offset in offsets), default=0.0)


def check_scores(compressed):
    rows = compressed.restore()
    n, d = rows.shape
    asked = queries(d)
    ids = np.random.default_rng(6).integers(0, n, 400) if n else np.zeros(0, int)
    for metric in METRICS:
        wanted, sizes = expected(asked, rows, metric, offset_of(compressed))
        for some in (slice(None), ids):
            given = None if isinstance(some, slice) else some
            found = compressed.score(asked, given, metric)
            assert found.dtype == np.float32
            wrong = abs(found - wanted[:, some]) > 3e-6 * sizes[:, some] + 1e-30
            assert not wrong.any(), metric


def check_pairs(compressed):
    rows = compressed.restore().astype(np.float64)
    random = np.random.default_rng(7)
    a, b = random.integers(0, len(rows), (2, 300))
    b[:20] = a[:20]
    found = compressed.dot(a, b)
    assert found.dtype == np.float32
    lengths = np.linalg.norm(rows, axis=1) + offset_of(compressed)
    wrong = abs(found - (rows[a] * rows[b]).sum(axis=1)) > 3e-6 * lengths[a] * lengths[b] + 1e-30
    assert not wrong.any()


@pytest.fixture(scope="module")
def made():
    kept = {}

    def get(variant, grouping):
        if (variant, grouping) not in kept:
            settings = GROUPINGS[grouping]
            weighted = "keep_hot" in settings or by_frequency(VARIANTS[variant])
            hot = np.random.default_rng(8).zipf(1.5, N) if weighted else None
            known = information_for(VARIANTS[variant], (N, D), len(FIELDS))
            kept[variant, grouping] = compress(
                table(), VARIANTS[variant], fields=FIELDS, settings=Settings(**settings),
                **known | {"frequencies": hot},
            )  # fmt: skip
        return kept[variant, grouping]

    return get


@pytest.mark.parametrize(("variant", "grouping"), CASES)
def test_scores_are_those_of_decoded_rows(variant, grouping, made):
    compressed = made(variant, grouping)
    check_scores(compressed)
    check_pairs(compressed)


@pytest.mark.parametrize("case", GOLDENS)
def test_every_storage_form(case, tmp_path):
    golden(case, tmp_path)
    compressed = embcompress.open(place_of(case, tmp_path))["emb.weight"]
    check_scores(compressed)
    check_pairs(compressed)


BINARY = [
    (v, g) for v, g in CASES if v.startswith("binarize") or v == "rotate-then-binarize_--scale_row"
]


def is_binary(codec):
    return codec.name == "binary" or (codec.name == "projected" and is_binary(codec.inner))


def signs_of(codec, rows):
    """Signs of rows, uint8, as a binarized segment takes them."""
    if codec.name == "projected":
        rows = rows - codec.offset
        if codec.basis is not None:
            rows = (rows.astype(np.float64) @ codec.basis.T).astype(np.float32)
        return signs_of(codec.inner, rows)
    return (rows >= 0).astype(np.uint8)


@pytest.mark.parametrize(("variant", "grouping"), BINARY)
def test_hamming_counts_stored_signs(variant, grouping, made):
    """Dense rows count by the signs that the first binarized segment would take."""
    compressed = made(variant, grouping)
    asked, rows, form = queries(D), compressed.restore(), compressed.form
    segments, positions = form.rowmap.locate(np.arange(N))
    first = next(s.codec for s in form.segments if is_binary(s.codec))
    wanted = np.empty((len(asked), N), np.float32)
    for i, segment in enumerate(form.segments):
        mine = segments == i
        if is_binary(segment.codec):
            codec = segment.codec
            records = compressed.encoded(i, 0, segment.rows).records
            stored = unpack_codes(records[:, : (D + 7) // 8], D, 1)[positions[mine]]
        else:
            codec, stored = first, signs_of(first, rows[mine])
        wanted[:, mine] = (signs_of(codec, asked)[:, None] != stored).sum(axis=2)
    assert np.array_equal(compressed.score(asked, metric="hamming"), wanted)
    ids = np.array([N - 1, 0, 4, 4, 900])
    assert np.array_equal(compressed.score(asked, ids, "hamming"), wanted[:, ids])


def test_a_row_that_is_asked_for_differs_in_no_sign(made):
    compressed = made("binarize-scale-none", "whole")
    rows = compressed.restore()[:50]
    assert not np.diag(compressed.score(rows, np.arange(50), "hamming")).any()


def test_hamming_wants_signs(made):
    with pytest.raises(UsageError, match="stores no signs"):
        made("quantize", "whole").score(queries(D), metric="hamming")


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (np.zeros((2, D + 1)), UsageError, "11 columns"),
        (np.zeros((2, 2, D)), UsageError, "11 columns"),
        (np.full((1, D), "a"), UsageError, "real numbers"),
        (np.full((1, D), np.nan), BadInput, "query 0"),
        (np.full((1, D), 1e300), BadInput, "query 0"),
    ],
    ids=str,
)
def test_wrong_queries(asked, error, words, made):
    with pytest.raises(error, match=words):
        made("cast", "whole").score(asked)


def test_wrong_arguments(made):
    compressed = made("cast", "whole")
    with pytest.raises(UsageError, match="metric"):
        compressed.score(queries(D), metric="manhattan")
    with pytest.raises(IndexError, match="id 1500"):
        compressed.score(queries(D), [0, N])
    with pytest.raises(IndexError, match="id -1"):
        compressed.dot([0], [-1])
    with pytest.raises(TypeError, match="float64"):
        compressed.score(queries(D), [0.5])
    with pytest.raises(ValueError, match="broadcast"):
        compressed.dot([0, 1], [0, 1, 2])


def test_shapes(made):
    compressed = made("binarize", "whole")
    assert compressed.score(queries(D)[0]).shape == (1, N)
    assert compressed.score(queries(D), []).shape == (7, 0)
    assert compressed.score(np.zeros((0, D))).shape == (0, N)
    assert compressed.dot(np.zeros((2, 3), int), 4).shape == (2, 3)
    assert compressed.dot([], []).shape == (0,)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (3, 1), (70, 33)], ids=str)
@pytest.mark.parametrize("method", registry())
def test_small_shapes(method, shape):
    rows = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    made = registry()[method]()
    compressed = compress(rows, made, **information_for(made, shape))
    check_scores(compressed)
    if shape[0]:
        check_pairs(compressed)


def test_huge_and_tiny_rows():
    """Squares beyond float32 do not spoil cosines."""
    rows = np.random.default_rng(3).standard_normal((40, 8)).astype(np.float32)
    rows[:20] *= 1e30
    rows[20:] *= 1e-30
    for method in (embcompress.methods.Binarize(), embcompress.methods.Cast(to="bf16")):
        compressed = compress(rows, method)
        found = compressed.score(rows, metric="cosine")
        wanted, _ = expected(rows, compressed.restore(), "cosine")
        assert abs(found - wanted).max() < 3e-6
