"""Sparse rows against numpy, with walls around what kernels read and write."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.codecs.base import Parts, RaggedRows
from embcompress.codecs.sparse import Sparse, narrowest, smaller_index
from embcompress.errors import BadInput
from embcompress.solvers.sparsity import SparseEncoder
from tests.goldens import Masked
from tests.kernels.walls import Output, Records, walled


def made(rng, n, d, index, numbers, nonzeros, scale):
    """Records inside walls, ragged rows, and the rows that come of them by numpy."""
    rows = rng.standard_normal((n, d)).astype(np.float32)
    mask = rng.random((n, d)) < rng.random((n, 1))
    if nonzeros is not None:
        mask = rng.random((n, d)).argsort(axis=1) < nonzeros
    codec = Sparse(d, index, numbers, nonzeros, scale)
    parts = SparseEncoder(codec, Masked(mask)).encode(np.arange(n), rows)
    wanted = np.where(mask, rows, 0)
    if numbers == "fp16":
        wanted = wanted.astype(np.float16).astype(np.float32)
    if numbers == "int8":
        factor = (np.abs(wanted).max(axis=1, keepdims=True, initial=0) / 127).astype(np.float32)
        factor = factor if scale is None else np.full((n, 1), scale[0])
        steps = np.rint(wanted / np.where(factor > 0, factor, 1).astype(np.float64))
        wanted = np.clip(steps, -127, 127).astype(np.float32) * factor
    return codec, parts, wanted.astype(np.float32)


def laid(rng, codec, parts, before, behind):
    fields = codec.layout().pack(parts, len(next(iter(parts.values()))) if parts else 0)
    layout = Records(rng, before, behind)
    ragged = {
        name: RaggedRows(walled(parts[name].data), walled(parts[name].addresses), None)
        for name in codec.layout().ragged
    }
    return Parts(layout.lay(fields), layout.at, ragged)


@settings(deadline=None, max_examples=200)
@given(
    d=st.sampled_from([1, 2, 7, 8, 9, 15, 16, 17, 33, 63, 64, 65, 80, 130, 300]),
    n=st.integers(1, 200),
    index=st.sampled_from(["bitmap", "list"]),
    numbers=st.sampled_from(["fp32", "fp16", "int8"]),
    fixed=st.booleans(),
    of_table=st.booleans(),
    before=st.integers(0, 3),
    seed=st.integers(0, 2**32),
)
def test_rows_come_back(d, n, index, numbers, fixed, of_table, before, seed):
    rng = np.random.default_rng(seed)
    nonzeros = int(rng.integers(1, d + 1)) if fixed else None
    scale = np.array([0.02], np.float32) if of_table and numbers == "int8" else None
    codec, encoded, wanted = made(rng, n, d, index, numbers, nonzeros, scale)
    parts = laid(rng, codec, encoded, before, int(rng.integers(4)))
    rows = rng.integers(0, n, 70)
    out = Output(len(rows), d)
    codec.decode(parts, rows, out.array)
    np.testing.assert_array_equal(out.checked(), wanted[rows])
    codec.check(parts, 0, n)
    if not fixed:
        lengths = codec.lengths(codec.part, parts)
        np.testing.assert_array_equal(lengths, encoded[codec.part].lengths)
        start, stop = sorted(rng.integers(0, n + 1, 2).tolist())
        base = start - start % 64
        held = parts.ragged[codec.part].slice(start, stop, lengths[base:stop])
        some = Parts(parts.records[start:stop].copy(), parts.at, {codec.part: held})
        part = np.empty((stop - start, d), np.float32)
        codec.decode(some, np.arange(stop - start), part)
        np.testing.assert_array_equal(part, wanted[start:stop])
        if start % 64 == 0:
            codec.check(some, 0, stop - start)


@pytest.mark.parametrize("index", ["bitmap", "list"])
def test_hostile_addresses(index):
    """Rows outside their data are refused, whatever the addresses say."""
    rng = np.random.default_rng(0)
    codec, encoded, _ = made(rng, 100, 20, index, "fp16", None, None)
    parts = laid(rng, codec, encoded, 0, 0)
    held = parts.ragged[codec.part]
    for wrong in (-(10**6), 2**63 - 1, -(2**63), len(held.data) + 1):
        addresses = held.addresses.copy()
        addresses[1] = wrong
        bad = Parts(parts.records, 0, {codec.part: RaggedRows(held.data, addresses, None)})
        with pytest.raises(BadInput, match="row 99 of a sparse part lies outside its data"):
            codec.decode(bad, np.array([3, 99]), np.empty((2, 20), np.float32))


@pytest.mark.parametrize("index", ["bitmap", "list"])
@pytest.mark.parametrize("fixed", [False, True])
def test_hostile_records(index, fixed):
    """Any records decode to something, and check finds what cannot be."""
    rng = np.random.default_rng(1)
    codec, encoded, _ = made(rng, 100, 13, index, "int8", 4 if fixed else None, None)
    parts = laid(rng, codec, encoded, 0, 0)
    noise = rng.integers(0, 256, parts.records.shape, dtype=np.uint8)
    bad = Parts(walled(noise), 0, parts.ragged)
    out = Output(100, 13)
    with contextlib.suppress(BadInput):
        codec.decode(bad, np.arange(100), out.array)
    out.checked()
    with pytest.raises(BadInput):
        codec.check(bad, 0, 100)


def test_check_names_the_row():
    rng = np.random.default_rng(2)
    codec, encoded, _ = made(rng, 90, 10, "list", "fp32", None, None)
    data = encoded["entries"].data.copy()
    end = int(encoded["entries"].lengths[:71].sum(dtype=np.int64))
    kept = int(encoded["count"][70])
    data[end - kept * 4 - kept : end - kept * 4] = 9  # all columns of row 70
    records = codec.layout().pack(encoded, 90)
    held = RaggedRows(data, encoded["entries"].addresses, None)
    with pytest.raises(BadInput, match="row 70: its columns do not ascend to 9"):
        codec.check(Parts(records, 0, {"entries": held}), 0, 90)
    data[:] = encoded["entries"].data
    data[end - 4 : end] = np.array([np.nan], np.float32).view(np.uint8)
    with pytest.raises(BadInput, match="row 70: a value is not finite"):
        codec.check(Parts(records, 0, {"entries": held}), 0, 90)


def test_the_smaller_index():
    assert smaller_index(64, 100, 3200, fixed=False) == "bitmap"
    assert smaller_index(64, 100, 600, fixed=False) == "list"  # 600 + 100 < 800
    assert smaller_index(64, 100, 700, fixed=False) == "bitmap"
    assert smaller_index(64, 100, 700, fixed=True) == "list"
    assert [narrowest(x) for x in (255, 256, 65535, 65536)] == ["|u1", "<u2", "<u2", "<u4"]
