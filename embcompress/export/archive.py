"""A numpy archive of restored tables, written a tile at a time."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from embcompress.artifact.atomic import AtomicFile
from embcompress.artifact.form import DTYPES
from embcompress.artifact.table import CompressedTable
from embcompress.errors import UsageError
from embcompress.export.base import Job
from embcompress.pipeline.restore import narrowed
from embcompress.tables.base import TILE
from embcompress.tables.header import TensorInfo
from embcompress.threads import ordered

_NUMPY = {**DTYPES, "BF16": "<f4", "BOOL": "?", "C64": "<c8"}
_PIECE = 2**24


def check_dtypes(job: Job) -> None:
    """Refuse tensors that numpy has no dtype for.

    Raises:
        UsageError: Naming the first.
    """
    for info in _others(job):
        if info.dtype not in _NUMPY:
            raise UsageError(
                f"{job.artifact.path}: numpy has no dtype for '{info.name}', {info.dtype}; choose"
                " tables with --table"
            )


def write_archive(job: Job) -> None:
    """Write the tables, restored, and the artifact's other tensors."""
    with AtomicFile(job.output) as file:
        with (
            os.fdopen(os.dup(file.fd), "r+b") as opened,
            zipfile.ZipFile(opened, "w", zipfile.ZIP_STORED) as archive,
        ):
            for name, table in job.tables.items():
                dtype = "<f4" if table.dtype == "BF16" else _NUMPY[table.dtype]
                _add(archive, name, dtype, table.shape, _rows(job, table))
            for info in _others(job):
                pieces = _pieces(job, info)
                _add(archive, info.name, _NUMPY[info.dtype], info.shape, pieces)
        file.commit()


def _others(job: Job) -> list[TensorInfo]:
    return list(job.artifact.passed.values()) if job.whole else []


def _add(
    archive: zipfile.ZipFile,
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    pieces: Iterator[NDArray[Any]],
) -> None:
    """Write one array; without a date, so that equal arrays give equal bytes."""
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
        _write_header(entry, dtype, shape)
        for piece in pieces:
            entry.write(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)


def _write_header(entry: IO[bytes], dtype: str, shape: tuple[int, ...]) -> None:
    descr = np.dtype(dtype).str
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(entry, fields)


def _rows(job: Job, table: CompressedTable) -> Iterator[NDArray[Any]]:
    n = table.shape[0]
    dtype = "F32" if table.dtype == "BF16" else table.dtype

    def one(start: int) -> NDArray[Any]:
        return narrowed(table.read(start, min(start + TILE, n)), dtype)

    with job.progress.stage("exporting", n) as stage:
        for rows in ordered(one, range(0, n, TILE), job.threads):
            yield rows
            stage.advance(len(rows))


def _pieces(job: Job, info: TensorInfo) -> Iterator[NDArray[Any]]:
    for begin in range(0, info.nbytes, _PIECE):
        piece = np.empty(min(_PIECE, info.nbytes - begin), np.uint8)
        job.artifact.files.read_into(info.name, piece.data, begin)
        if info.dtype == "BF16":
            yield (piece.view("<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            yield piece
