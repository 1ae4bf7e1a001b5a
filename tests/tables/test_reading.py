"""Rows of tables in files and in memory against numpy and the safetensors library."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from embcompress.errors import BadInput, IOFailure, UsageError
from embcompress.tables.base import TILE, tile_rows
from embcompress.tables.memory import ArrayTable
from embcompress.tables.npy import write_npy_header
from embcompress.tables.source import Candidate, open_source, read_table
from embcompress.tables.weights import CHUNK_BYTES

from .making import npy, npy_header

FLOATS = [np.dtype(kind) for kind in ("f2", "f4", "f8")]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def weights(shape, dtype, seed=0):
    """Weights of every magnitude, with zeros, infinities and NaN among them."""
    draw = np.random.default_rng(seed)
    values = draw.standard_normal(shape) * 10.0 ** draw.integers(-9, 5, shape)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 6e-8, 1e-40])
    odd = draw.random(shape) < 0.1
    values[odd] = draw.choice(special, int(odd.sum()))
    with np.errstate(all="ignore"):
        return values.astype(dtype)


def float32(array):
    with np.errstate(all="ignore"):
        return array.astype(np.float32)


def check_reads(table, array):
    """Check whole, partial, empty and buffered reads against the array."""
    expected = float32(array)
    n, d = array.shape
    assert table.shape == (n, d)
    assert table.source_bytes == array.nbytes
    spans = [(0, n), (0, 0), (n, n), (n // 2, n), (n // 3, n // 2), (min(1, n), n)]
    for start, stop in spans:
        rows = table.read(start, stop)
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        np.testing.assert_array_equal(rows.view("u4"), expected[start:stop].view("u4"))
        out = np.full((stop - start + 2, d), 7, np.float32)
        again = table.read(start, stop, out)
        assert np.shares_memory(again, out) or not again.size
        np.testing.assert_array_equal(out[: stop - start], rows)
        assert (out[stop - start :] == 7).all()


ARRAYS = st.tuples(st.integers(0, 60), st.integers(0, 20), st.integers(0, 99))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@settings(deadline=None)
@given(ARRAYS, st.sampled_from(FLOATS), st.sampled_from("<>"), st.sampled_from("CF"))
def test_npy(folder, sizes, dtype, byte_order, order):  # 26, 27, 48
    path = folder / "emb.npy"
    array = np.asarray(weights(sizes[:2], dtype, sizes[2]), dtype.newbyteorder(byte_order), order)
    np.save(path, array)
    with open_source(path) as source:
        assert source.kind == "npy"
        table = source.table("emb")
        assert (table.name, table.path) == ("emb", str(path))
        check_reads(table, array)
        whole = source.read_tensor("emb")
        assert whole.dtype.isnative
        np.testing.assert_array_equal(whole, np.load(path))


@settings(deadline=None)
@given(ARRAYS, st.sampled_from([*FLOATS, BFLOAT16]))
def test_safetensors(folder, sizes, dtype):  # 48
    path = folder / "emb.safetensors"
    array = weights(sizes[:2], dtype, sizes[2])
    save_file({"before": np.arange(3, dtype=np.uint8), "user_emb": array, "after": array}, path)
    with open_source(path) as source:
        assert source.kind == "safetensors"
        table = source.table("user_emb")
        check_reads(table, load_file(path)["user_emb"])
        name = {"bfloat16": "BF16"}.get(dtype.name, f"F{8 * dtype.itemsize}")
        assert table.dtype == name
        assert Candidate("after", array.shape, name, array.nbytes) in source.tables
        assert source.read_raw(source.tensors["after"], 0, array.nbytes) == array.tobytes()
        np.testing.assert_array_equal(
            source.read_tensor("user_emb"), array.astype(source.read_tensor("user_emb").dtype)
        )


@settings(deadline=None)
@given(
    ARRAYS, st.sampled_from([*FLOATS, BFLOAT16, np.dtype(">f4")]), st.booleans(), st.integers(-2, 3)
)
def test_memory(sizes, dtype, transposed, step):
    array = weights(sizes[:2], dtype, sizes[2])
    array = (array.T if transposed else array)[:: step or 1, :: step or 1]
    check_reads(ArrayTable(array, "t"), array)


@pytest.mark.parametrize("dtype", [*FLOATS, BFLOAT16], ids=str)
@pytest.mark.parametrize("order", "CF")
def test_blocks_larger_than_a_chunk(tmp_path, dtype, order):
    array = np.asarray(weights((3000, 70), dtype), order=order)
    assert array.nbytes > CHUNK_BYTES
    save_file({"emb": np.ascontiguousarray(array)}, tmp_path / "emb.safetensors")
    with open_source(tmp_path / "emb.safetensors") as source:
        check_reads(source.table("emb"), array)
    if dtype != BFLOAT16:
        np.save(tmp_path / "emb.npy", array)
        with open_source(tmp_path / "emb.npy") as source:
            check_reads(source.table("emb"), array)


def test_float64_beyond_float32_is_infinite(tmp_path):
    np.save(tmp_path / "emb.npy", np.array([[1e39, -1e300], [3e38, 1e-300]]))
    expected = np.array([[np.inf, -np.inf], [3e38, 0]], np.float32)
    np.testing.assert_array_equal(read_table(tmp_path / "emb.npy"), expected)


def test_signalling_nan_gives_no_warning(tmp_path):
    for kind, bits in (("<f2", 0x7D01), ("<f8", 0x7FF0000000000001)):
        array = np.full((2, 2), bits, kind.replace("f", "u")).view(kind)
        np.save(tmp_path / "emb.npy", array)
        assert np.isnan(read_table(tmp_path / "emb.npy")).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_threads_share_a_table(tmp_path, order):
    array = np.asarray(weights((5000, 33), np.dtype("f2")), order=order)
    np.save(tmp_path / "emb.npy", array)
    with open_source(tmp_path / "emb.npy") as source, ThreadPoolExecutor(4) as pool:
        table = source.table("emb")
        starts = list(range(0, 5000, 61)) * 3
        blocks = list(pool.map(lambda start: table.read(start, min(start + 61, 5000)), starts))
    for start, block in zip(starts, blocks, strict=True):
        np.testing.assert_array_equal(block, array[start : start + 61].astype(np.float32))


def test_wrong_rows_and_buffers():
    table = ArrayTable(np.ones((4, 3)), "t")
    for start, stop in ((-1, 2), (2, 1), (0, 5)):
        with pytest.raises(IndexError, match="of a table of 4"):
            table.read(start, stop)
    frozen = np.empty((4, 3), np.float32)
    frozen.flags.writeable = False
    for out in (
        np.empty((4, 3)),
        np.empty((1, 3), np.float32),
        np.empty((4, 4), np.float32),
        np.empty((3, 4), np.float32).T,
        np.empty(12, np.float32),
        frozen,
    ):
        with pytest.raises(ValueError, match="out must be"):
            table.read(0, 2, out)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((2, 3), np.int32), "cast it to float first"),
        (np.ones((2, 3), complex), "complex128"),
        (np.ones((2, 3), object), "object"),
        (np.ones((2, 3), np.longdouble), "float128|longdouble"),
        (np.ones((2, 3), ml_dtypes.float8_e4m3fn), "float8"),
        (np.ones(3), "1 dimensions"),
        ([[1.0]], "list is not a numpy array"),
    ],
)
def test_arrays_that_are_no_table(array, words):
    with pytest.raises(UsageError, match=words):
        ArrayTable(array, "t")


def test_array_table_never_changes():
    table = ArrayTable(np.ones((2, 3), np.float16), "t")
    table.unchanged()
    assert (table.name, table.path, table.dtype) == ("t", "memory", "F16")


def test_tile_rows():
    assert tile_rows(0) == tile_rows(1) == tile_rows(TILE) == 4096
    assert [tile_rows(d) for d in (4097, 8192, 8193, 2**20, 2**20 + 1, 10**9)] == [
        2048, 2048, 1024, 16, 16, 16
    ]  # fmt: skip
    for d in range(4097, 100_000, 997):
        tile = tile_rows(d)
        assert tile & (tile - 1) == 0
        assert tile * d <= 2**24 < 2 * tile * d


def test_trailing_bytes_are_a_warning(tmp_path):  # 24
    path = tmp_path / "emb.npy"
    np.save(path, np.ones((2, 3), np.float32))
    path.write_bytes(path.read_bytes() + b"junk")
    with open_source(path) as source:
        assert len(source.warnings) == 1
        assert "4 bytes" in source.warnings[0]
        check_reads(source.table("emb"), np.load(path))


def test_fortran_order_is_a_note(tmp_path):  # 27
    path = tmp_path / "emb.npy"
    np.save(path, np.ones((4, 3), np.float32, order="F"))
    with open_source(path) as source:
        assert "Fortran order" in source.notes[0]
        assert source.warnings == []


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "header",
    [
        npy_header(),
        '{"descr":"<f4","fortran_order":False,"shape":(2,3)}',
        npy_header(shape="(2L, 3L)"),
        npy_header("'f4'").replace("\n", "    \n"),
        "{'shape': (2, 3,), 'fortran_order': False, 'descr': '=f4'}",
    ],
)
def test_headers_of_other_writers(tmp_path, version, header):
    path = tmp_path / "emb.npy"
    data = np.arange(6, dtype="<f4")
    path.write_bytes(npy(header, data.tobytes(), version))
    np.testing.assert_array_equal(read_table(path), data.reshape(2, 3))


@settings(deadline=None)
@given(
    st.tuples(st.integers(0, 2**40), st.integers(0, 5000)), st.sampled_from(["F16", "F32", "F64"])
)
def test_npy_header_is_numpys(shape, dtype):
    header = write_npy_header(shape, dtype)
    file = io.BytesIO(header)
    assert np.lib.format.read_magic(file) == (1, 0)
    expected = shape, False, np.dtype(f"<f{int(dtype[1:]) // 8}")
    assert np.lib.format.read_array_header_1_0(file) == expected
    assert file.read() == b""


def test_bfloat16_has_no_npy_form():
    with pytest.raises(UsageError, match="BF16"):
        write_npy_header((2, 3), "BF16")


def test_side_tensors(tmp_path):
    tensors = {
        "counts": np.array([1, 5, 0], np.uint32),
        "seen": np.array([[True], [False]]),
        "scalar": np.array(2.5),
        "half": np.array([1.5, -2], BFLOAT16),
        "wide": np.array([-(2**60)], np.int64),
    }
    save_file(tensors, tmp_path / "side.safetensors")
    with open_source(tmp_path / "side.safetensors") as source:
        for name, expected in tensors.items():
            found = source.read_tensor(name)
            assert found.shape == expected.shape
            np.testing.assert_array_equal(found, expected.astype(found.dtype))
            assert found.dtype == (np.float32 if name == "half" else expected.dtype)
    np.save(tmp_path / "counts.npy", np.arange(5, dtype=">i8"))
    with open_source(tmp_path / "counts.npy") as source:
        assert source.tables == []
        np.testing.assert_array_equal(source.read_tensor("counts"), np.arange(5))
        with pytest.raises(BadInput, match="cast it to float first"):
            source.table("counts")


def test_unknown_tensor_and_range(tmp_path):
    save_file({"emb": np.ones((2, 3), np.float32), "bias": np.ones(3)}, tmp_path / "a.safetensors")
    with open_source(tmp_path / "a.safetensors") as source:
        for read in (source.table, source.read_tensor):
            with pytest.raises(BadInput, match="has no tensor 'x'"):
                read("x")
        with pytest.raises(BadInput, match="'bias' has 1 dimension;"):
            source.table("bias")
        for start, stop in ((-1, 2), (3, 2), (0, 25)):
            with pytest.raises(IndexError):
                source.read_raw(source.tensors["emb"], start, stop)


def test_read_table(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays = {"a": np.ones((2, 3), np.float16), "b": np.zeros((4, 3), np.float64)}
    save_file(arrays, path)
    np.testing.assert_array_equal(read_table(path, "b"), arrays["b"])
    with pytest.raises(UsageError, match="has 2 2-D float tensors, name one of them: 'b', 'a'"):
        read_table(path)


@pytest.mark.parametrize("name", ["a/b", "two\nlines", "😀", "n" * 4096])
def test_odd_tensor_names(tmp_path, name):  # 53
    path = tmp_path / "a.safetensors"
    array = weights((5, 3), np.dtype("f4"))
    save_file({name: array}, path)
    with open_source(path) as source:
        check_reads(source.table(name), load_file(path)[name])


def change_size(path):
    with open(path, "ab") as file:
        file.write(b"x")


def change_time(path):
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replace(path):
    status, content = os.stat(path), path.read_bytes()
    path.with_suffix(".new").write_bytes(content)
    os.utime(path.with_suffix(".new"), ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(path.with_suffix(".new"), path)


@pytest.mark.parametrize("change", [change_size, change_time, replace, os.remove])
@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_changes_are_noticed(tmp_path, change, suffix):  # 55
    path = tmp_path / f"emb{suffix}"
    array = np.ones((2, 3), np.float32)
    np.save(path, array) if suffix == ".npy" else save_file({"emb": array}, path)
    with open_source(path) as source:
        table = source.table("emb")
        source.unchanged()
        table.unchanged()
        change(path)
        for watched in (source, table):
            with pytest.raises(IOFailure, match="while it was read"):
                watched.unchanged()


def test_file_cut_while_read(tmp_path):
    path = tmp_path / "emb.npy"
    np.save(path, np.ones((20, 3), np.float32))
    with open_source(path) as source:
        table = source.table("emb")
        os.truncate(path, 200)
        table.read(0, 5)
        with pytest.raises(IOFailure, match="ends at byte 200"):
            table.read(0, 20)


def test_short_reads_and_errors(tmp_path, monkeypatch):
    path = tmp_path / "emb.npy"
    array = weights((50, 3), np.dtype("f4"))
    np.save(path, array)
    preadv = os.preadv

    def short(descriptor, buffers, offset):
        return preadv(descriptor, [buffers[0][:7]], offset)

    def broken(*_args):
        raise OSError(5, "Input/output error")

    with open_source(path) as source:
        table = source.table("emb")
        monkeypatch.setattr(os, "preadv", short)
        np.testing.assert_array_equal(table.read(0, 50), array)
        monkeypatch.setattr(os, "preadv", broken)
        with pytest.raises(IOFailure, match="Input/output error"):
            table.read(0, 50)


def next_descriptor():
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_closed_source_refuses_to_read(tmp_path):
    path = tmp_path / "emb.npy"
    np.save(path, np.ones((2, 3), np.float32))
    before = next_descriptor()
    with open_source(path) as source:
        table = source.table("emb")
    source.close()
    with pytest.raises(ValueError, match="read after close"):
        table.read(0, 2)
    path.write_bytes(b"")
    with pytest.raises(BadInput):
        open_source(path)
    assert next_descriptor() == before


def test_names_of_npy_files(tmp_path):
    for file, name in (
        (b"user.emb.npy", "user.emb"),
        (b"no suffix", "no suffix"),
        (b"\xff.npy", "\ufffd"),
    ):
        path = tmp_path / os.fsdecode(file)
        with open(path, "wb") as handle:
            np.save(handle, np.ones((1, 1), np.float32))
        with open_source(path) as source:
            assert list(source.tensors) == [name]
            assert source.table(name).read(0, 1) == 1


def test_formats_are_told_by_content(tmp_path):
    save_file({"emb": np.ones((2, 3))}, tmp_path / "emb.npy")
    with open_source(tmp_path / "emb.npy") as source:
        assert source.kind == "safetensors"
