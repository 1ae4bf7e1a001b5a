import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.bits import pack_codes
from embcompress.kernels.codebook import decode_book, decode_shared_book
from tests.kernels.walls import Output, Records, walled

shapes = {
    "bits": st.integers(1, 8),
    "d": st.integers(1, 70),
    "n": st.integers(1, 40),
    "count": st.integers(0, 60),
    "before": st.integers(0, 5),
    "behind": st.integers(0, 5),
    "seed": st.integers(0, 2**32),
}


@settings(deadline=None)  # the first call compiles
@given(half=st.booleans(), **shapes)
def test_book_in_the_record(bits, d, n, count, before, behind, seed, half):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, (1 << bits) + 1))
    codes = rng.integers(0, k, (n, d)).astype(np.uint8)
    book = rng.standard_normal((n, k)).astype(np.float16 if half else np.float32)
    layout = Records(rng, before, behind)
    records = layout.lay(pack_codes(codes, bits), book)
    rows = rng.integers(0, n, count)
    out = Output(count, d)
    decode_book(records, layout.at, bits, k, half, rows, out.array)
    expected = np.take_along_axis(book.astype(np.float32), codes.astype(np.int64), 1)[rows]
    np.testing.assert_array_equal(out.checked(), expected)


@settings(deadline=None)  # the first call compiles
@given(index_bytes=st.sampled_from([0, 1, 2]), **shapes)
def test_shared_books(bits, d, n, count, before, behind, seed, index_bytes):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, (n, d)).astype(np.uint8)
    books = rng.standard_normal(((1, 200, 300)[index_bytes], 1 << bits)).astype(np.float32)
    group = rng.integers(0, len(books), n).astype(f"<u{max(index_bytes, 1)}")
    layout = Records(rng, before, behind)
    fields = [pack_codes(codes, bits)] + ([group] if index_bytes else [])
    records = layout.lay(*fields)
    rows = rng.integers(0, n, count)
    out = Output(count, d)
    decode_shared_book(records, layout.at, bits, walled(books), index_bytes, rows, out.array)
    np.testing.assert_array_equal(out.checked(), books[group[:, None], codes][rows])


@pytest.mark.parametrize("bits", [3, 4])
def test_hostile_codes_and_groups_stay_inside(bits):
    """A damaged file decodes to something, and reads nothing outside its arrays."""
    rng = np.random.default_rng(0)
    codes = np.full((40, 20), (1 << bits) - 1, np.uint8)
    book = rng.standard_normal((40, 2)).astype(np.float32)
    records = np.concatenate([pack_codes(codes, bits), book.view(np.uint8)], 1)
    out = Output(40, 20)
    decode_book(records, 0, bits, 2, False, np.arange(40), out.array)
    assert (out.checked() == 0).all()

    books = rng.standard_normal((3, 1 << bits)).astype(np.float32)
    records = np.concatenate([pack_codes(codes, bits), np.full((40, 1), 255, np.uint8)], 1)
    decode_shared_book(records, 0, bits, books, 1, np.arange(40), out.array)
    assert (out.checked() == books[2, -1]).all()


def test_books_of_another_width_are_refused():
    out = np.empty((1, 4), np.float32)
    books = np.zeros((1, 9), np.float32)
    with pytest.raises(ValueError, match=r"\[g, 8\], not \[1, 9\]"):
        decode_shared_book(np.zeros((1, 9), np.uint8), 0, 3, books, 0, np.zeros(1, np.int64), out)
