"""Files that convert must refuse, as data: rows 31 to 39 of the table of bad inputs."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from .making import npy, npy_header

BAD, USAGE = 3, 2


@dataclass(frozen=True)
class Conversion:
    """One bad file, the exit code, and words of its one line."""

    number: int
    what: str
    file: str
    content: bytes
    words: tuple[str, ...]
    code: int = BAD

    @property
    def id(self) -> str:
        return f"{self.number}-{self.what.replace(' ', '-')}"


class Runs:
    """An object whose pickle would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch /tmp/embcompress-was-here",)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def saved(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def torch_file(state: Any) -> bytes:
    """A .pt file as torch.save lays it out, of any object."""
    return zipped({"archive/data.pkl": pickle.dumps(state, 2), "archive/version": b"3\n"},
                  zipfile.ZIP_STORED)  # fmt: skip


def text(number: int, what: str, content: bytes, *words: str) -> Conversion:
    return Conversion(number, what, "glove.txt", content, words)


def npz(number: int, what: str, members: dict[str, bytes], *words: str) -> Conversion:
    return Conversion(number, what, "t.npz", zipped(members), words)


def binary(n: int, d: int, rows: int, tail: bytes = b"") -> bytes:
    row = b" " + np.arange(d, dtype="<f4").tobytes() + b"\n"
    return b"%d %d\n" % (n, d) + b"".join(b"w%d" % i + row for i in range(rows)) + tail


LINES = b"".join(b"w%d 0.5 -1.5 2.5\n" % i for i in range(50))
_VECS = (struct.pack("<i", 3) + np.ones(3, "<f4").tobytes()) * 4

