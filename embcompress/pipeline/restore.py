"""Back to dense tables, in the source's dtype."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.atomic import (
    AtomicFile,
    AtomicFolder,
    OpenFile,
    check_folder,
    check_target,
)
from embcompress.artifact.form import KEY
from embcompress.artifact.layout import (
    INDEX_NAME,
    SHARD_BYTES,
    in_order,
    index_bytes,
    shard_names,
    split,
)
from embcompress.artifact.reader import Artifact, is_artifact_folder
from embcompress.artifact.table import CompressedTable
from embcompress.errors import UsageError
from embcompress.kernels.halves import to_bfloat
from embcompress.progress import Progress
from embcompress.tables.base import tile_rows
from embcompress.tables.folder import WEIGHTS, companions, is_index
from embcompress.tables.header import TensorInfo, dump_header, order_tensors, tensor_info
from embcompress.tables.npy import write_npy_header
from embcompress.tables.weights import ITEM_BYTES
from embcompress.threads import ordered

_PIECE = 2**24


def restore(
    path: Path,
    output: Path,
    table: str | None,
    *,
    force: bool,
    threads: int,
    progress: Progress,
    shard_bytes: int | None = None,
) -> None:
    """Write the dense tables of an artifact.

    Args:
        path: The artifact.
        output: ``.npy`` for one table, ``.safetensors`` for all tables and copied tensors, or a
            folder for the same in shards, with what else is in the artifact's folder.
        table: The one table to restore; needed for ``.npy`` when there are several.
        force: Whether an existing output is replaced.
        threads: Cores to use.
        progress: Told of stages and rows.
        shard_bytes: Most bytes of tensors in a file of a folder.

    Raises:
        UsageError: An output of another kind, an unknown table, or several tables for ``.npy``.
        BadInput: A damaged artifact.
        IOFailure: The system refuses.
    """
    folder = output.is_dir() or shard_bytes is not None
    if not folder and output.suffix not in (".npy", WEIGHTS):
        folder = path.is_dir() or is_index(path)
        if not folder:
            raise UsageError(f"{output}: restore writes .npy, .safetensors, or a folder of shards")
    if folder and (table is not None or output.suffix in (".npy", WEIGHTS)):
        raise UsageError(f"{output}: shards of a whole model make a folder; leave --table out")
    inputs = (path.parent if is_index(path) else path,)
    if folder:
        check_folder(output, force=force, ours=is_artifact_folder, inputs=inputs)
    else:
        check_target(output, force=force, inputs=inputs)
    with Artifact(path, threads=threads) as artifact:
        names = [pick_table(artifact, table).name] if table else list(artifact)
        if folder:
            _write_folder(artifact, output, shard_bytes or SHARD_BYTES, threads, progress)
        elif output.suffix == ".npy":
            if len(names) != 1:
                raise UsageError(
                    f"{output}: an .npy holds one table; choose with --table from {names}"
                )
            _write_npy(artifact[names[0]], output, threads, progress)
        else:
            infos = _dense(artifact, names, whole=table is None)
            with AtomicFile(output) as file:
                _write_safetensors(artifact, order_tensors(infos), file, threads, progress)
                file.commit()


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


def _dense(artifact: Artifact, names: list[str], *, whole: bool) -> list[TensorInfo]:
    """The tensors to write: tables, and what the source held beside them."""
    infos = [tensor_info(n, artifact[n].dtype, artifact[n].shape) for n in names]
    return [*infos, *artifact.passed.values()] if whole else infos


def _write_folder(
    artifact: Artifact, output: Path, shard_bytes: int, threads: int, progress: Progress
) -> None:
    infos = _dense(artifact, list(artifact), whole=True)
    extents = {info.name: (info.dtype, info.shape, info.nbytes) for info in infos}
    shards = [in_order(shard, {}) for shard in split(extents, shard_bytes)]
    with AtomicFolder(output) as folder:
        for name, placed in zip(shard_names(len(shards)), shards, strict=True):
            _write_safetensors(artifact, placed, folder.create(name), threads, progress)
        if index := index_bytes(shards):
            folder.create(INDEX_NAME).write_at(0, index)
        if artifact.files.files is not None:
            for name, inside in companions(artifact.files.files):
                if inside:
                    folder.copy(name, artifact.files.files.folder / name)
        folder.commit()


def _write_safetensors(
    artifact: Artifact,
    placed: Mapping[str, TensorInfo],
    file: OpenFile,
    threads: int,
    progress: Progress,
) -> None:
    metadata = {k: v for k, v in artifact.metadata.items() if k != KEY}
    header = dump_header(placed, metadata)
    file.reserve(len(header) + sum(info.nbytes for info in placed.values()))
    file.write_at(0, header)
    for info in placed.values():
        at = len(header) + info.begin
        if info.name in artifact:
            _write_rows(artifact[info.name], file, at, threads, progress)
        else:
            for begin in range(0, info.nbytes, _PIECE):
                piece = bytearray(min(_PIECE, info.nbytes - begin))
                artifact.files.read_into(info.name, memoryview(piece), begin)
                file.write_at(at + begin, piece)


def _dense_bytes(table: CompressedTable) -> int:
    return table.shape[0] * table.shape[1] * ITEM_BYTES[table.dtype]


def _write_rows(
    table: CompressedTable, file: OpenFile, at: int, threads: int, progress: Progress
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
