"""Every bad file is refused: one named error, quickly, in little memory."""

from __future__ import annotations

import os
import random
import time
import tracemalloc
import warnings

import numpy as np
import pytest
from safetensors.numpy import save

from embcompress.errors import BadInput, EmbcompressError, IOFailure, UsageError
from embcompress.tables.source import open_source

from .bad_inputs import CASES, FOLDER_CASES
from .making import entry, npy, npy_header, read_everything, safetensors


def refuse(path, words, error=BadInput):
    """Check that reading a file is refused in time and memory, and what the message says."""
    begin = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(EmbcompressError) as caught:
            read_everything(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < 2
    assert peak < 50e6
    message = str(caught.value)
    assert type(caught.value) is error, message
    for word in (path.name, *words):
        assert word in message
    assert len(message) < 1000
    assert message.count("\n") <= 1


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_refused(case, tmp_path):
    path = tmp_path / case.file
    path.write_bytes(case.content)
    refuse(path, case.words)


@pytest.mark.parametrize("case", FOLDER_CASES, ids=[case.id for case in FOLDER_CASES])
def test_folder_refused(case, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.safetensors").write_bytes(
        safetensors({"emb": entry("F32", [2, 2], 0, 16)}, bytes(16))
    )
    for name, content in case.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    for name, target in case.links:
        (folder / name).symlink_to(target)
    refuse(folder, case.words)


def test_numbers_of_the_table_are_all_there():
    assert {case.number for case in FOLDER_CASES} >= {14, 15, 16, 17, 18, 20}
    assert {case.number for case in CASES} >= {*range(1, 14), 21, 22, 23, 25, 28, 29, 30, 39, 40}


def test_unknown_dtype_is_kept_and_refused_when_selected(tmp_path):  # 13
    path = tmp_path / "q.safetensors"
    tensors = {"emb": entry("F8_E4M3", [2, 3], 0, 6), "new": entry("Q9", [5], 6, 9)}
    path.write_bytes(safetensors(tensors, b"abcdefghi"))
    with open_source(path) as source:
        assert not source.tensors["emb"].readable
        assert source.read_raw(source.tensors["new"], 1, 3) == b"hi"
        for name in tensors:
            with pytest.raises(BadInput, match="cannot be read"):
                source.read_tensor(name)
        with pytest.raises(BadInput, match="F8_E4M3, which cannot be read"):
            source.table("emb")
    refuse(path, ["no table to compress"], UsageError)


@pytest.mark.parametrize("filling", [b" ", b"[", b'"', b"\\", b'{"a":', b'{},"":'])
def test_a_full_header_of_one_thing(tmp_path, filling):  # 5, 6
    path = tmp_path / "full.safetensors"
    with open(path, "wb") as file:
        file.write((99_999_996).to_bytes(8, "little") + b"{")
        block = filling * (1_000_000 // len(filling))
        for _ in range(99):
            file.write(block)
        file.truncate(8 + 99_999_996)
    refuse(path, [])


def test_missing_file(tmp_path):
    refuse(tmp_path / "none.npy", ["no such file"])
    (tmp_path / "file").write_bytes(b"x")
    refuse(tmp_path / "file" / "below.npy", ["no such file"])
    with pytest.raises(BadInput, match="no such file"):
        open_source("nul\0byte.npy")


def test_directory_and_pipe(tmp_path):
    refuse(tmp_path, ["is an empty folder"])
    os.mkfifo(tmp_path / "pipe.npy")
    refuse(tmp_path / "pipe.npy", ["not a regular file"])


def test_permission(tmp_path, monkeypatch):
    path = tmp_path / "emb.npy"
    np.save(path, np.ones((2, 3)))

    def denied(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    refuse(path, ["Permission denied"], IOFailure)


def test_path_with_a_newline_stays_on_one_line(tmp_path):
    path = tmp_path / "two\nlines.npy"
    path.write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        open_source(path)
    assert "\n" not in str(caught.value)


def valid_files():
    tensors = {"user_emb": np.ones((3, 4), np.float32), "bias": np.ones(5, np.float16)}
    yield "emb.safetensors", save(tensors, {"format": "np"})
    yield "emb.npy", npy(npy_header().ljust(53), np.ones((2, 3), np.float32).tobytes())


@pytest.mark.parametrize(("name", "content"), list(valid_files()))
def test_flipped_bits_and_cuts_give_success_or_refusal(tmp_path, name, content):
    path = tmp_path / name
    draw = random.Random(7)
    accepted = 0
    for _ in range(3000):
        damaged = bytearray(content)
        for _ in range(draw.choice([0, 1, 1, 2, 8])):
            at = draw.randrange(len(damaged))
            damaged[at] = draw.choice([damaged[at] ^ 1 << draw.randrange(8), *b'{}[]",:09'])
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                read_everything(path)
                accepted += 1
            except (BadInput, UsageError):
                pass
    assert 100 < accepted < 2900
