import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.bags import add_rows, sum_uniform
from embcompress.kernels.bits import pack_codes
from tests.kernels.test_uniform import numbers
from tests.kernels.walls import Output, Records

NONE = np.empty(0, np.float32)


def reference(codes, scale, bias, rows, offsets, weights, mean):
    """Runs of 16 rows, each codes times scales in order plus biases; each step in float32."""
    bags = np.zeros((len(offsets) - 1, codes.shape[1]), np.float32)
    for bag, (a, b) in enumerate(itertools.pairwise(offsets)):
        if a < b:
            w = weights[a:b, None] if len(weights) else np.float32(1)
            products = codes[rows[a:b]].astype(np.float32) * (scale[rows[a:b]] * w)
            biases = bias[rows[a:b]] * w
            runs = [
                np.add.accumulate(products[k : k + 16])[-1]
                + np.add.accumulate(biases[k : k + 16])[-1]
                for k in range(0, b - a, 16)
            ]
            total = np.add.accumulate(runs)[-1]
            bags[bag] = total / np.float32(b - a) if mean else total
    return bags


def in_order(rows):
    return np.add.accumulate(rows)[-1]


def same(one, other):
    # the sign of a zero may differ: accumulation in numpy begins with the first row
    return np.array_equal(one + np.float32(0), other + np.float32(0))


@settings(deadline=None)  # the first call compiles
@given(
    bits=st.sampled_from([1, 2, 4, 8]),
    d=st.integers(1, 150),
    half=st.booleans(),
    weighted=st.booleans(),
    mean=st.booleans(),
    n=st.integers(1, 30),
    sizes=st.lists(st.integers(0, 40), max_size=12),
    before=st.integers(0, 5),
    behind=st.integers(0, 40),
    seed=st.integers(0, 2**32),
)
def test_same_numbers_as_numpy(bits, d, half, weighted, mean, n, sizes, before, behind, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, (n, d)).astype(np.uint8)
    scale, bias = numbers(rng, (2, n, 1), half)
    layout = Records(rng, before, behind)
    records = layout.lay(pack_codes(codes, bits), scale, bias)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows = rng.integers(0, n, offsets[-1])
    weights = numbers(rng, offsets[-1], False) if weighted else NONE
    out = Output(len(sizes), d)
    sum_uniform(records, layout.at, bits, half, rows, offsets, weights, mean, out.array)
    wide = [x.astype(np.float32) for x in (scale, bias)]
    assert same(out.checked(), reference(codes, *wide, rows, offsets, weights, mean))


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_added_a_few_at_a_time(largest, weighted):
    rng = np.random.default_rng(3)
    offsets = np.cumsum([0, 0, 3, 0, 1, 20, 0, 7, 0], dtype=np.int64)
    rows = rng.standard_normal((offsets[-1], 5)).astype(np.float32)
    weights = rng.standard_normal(len(rows)).astype(np.float32) if weighted else NONE
    out = np.full((len(offsets) - 1, 5), 9, np.float32)
    for start in range(0, len(rows), 4):
        bag = np.searchsorted(offsets, start, side="right") - 1
        add_rows(rows[start : start + 4], start, offsets, bag, weights, largest, out)
    scaled = rows * weights[:, None] if weighted else rows
    for bag, (a, b) in enumerate(itertools.pairwise(offsets)):
        if a == b:
            assert (out[bag] == 9).all()
        else:
            some = rows[a:b] if largest and not weighted else scaled[a:b]
            kept = some.max(axis=0) if largest else np.add.accumulate(some)[-1]
            if not (largest and weighted):
                assert np.array_equal(out[bag], kept)
