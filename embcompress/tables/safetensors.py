"""Tables that live in a safetensors file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.tables.base import Table
from embcompress.tables.file import SourceFile
from embcompress.tables.header import TensorInfo
from embcompress.tables.weights import ITEM_BYTES, read_weights


class SafetensorsTable(Table):
    """A 2-D float tensor of a safetensors file."""

    def __init__(self, file: SourceFile, info: TensorInfo, data_start: int) -> None:
        """Describe the table.

        Args:
            file: The open file.
            info: A checked tensor of shape [n, d] and dtype F16, BF16, F32 or F64.
            data_start: Offset of the file's data section, in bytes.
        """
        n, d = info.shape
        super().__init__(info.name, file.path, (n, d), info.dtype)
        self._file = file
        self._begin = data_start + info.begin

    def _read_rows(self, start: int, rows: NDArray[np.float32]) -> None:
        offset = self._begin + start * self.shape[1] * ITEM_BYTES[self.dtype]
        read_weights(self._file, offset, self.dtype, rows.reshape(-1))

    def unchanged(self) -> None:
        """Check the file; see ``Table.unchanged``."""
        self._file.unchanged()


def read_raw(file: SourceFile, data_start: int, info: TensorInfo, start: int, stop: int) -> bytes:
    """Read a range of a tensor's bytes as they are stored, to pass them through.

    Args:
        file: The open file.
        data_start: Offset of the file's data section, in bytes.
        info: The tensor, of any dtype.
        start: First byte, counted from the tensor's first.
        stop: One past the last byte, at most ``info.nbytes``.

    Raises:
        IndexError: The range is not within the tensor.
        IOFailure: The file ends early or cannot be read.
    """
    if not 0 <= start <= stop <= info.nbytes:
        raise IndexError(f"bytes {start} to {stop} of a tensor of {info.nbytes}")
    data = bytearray(stop - start)
    file.read_into(memoryview(data), data_start + info.begin + start)
    return bytes(data)
