"""The header's parser and serialiser against the safetensors library."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from embcompress.errors import BadInput
from embcompress.tables.file import SourceFile
from embcompress.tables.header import (
    BITS,
    TensorInfo,
    dump_header,
    order_tensors,
    read_header,
    tensor_info,
)

from .making import entry, safetensors

NUMPY = {
    "BOOL": bool,
    "U8": np.uint8,
    "I8": np.int8,
    "I16": np.int16,
    "U16": np.uint16,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I32": np.int32,
    "U32": np.uint32,
    "F32": np.float32,
    "C64": np.complex64,
    "F64": np.float64,
    "I64": np.int64,
    "U64": np.uint64,
}
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter("__metadata__".__ne__)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
TENSORS = st.dictionaries(NAMES, st.tuples(st.sampled_from(list(NUMPY)), SHAPES), max_size=8)


def read(path):
    with SourceFile(path) as file:
        return read_header(file)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("header") / "x.safetensors"


@settings(deadline=None)
@given(TENSORS, st.one_of(st.just({}), st.dictionaries(NAMES, st.text(max_size=9), max_size=1)))
def test_bytes_equal_the_librarys_and_read_back(scratch, tensors, metadata):
    arrays = {name: np.zeros(shape, NUMPY[dtype]) for name, (dtype, shape) in tensors.items()}
    expected = save(arrays, metadata or None)
    placed = order_tensors(tensor_info(n, d, s) for n, (d, s) in tensors.items())
    header = dump_header(placed, metadata)
    content = header + bytes(sum(info.nbytes for info in placed.values()))
    assert content == expected
    scratch.write_bytes(content)
    found = read(scratch)
    assert list(found.tensors.items()) == list(placed.items())
    assert found.metadata == metadata
    assert found.data_start == len(header)


def test_every_dtype_of_the_library_has_its_width_and_rank():
    with pytest.raises(SafetensorError, match="expected one of") as caught:
        deserialize(safetensors({"a": entry("?", [1], 0, 1)}))
    assert list(BITS) == re.findall("`([A-Z0-9_]+)`", str(caught.value))
    for dtype, bits in BITS.items():
        content = safetensors({"a": entry(dtype, [8], 0, bits)}, bytes(bits))
        assert deserialize(content)[0][1]["dtype"] == dtype


def test_entries_in_any_order_with_spaces(tmp_path):
    path = tmp_path / "x.safetensors"
    text = (
        '{ "b" :\t{ "data_offsets" : [ 8 , 12 ] , "shape":[ 1 ],"dtype" : "F32" } ,\n'
        '"__metadata__" : { "k" : "v" , "l":"" },'
        '"a":{"shape":[],"dtype":"F64","data_offsets":[0,8]},'
        '"empty":{"shape":[0,7],"dtype":"F16","data_offsets":[8,8]}}\n \t\r'
    )
    path.write_bytes(safetensors(text, bytes(12)))
    header = read(path)
    assert header.tensors == {
        "a": TensorInfo("a", "F64", (), 0, 8),
        "empty": TensorInfo("empty", "F16", (0, 7), 8, 8),
        "b": TensorInfo("b", "F32", (1,), 8, 12),
    }
    assert list(header.tensors) == ["a", "empty", "b"]
    assert header.metadata == {"k": "v", "l": ""}
    assert header.data_start == 8 + len(text)


@pytest.mark.parametrize("text", ["{}", "{}     ", "{ }", '{"__metadata__":{}}'])
def test_no_tensors(tmp_path, text):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors(text))
    assert read(path).tensors == {}


@pytest.mark.parametrize(
    "name", ["a/b", "two\nlines", "😀", "n" * 4096, 'q"\\', "\x7f\x01", "é", ""]
)
def test_odd_names(tmp_path, name):  # 53
    content = save({name: np.ones((2, 3), np.float32)})
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert list(read(path).tensors) == [name] == [pair[0] for pair in deserialize(content)]


def test_escaped_names(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors({"😀\n/é": entry("U8", [0], 0, 0)}))
    assert list(read(path).tensors) == ["😀\n/é"]


@pytest.mark.parametrize("step", [1, 1000, 65_531])
def test_tokens_across_the_window(tmp_path, step):
    """A header of several windows, with strings that end anywhere in them."""
    path = tmp_path / "x.safetensors"
    metadata = {f"key {i}": '\\é"' * (i * step % 70_000) for i in range(40)}
    tensors = {f"{'n' * (i % 50)}{i}": entry("U8", [i % 3], 0, 0) for i in range(9000)}
    at = 0
    for value in tensors.values():
        value["data_offsets"] = [at, at := at + value["shape"][0]]
    path.write_bytes(safetensors({"__metadata__": metadata, **tensors}, bytes(at)))
    header = read(path)
    assert header.metadata == metadata
    assert set(header.tensors) == set(tensors)


def test_reserve_pads_with_spaces():
    info = TensorInfo("a", "F32", (1,), 0, 4)
    shortest = dump_header({"a": info}, {})
    longer = dump_header({"a": info}, {}, reserve=len(shortest) + 64)
    assert longer[8:] == shortest[8:] + b" " * 64
    assert int.from_bytes(longer[:8], "little") == len(longer) - 8
    for reserve in (len(shortest) - 8, len(shortest) + 4):
        with pytest.raises(ValueError, match="does not fit"):
            dump_header({"a": info}, {}, reserve)


def test_metadata_is_sorted():
    assert b'{"__metadata__":{"a":"1","b":"2"}}' in dump_header({}, {"b": "2", "a": "1"})


def test_names_that_cannot_be_written():
    for name in ("__metadata__", "\ud800"):
        with pytest.raises(BadInput):
            dump_header({name: TensorInfo(name, "U8", (0,), 0, 0)}, {})
    with pytest.raises(BadInput, match="split it"):
        dump_header({}, {"k": "v" * 100_000_000})


def test_unknown_dtypes_come_last():
    infos = [TensorInfo(d, d, (), 0, 0) for d in ("Q9", "BOOL", "F64", "U64")]
    assert list(order_tensors(infos)) == ["U64", "F64", "BOOL", "Q9"]
