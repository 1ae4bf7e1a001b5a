"""A compressed table as modules hold it: shared by copies, known to operators by a number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from embcompress.artifact.arrays import table_from_arrays
from embcompress.artifact.form import DTYPES, MARK, dtype_name
from embcompress.artifact.table import CompressedTable
from embcompress.errors import BadInput

FORM = MARK + "form"
"""What follows a table's name in the name of the tensor that describes the others."""

_numbers = count()
_by_number: WeakValueDictionary[int, Held] = WeakValueDictionary()


class Held:
    """A compressed table that never changes.

    Copies of a module share it. Pickled, it carries all its bytes as tensors, so that processes
    started by PyTorch find them in shared memory.

    Attributes:
        table: The table.
        number: Names it to operators of this process.
    """

    def __init__(self, table: CompressedTable) -> None:
        self.table = table
        self.number = next(_numbers)
        self._sent: dict[str, Any] | None = None
        _by_number[self.number] = self

    @classmethod
    def find(cls, number: int) -> Held:
        """The table of a number."""
        return _by_number[number]

    def tensors(self) -> dict[str, Any]:
        """Every byte of the table: tensors by what follows the table's name in their names.

        Those in memory are shared, not copied; ``::form`` describes the others. Unsigned numbers
        of several bytes are signed ones there: PyTorch saves them in files it cannot load.
        """
        table = self.table
        found, unsigned = {}, {}
        for name, array in table.tensors().items():
            own, suffix = _own(array), name.removeprefix(table.name)
            if own.dtype.kind == "u" and own.itemsize > 1:
                unsigned[suffix] = dtype_name(own)
                own = own.view(f"i{own.itemsize}")
            found[suffix] = torch.from_numpy(own)
        values = {"name": table.name, "unsigned": unsigned, **table.form.json()}
        text = json.dumps(values, sort_keys=True).encode()
        return found | {FORM: torch.from_numpy(np.frombuffer(text, np.uint8).copy())}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any], where: str) -> Held:
        """The table that ``tensors`` gave; its values may be hostile.

        Raises:
            BadInput: A tensor is missing, left over or malformed.
        """
        arrays = {k: v.detach().cpu().contiguous().numpy() for k, v in tensors.items()}
        try:
            values = json.loads(arrays.pop(FORM).tobytes())
            name = values.pop("name")
            for suffix, dtype in values.pop("unsigned").items():
                unsigned = np.dtype(DTYPES[dtype])
                if unsigned.kind != "u" or unsigned.itemsize != arrays[suffix].itemsize:
                    raise BadInput(f"{where}: '{suffix}' is not {dtype}")
                arrays[suffix] = arrays[suffix].view(unsigned)
        except (KeyError, ValueError, RecursionError, AttributeError, TypeError) as error:
            raise BadInput(f"{where}: '{FORM}' is missing or malformed") from error
        if not isinstance(name, str):
            raise BadInput(f"{where}: '{FORM}' is malformed")
        named = {name + suffix: array for suffix, array in arrays.items()}
        return cls(table_from_arrays(name, values, named, where))

    def __deepcopy__(self, memo: dict[int, Any]) -> Held:
        return self

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # kept: a tensor in shared memory is gone when its sender lets go of it
        self._sent = self._sent or self.tensors()
        return Held.from_tensors, (self._sent, f"table '{self.table.name}'")


def in_memory(table: CompressedTable) -> CompressedTable:
    """A table with all its bytes in memory, checked against its file's checksums."""
    arrays = {name: _own(array) for name, array in table.tensors().items()}
    form = table.form
    return table_from_arrays(form.name, form.json(), arrays, f"table '{form.name}'", table.threads)


def _own(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy of one that lies in a file: a tensor may be written to."""
    kept = array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative
    return array if kept else np.array(array, array.dtype.newbyteorder("="), order="C")
