"""The disk begins to write a file before its end."""

from __future__ import annotations

import os

import pytest

from embcompress.artifact import atomic


def test_a_long_file_is_sent_to_the_disk_on_the_way(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(atomic, "_SENT", 1000)
    monkeypatch.setattr(atomic, "_send", lambda fd: sizes.append(os.fstat(fd).st_size))
    with atomic.AtomicFile(tmp_path / "a") as file:
        for begin in range(0, 2400, 400):
            file.write_at(begin, bytes(400))
        file.commit()
    assert sizes == [1200, 2400]
    assert (tmp_path / "a").read_bytes() == bytes(2400)


@pytest.mark.parametrize("found", [True, False])
def test_sending_changes_nothing(found, tmp_path, monkeypatch):
    if not found:
        monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    with open(tmp_path / "a", "wb") as file:
        file.write(b"abc")
        file.flush()
        atomic._send(file.fileno())
    assert (tmp_path / "a").read_bytes() == b"abc"
