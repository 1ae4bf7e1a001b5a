"""Non-uniform quantization: b-bit codes into a codebook of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.codecs.scalar_codebook import ScalarCodebook

_LARGEST_HALF = 65504.0
_SMALLEST_HALF = 2.0**-14
_EXACT_COST = 2**20  # columns times codewords a row


@dataclass(frozen=True, kw_only=True)
class KMeans(Method):
    """Store b-bit codes into a codebook of 2^b numbers, learned by 1-D k-means.

    One codebook a row, a group of similar rows, or the table. The exact solver finds the global
    optimum by dynamic programming; Lloyd's rounds are for rows so long that it would cost too
    much. Codebooks of groups and of the table are learned on a sample of up to 65,536 rows,
    drawn in proportion to frequency; frequencies weight them.
    """

    name = "kmeans"
    family = "low precision"
    native = True
    source = (
        "Guan et al. 2019, Post-training 4-bit quantization on embedding tables, section 4"
        " (KMEANS and KMEANS-CLS)"
    )
    example = "kmeans glove.npy -o glove.k4.safetensors --bits 4"

    bits: Annotated[int, Option("Bits per weight.", min=1, max=8)] = 4
    per: Annotated[Literal["row", "group", "table"], Option("Who shares a codebook.")] = "row"
    groups: Annotated[
        int, Option("Groups of similar rows, with --per group.", min=1, max=65536)
    ] = 64
    codebook_dtype: Annotated[
        Literal["fp16", "fp32"],
        Option("Of the codewords; fp32 is taken where fp16 cannot hold a table's values."),
    ] = "fp16"
    solver: Annotated[
        Literal["auto", "exact", "lloyd"],
        Option("exact: the optimum; auto: exact up to 2^20 columns × codewords, then lloyd."),
    ] = "auto"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset() if self.per == "row" else frozenset({"sample"})

    def preflight(self, rows: Rows, context: Context) -> None:
        n = rows.shape[0]
        if self.per == "group" and self.groups > n > 0:
            raise UsageError(
                f"{rows.name}: --groups {self.groups} is more than its {n} rows; use {n} or fewer"
            )

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        planned = {}
        for key, rows in tables.items():
            d = rows.shape[1]
            found = context.statistics(rows, self.needs)
            fits = found.largest <= _LARGEST_HALF and (
                found.root_mean_square >= _SMALLEST_HALF or found.largest == 0
            )
            exact = self.per != "row" or d << self.bits <= _EXACT_COST
            auto: Literal["exact", "lloyd"] = "exact" if exact else "lloyd"
            solver = auto if self.solver == "auto" else self.solver
            dtype = self.codebook_dtype if fits else "fp32"
            planned[key] = replace(self, codebook_dtype=dtype, solver=solver)
        return planned

    def fit(self, rows: Rows, context: Context) -> Encoder:
        import numpy as np

        from embcompress.codecs.scalar_codebook import ScalarCodebook
        from embcompress.solvers.scalar_groups import grouped_codebooks
        from embcompress.solvers.scalar_kmeans import codebook

        solver: Literal["exact", "lloyd"] = "lloyd" if self.solver == "lloyd" else "exact"
        half = self.codebook_dtype == "fp16"
        d, k = rows.shape[1], 2**self.bits
        if self.per == "row":
            return KMeansEncoder(ScalarCodebook(d, self.bits, half, None), solver)
        found = context.statistics(rows, self.needs)
        assert found.sample is not None
        assert found.sample_weights is not None
        sample, weights = found.sample, found.sample_weights
        if not sample.size:
            books = np.zeros((1, k), np.float32)
        elif self.per == "table":
            values = np.repeat(weights, d)
            books = codebook(sample.reshape(-1), k, values, solver, half)[None]
        else:
            books = grouped_codebooks(sample, self.groups, k, weights, solver, half, context.seed)
        return KMeansEncoder(ScalarCodebook(d, self.bits, half, books), solver)


@dataclass(frozen=True)
class KMeansEncoder(Encoder):
    """Assigns every weight to a codeword."""

    codec: ScalarCodebook
    solver: Literal["exact", "lloyd"]

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        from embcompress.kernels.bits import pack_codes
        from embcompress.solvers.scalar_groups import choose_groups
        from embcompress.solvers.scalar_kmeans import assign, codebooks_per_row

        codec = self.codec
        if codec.books is None:
            codes, books = codebooks_per_row(rows, 2**codec.bits, self.solver, codec.half)
            return {"codes": pack_codes(codes, codec.bits), "codebook": books}
        if len(codec.books) == 1:
            return {"codes": pack_codes(assign(rows, codec.books[0]), codec.bits)}
        group, codes = choose_groups(rows, codec.books)
        return {"codes": pack_codes(codes, codec.bits), "group": group}
