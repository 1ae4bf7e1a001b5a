"""How much a loss feels the columns of tables, read from a side file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput, UsageError
from embcompress.tables.base import Table
from embcompress.tables.fields import Fields
from embcompress.tables.header import FLOATS
from embcompress.tables.memory import ArrayTable
from embcompress.tables.quoting import listed, quoted
from embcompress.tables.source import Source, why_no_table

FILLS = ("mean", "zero")
"""What dropped columns hold, as a file of saliency records it."""


@dataclass(frozen=True)
class Gradients:
    """What is known of the gradients of one table: the saliency of its fields, or of each row.

    Args:
        where: The file, for messages.
        table: The table's name.
        fill: What dropped columns hold in the saliency; None where the file records nothing.
        saliency: float64 [fields, D], gradients by a mask on each column of each field, summed over
            batches as magnitudes or squares.
        rows: The gradient of every row, [n, D]; in place of the saliency.
    """

    where: str
    table: str
    fill: str | None = None
    saliency: NDArray[np.float64] | None = None
    rows: Table | None = None

    def of_field(self, field: int) -> Gradients:
        """Those of one field, whose saliency is [1, D]."""
        if self.saliency is None:
            return self
        return replace(self, saliency=self.saliency[field : field + 1])


def read_gradients(
    source: Source, shapes: Mapping[str, tuple[int, int]], fields: Mapping[str, Fields]
) -> dict[str, Gradients]:
    """Read the gradients of tables.

    Args:
        source: A safetensors file of 2-D floats keyed by table name (others are ignored), or an
            .npy file for a single table: saliency [fields, D], or gradients of rows [n, D], which
            are read when they are needed, in tiles. A table with as many fields as rows has
            saliency. Metadata may say the ``fill`` (mean or zero) and, as JSON, the ``fields``,
            {table: sizes}.
        shapes: (n, D) of each table, by name.
        fields: Fields of each table; a table that is missing is one field.

    Raises:
        UsageError: A table is missing from the file, or the file was collected for other fields.
        BadInput: A tensor has another shape, is not of floats, or holds NaN or infinity, or the
            metadata says what cannot be.
        IOFailure: The file cannot be read.
    """
    names = _names(source, list(shapes))
    fill = source.metadata.get("fill")
    if fill is not None and fill not in FILLS:
        raise BadInput(f"{source.shown}: records fill {fill!r:.60}, which is not mean or zero")
    recorded = _recorded_sizes(source)
    found = {}
    for name, (n, d) in shapes.items():
        sizes = [stop - start for start, stop in fields.get(name, {}).values()] or [n]
        if recorded.get(name, sizes) != sizes:
            raise UsageError(
                f"{source.shown}: was collected for fields of {_sizes(recorded[name])} rows of"
                f" table {quoted(name)}, but here they have {_sizes(sizes)}; --fields must be the"
                " same"
            )
        info = source.tensors[names[name]]
        if info.dtype not in FLOATS:
            raise BadInput(f"{source.shown}: {quoted(name)} {why_no_table(info)}, not gradients")
        _check_shape(info.shape, (n, d), len(sizes), source.shown, name)
        if info.shape[0] == len(sizes):
            values = source.read_tensor(names[name]).astype(np.float64)
            saliency = _checked(values, source.shown, name)
            found[name] = Gradients(source.shown, name, fill, saliency)
        else:
            found[name] = Gradients(source.shown, name, fill, rows=source.table(names[name]))
    return found


def gradients_of(array: NDArray[Any], name: str, shape: tuple[int, int], fields: int) -> Gradients:
    """Gradients of a table that are an array in memory.

    Args:
        array: Floats, [fields, D] or [n, D].
        name: The table.
        shape: Its rows n and columns D.
        fields: How many fields it has.

    Raises:
        UsageError: It is no 2-D array of floats.
        BadInput: It has another shape or holds NaN or infinity.
    """
    table = ArrayTable(array, name)
    _check_shape(table.shape, shape, fields, "gradients", name)
    if table.shape[0] != fields:
        return Gradients("gradients", name, rows=table)
    values = _checked(table.read(0, fields).astype(np.float64), "gradients", name)
    return Gradients("gradients", name, saliency=values)


def _names(source: Source, tables: list[str]) -> dict[str, str]:
    """The tensor of each table."""
    if source.kind == "npy":
        if len(tables) != 1:
            raise UsageError(
                f"{source.shown}: is one bare array of gradients, but there are {len(tables)}"
                f" tables ({listed(tables)}); give a safetensors file with one tensor for each"
            )
        return {tables[0]: next(iter(source.tensors))}
    missing = [name for name in tables if name not in source.tensors]
    if missing:
        raise UsageError(
            f"{source.shown}: has no gradients for table {listed(missing)}; its tensors are "
            f"{listed(list(source.tensors)) or 'none'}"
        )
    return {name: name for name in tables}


def _recorded_sizes(source: Source) -> dict[str, Any]:
    text = source.metadata.get("fields")
    if text is None:
        return {}
    try:
        recorded = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{source.shown}: the fields that it records are no JSON") from error
    if not isinstance(recorded, dict):
        raise BadInput(f"{source.shown}: the fields that it records are no object by table name")
    return recorded


def _sizes(sizes: Any) -> str:
    text = str(sizes)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _check_shape(
    found: tuple[int, ...], table: tuple[int, int], fields: int, where: str, name: str
) -> None:
    n, d = table
    if found in ((fields, d), (n, d)):
        return
    hint = "; --fields says where its fields are" if fields == 1 and found[1:] == (d,) else ""
    raise BadInput(
        f"{where}: those of table {quoted(name)} have shape {list(found)}, not [{fields}, {d}]"
        f" (field{'s' * (fields != 1)} by columns) or [{n}, {d}] (rows by columns){hint}"
    )


def _checked(values: NDArray[np.float64], where: str, name: str) -> NDArray[np.float64]:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        field, column = bad[0].tolist()
        raise BadInput(
            f"{where}: field {field} of table {quoted(name)} has {values[field, column]} in column"
            f" {column}; a saliency is finite"
        )
    return values
