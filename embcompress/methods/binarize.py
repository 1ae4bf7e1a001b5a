"""Binarization: one bit a weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows, Tile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.codecs.binary import Binary, Scale

_LARGEST_HALF = 65504.0


@dataclass(frozen=True, kw_only=True)
class Binarize(Method):
    """Store the sign of every weight, with a scale: x ≈ μ + α·(±1).

    The scale α of a row, column or field is its mean absolute value, the least-squares scale of
    sign codes. With --rotate itq the rows are centred, turned into their principal axes and
    rotated by ITQ first: codes become balanced and decorrelated, which is what DCF, DCMF and DPR
    train for; without training data the three cannot be told apart, and DFM is the same per
    field. ITQ and the median are fitted on a sample of up to 65,536 rows.
    """

    name = "binarize"
    family = "low precision"
    native = False
    source = (
        "Chen et al. 2021, L2Q-GCN (--scale row); Gong and Lazebnik 2011, Iterative quantization"
        " (--rotate itq); Zhang et al. 2016, Discrete collaborative filtering"
    )
    example = "binarize glove.npy -o glove.b1.safetensors --scale row"

    center: Annotated[
        Literal["none", "mean", "median"], Option("What is taken from each column first.")
    ] = "none"
    scale: Annotated[
        Literal["none", "row", "column", "field"],
        Option("Who shares a scale; field fits every field of --fields apart."),
    ] = "row"
    rotate: Annotated[
        Literal["none", "itq"], Option("Rotate before taking signs; itq centres by itself.")
    ] = "none"

    @property
    def needs(self) -> frozenset[str]:
        found = {"moments"} if self.center == "mean" else set()
        if self.center == "median":
            found |= {"sample"}
        if self.rotate == "itq":
            found |= {"moments", "gram", "sample"}
        return frozenset(found)

    @property
    def per_field(self) -> bool:
        return self.scale == "field"

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.rotation import check_room

        if self.rotate == "itq":
            check_room(rows.name, rows.shape[1], context.memory)

    def fit(self, rows: Rows, context: Context) -> Encoder:
        import numpy as np

        from embcompress.codecs.projected import Projected
        from embcompress.solvers.coordinates import Coordinates
        from embcompress.solvers.encoder import ProjectedEncoder
        from embcompress.solvers.rotation import center_of, itq_basis

        d = rows.shape[1]
        if self.center == "none" and self.rotate == "none":
            return self._signs(rows, context)
        found = context.statistics(rows, self.needs)
        offset = center_of(found, median=self.center == "median").astype(np.float32)
        basis = itq_basis(found, offset, context.seed) if self.rotate == "itq" else None
        inner = self._signs(Coordinates(rows, offset, basis), context)
        return ProjectedEncoder(Projected(d, offset, basis, inner.codec), inner)

    def _signs(self, rows: Rows, context: Context) -> BinarizeEncoder:
        import numpy as np

        from embcompress.codecs.binary import Binary

        d = rows.shape[1]
        if self.scale == "row":
            half = context.statistics(rows, frozenset()).largest <= _LARGEST_HALF
            return BinarizeEncoder(Binary(d, "row16" if half else "row32", None))
        if self.scale == "none":
            return BinarizeEncoder(Binary(d, "none", None))
        total = np.zeros(d)
        weight = 0.0
        for part, own in context.each(rows, absolute_sums, "scales"):
            total += part
            weight += own
        scales = total / weight if weight > 0 else total
        if self.scale == "field":
            scales = np.full(1, scales.mean() if d else 0.0)
        kind: Scale = "column" if self.scale == "column" else "table"
        return BinarizeEncoder(Binary(d, kind, scales.astype(np.float32)))


def absolute_sums(tile: Tile) -> tuple[NDArray[np.float64], float]:
    """Weighted sums of absolute values, float64 [D], and the sum of weights."""
    import numpy as np

    sizes = np.abs(tile.rows).astype(np.float64)
    if tile.weights is None:
        return sizes.sum(axis=0), float(len(sizes))
    return (sizes * tile.weights[:, None]).sum(axis=0), float(tile.weights.sum())


@dataclass(frozen=True)
class BinarizeEncoder(Encoder):
    """Takes signs; 0 counts as positive."""

    codec: Binary

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        import numpy as np

        from embcompress.kernels.bits import pack_codes

        parts: dict[str, Any] = {"codes": pack_codes((rows >= 0).astype(np.uint8), 1)}
        if self.codec.scale in ("row16", "row32"):
            total = np.abs(rows).sum(axis=1, dtype=np.float64)
            parts["scale"] = (total / max(rows.shape[1], 1)).astype(np.float32)
        return parts
