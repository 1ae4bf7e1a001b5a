"""Groups by frequency that share codebooks."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.errors import UsageError
from embcompress.methods.mgqe import MGQE, parse_groups
from embcompress.methods.pq import PQ
from embcompress.methods.rotate import Rotate
from embcompress.pipeline.memory import compress
from embcompress.pipeline.settings import Settings

N = 20_000
FREQUENCIES = 1.0 / np.random.default_rng(0).permutation(np.arange(1, N + 1))
RANKED = np.argsort(-FREQUENCIES, kind="stable")


def relative_error(rows, restored):
    wide = rows.astype(np.float64)
    return np.sqrt(((restored - wide) ** 2).sum() / (wide**2).sum())


@pytest.fixture(scope="module")
def made(glove_slice):
    method = MGQE(subquantizers=10, groups="0.1:256,0.3:64,10")
    return compress(glove_slice, method, frequencies=FREQUENCIES)


def test_groups_are_the_most_frequent_rows(made):
    segments, _ = made.form.rowmap.locate(np.arange(N))
    assert (segments[RANKED[:2000]] == 0).all()
    assert (segments[RANKED[2000:8000]] == 1).all()
    assert (segments[RANKED[8000:]] == 2).all()


def test_codes_take_the_bits_of_their_group(made):
    assert [s.codec.bits for s in made.form.segments] == [8, 6, 4]
    assert [s.codec.layout().record_bytes for s in made.form.segments] == [10, 8, 5]


def test_one_codebook_is_stored(made):
    stored = [name for name in made.form.arrays if "map." not in name]
    assert stored == ["table::codebook"]
    assert made.form.arrays["table::codebook"].shape == (256, 50)


def test_a_group_uses_its_first_codewords_only(made):
    for number, most in enumerate([256, 64, 10]):
        segment = made.form.segments[number]
        rows = np.arange(segment.rows)
        codes = segment.codec.codes(made.encoded(number, 0, segment.rows), rows)
        assert codes.max() == most - 1


def test_rows_take_the_nearest_codewords(made, glove_slice):
    segments, positions = made.form.rowmap.locate(np.arange(N))
    mine = np.flatnonzero(segments == 2)
    codec = made.form.segments[2].codec
    codes = codec.codes(made.encoded(2, 0, len(mine)), positions[mine])
    for s, book in enumerate(codec.books):
        rows = glove_slice[mine, codec.edges[s] : codec.edges[s + 1]]
        distances = ((rows[:, None] - book[:10]) ** 2).sum(-1)
        chosen = distances[np.arange(len(mine)), codes[:, s]]
        np.testing.assert_allclose(chosen, distances.min(1), rtol=1e-4, atol=1e-6)


def test_beside_product_codes_of_each_length(glove_slice):
    """Frequent rows come back as from the longer codes, at less than the bytes of these."""
    head, tail = RANKED[:2000], RANKED[2000:]
    ours = compress(
        glove_slice, MGQE(subquantizers=10, groups="0.1:256,64"), frequencies=FREQUENCIES
    ).restore()
    long, short = (
        compress(glove_slice, PQ(subquantizers=10, bits=b), frequencies=FREQUENCIES).restore()
        for b in (8, 6)
    )
    longer = relative_error(glove_slice[head], long[head])
    shorter = relative_error(glove_slice[tail], short[tail])
    assert relative_error(glove_slice[head], ours[head]) < 1.05 * longer
    assert relative_error(glove_slice[tail], ours[tail]) < 1.05 * shorter


def test_fields_have_codebooks_of_their_own(glove_slice):
    table = compress(
        glove_slice,
        MGQE(subquantizers=5),
        frequencies=FREQUENCIES,
        fields={"a": (0, 5000), "b": (5000, N)},
        settings=Settings(per_field=True, keep_hot=0.01),
    )
    stored = [name for name in table.form.arrays if "map." not in name]
    assert stored == ["table::1::codebook", "table::2::codebook"]
    rows = [s.rows for s in table.form.segments]
    assert rows[0] == 200
    assert rows[1] + rows[2] == int(0.1 * (N - 200))
    assert sum(rows) == N


def test_some_values_of_one_group_need_fp32(glove_slice):
    rows = glove_slice.copy()
    rows[RANKED[0]] = 1e5
    resolved = compress(rows, MGQE(), frequencies=FREQUENCIES).form.method["resolved"]
    assert [r["codebook_dtype"] for r in resolved] == ["fp32", "fp32"]


def test_without_frequencies(glove_slice):
    with pytest.raises(UsageError, match="groups of rows by frequency need --frequencies"):
        compress(glove_slice, MGQE())


def test_behind_a_rotation(glove_slice):
    with pytest.raises(UsageError, match="cannot compress coordinates"):
        compress(glove_slice, Rotate(then="mgqe"), frequencies=FREQUENCIES)


@pytest.mark.parametrize(
    "text", ["", "256", "0.1:256", "0.1:256,0.95:3,2", "0:5,3", "0.1:5000,3", "0.1:0,3", "a:b,c"]
)
def test_bad_groups(text):
    with pytest.raises(UsageError, match="is not SHARE:CODEWORDS"):
        MGQE(groups=text)


def test_groups():
    assert parse_groups("0.1:256,0.3:64,16") == ((0.1, 0.3), (256, 64, 16))
