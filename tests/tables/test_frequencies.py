"""Frequencies from every form of file, and their refusals."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from embcompress.errors import BadInput, UsageError
from embcompress.tables.frequencies import check_frequencies, read_frequencies

ONE = {"emb": 3}
TWO = {"user": 2, "item": 3}


@pytest.mark.parametrize(
    "dtype", ["u1", "<i4", ">i8", "u8", "f2", "<f4", ">f8", ml_dtypes.bfloat16], ids=str
)
def test_arrays(tmp_path, dtype):
    counts = np.array([5, 0, 2], dtype)
    save_file({"emb": counts, "other": np.ones(9)}, tmp_path / "f.safetensors")
    paths = [tmp_path / "f.safetensors"]
    if dtype != ml_dtypes.bfloat16:
        np.save(tmp_path / "f.npy", counts)
        paths.append(tmp_path / "f.npy")
    for path in paths:
        found = read_frequencies(path, ONE)
        assert list(found) == ["emb"]
        assert found["emb"].dtype == np.float64
        np.testing.assert_array_equal(found["emb"], [5, 0, 2])


@pytest.mark.parametrize("text", ["5\n0\n2\n", "5\n0\n2", "5.0\r\n 0e3 \r\n2e0\r\n"])
def test_text(tmp_path, text):
    (tmp_path / "f.txt").write_text(text, newline="")
    np.testing.assert_array_equal(read_frequencies(tmp_path / "f.txt", ONE)["emb"], [5, 0, 2])


def test_long_text(tmp_path):
    values = np.random.default_rng(0).random(100_000)
    np.savetxt(tmp_path / "f.csv", values, fmt="%.17g")
    found = read_frequencies(tmp_path / "f.csv", {"emb": len(values)})
    np.testing.assert_array_equal(found["emb"], values)


def test_two_tables(tmp_path):
    save_file({"item": np.arange(3), "user": np.ones(2)}, tmp_path / "f.safetensors")
    found = read_frequencies(tmp_path / "f.safetensors", TWO)
    assert {name: list(values) for name, values in found.items()} == {
        "user": [1, 1],
        "item": [0, 1, 2],
    }


def test_no_rows(tmp_path):
    np.save(tmp_path / "f.npy", np.ones(0))
    assert read_frequencies(tmp_path / "f.npy", {"emb": 0})["emb"].shape == (0,)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 2.0], "has 2 frequencies for table 'emb', which has 3 rows"),
        ([1, 2, 3, 4], "has 4 frequencies"),
        ([1.0, -0.5, -2.0], r"row 1 of table 'emb' has -0.5 \(2 such rows\)"),
        ([1.0, 2.0, np.nan], "row 2 of table 'emb' has nan"),
        ([np.inf, 2.0, 1.0], "row 0 of table 'emb' has inf"),
        ([0, 0, 0], "all 3 frequencies of table 'emb' are 0"),
        ([[1.0], [2.0], [3.0]], r"'emb' have shape \(3, 1\)"),
        (1.0, r"'emb' have shape \(\)"),
    ],
)
def test_refused_values(tmp_path, values, words):  # 54
    np.save(tmp_path / "f.npy", np.array(values))
    save_file({"emb": np.array(values)}, tmp_path / "f.safetensors")
    for path in (tmp_path / "f.npy", tmp_path / "f.safetensors"):
        with pytest.raises(UsageError, match=f"{path.name}: .*{words}"):
            read_frequencies(path, ONE)
    with pytest.raises(UsageError, match=f"^frequencies: .*{words}"):
        check_frequencies(np.array(values), 3, "emb")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n2\n", "has 2 frequencies"),
        ("1\n2\n3\n4\n", "has 4 frequencies"),
        ("1\nmany\n3\n", r"line 2 \(row 1 of table 'emb'\) is 'many', not a number"),
        ("1\n\n3\n", "line 2 .* is '', not a number"),
        ("1\n-2\n3\n", "row 1 of table 'emb' has -2"),
        ("1\nnan\n3\n", "row 1 of table 'emb' has nan"),
        ("1 2 3\n", "line 1 .* is '1 2 3'"),
        ("1" * 300_000, "a line of more than 1,000 bytes"),
    ],
)
def test_refused_text(tmp_path, text, words):
    (tmp_path / "f.txt").write_text(text)
    with pytest.raises(UsageError, match=words):
        read_frequencies(tmp_path / "f.txt", ONE)


def test_bare_lists_and_missing_tables(tmp_path):
    (tmp_path / "f.txt").write_text("1\n2\n")
    np.save(tmp_path / "f.npy", np.ones(2))
    for path in (tmp_path / "f.txt", tmp_path / "f.npy"):
        with pytest.raises(UsageError, match=r"one bare list .* 2 tables \('user', 'item'\)"):
            read_frequencies(path, TWO)
    save_file({"user": np.ones(2), "itme": np.ones(3)}, tmp_path / "f.safetensors")
    with pytest.raises(
        UsageError, match=r"no frequencies for table 'item'; its tensors are .*'itme'"
    ):
        read_frequencies(tmp_path / "f.safetensors", TWO)


def test_damaged_files(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read_frequencies(tmp_path / "none.npy", ONE)
    (tmp_path / "f.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(BadInput, match="damaged"):
        read_frequencies(tmp_path / "f.npy", ONE)
