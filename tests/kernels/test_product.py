from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.codecs.product import segment_edges
from embcompress.kernels.product import (
    add_up,
    codes_of,
    decode_codes,
    nearest,
    pack_product,
    sum_entries,
    sum_pairs,
)
from tests.kernels.walls import Output, Records, walled


@settings(deadline=None)  # the first call compiles
@given(
    bits=st.integers(0, 12),
    d=st.integers(1, 70),
    n=st.integers(1, 40),
    count=st.integers(0, 60),
    before=st.integers(0, 5),
    behind=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_pack_read_decode(bits, d, n, count, before, behind, seed):
    rng = np.random.default_rng(seed)
    segments = int(rng.integers(1, d + 1))
    k = int(rng.integers(1, 2**bits + 1))
    codes = rng.integers(0, k, (n, segments)).astype(np.uint16)
    layout = Records(rng, before, behind)
    records = layout.lay(pack_product(codes, bits))
    rows = rng.integers(0, n, count)
    read = codes_of(records, layout.at, bits, segments, k, rows)
    np.testing.assert_array_equal(read, codes[rows])

    book = rng.standard_normal((k, d)).astype(np.float32)
    edges = segment_edges(d, segments)
    flat = [book[:, a:b].ravel() for a, b in pairwise(edges)]
    table = walled(np.concatenate([*flat, np.zeros(16, np.float32)]))
    out = Output(count, d)
    decode_codes(read, table, k, out.array)
    segment = np.repeat(np.arange(segments), np.diff(edges))
    np.testing.assert_array_equal(out.checked(), book[codes[rows][:, segment], np.arange(d)])


def test_bits_of_a_string_come_lowest_first():
    packed = pack_product(np.array([[0xABC, 0x123]], np.uint16), 12)
    assert packed.tobytes() == bytes([0xBC, 0x3A, 0x12])


def test_hostile_codes_count_as_the_last():
    codes = np.array([[4095, 7, 6]], np.uint16)
    packed = pack_product(codes, 12)
    assert codes_of(packed, 0, 12, 3, 7, np.zeros(1, np.int64)).tolist() == [[6, 6, 6]]


@pytest.mark.parametrize("k", [1, 2, 3, 17, 256])
@pytest.mark.parametrize("width", [1, 2, 5, 20])
def test_nearest(k, width):
    rng = np.random.default_rng(k)
    columns = rng.standard_normal((width + 2, 160)).astype(np.float32)
    book = rng.standard_normal((k + 3, width)).astype(np.float32)
    book[k:] = columns[1 : 1 + width, :3].T  # the nearest ones, which may not be used
    codes, distances = np.full(160, 999, np.uint16), np.full(160, -1, np.float32)
    nearest(walled(columns), 1, width, 16, 144, walled(book), k, codes, distances)
    square = ((columns[1 : 1 + width].T[:, None] - book[:k]) ** 2).sum(-1)
    np.testing.assert_array_equal(codes[16:144], square.argmin(1)[16:144])
    np.testing.assert_allclose(distances[16:144], square.min(1)[16:144], rtol=1e-5)
    outside = np.r_[0:16, 144:160]
    assert (codes[outside] == 999).all()
    assert (distances[outside] == -1).all()


def test_ties_go_to_the_lower_code():
    codes, distances = np.empty(16, np.uint16), np.empty(16, np.float32)
    book = np.array([[3], [1], [1], [-1]], np.float32)
    nearest(np.zeros((1, 16), np.float32), 0, 1, 0, 16, book, 4, codes, distances)
    assert (codes == 1).all()


def test_add_up():
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((4, 32)).astype(np.float32)
    codes, weights = rng.integers(0, 5, 30).astype(np.uint16), rng.random(30)
    sums, masses = np.zeros((5, 2)), np.zeros(5)
    add_up(columns, 1, 2, codes, weights, sums, masses)
    np.testing.assert_allclose(masses, np.bincount(codes, weights, 5))
    for j in range(2):
        wanted = np.bincount(codes, weights * columns[1 + j, :30], 5)
        np.testing.assert_allclose(sums[:, j], wanted)


def test_sums_of_table_entries():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 6, (2, 50, 7)).astype(np.uint16)
    entries = rng.standard_normal((7, 6)).astype(np.float32)
    out = Output(50)
    sum_entries(one, walled(entries).reshape(-1), 6, out.array)
    every = np.arange(7)
    np.testing.assert_allclose(out.checked(), entries[every, one].sum(1), rtol=1e-5, atol=1e-6)
    pairs = rng.standard_normal((7, 6, 6)).astype(np.float32)
    sum_pairs(one, other, walled(pairs).reshape(-1), 6, out.array)
    wanted = pairs[every, one, other].sum(1)
    np.testing.assert_allclose(out.checked(), wanted, rtol=1e-5, atol=1e-6)
