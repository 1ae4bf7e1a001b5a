"""Rotation: new axes for the rows, then any other method on the coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows


@dataclass(frozen=True, kw_only=True)
class Rotate(Method):
    """Turn the rows into other axes and compress the coordinates by another method.

    pca: principal axes, from the Gram matrix of a streamed pass. random: a seeded random rotation,
    which spreads outlier columns over all axes. itq: principal axes turned so that coordinates
    lie near ±α. The rotation is stored in float32 and counted.
    """

    name = "rotate"
    family = "compositions"
    native = True
    source = (
        "Gong and Lazebnik 2011, Iterative quantization (pca, itq); Ashkboos et al. 2024, QuaRot"
        " (random rotation before quantization)"
    )
    example = 'rotate glove.npy -o glove.r2.safetensors --then "quantize --bits 2"'

    basis: Annotated[
        Literal["random", "pca", "itq"], Option("The axes that rows are turned into.")
    ] = "random"
    center: Annotated[Literal["mean", "none"], Option("What is taken from each column first.")] = (
        "mean"
    )
    then: Annotated[str, Option("The method that compresses the coordinates: 'VERB options'.")] = (
        "quantize --bits 4"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.inner()

    def inner(self) -> Method:
        """The method of ``--then``.

        Raises:
            UsageError: It names no method, or one with a wrong option.
        """
        from embcompress.methods.spelling import parse_method

        return parse_method(self.then)

    @property
    def needs(self) -> frozenset[str]:
        own = {"random": {"moments"}, "pca": {"moments", "gram"}}
        return frozenset(own.get(self.basis, {"moments", "gram", "sample"}))

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.rotation import check_room

        check_room(rows.name, rows.shape[1], context.memory)

    def fit(self, rows: Rows, context: Context) -> Encoder:
        import numpy as np

        from embcompress.codecs.projected import Projected
        from embcompress.solvers.coordinates import Coordinates
        from embcompress.solvers.encoder import ProjectedEncoder
        from embcompress.solvers.rotation import center_of, itq_basis, pca_basis, random_basis

        d = rows.shape[1]
        found = context.statistics(rows, self.needs)
        offset = center_of(found, median=False).astype(np.float32)
        if self.center == "none":
            offset = np.zeros(d, np.float32)
        if self.basis == "random":
            basis = random_basis(d, context.seed)
        elif self.basis == "pca":
            basis = pca_basis(found, offset)
        else:
            basis = itq_basis(found, offset, context.seed)
        inner = context.fit(self.inner(), Coordinates(rows, offset, basis))
        return ProjectedEncoder(Projected(d, offset, basis, inner.codec), inner)
