"""Product quantization: a row's segments become codes into codebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.solvers.product import ProductEncoder
    from embcompress.solvers.statistics import Statistics

_ROTATION_ROWS = 65_536
_LARGEST = 2.0**128  # of float32


@dataclass(frozen=True, kw_only=True)
class PQ(Method):
    """Store b-bit codes of a row's S segments, each into a codebook of 2^b codewords.

    A row costs S·b bits; the codebooks, 2^b·D numbers, are stored once. Codebooks are learned by
    k-means on a sample drawn in proportion to frequency (all rows weighted by frequency when the
    sample holds them all), rounded, and rows are assigned to the rounded codewords in a streamed
    pass. Segments of one column get the exact optimum of 1-D k-means. Fewer distinct rows than
    codewords give fewer codewords and shorter codes.

    --rotate opq learns a rotation under which product codes fit best, from principal axes dealt
    out to the segments; pca stops at these axes. The rotation, D·D + D float32, is stored and
    counted.
    """

    name = "pq"
    family = "vector quantization"
    native = True
    source = (
        "Jégou, Douze and Schmid 2011, Product quantization for nearest neighbor search; Ge et al."
        " 2013, Optimized product quantization (--rotate opq; pca is its section 3.2)"
    )
    example = "pq glove.npy -o glove.pq.safetensors --subquantizers 25 --bits 8"

    subquantizers: Annotated[
        int | None,
        Option("Segments S of a row; by default one for every two columns.", min=1),
    ] = None
    bits: Annotated[int, Option("Bits of a segment's code.", min=1, max=12)] = 8
    rotate: Annotated[
        Literal["none", "opq", "pca"], Option("Turn rows into other axes before cutting them.")
    ] = "none"
    codebook_dtype: Annotated[
        Literal["fp16", "fp32"],
        Option("Of the codewords; fp32 is taken where fp16 cannot hold a table's values."),
    ] = "fp16"
    sample: Annotated[
        int | None,
        Option("Rows to train on; by default 256 a codeword, at least 65,536.", min=256),
    ] = None

    @property
    def _rows(self) -> int:
        from embcompress.solvers.product import training_rows

        return self.sample or training_rows(2**self.bits)

    @property
    def needs(self) -> frozenset[str]:
        from embcompress.solvers.statistics import sample_of

        own = {sample_of(self._rows)}
        return frozenset(own if self.rotate == "none" else own | {"moments", "gram"})

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.product import check_memory, check_segments

        check_segments(rows, self.subquantizers)
        if self.sample is not None and self.sample < min(2**self.bits, rows.shape[0]):
            raise UsageError(
                f"{rows.name}: --sample {self.sample} is fewer rows than --bits {self.bits} has"
                f" codewords; use {2**self.bits} or more"
            )
        check_memory(rows, self._rows)

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        from embcompress.solvers.product import fits_half, settled_segments

        planned = {}
        for key, rows in tables.items():
            d = rows.shape[1]
            found = context.statistics(rows, self.needs)
            half = fits_half(found, rotated=self.rotate != "none")
            if self.rotate != "none" and 2 * d**0.5 * found.largest > _LARGEST:
                raise UsageError(
                    f"{rows.name}: values as large as {found.largest:.3g} leave float32 when they"
                    " are turned; use --rotate none"
                )
            planned[key] = replace(
                self,
                subquantizers=settled_segments(rows, self.subquantizers),
                codebook_dtype=self.codebook_dtype if half else "fp32",
                sample=self._rows,
            )
        return planned

    def fit(self, rows: Rows, context: Context) -> Encoder:
        import numpy as np

        from embcompress.codecs.projected import Projected
        from embcompress.solvers.coordinates import coordinates_of
        from embcompress.solvers.encoder import ProjectedEncoder
        from embcompress.threads import one_blas_thread

        d = rows.shape[1]
        found = context.statistics(rows, self.needs)
        assert found.sample is not None
        if self.rotate == "none" or not d:
            return self._codes(found.sample, found, context)
        assert found.mean is not None
        offset = found.mean.astype(np.float32)
        basis = self._basis(offset, found, context)
        with one_blas_thread():
            turned = coordinates_of(found.sample, offset, basis)
        inner = self._codes(turned, found, context)
        return ProjectedEncoder(Projected(d, offset, basis, inner.codec), inner)

    def _codes(
        self, sample: NDArray[np.float32], found: Statistics, context: Context
    ) -> ProductEncoder:
        from embcompress.solvers.product import Tier, fit_product

        assert found.sample_weights is not None
        tier = Tier(sample, found.sample_weights, 2**self.bits)
        half = self.codebook_dtype == "fp16"
        return fit_product(
            [tier], self.subquantizers or 0, found.root_mean_square, half, context.seed,
            context.threads, context.progress,
        )[0]  # fmt: skip

    def _basis(
        self, offset: NDArray[np.float32], found: Statistics, context: Context
    ) -> NDArray[np.float32]:
        """Axes that suit the segments, float32 [D, D]."""
        import numpy as np

        from embcompress.solvers.product_rotation import balanced_order, learn_rotation
        from embcompress.solvers.rotation import pca_basis

        assert found.sample is not None
        assert found.sample_weights is not None
        segments = self.subquantizers or 1
        step = -(-len(found.sample) // _ROTATION_ROWS) or 1
        centred = found.sample[::step] - offset
        axes = pca_basis(found, offset)
        weights = found.sample_weights[::step]
        energies = weights @ (centred @ axes.T).astype(np.float64) ** 2
        basis = np.ascontiguousarray(axes[balanced_order(energies, segments)])
        if self.rotate == "pca":
            return basis
        return learn_rotation(
            centred, weights, basis, segments, 2**self.bits, found.root_mean_square, context.seed,
            context.threads, context.progress,
        )  # fmt: skip
