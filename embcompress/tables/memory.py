"""Tables that are arrays in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import UsageError
from embcompress.tables.base import Table
from embcompress.tables.quoting import quoted
from embcompress.tables.weights import to_float32

_DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}


class ArrayTable(Table):
    """A table over a numpy array, which is not copied and must not change meanwhile."""

    def __init__(self, array: NDArray[Any], name: str) -> None:
        """Describe the table.

        Args:
            array: [n, d] of float16, float32 or float64 in either byte order, or of ml_dtypes'
                bfloat16; any strides.
            name: The table's name.

        Raises:
            UsageError: It is not a 2-D array of such floats.
        """
        if not isinstance(array, np.ndarray):
            raise UsageError(f"table {quoted(name)}: {type(array).__name__} is not a numpy array")
        dtype = _DTYPES.get(array.dtype.name)
        if dtype is None:
            advice = "; cast it to float first" if array.dtype.kind in "iub" else ""
            raise UsageError(
                f"table {quoted(name)}: has dtype {array.dtype.name}; a table is float16, "
                f"bfloat16, float32 or float64{advice}"
            )
        if array.ndim != 2:
            raise UsageError(
                f"table {quoted(name)}: has {array.ndim} dimensions; a table has 2, rows by weights"
            )
        n, d = array.shape
        super().__init__(name, "memory", (n, d), dtype)
        self._stored = array.view(np.uint16) if dtype == "BF16" else array

    def _read_rows(self, start: int, rows: NDArray[np.float32]) -> None:
        to_float32(self._stored[start : start + len(rows)], rows)

    def unchanged(self) -> None:
        """Nothing to check: an array has no file."""
