"""Files that must be refused, as data: what is in them, and what the refusal says.

The numbers are those of the project's table of bad inputs.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from .making import entry, npy, npy_header, safetensors


@dataclass(frozen=True)
class Case:
    """One bad file; every refusal is a BadInput that names the file and holds all the words."""

    number: int
    what: str
    file: str
    content: bytes
    words: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.number}-{self.what.replace(' ', '-')}"


@dataclass(frozen=True)
class FolderCase:
    """A bad folder of a model; every refusal is a BadInput that holds all the words."""

    number: int
    what: str
    files: dict[str, bytes]
    words: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        return f"{self.number}-{self.what.replace(' ', '-')}"


def _saved(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _st(number: int, what: str, content: bytes, *words: str) -> Case:
    return Case(number, what, "emb.safetensors", content, words)


def _npy(number: int, what: str, content: bytes, *words: str) -> Case:
    return Case(number, what, "emb.npy", content, words)


_A = entry("F32", [2, 2], 0, 16)
_FLOATS = bytes(24)
_BELLY = '{"emb":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}'

CASES = [
    _st(1, "empty", b"", "empty"),
    _npy(1, "empty npy", b"", "empty"),
    _st(2, "seven bytes", b"\x10\0\0\0\0\0\0", "7 bytes"),
    _st(2, "eight zero bytes", bytes(8), "does not start with '{'"),
    _st(3, "length 2 to the 63", safetensors({}, length=1 << 63), "9,223,372,036,854,775,808"),
    _st(3, "length 2 to the 64", safetensors({}, length=(1 << 64) - 1), "header", "limit"),
    _st(4, "length over 100 MB", safetensors({}, length=100_000_001), "100,000,001", "limit"),
    _st(5, "truncated header", safetensors({"emb": _A})[:40], "truncated"),
    _st(5, "only a length", safetensors(b"", length=50), "truncated"),
    _st(5, "name not UTF-8", safetensors(b'{"\xff":1}'), "byte 10", "UTF-8"),
    _st(5, "lone surrogate", safetensors(r'{"a\ud800":{}}'), "UTF-8"),
    _st(5, "no brace", safetensors(b'["emb"]'), "'{'"),
    _st(5, "space before brace", safetensors(b' {"emb": 1}'), "'{'"),
    _st(5, "unclosed", safetensors(_BELLY, bytes(16)), "is missing in the header"),
    _st(5, "unclosed name", safetensors('{"emb'), "never ends"),
    _st(5, "bytes after brace", safetensors(_BELLY + "}\0", bytes(16)), "closing"),
    _st(5, "comma at the end", safetensors(_BELLY + ",}", bytes(16)), "name", "missing"),
    _st(5, "no comma", safetensors('{"a":{} "b":{}}'), "dtype, shape and data_offsets"),
    _st(5, "no colon", safetensors('{"a" {}}'), "':'"),
    _st(5, "control character", safetensors(b'{"a\n":{}}'), "character"),
    _st(5, "wrong escape", safetensors(rb'{"a\x":{}}'), "escape"),
    _st(5, "NaN in shape", safetensors('{"a":{"dtype":"F32","shape":[NaN]}}'), "'a'", "shape"),
    _st(6, "deep lists", safetensors('{"a":' + "[" * 200_000), "'a'", "not an object"),
    _st(6, "deep objects", safetensors('{"a":' * 200_000), "'a'", "dtype"),
    _st(6, "deep shape", safetensors('{"a":{"dtype":"F32","shape":' + "[" * 200_000), "shape"),
    _st(6, "deep metadata", safetensors('{"__metadata__":' + '{"a":' * 200_000), "not a string"),
    _st(7, "two tensors of a name", safetensors(f"{_BELLY},{_BELLY[1:]}}}", bytes(16)), "'emb'"),
    _st(
        7,
        "two shapes",
        safetensors('{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', bytes(4)),
        "shape appears twice",
    ),
    _st(7, "two metadata", safetensors('{"__metadata__":{},"__metadata__":{}}'), "twice"),
    _st(7, "two metadata keys", safetensors('{"__metadata__":{"k":"","k":""}}'), "'k'", "twice"),
    _st(
        8,
        "overlap",
        safetensors({"a": _A, "b": entry("F32", [2, 2], 8, 24)}, _FLOATS),
        "'b'",
        "overlaps",
        "data byte 8",
    ),
    _st(8, "same span", safetensors({"a": _A, "b": _A}, bytes(16)), "'b'", "overlaps"),
    _st(
        8,
        "empty tensor inside another",
        safetensors({"a": _A, "b": entry("F32", [0], 8, 8)}, bytes(16)),
        "'b'",
        "overlaps",
    ),
    _st(
        9,
        "hole",
        safetensors({"a": _A, "b": entry("F32", [2], 20, 28)}, bytes(28)),
        "'b'",
        "hole",
    ),
    _st(9, "hole at the start", safetensors({"a": entry("F32", [1], 4, 8)}, bytes(8)), "hole"),
    _st(9, "tail", safetensors({"emb": _A}, bytes(17)), "1 bytes follow"),
    _st(9, "tail without tensors", safetensors({}, bytes(3)), "3 bytes follow"),
    _st(9, "data cut", safetensors({"emb": _A}, bytes(15)), "'emb'", "truncated", "16"),
    _st(10, "span too long", safetensors({"emb": entry("F32", [2, 2], 0, 20)}, bytes(20)), "'emb'"),
    _st(10, "half a byte", safetensors({"q": entry("F4", [3], 0, 1)}, bytes(1)), "'q'", "F4"),
    _st(10, "offsets reversed", safetensors({"a": entry("F32", [0], 4, 0)}, bytes(4)), "'a'"),
    _st(10, "three offsets", safetensors({"a": {**_A, "data_offsets": [0, 1, 2]}}), "two numbers"),
    _st(10, "no offsets", safetensors({"a": {"dtype": "F32", "shape": [0]}}), "missing"),
    _st(10, "another key", safetensors({"a": {**_A, "x": 1}}, bytes(16)), "'a'", "keys"),
    _st(10, "no entry", safetensors({"a": {}}), "'a'", "keys"),
    _st(10, "entry a list", safetensors({"a": ["F32", [1], [0, 4]]}, bytes(4)), "not an object"),
    _st(
        11,
        "product beyond 64 bits",
        safetensors({"emb": entry("F32", [1 << 40, 1 << 40], 0, 16)}, bytes(16)),
        "'emb'",
        "1099511627776",
    ),
    _st(
        11,
        "product wraps to the span",
        safetensors({"emb": entry("U8", [1 << 63, 2, 3], 0, 0)}),
        "'emb'",
    ),
    _st(11, "offsets beyond 64 bits", safetensors({"a": entry("X", [1], 0, 1 << 70)}), "truncated"),
    _st(11, "40 digits", safetensors({"a": entry("F32", [10**39] * 64, 0, 4)}), "(64 numbers)"),
    _st(11, "41 digits", safetensors({"a": entry("F32", [10**40], 0, 4)}), "shape"),
    _st(11, "65 dimensions", safetensors({"a": entry("F32", [1] * 65, 0, 4)}), "more than 64"),
    _st(
        11, "negative extent", safetensors({"a": entry("F32", [-1, 2], 0, 8)}), "'a'", "at least 0"
    ),
    _st(11, "negative offset", safetensors({"a": entry("F32", [1], -4, 0)}), "data_offsets"),
    _st(11, "truth value", safetensors({"a": entry("F32", [True], 0, 4)}), "integers"),
    _st(11, "fraction", safetensors({"a": entry("F32", [1.0], 0, 4)}), "integers"),
    _st(11, "exponent", safetensors('{"a":{"dtype":"F32","shape":[1e2]}}'), "integers"),
    _st(11, "leading zero", safetensors('{"a":{"dtype":"F32","shape":[01]}}'), "integers"),
    _st(11, "text", safetensors({"a": entry("F32", ["1"], 0, 4)}), "integers"),
    _st(11, "comma in shape", safetensors('{"a":{"dtype":"F32","shape":[1,]}}'), "integers"),
    _st(12, "metadata number", safetensors({"__metadata__": {"format": 1}}), "'format'", "string"),
    _st(12, "metadata null", safetensors({"__metadata__": None}), "__metadata__", "strings"),
    _st(12, "metadata object", safetensors({"__metadata__": {"a": {}}}), "'a'", "string"),
    _st(13, "dtype a number", safetensors({"a": {**_A, "dtype": 4}}, bytes(16)), "dtype"),
    _st(13, "dtype with spaces", safetensors({"a": {**_A, "dtype": "F 32"}}, bytes(16)), "dtype"),
    _st(53, "tensor called metadata", safetensors({"__metadata__": _A}, bytes(16)), "__metadata__"),
    _st(53, "name of 70 KB", safetensors({"n" * 70_000: _A}, bytes(16)), "more than 65,536 bytes"),
    _st(53, "reserved name", safetensors({"emb::rows": _A}, bytes(16)), "emb::rows", "reserved"),
    _st(
        53,
        "artifact",
        safetensors({"__metadata__": {"embcompress": "{}"}, "emb": _A}, bytes(16)),
        "compressed already",
    ),
    _npy(21, "objects", _saved(np.array([[{}, 1]], object)), "objects", "unpickl", "never"),
    _npy(21, "objects with a bomb", npy(npy_header("'|O'"), b"cos\nsystem\n(S'x'\ntR."), "objects"),
    _npy(22, "10^12 rows", npy(npy_header(shape="(1000000000000, 64)"), bytes(64)), "truncated"),
    _npy(22, "beyond 64 bits", npy(npy_header(shape=f"({1 << 70}, 4)")), "truncated", "F32"),
    _npy(22, "64 huge extents", npy(npy_header(shape=f"({('9' * 40 + ',') * 64})")), "dimensions"),
    _npy(22, "65 dimensions", npy(npy_header(shape=f"({'1,' * 65})"), bytes(4)), "more than 64"),
    _npy(23, "data cut", _saved(np.ones((4, 3), np.float32))[:-1], "truncated", "47 bytes"),
    _npy(23, "header cut", _saved(np.ones((4, 3), np.float32))[:60], "ends inside"),
    _npy(23, "magic only", b"\x93NUMPY", "ends inside"),
    _npy(23, "no length", b"\x93NUMPY\x01\x00", "ends inside"),
    _npy(23, "version 9", npy(npy_header(), _FLOATS, version=9), "version 9.0"),
    _npy(23, "length beyond the file", npy("{}", version=2, length=9_999), "ends inside"),
    _npy(23, "not a literal", npy("[1, 2]"), "descr"),
    _npy(23, "code", npy("__import__('os').system('true')"), "descr"),
    _npy(23, "deep", npy("-" * 9_990 + "1"), "descr"),
    _npy(23, "key twice", npy(npy_header().replace("fortran_order", "descr")), "descr"),
    _npy(23, "another key", npy(npy_header().replace("}", "'x': 1}"), _FLOATS), "descr"),
    _npy(23, "a key missing", npy("{'descr': '<f4', 'shape': (2, 3)}", _FLOATS), "fortran_order"),
    _npy(23, "shape a list", npy(npy_header(shape="[2, 3]"), _FLOATS), "shape"),
    _npy(23, "shape text", npy(npy_header(shape="'2'"), _FLOATS), "shape a tuple"),
    _npy(23, "shape negative", npy(npy_header(shape="(-2, 3)"), _FLOATS), "shape"),
    _npy(23, "commas in shape", npy(npy_header(shape="(2,, 3)"), _FLOATS), "integers"),
    _npy(23, "fortran a number", npy(npy_header(fortran="1"), _FLOATS), "fortran_order"),
    _npy(23, "no type", npy(npy_header("'<q9'"), _FLOATS), "'<q9'"),
    _npy(23, "float of 3 bytes", npy(npy_header("'<f3'"), _FLOATS), "long doubles"),
    _npy(23, "not UTF-8", npy(b"\xff" + npy_header().encode(), _FLOATS, version=3), "UTF-8"),
    _npy(25, "header of 10,001 bytes", npy(npy_header().ljust(10_001), _FLOATS), "10,001"),
    _npy(25, "header of 4 GB", npy(npy_header(), version=2, length=(1 << 32) - 1), "10,000"),
    _npy(28, "records", _saved(np.zeros(2, [("a", "f4"), ("b", "f4", 3)])), "structured"),
    _npy(28, "subarrays", npy(npy_header("('<f4', (3,))"), _FLOATS), "structured"),
    _npy(28, "complex", _saved(np.zeros((2, 3), complex)), "complex"),
    _npy(28, "booleans", _saved(np.zeros((2, 3), bool)), "booleans"),
    _npy(28, "strings", _saved(np.zeros((2, 3), "U4")), "strings"),
    _npy(28, "byte strings", _saved(np.zeros((2, 3), "S4")), "byte strings"),
    _npy(28, "dates", _saved(np.zeros((2, 3), "M8[s]")), "dates"),
    _npy(28, "raw", _saved(np.zeros((2, 3), "V2")), "bfloat16", "safetensors"),
    _npy(28, "long doubles", _saved(np.zeros((2, 3), np.longdouble)), "long doubles"),
    _npy(29, "integers", _saved(np.zeros((2, 3), np.int64)), "I64", "cast it to float first"),
    _npy(29, "bytes", _saved(np.zeros((2, 3), np.uint8)), "U8", "cast it to float first"),
    _npy(30, "0-D", _saved(np.float32(1)), "0 dimensions"),
    _npy(30, "1-D", _saved(np.ones(3, np.float32)), "1 dimension;"),
    _npy(30, "3-D", _saved(np.ones((2, 3, 4), np.float32)), "3 dimensions"),
    _npy(31, "npz", _zipped(**{"emb.npy": _saved(np.ones((2, 3), np.float32))}), ".npz"),
    _st(32, "torch", _zipped(**{"archive/data.pkl": pickle.dumps([])}), "torch", ".safetensors"),
    _st(32, "pickle", pickle.dumps({"a": 1}, protocol=2), "pickle", "never unpickled"),
    _st(39, "gzip", gzip.compress(safetensors({"emb": _A}, bytes(16))), "gzip", "gunzip"),
    _npy(39, "gzip npy", gzip.compress(_saved(np.ones((2, 3)))), "gzip"),
    _npy(39, "zip", _zipped(readme=b"hello"), "zip"),
    _st(39, "HTML", b"<!DOCTYPE html>\n<html><body>404</body></html>", "HTML"),
    _npy(39, "XML error", b"<?xml version='1.0'?><Error>AccessDenied</Error>", "HTML"),
    _npy(39, "CSV", b"id,a,b\n1,0.5,0.25\n", "text", "CSV"),
    _st(39, "GloVe", b"the 0.418 0.24968 -0.41242\n, 0.013441 0.23682\n", "text"),
    _st(39, "JSON", json.dumps({"weight_map": {}}).encode(), "JSON"),
    _st(39, "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
    _st(39, "Parquet", b"PAR1" + bytes(20), "Parquet"),
    _st(39, "faiss", b"IxF2" + bytes(40), "faiss"),
    _npy(39, "noise", bytes(range(128, 160)), "neither", "80 81 82"),
    _npy(
        40, "LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git lfs pull"
    ),
]

_ONE = "model-00001-of-00002.safetensors"
_TWO = "model-00002-of-00002.safetensors"
_INDEX = "model.safetensors.index.json"


def _matrix(*names: str, rows: int = 2, dtype: str = "F32", **metadata: str) -> bytes:
    size = rows * 2 * {"F32": 4, "F16": 2}[dtype]
    entries = {n: entry(dtype, [rows, 2], size * i, size * (i + 1)) for i, n in enumerate(names)}
    return safetensors({"__metadata__": metadata, **entries}, bytes(size * len(names)))


def _index(**weight_map: Any) -> bytes:
    return json.dumps({"metadata": {"total_size": 32}, "weight_map": weight_map}).encode()


def _rows(offsets: Any, rows: int = 2, dtype: str = "F32", name: str = "emb") -> bytes:
    """A file as torch's writer of row shards makes it."""
    info = offsets if isinstance(offsets, str) else json.dumps({name: {"saved_offsets": offsets}})
    return _matrix(name, rows=rows, dtype=dtype, DCP_SHARDING_INFO=info, DCP_VERSION="1.0")