CONVERSIONS = [
    npz(31, "bomb", {"emb.npy": saved(np.zeros((40_000, 64), np.float32))}, "'emb'", "expands",
        "100 times"),
    npz(31, "objects", {"emb.npy": saved(np.array([{}, 1], object))}, "objects", "unpickl"),
    npz(31, "no array", {"readme.npy": b"hello"}, "'readme'", "no array"),
    npz(31, "member cut", {"emb.npy": saved(np.ones((4, 3), np.float32))[:-5]}, "'emb'",
        "truncated"),
    npz(31, "10^12 rows", {"emb.npy": npy(npy_header(shape="(1000000000000, 64)"), bytes(64))},
        "'emb'", "truncated"),
    npz(31, "strings", {"emb.npy": saved(np.zeros(3, "U4"))}, "strings"),
    npz(31, "nothing", {"a/": b"", "b.npy": b""}, "'b'", "no array"),
    Conversion(31, "archive cut", "t.npz", zipped({"a.npy": saved(np.ones(99))})[:-30],
               ("damaged archive",)),
    Conversion(31, "checksum wrong", "t.npz",
               zipped({"a.npy": saved(np.ones((50, 4), np.float32))}, zipfile.ZIP_STORED).replace(
                   b"\0\0\x80?\0\0\x80?", b"\0\0\x80?\0\0\x80>", 1), ("damaged archive",)),
    Conversion(31, "other zip", "t.npz", zipped({"readme": b"hello"}), ("without arrays",)),
    Conversion(32, "code", "model.pt", torch_file({"emb": Runs()}),
               ("could run code", "not loaded")),
    Conversion(32, "code in an old file", "model.pt", pickle.dumps({"emb": Runs()}, 2),
               ("could run code",)),
    Conversion(32, "no tensors", "model.pt", torch_file({"epoch": 3}), ("no tensors",)),
    Conversion(32, "cut", "model.pt", torch_file({"epoch": 3})[:-40], ("damaged",)),
    Conversion(32, "gzip", "model.pt", b"\x1f\x8b\x08" + bytes(40), ("gzip", "gunzip")),
    Conversion(34, "faiss with a huge ntotal", "t.index",
               b"IxFI" + struct.pack("<iqqqbi", 64, 1 << 60, 1 << 20, 1 << 20, 1, 1),
               ("faiss index", "as .npy")),
    text(36, "short row", LINES + b"the 1 2\n" + LINES, "line 51", "2 numbers where others have 3"),
    text(36, "long row", LINES + b"the 0.25 1 2 3\n" + LINES, "line 51", "more than 3 numbers",
         "the 0.25"),
    text(36, "nan", LINES + b"the 1 nan 3\n", "line 51", "'nan'", "finite"),
    text(36, "inf", LINES + b"the 1 -inf 3\n", "line 51", "'-inf'"),
    text(36, "beyond float32", LINES + b"the 1 1e39 3\n", "line 51", "beyond float32"),
    text(36, "a word", LINES + b"the 1 two 3\n", "line 51", "'two'"),
    text(36, "underscore", LINES + b"the 1 1_000 3\n", "line 51", "'1_000'"),
    text(36, "hexadecimal", LINES + b"the 1 0x10 3\n", "line 51", "'0x10'"),
    text(36, "comma", LINES + b"the 1 1,5 3\n", "line 51", "'1,5'"),
    text(36, "git", LINES + b"<<<<<<< HEAD\n" + LINES, "line 51", "conflict marker of git"),
    text(36, "git ours", LINES + b"=======\n" + LINES, "line 51", "conflict marker of git"),
    text(36, "empty line", LINES + b"\n" + LINES, "line 51", "empty"),
    text(36, "no token", LINES + b"1 2 3\n", "line 51"),
    text(36, "CSV", b"id,a,b\n1,0.5,0.25\n", "no word vectors", "id,a,b"),
    text(36, "prose", b"It was the best of times,\nit was the worst of times\n", "no word vectors"),
    text(36, "words alone", b"the\nof\nand\n", "no word vectors"),
    text(37, "header too large", b"60 3\n" + LINES, "announces 60 rows", "has 50"),
    text(37, "header too small", b"40 3\n" + LINES, "announces 40 rows", "has 50"),
    text(37, "dimension too large", b"50 4\n" + LINES, "rows of 4", "have 3"),
    Conversion(37, "binary header too large", "w.bin", binary(9, 4, 7) + bytes(60),
               ("7 of the 9 rows",)),
    Conversion(37, "binary header huge", "w.bin", binary(10**14, 4, 7), ("announces", "hold")),
    Conversion(37, "binary header too small", "w.bin", binary(5, 4, 7), ("goes on", "5 rows")),
    Conversion(37, "binary of no columns", "w.bin", b"5 0\n" + bytes(range(256)), ("announces",)),
    Conversion(37, "binary with NaN", "w.bin",
               binary(2, 4, 1) + b"x " + np.full(4, np.nan, "<f4").tobytes() + b"\n",
               ("row 1", "NaN")),
    Conversion(37, "fvecs cut", "t.fvecs", _VECS[:-1], ("no whole rows",)),
    Conversion(37, "fvecs of two dimensions", "t.fvecs",
               _VECS + struct.pack("<i", 2) + bytes(12), ("row 4", "dimension 2")),
    Conversion(37, "fvecs negative", "t.fvecs", struct.pack("<i", -3) * 4, ("no whole rows",)),
    Conversion(37, "fvecs empty", "t.fvecs", b"", ("empty",)),
    Conversion(37, "fbin cut", "t.fbin", struct.pack("<II", 4, 3) + bytes(47), ("56 bytes",)),
    Conversion(37, "fbin huge", "t.fbin", struct.pack("<II", 2**32 - 1, 2**32 - 1), ("damaged",)),
    Conversion(39, "gzip", "glove.txt", b"\x1f\x8b\x08" + bytes(40), ("gzip", "gunzip")),
    Conversion(39, "HTML", "glove.txt", b"<html><body>404", ("HTML",)),
    Conversion(40, "LFS", "model.pt", b"version https://git-lfs.github.com/spec/v1\n",
               ("lfs pull",)),
    Conversion(39, "fastText model", "wiki.bin", b"\xba\x16\x4f\x2f\x0c" + bytes(60), (".vec",)),
    Conversion(39, "Parquet cut", "t.parquet", b"PAR1" + bytes(30), ("Parquet",)),
    Conversion(39, "noise", "t.dat", bytes(range(128, 160)) * 9, ("neither",)),
    Conversion(39, "needs none", "t.npy", saved(np.ones((3, 2))), ("as it is",), USAGE),
]  # fmt: skip
