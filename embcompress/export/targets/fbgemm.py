"""Fused rows for PyTorch's quantized bags and FBGEMM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from embcompress.errors import UsageError
from embcompress.export.base import Job, Target
from embcompress.export.sides import TAKES, Alignment, ScaleSide

if TYPE_CHECKING:
    from embcompress.artifact.table import CompressedTable
    from embcompress.export.fused import FusedRows


@dataclass(frozen=True, kw_only=True)
class Fbgemm(Target):
    """A tensor U8 [N, bytes of a row] of a table's name: codes, scale and bias fused in a row.

    Torch's quantized bags and FBGEMM's operators decode it to our rows, up to the last bit of a
    float32 where they multiply and add in one step. The header says bits and columns.
    """

    name = "fbgemm"
    about = "safetensors of fused rows: codes, scale and bias side by side"
    takes = TAKES
    example = "glove.q4.safetensors --to fbgemm --scale-side tail -o glove.fbgemm.safetensors"
    suffixes = (".safetensors",)

    scale_side: ScaleSide = None
    row_alignment: Alignment = None

    def preflight(self) -> None:
        if self.scale_side not in ("head", "tail"):
            raise UsageError(
                "--to fbgemm wants --scale-side tail, for torch.ops.quantized.embedding_bag_* and"
                " FBGEMM's Fused*Rowwise operators, or head, for its table-batched inference"
            )

    def check(self, job: Job) -> None:
        for table in job.tables.values():
            self._rows(table)

    def write(self, job: Job) -> None:
        from embcompress.export.tensors import RowTensor, write_tensors

        side, alignment = self.scale_side, self.row_alignment or 1
        assert side is not None
        made, metadata = [], {}
        for name, table in job.tables.items():
            rows = self._rows(table)
            shape = (table.shape[0], rows.row_bytes(side, alignment))
            read = partial(rows.fused, side=side, alignment=alignment)
            made.append(RowTensor(name, "U8", shape, read))
            metadata[f"{name}.rows"] = (
                f"{table.shape[1]} columns of {rows.bits} bits, scale at the {side}"
            )
        write_tensors(job, made, metadata)

    def _rows(self, table: CompressedTable) -> FusedRows:
        from embcompress.export.fused import FusedRows

        assert self.scale_side is not None
        refuse = partial(self.refuse, table)
        rows = FusedRows.of(table, refuse)
        rows.check_numbers(self.scale_side, refuse)
        return rows
