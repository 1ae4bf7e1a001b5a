"""Tables that live in safetensors files."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from embcompress.tables.base import Table
from embcompress.tables.checkpoint import Checkpoint
from embcompress.tables.header import TensorInfo
from embcompress.tables.weights import ITEM_BYTES, read_weights


class SafetensorsTable(Table):
    """A 2-D float tensor of a safetensors file, or of several that hold ranges of its rows."""

    def __init__(self, checkpoint: Checkpoint, info: TensorInfo) -> None:
        """Describe the table.

        Args:
            checkpoint: The open files.
            info: A checked tensor of shape [n, d] and dtype F16, BF16, F32 or F64.
        """
        n, d = info.shape
        super().__init__(info.name, checkpoint.path, (n, d), info.dtype)
        self._checkpoint = checkpoint
        self._pieces = checkpoint.pieces[info.name]
        self._rows = [piece.row for piece in self._pieces]

    def _read_rows(self, start: int, rows: NDArray[np.float32]) -> None:
        width = self.shape[1] * ITEM_BYTES[self.dtype]
        at = bisect_right(self._rows, start) - 1
        done = 0
        while done < len(rows):
            piece = self._pieces[at]
            within = start + done - piece.row
            some = rows[done : done + piece.nbytes // width - within]
            offset = piece.begin + within * width
            read_weights(piece.shard.file, offset, self.dtype, some.reshape(-1))
            done += len(some)
            at += 1

    def unchanged(self) -> None:
        """Check the files; see ``Table.unchanged``."""
        self._checkpoint.unchanged()
