"""Dense tables in safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from embcompress.export.base import Job, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embcompress.artifact.table import CompressedTable


@dataclass(frozen=True, kw_only=True)
class Safetensors(Target):
    """The tables restored in the source's dtypes, beside its other tensors.

    ``embcompress restore`` does the same, and shards.
    """

    name = "safetensors"
    about = "the restored tables in the source's dtypes, and its other tensors"
    takes = "every table"
    example = "glove.q4.safetensors --to safetensors -o glove.dense.safetensors"
    suffixes = (".safetensors",)

    def check(self, job: Job) -> None:
        pass

    def write(self, job: Job) -> None:
        from embcompress.export.tensors import RowTensor, write_tensors

        made = [
            RowTensor(name, table.dtype, table.shape, partial(_rows, table))
            for name, table in job.tables.items()
        ]
        write_tensors(job, made, {})


def _rows(table: CompressedTable, start: int, stop: int) -> NDArray[Any]:
    from embcompress.pipeline.restore import narrowed

    return narrowed(table.read(start, stop), table.dtype)
