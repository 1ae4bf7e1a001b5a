"""Keys of the few rows that a report names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.reader import Artifact
from embcompress.errors import BadInput
from embcompress.report.details import Details
from embcompress.tables.header import TensorInfo
from embcompress.tables.keys import KEYS, Keys, read_keys, vocabulary
from embcompress.tables.source import Source

_MOST_BYTES = 2**26
"""Of keys, and of their lengths; more are not read for a report."""

_LONGEST = 200


def with_source_keys(details: Details | None, source: Source, name: str, n: int) -> Details | None:
    """Details with the keys of their rows, where the source has any.

    Args:
        details: Of a table.
        source: What it was read from.
        name: The table.
        n: Its rows.
    """

    def raw(tensor: str) -> NDArray[np.uint8]:
        info = source.tensors[tensor]
        return np.frombuffer(source.read_raw(info, 0, info.nbytes), np.uint8)

    def find() -> Keys | None:
        found = read_keys(source.tensors, raw, name, n, str(source.shown))
        if found is None and source.files is not None:
            found = vocabulary(source.files.folder, n)
        return found

    return _with_keys(details, source.tensors, name, n, find)


def with_artifact_keys(details: Details | None, artifact: Artifact, name: str) -> Details | None:
    """Details with the keys of their rows, where the artifact has any.

    Args:
        details: Of a table.
        artifact: What holds it.
        name: The table.
    """
    n = artifact[name].shape[0]
    return _with_keys(details, artifact.tensors, name, n, lambda: artifact.row_keys(name))


def _with_keys(
    details: Details | None,
    tensors: Mapping[str, TensorInfo],
    name: str,
    n: int,
    find: Callable[[], Keys | None],
) -> Details | None:
    info = tensors.get(name + KEYS)
    if details is None or 8 * n > _MOST_BYTES or (info and info.nbytes > _MOST_BYTES):
        return details
    try:
        keys = find()
    except BadInput:  # a tensor of that name that holds something else
        return details
    if keys is None:
        return details
    rows = details.rows
    named = zip(rows, keys.of(rows), strict=True)
    return replace(details, keys={str(row): key[:_LONGEST] for row, key in named})
