"""Rows of codes with their scale and bias, as PyTorch's quantized bags and FBGEMM keep them.

Codes lie two (4 bits) or four (2 bits) to a byte, the first in the lowest bits. Scale and bias
stand at the tail of a row (fp32 at 8 bits, else fp16), or at its head (fp16 always).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.table import CompressedTable
from embcompress.codecs.base import Codec
from embcompress.codecs.uniform import Uniform
from embcompress.export.sides import Side
from embcompress.kernels.bits import unpack_codes


@dataclass(frozen=True)
class FusedRows:
    """A table whose rows all have codes of one width, a scale and a bias.

    Args:
        table: The table.
        bits: 8, 4 or 2.
        half: Whether all scales and biases are fp16.
    """

    table: CompressedTable
    bits: int
    half: bool

    @classmethod
    def of(cls, table: CompressedTable, refuse: Callable[[str], Exception]) -> FusedRows:
        """A table as such rows.

        Args:
            table: The table.
            refuse: Makes the error of a reason.

        Raises:
            UsageError: What ``refuse`` made: rows of another form.
        """
        codecs = [segment.codec for segment in table.form.segments if segment.rows]
        d = table.shape[1]
        known = [c for c in codecs if isinstance(c, Uniform) and c.groups == 1]
        if not known or len(known) < len(codecs):
            other = next((c for c in codecs if c not in known), None)
            raise refuse(_why(other))
        (bits, *more) = {c.bits for c in known}
        if more:
            raise refuse(f"its rows have codes of {bits} and {more[0]} bits")
        if bits not in (8, 4, 2):
            raise refuse(f"its codes have {bits} bits")
        if d * bits % 8:
            raise refuse(f"{d} columns of {bits} bits do not fill whole bytes")
        return cls(table, bits, all(c.half for c in known))

    @property
    def packed_bytes(self) -> int:
        """Bytes of a row's codes."""
        return self.table.shape[1] * self.bits // 8

    def read(
        self, start: int, stop: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """Rows ``start … stop - 1``.

        Returns:
            Packed codes uint8 [b, packed_bytes], scales float32 [b], biases float32 [b].
        """
        form = self.table.form
        count = stop - start
        codes = np.empty((count, self.packed_bytes), np.uint8)
        scales, biases = np.empty((2, count), np.float32)
        for span in form.rowmap.spans(start, stop):
            codec = form.segments[span.segment].codec
            size = len(span.rows)
            parts = self.table.encoded(span.segment, span.position, span.position + size)
            layout = codec.layout()
            mine = span.rows - start
            codes[mine] = _repacked(parts.values(layout, "codes", 0, size), codec.dim, self.bits)
            scales[mine] = parts.values(layout, "scale", 0, size)[:, 0]
            biases[mine] = parts.values(layout, "bias", 0, size)[:, 0]
        return codes, scales, biases

    def fused(self, start: int, stop: int, side: Side, alignment: int) -> NDArray[np.uint8]:
        """Whole rows, uint8 [b, row_bytes]; bytes that fill a row up are 0."""
        codes, scales, biases = self.read(start, stop)
        kind = self.number(side)
        numbers = np.stack([scales, biases], axis=1).astype(kind).view(np.uint8)
        out = np.zeros((stop - start, self.row_bytes(side, alignment)), np.uint8)
        first, then = (numbers, codes) if side == "head" else (codes, numbers)
        out[:, : first.shape[1]] = first
        out[:, first.shape[1] : first.shape[1] + then.shape[1]] = then
        return out

    def number(self, side: Side) -> str:
        """The numpy dtype of scale and bias."""
        return "<f4" if side == "tail" and self.bits == 8 else "<f2"

    def row_bytes(self, side: Side, alignment: int) -> int:
        """Bytes of a fused row."""
        plain = self.packed_bytes + 2 * np.dtype(self.number(side)).itemsize
        return -(-plain // alignment) * alignment

    def check_numbers(self, side: Side, refuse: Callable[[str], Exception]) -> None:
        """Refuse a layout whose scales would have to be rounded.

        Raises:
            UsageError: What ``refuse`` made.
        """
        if not self.half and self.number(side) == "<f2":
            raise refuse(
                "its scales are fp32 and this layout has fp16: compress it with --scale-dtype fp16"
            )


def _why(codec: Codec | None) -> str:
    if codec is None:
        return "it has no rows"
    if isinstance(codec, Uniform):
        return f"its rows have a scale for every {codec.group} columns"
    return f"its rows are stored as '{codec.name}'"


def _repacked(packed: NDArray[np.uint8], d: int, bits: int) -> NDArray[np.uint8]:
    """Codes from our order in the bytes of a row to theirs."""
    if bits == 8:
        return packed
    codes = unpack_codes(packed, d, bits)
    apart = codes.reshape(len(codes), -1, 8 // bits) << np.arange(0, 8, bits, dtype=np.uint8)
    packed_again: NDArray[np.uint8] = np.bitwise_or.reduce(apart, axis=2)
    return packed_again
