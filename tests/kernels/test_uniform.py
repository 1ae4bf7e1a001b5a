import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.bits import pack_codes
from embcompress.kernels.uniform import decode_uniform
from tests.kernels.walls import Output, Records


def numbers(rng, shape, half):
    values = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 4, shape)
    return values.astype(np.float16 if half else np.float32)


def reference(codes, scale, bias, group):
    columns = np.arange(codes.shape[1]) // group
    scale, bias = scale.astype(np.float32)[:, columns], bias.astype(np.float32)[:, columns]
    return codes.astype(np.float32) * scale + bias


@settings(deadline=None)  # the first call compiles
@given(
    bits=st.integers(1, 8),
    d=st.integers(1, 70),
    group=st.sampled_from([1, 3, 16, 32, 70]),
    half=st.booleans(),
    n=st.integers(1, 40),
    count=st.integers(0, 60),
    before=st.integers(0, 5),
    behind=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_same_bits_as_numpy(bits, d, group, half, n, count, before, behind, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, (n, d)).astype(np.uint8)
    scale, bias = numbers(rng, (2, n, -(-d // group)), half)
    layout = Records(rng, before, behind)
    records = layout.lay(pack_codes(codes, bits), scale, bias)
    rows = rng.integers(0, n, count)
    out = Output(count, d)
    decode_uniform(records, layout.at, bits, group, half, rows, out.array)
    expected = reference(codes, scale, bias, group)[rows]
    np.testing.assert_array_equal(out.checked().view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize(("d", "group"), [(1000, 1000), (999, 64), (131, 50)])
def test_a_row_alone_and_in_a_batch(bits, d, group):
    rng = np.random.default_rng(bits)
    codes = rng.integers(0, 1 << bits, (50, d)).astype(np.uint8)
    scale, bias = numbers(rng, (2, 50, -(-d // group)), True)
    parts = [pack_codes(codes, bits), scale.view(np.uint8), bias.view(np.uint8)]
    records = np.concatenate(parts, 1)
    rows = rng.permutation(50)
    together = np.empty((50, d), np.float32)
    decode_uniform(records, 0, bits, group, True, rows, together)
    alone = np.empty((1, d), np.float32)
    for i in range(50):
        decode_uniform(records, 0, bits, group, True, rows[i : i + 1], alone)
        assert alone.tobytes() == together[i].tobytes()
    assert together.tobytes() == reference(codes, scale, bias, group)[rows].tobytes()


def test_multiply_and_add_are_rounded_apart():
    """A fused multiply-add would give another last bit for these."""
    scale, bias = np.float32(1 + 2.0**-20), np.float32(-255)
    apart = np.float32(255) * scale + bias
    fused = np.float32(255 * np.float64(scale) + np.float64(bias))
    assert apart != fused
    codes = np.full((40, 64), 255, np.uint8)
    numbers = np.tile(np.array([scale, bias]).view(np.uint8), (40, 1))
    out = np.empty((40, 64), np.float32)
    decode_uniform(np.concatenate([codes, numbers], 1), 0, 8, 64, False, np.arange(40), out)
    assert (out == apart).all()


@pytest.mark.parametrize("bits", [3, 4])
def test_rows_past_4_gigabytes_of_a_map(tmp_path, bits):
    numbers = np.tile(np.array([2, 1], np.float32).view(np.uint8), (3, 1))
    fields = np.concatenate([np.array([[0x12], [0x35], [0x21]], np.uint8), numbers], 1)
    rows = np.array([4499, 4100, 0], np.int64)
    shape = (4500, 1 << 20)
    records = np.memmap(tmp_path / "sparse", np.uint8, "w+", shape=shape)
    records[rows, -9:] = fields
    records.flush()
    records = np.memmap(tmp_path / "sparse", np.uint8, "r", shape=shape)
    out, expected = np.empty((2, 3, 2), np.float32)
    decode_uniform(records, shape[1] - 9, bits, 2, False, rows, out)
    decode_uniform(fields, 0, bits, 2, False, np.arange(3), expected)
    assert out.tobytes() == expected.tobytes()
    assert len(np.unique(out)) > 1


def test_no_columns():
    out = np.empty((4, 0), np.float32)
    decode_uniform(np.empty((2, 0), np.uint8), 0, 4, 1, True, np.zeros(4, np.int64), out)
