"""The state dict of TorchRec's quantized embedding bags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from embcompress.errors import UsageError
from embcompress.export.base import Job, Target
from embcompress.export.sides import TAKES, Alignment, ScaleSide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embcompress.artifact.table import CompressedTable
    from embcompress.export.fused import FusedRows


@dataclass(frozen=True, kw_only=True)
class Torchrec(Target):
    """``embedding_bags.T.weight`` of a ``torchrec.quant.EmbeddingBagCollection``.

    With ``--scale-side head`` fused rows, filled up to 16 bytes as its modules have them; with
    ``split`` the codes, ``weight_qscale`` and ``weight_qbias``, fp16 [N, 1]. Names that end in
    ``.weight`` are kept; a table ``T`` becomes ``embedding_bags.T.weight``. At 4 and 2 bits its
    modules wrap the bytes: ``UInt4Tensor(loaded)``, ``UInt2Tensor(loaded)``.
    """

    name = "torchrec"
    about = "safetensors of a quantized EmbeddingBagCollection's state dict"
    takes = TAKES
    example = "model.q8.safetensors --to torchrec --scale-side split -o model.rec.safetensors"
    suffixes = (".safetensors",)

    scale_side: ScaleSide = None
    row_alignment: Alignment = None

    def preflight(self) -> None:
        if self.scale_side not in ("head", "split"):
            raise UsageError(
                "--to torchrec wants --scale-side head, for the fused weight of its modules, or"
                " split, for weight, weight_qscale and weight_qbias"
            )
        if self.scale_side == "split" and self.row_alignment is not None:
            raise UsageError("--row-alignment goes with --scale-side head")

    def check(self, job: Job) -> None:
        for table in job.tables.values():
            self._rows(table)

    def write(self, job: Job) -> None:
        from embcompress.export.tensors import RowTensor, write_tensors

        made = []
        for name, table in job.tables.items():
            rows = self._rows(table)
            weight = name if name.endswith(".weight") else f"embedding_bags.{name}.weight"
            n = table.shape[0]
            if self.scale_side == "head":
                alignment = self.row_alignment or 16
                read = partial(rows.fused, side="head", alignment=alignment)
                shape = (n, rows.row_bytes("head", alignment))
                made.append(RowTensor(weight, "U8", shape, read))
            else:
                made += [
                    RowTensor(weight, "U8", (n, rows.packed_bytes), partial(_part, rows, 0)),
                    RowTensor(f"{weight}_qscale", "F16", (n, 1), partial(_part, rows, 1)),
                    RowTensor(f"{weight}_qbias", "F16", (n, 1), partial(_part, rows, 2)),
                ]
        write_tensors(job, made, {})

    def _rows(self, table: CompressedTable) -> FusedRows:
        from embcompress.export.fused import FusedRows

        refuse = partial(self.refuse, table)
        rows = FusedRows.of(table, refuse)
        rows.check_numbers("head", refuse)
        return rows


def _part(rows: FusedRows, number: int, start: int, stop: int) -> NDArray[Any]:
    """Codes, scales or biases of some rows."""
    part = rows.read(start, stop)[number]
    return part if number == 0 else part[:, None].astype("<f2")
