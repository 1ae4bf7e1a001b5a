"""Back to dense tables, in the source's dtype."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.atomic import AtomicFile, check_target
from embcompress.artifact.form import KEY
from embcompress.artifact.reader import Artifact
from embcompress.artifact.table import CompressedTable
from embcompress.errors import UsageError
from embcompress.kernels.halves import to_bfloat
from embcompress.progress import Progress
from embcompress.tables.base import tile_rows
from embcompress.tables.header import dump_header, order_tensors, tensor_info
from embcompress.tables.npy import write_npy_header
from embcompress.tables.weights import ITEM_BYTES
from embcompress.threads import ordered

_PIECE = 2**24


def restore(
    path: Path, output: Path, table: str | None, *, force: bool, threads: int, progress: Progress
) -> None:
    """Write the dense tables of an artifact.

    Args:
        path: The artifact.
        output: ``.npy`` for one table, ``.safetensors`` for all tables and copied tensors.
        table: The one table to restore; needed for ``.npy`` when there are several.
        force: Whether an existing output is replaced.
        threads: Cores to use.
        progress: Told of stages and rows.

    Raises:
        UsageError: An output of another kind, an unknown table, or several tables for ``.npy``.
        BadInput: A damaged artifact.
        IOFailure: The system refuses.
    """
    check_target(output, force=force, inputs=(path,))
    if output.suffix not in (".npy", ".safetensors"):
        raise UsageError(f"{output}: restore writes .npy or .safetensors")
    with Artifact(path, threads=threads) as artifact:
        names = [pick_table(artifact, table).name] if table else list(artifact)
        if output.suffix == ".npy":
            if len(names) != 1:
                raise UsageError(
                    f"{output}: an .npy holds one table; choose with --table from {names}"
                )
            _write_npy(artifact[names[0]], output, threads, progress)
        else:
            _write_safetensors(artifact, names, output, threads, progress, whole=table is None)


def pick_table(artifact: Artifact, name: str | None) -> CompressedTable:
    """A table by name, or the only one.

    Raises:
        UsageError: No such table, or several and no name.
    """
    if name is None:
        if len(artifact) != 1:
            raise UsageError(f"{artifact.path}: choose with --table from {list(artifact)}")
        return next(iter(artifact.values()))
    if name not in artifact:
        raise UsageError(f"{artifact.path}: no table '{name}'; it has {list(artifact)}")
    return artifact[name]


def _write_npy(table: CompressedTable, output: Path, threads: int, progress: Progress) -> None:
    header = write_npy_header(table.shape, table.dtype)
    with AtomicFile(output) as file:
        file.reserve(len(header) + _dense_bytes(table))
        file.write_at(0, header)
        _write_rows(table, file, len(header), threads, progress)
        file.commit()


def _write_safetensors(
    artifact: Artifact,
    names: list[str],
    output: Path,
    threads: int,
    progress: Progress,
    *,
    whole: bool,
) -> None:
    infos = [tensor_info(n, artifact[n].dtype, artifact[n].shape) for n in names]
    if whole:
        infos += artifact.passed.values()
    placed = order_tensors(infos)
    metadata = {k: v for k, v in artifact.header.metadata.items() if k != KEY}
    header = dump_header(placed, metadata)
    with AtomicFile(output) as file:
        file.reserve(len(header) + sum(info.nbytes for info in placed.values()))
        file.write_at(0, header)
        for info in placed.values():
            at = len(header) + info.begin
            if info.name in names:
                _write_rows(artifact[info.name], file, at, threads, progress)
            else:
                raw = artifact.raw(info.name)
                for begin in range(0, len(raw), _PIECE):
                    file.write_at(at + begin, raw[begin : begin + _PIECE].data)
        file.commit()


def _dense_bytes(table: CompressedTable) -> int:
    return table.shape[0] * table.shape[1] * ITEM_BYTES[table.dtype]


def _write_rows(
    table: CompressedTable, file: AtomicFile, at: int, threads: int, progress: Progress
) -> None:
    n, d = table.shape
    height = tile_rows(d)
    width = d * ITEM_BYTES[table.dtype]

    def one(start: int) -> int:
        stop = min(start + height, n)
        stored = narrowed(table.read(start, stop), table.dtype)
        file.write_at(at + start * width, stored.reshape(-1).view(np.uint8).data)
        return stop - start

    with progress.stage("restoring", n) as stage:
        for count in ordered(one, range(0, n, height), threads):
            stage.advance(count)


def narrowed(rows: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Rows in a source's dtype; values beyond its range become its largest.

    Args:
        rows: float32 [b, D], finite.
        dtype: F16, BF16, F32 or F64.

    Returns:
        float16, uint16 (the bits of bfloat16), float32 or float64 [b, D].
    """
    if dtype == "BF16":
        return to_bfloat(rows)
    if dtype == "F16":
        return np.clip(rows, -65504, 65504).astype("<f2")
    return rows.astype("<f4" if dtype == "F32" else "<f8", copy=False)
