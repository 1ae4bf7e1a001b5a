"""Encoded tiles that wait on disk."""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.stream import StreamPiece


class Spool:
    """Encoded tiles on disk, by their number."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._end = 0
        self._at: dict[int, tuple[int, int, int, NDArray[Any]]] = {}

    def put(self, number: int, piece: StreamPiece) -> None:
        """Keep a tile, instead of another of its number."""
        raw = piece.data.tobytes()
        os.pwrite(self._file.fileno(), raw, self._end)
        kind = np.uint8 if piece.classes.max(initial=0) < 256 else np.uint16
        self._at[number] = (self._end, len(raw), piece.bits, piece.classes.astype(kind))
        self._end += len(raw)

    def get(self, number: int) -> StreamPiece:
        """A tile; safe from several threads."""
        at, size, bits, classes = self._at[number]
        raw = os.pread(self._file.fileno(), size, at)
        return StreamPiece(classes.astype(np.int64), np.frombuffer(raw, np.uint8), bits)
