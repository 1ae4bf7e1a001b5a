"""Cast: every weight in 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from embcompress.errors import BadInput
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.codecs.dense import Dense

_LARGEST_HALF = 65504.0


@dataclass(frozen=True, kw_only=True)
class Cast(Method):
    """Store every weight in 16 bits: fp16, bf16, or int16 with a scale per row.

    int16 rounds x to the multiple q·s of the row's scale s = max|x| / 32767. Stochastic rounding
    rounds up with the probability of the remainder, from a hash of seed, row and column. One pass
    to find the largest value, one to encode.
    """

    name = "cast"
    family = "low precision"
    native = False
    source = (
        "Xu et al. 2021, Agile and accurate CTR prediction model training for massive-scale"
        " online advertising systems (16-bit embeddings; the paper trains in them)"
    )
    example = "cast glove.npy -o glove.fp16.safetensors --to fp16"

    to: Annotated[
        Literal["fp16", "bf16", "int16", "fp32"], Option("The dtype of the stored weights.")
    ] = "fp16"
    rounding: Annotated[
        Literal["nearest", "stochastic"], Option("How a weight between two values is rounded.")
    ] = "nearest"

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        if self.to == "fp16":
            for rows in tables.values():
                largest = context.statistics(rows, frozenset()).largest
                if largest > _LARGEST_HALF:
                    raise BadInput(
                        f"{rows.name}: holds {largest:g}, beyond fp16's 65504; use bf16 or int16"
                    )
        return dict.fromkeys(tables, self)

    def fit(self, rows: Rows, context: Context) -> Encoder:
        from embcompress.codecs.dense import Dense

        return CastEncoder(Dense(rows.shape[1], self.to), self.rounding, context.seed)


@dataclass(frozen=True)
class CastEncoder(Encoder):
    """Rounds weights."""

    codec: Dense
    rounding: str
    seed: int

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        import numpy as np

        from embcompress.kernels.halves import to_bfloat
        from embcompress.solvers.rounding import uniform_noise

        noise = None
        if self.rounding == "stochastic":
            noise = uniform_noise(self.seed, ids, rows.shape[1])
        to = self.codec.dtype
        if to == "fp32":
            return {"values": rows}
        if to == "int16":
            largest = np.abs(rows).max(axis=1, initial=0).astype(np.float64)
            scale = (largest / 32767).astype(np.float32)
            divisor = np.where(scale > 0, scale, 1).astype(np.float64)
            steps = rows / divisor[:, None]
            whole = np.rint(steps) if noise is None else np.floor(steps + noise)
            return {"values": np.clip(whole, -32767, 32767).astype("<i2"), "scale": scale}
        if noise is not None:
            rows = nudged(rows, noise, to)
        if to == "bf16":
            return {"values": to_bfloat(rows)}
        return {"values": rows.astype("<f2")}


def nudged(rows: NDArray[np.float32], noise: NDArray[np.float64], to: str) -> NDArray[np.float32]:
    """Weights moved to one of their two neighbours in a 16-bit float type.

    The upper neighbour is taken with the probability of the remainder, so that the mean stays.

    Args:
        rows: float32 [b, D], within the type's range.
        noise: float64 [b, D] in [0, 1).
        to: fp16 or bf16.

    Returns:
        float32 [b, D], every value exact in the type.
    """
    import numpy as np

    with np.errstate(all="ignore"):
        if to == "bf16":
            low = (rows.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
            beyond = (low.view(np.uint32) + np.uint32(0x10000)).view(np.float32)
        else:
            near = rows.astype("<f2")
            over = np.abs(near.astype(np.float32)) > np.abs(rows)
            near = np.where(over, np.nextafter(near, np.float16(0)), near)
            away = np.copysign(np.float16(np.inf), near)
            low = near.astype(np.float32)
            beyond = np.nextafter(near, away).astype(np.float32)
        gap = beyond.astype(np.float64) - low
        share = np.where(np.isfinite(gap) & (gap != 0), (rows - low.astype(np.float64)) / gap, 0.0)
    return np.where(noise < share, beyond, low).astype(np.float32)
