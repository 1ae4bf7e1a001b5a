"""A safetensors file of tensors that are made row by row, beside copied ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.atomic import AtomicFile, OpenFile
from embcompress.artifact.form import KEY
from embcompress.export.base import Job
from embcompress.tables.base import TILE
from embcompress.tables.header import TensorInfo, dump_header, order_tensors, tensor_info
from embcompress.threads import ordered

_PIECE = 2**24


@dataclass(frozen=True)
class RowTensor:
    """A tensor that is made a few rows at a time.

    Args:
        name: Its name.
        dtype: Its safetensors dtype.
        shape: Its shape, rows first.
        rows: Gives the rows ``start … stop - 1``, C-contiguous; any thread may ask.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    rows: Callable[[int, int], NDArray[Any]]


def write_tensors(job: Job, made: Iterable[RowTensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file of made tensors and, for a whole artifact, its copied ones.

    Args:
        job: The export.
        made: The tensors to make.
        metadata: Entries of the header beside those of the source.
    """
    by_name = {tensor.name: tensor for tensor in made}
    infos = [tensor_info(t.name, t.dtype, t.shape) for t in by_name.values()]
    if job.whole:
        infos += job.artifact.passed.values()
    placed = order_tensors(infos)
    own = {k: v for k, v in job.artifact.metadata.items() if k != KEY}
    header = dump_header(placed, own | metadata)
    with AtomicFile(job.output) as file:
        file.reserve(len(header) + sum(info.nbytes for info in placed.values()))
        file.write_at(0, header)
        for info in placed.values():
            at = len(header) + info.begin
            if info.name in by_name:
                write_rows(job, by_name[info.name], file, at)
            else:
                _copy(job, info, file, at)
        file.commit()


def write_rows(job: Job, tensor: RowTensor, file: OpenFile, at: int) -> None:
    """Write the rows of a tensor from an offset of a file on."""
    count = tensor.shape[0]
    width = tensor_info(tensor.name, tensor.dtype, tensor.shape).nbytes // max(count, 1)

    def one(start: int) -> int:
        stop = min(start + TILE, count)
        raw = np.ascontiguousarray(tensor.rows(start, stop)).reshape(-1).view(np.uint8)
        file.write_at(at + start * width, raw.data)
        return stop - start

    with job.progress.stage("exporting", count) as stage:
        for done in ordered(one, range(0, count, TILE), job.threads):
            stage.advance(done)


def _copy(job: Job, info: TensorInfo, file: OpenFile, at: int) -> None:
    for begin in range(0, info.nbytes, _PIECE):
        piece = bytearray(min(_PIECE, info.nbytes - begin))
        job.artifact.files.read_into(info.name, memoryview(piece), begin)
        file.write_at(at + begin, piece)