def _folder(number: int, what: str, files: dict[str, bytes], *words: str) -> FolderCase:
    return FolderCase(number, what, files, words)


_SHARD_1 = "shard-00001-model-00001-of-00001.safetensors"
_SHARD_2 = "shard-00002-model-00001-of-00001.safetensors"
_BOTH = {_ONE: _matrix("emb"), _TWO: _matrix("head")}

FOLDER_CASES = [
    _folder(14, "shard missing", {_INDEX: _index(emb=_ONE, head=_TWO), _ONE: _matrix("emb")},
            "1 of its 2 shards", _TWO),
    _folder(14, "all shards missing", {_INDEX: _index(emb=_ONE, head=_TWO)}, _ONE, _TWO),
    _folder(15, "tensor in no shard", {**_BOTH, _INDEX: _index(emb=_ONE, head=_TWO, tail=_TWO)},
            "'tail'", _TWO, "lacks it"),
    _folder(15, "tensor in another shard", {**_BOTH, _INDEX: _index(emb=_TWO, head=_ONE)},
            "'emb'", "lacks it", f"'{_ONE}' has it"),
    _folder(16, "climbing", {_INDEX: _index(emb="../emb.safetensors")}, "../emb", "below"),
    _folder(16, "climbing inside", {_INDEX: _index(emb="a/../../emb.safetensors")}, "below"),
    _folder(16, "absolute", {_INDEX: _index(emb="/etc/passwd")}, "/etc/passwd", "below"),
    _folder(16, "backslash", {_INDEX: _index(emb="..\\emb.safetensors")}, "below"),
    _folder(16, "zero byte", {_INDEX: _index(emb="a\0b")}, "below"),
    _folder(16, "empty name", {_INDEX: _index(emb="")}, "below"),
    FolderCase(16, "link out of the folder", {_INDEX: _index(emb=_ONE)}, ("link", "out", _ONE),
               links=((_ONE, "../outside.safetensors"),)),
    FolderCase(16, "single file a link out", {}, ("link", "out"),
               links=(("model.safetensors", "../outside.safetensors"),)),
    _folder(17, "value an object", {_INDEX: _index(emb={"file": _ONE})}, "'emb'", "not a string"),
    _folder(17, "value a number", {_INDEX: _index(emb=1)}, "'emb'", "not a string"),
    _folder(17, "no weight map", {_INDEX: b'{"metadata": {}}'}, "no weight_map"),
    _folder(17, "weight map a list", {_INDEX: b'{"weight_map": []}'}, "weight_map", "object"),
    _folder(17, "weight map empty", {_INDEX: b'{"weight_map": {}}'}, "weight_map"),
    _folder(17, "not JSON", {_INDEX: b"weights"}, _INDEX, "not an object"),
    _folder(17, "cut", {_INDEX: _index(emb=_ONE)[:-3], **_BOTH}, "damaged JSON"),
    _folder(17, "tail", {_INDEX: _index(emb=_ONE, head=_TWO) + b"x", **_BOTH}, "follows its end"),
    _folder(17, "deep", {_INDEX: b'{"metadata": {"a": ' + b"[" * 300_000}, "damaged JSON"),
    _folder(17, "not UTF-8", {_INDEX: b'{"weight_map": {"\xff": "a"}}'}, "UTF-8"),
    _folder(17, "half a pair", {_INDEX: b'{"weight_map": {"\\ud800": "a"}}'}, "surrogate"),
    _folder(18, "in two shards", {_ONE: _matrix("emb"), _TWO: _matrix("emb", "head"),
                                  _INDEX: _index(emb=_ONE, head=_TWO)}, "'emb'", "two shards"),
    _folder(18, "twice in the index", {
        _INDEX: f'{{"weight_map": {{"emb": "{_ONE}", "emb": "{_TWO}"}}}}'.encode(), **_BOTH,
    }, "'emb'", "twice"),
    _folder(18, "no index", _BOTH, "no index", _ONE, _TWO),
    _folder(20, "gap", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows([3, 0])},
            "'emb'", "rows 2 to 2", "no file", "missing"),
    _folder(20, "first rows missing", {_SHARD_1: _rows([2, 0]), _SHARD_2: _rows([4, 0])},
            "rows 0 to 1", "no file"),
    _folder(20, "overlap", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows([1, 0])},
            "rows 1 to 1", "two files", _SHARD_1, _SHARD_2),
    _folder(20, "same rows", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows([0, 0])}, "rows 0 to 1"),
    _folder(20, "columns", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows([0, 2])},
            "sharded by columns", "consolidate_safetensors_files"),
    _folder(20, "dtypes differ", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows([2, 0], dtype="F16")},
            "F32 [2, 2]", "F16 [2, 2]"),
    _folder(20, "offsets of one dimension", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows([2])},
            "2 dimensions", "of 1"),
    _folder(20, "negative offset", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows([-1, 0])}, "integers"),
    _folder(20, "offsets text", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows("2")}, "not an object"),
    _folder(20, "offsets deep", {_SHARD_1: _rows([0, 0]), _SHARD_2: _rows("{" * 9999)}, "damaged"),
    _folder(20, "a file of another kind", {_SHARD_1: _rows([0, 0]), _TWO: _matrix("head")},
            "no index"),
    _folder(39, "shard an HTML page", {_INDEX: _index(emb=_ONE), _ONE: b"<html></html>"}, "HTML"),
    _folder(40, "shard an LFS pointer", {
        _INDEX: _index(emb=_ONE), _ONE: b"version https://git-lfs.github.com/spec/v1\noid x\n",
    }, "git lfs pull"),
    _folder(14, "distributed checkpoint", {".metadata": b"\x80\x02", "__0_0.distcp": b"PK"},
            "pickle", "HuggingFaceStorageWriter"),
    _folder(14, "torch files", {"pytorch_model.bin": b"PK"}, "embcompress convert"),
    _folder(14, "weights further down", {"0_StaticEmbedding/model.safetensors": _matrix("emb")},
            "further down", "0_StaticEmbedding"),
    _folder(14, "no weights", {"config.json": b"{}"}, "without .safetensors"),
    _folder(14, "two indices", {"a.safetensors.index.json": b"{}", "b.safetensors.index.json": b""},
            "2 indices"),
]  # fmt: skip
