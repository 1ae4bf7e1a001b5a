"""Uniform quantization: b-bit integers with a scale and a bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.codecs.uniform import Uniform

_LARGEST_HALF = 65504.0
_SMALLEST_HALF_SCALE = 2.0**-14  # fp16 keeps 11 bits down to here


@dataclass(frozen=True, kw_only=True)
class Quantize(Method):
    """Store b-bit integers q with a scale and a bias per row: x ≈ q·scale + bias.

    Ranges: minmax takes the row's own; greedy is Guan et al.'s search, which moves the low end up
    or the high end down by 1/bins of the range while that helps, and gives PyTorch's codes bit
    for bit; lsq alternates codes and least-squares scale and bias from several starts, greedy's
    range among them, and is never worse than greedy. One pass to find the largest value, one to
    encode.
    """

    name = "quantize"
    family = "low precision"
    native = True
    source = (
        "Guan et al. 2019, Post-training 4-bit quantization on embedding tables (greedy); Li et"
        " al. 2023, Adaptive low-precision training (lsq is the counterpart of its learned step)"
    )
    example = "quantize glove.npy -o glove.q4.safetensors --bits 4"

    bits: Annotated[int, Option("Bits per weight.", min=1, max=8)] = 4
    range: Annotated[Literal["minmax", "greedy", "lsq"], Option("How a row's range is chosen.")] = (
        "lsq"
    )
    group_size: Annotated[
        int | None,
        Option(
            "Columns that share a scale and a bias; by default, and at most, the whole row.",
            min=1,
        ),
    ] = None
    scale_dtype: Annotated[
        Literal["fp16", "fp32"],
        Option("Of scale and bias; fp32 is taken where fp16 cannot hold a table's values."),
    ] = "fp16"
    bins: Annotated[
        int, Option("Steps that the greedy search divides a range into.", min=1, max=65536)
    ] = 200
    shrink: Annotated[
        float, Option("Share of the range the greedy search may keep at least.", min=0, max=1)
    ] = 0.16

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        planned = {}
        for key, rows in tables.items():
            found = context.statistics(rows, frozenset())
            step = found.root_mean_square / 2**self.bits
            fits = found.largest <= _LARGEST_HALF / 2 and (
                step >= _SMALLEST_HALF_SCALE or found.largest == 0
            )
            planned[key] = replace(self, scale_dtype=self.scale_dtype if fits else "fp32")
        return planned

    def fit(self, rows: Rows, context: Context) -> Encoder:
        from embcompress.codecs.uniform import Uniform

        d = rows.shape[1]
        group = max(1, min(self.group_size or d, d))
        codec = Uniform(d, self.bits, group, self.scale_dtype == "fp16")
        return QuantizeEncoder(codec, self)


@dataclass(frozen=True)
class QuantizeEncoder(Encoder):
    """Finds a range for every row, or group of columns, and rounds to it."""

    codec: Uniform
    method: Quantize

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        import numpy as np

        from embcompress.kernels.bits import pack_codes
        from embcompress.solvers.ranges import quantize_rows

        method, codec = self.method, self.codec
        codes = np.empty(rows.shape, np.uint8)
        scales = np.empty((len(rows), codec.groups), np.float32)
        biases = np.empty_like(scales)
        for g in range(codec.groups):
            columns = slice(g * codec.group, (g + 1) * codec.group)
            codes[:, columns], scales[:, g], biases[:, g] = quantize_rows(
                np.ascontiguousarray(rows[:, columns]),
                method.bits,
                method.range,
                method.bins,
                method.shrink,
                codec.half,
            )
        return {"codes": pack_codes(codes, method.bits), "scale": scales, "bias": biases}
