"""Additive quantization: a row is a sum of codewords, one of every codebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    from embcompress.solvers.statistics import Statistics

_COLUMNS_A_BOOK = 4
_MOST_DEFAULT_BOOKS = 32
_DEFAULT_BITS = 8
_BOOKS_A_RANGE = 4
_ROWS_A_CODEWORD = 32
_LARGEST = 2.0**124  # sums of codewords stay within float32


@dataclass(frozen=True, kw_only=True)
class AQ(Method):
    """Store S codes of b bits; a row is the sum of S codewords, one of each codebook.

    A row costs S·b bits, the codebooks S·2^b·D numbers (product-residual: S·2^b·D/R). Where the
    papers learn codes and codebooks in training, here they are fitted to the trained table, and
    reconstruction is the goal: faiss's residual quantizer begins; then all codebooks are refitted
    together by least squares, given the codes, and the rows encoded again by beam search, while
    the error falls. The error is always that of codebooks as they are stored. Rows are then
    encoded in a streamed pass.

    --search lsq adds a local search to the beam: a few codes are replaced by chance, each code is
    chosen anew given the others, what helps is kept. product-residual cuts the columns into
    ranges, one for every four codebooks, each with its own codebooks: faster and smaller, with
    more error. Training rows are drawn in proportion to frequency (all rows, weighted by
    frequency, when the sample holds them all; faiss's start then sees rows drawn anew in
    proportion to it).
    """

    name = "aq"
    family = "vector quantization"
    native = False
    source = (
        "Chen, Guan and Wang 2010, Approximate nearest neighbor search by residual vector"
        " quantization; Babenko and Lempitsky 2014, Additive quantization for extreme vector"
        " compression; Martinez et al. 2018, LSQ++ (--search lsq); Lian et al. 2020, LightRec, and"
        " Wu et al. 2021, Linear-time self attention with codeword histogram (LISA), which train"
        " such codebooks"
    )
    example = "aq glove.npy -o glove.aq.safetensors --codebooks 13 --bits 8"

    codebooks: Annotated[
        int | None,
        Option("Codebooks S; by default one for every four columns, at most 32.", min=1, max=64),
    ] = None
    bits: Annotated[
        int | None,
        Option(
            "Bits of a code; by default 8, or what few rows or many codebooks allow.", min=1, max=10
        ),
    ] = None
    search: Annotated[
        Literal["residual", "lsq", "product-residual"], Option("How codes are found.")
    ] = "residual"
    beam: Annotated[
        int,
        Option("Beginnings that the beam search keeps; more is slower and better.", min=1, max=64),
    ] = 8
    rounds: Annotated[int, Option("How often to refit the codebooks at most.", min=0, max=100)] = 4
    codebook_dtype: Annotated[
        Literal["fp16", "fp32"],
        Option("Of the codewords; fp32 is taken where fp16 cannot hold a table's values."),
    ] = "fp16"
    sample: Annotated[
        int | None,
        Option(
            "Rows to train on; by default 256 for every codeword of a book and 32 for every one of"
            " all, at least 65,536.",
            min=256,
        ),
    ] = None

    @property
    def _rows(self) -> int:
        from embcompress.solvers.product import training_rows

        k = 2 ** (self.bits or _DEFAULT_BITS)
        books = self.codebooks or _MOST_DEFAULT_BOOKS
        return self.sample or max(training_rows(k), _ROWS_A_CODEWORD * books * k)

    @property
    def needs(self) -> frozenset[str]:
        from embcompress.solvers.statistics import sample_of

        return frozenset({sample_of(self._rows), "moments"})

    def _books(self, d: int) -> int:
        wanted = min(-(-d // _COLUMNS_A_BOOK), _MOST_DEFAULT_BOOKS)
        return self.codebooks or max(1, wanted)

    def _splits(self, d: int) -> int:
        books = self._books(d)
        if self.search != "product-residual":
            return 1
        return max(1, min(max(2, -(-books // _BOOKS_A_RANGE)), books, d))

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.additive import MOST_CODEWORDS

        n, d = rows.shape
        books = -(-self._books(d) // self._splits(d))
        k = 2 ** (self.bits or 1)
        if self.bits is not None and k > max(2, min(n, self.sample or n)) and n:
            fewer = "its" if n < k else f"--sample {self.sample} of its"
            most = max(1, min(n, self.sample or n).bit_length() - 1)
            raise UsageError(
                f"{rows.name}: --bits {self.bits} makes more codewords than {fewer} {n} rows; use"
                f" --bits {most} or leave it out"
            )
        if books * k > MOST_CODEWORDS:
            raise UsageError(
                f"{rows.name}: {books} codebooks of {k} codewords are {books * k} codewords that"
                f" are searched together, and the most are {MOST_CODEWORDS}; use fewer --codebooks"
                " or --bits, or --search product-residual"
            )
        self._check_memory(rows, books * k)

    def _check_memory(self, rows: Rows, codewords: int) -> None:
        from embcompress.errors import IOFailure
        from embcompress.solvers.product import physical_memory

        n, d = rows.shape
        needed = min(n, self._rows) * (16 * d + 2 * self._books(d) + 64) + 4 * codewords**2
        if needed > (memory := physical_memory()):
            raise IOFailure(
                f"{rows.name}: training on {min(n, self._rows):,} rows takes {needed:,} bytes, the"
                f" machine has {memory:,}; use fewer --codebooks or a smaller --sample"
            )

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        from embcompress.solvers.product import fits_half

        planned = {}
        for key, rows in tables.items():
            found = context.statistics(rows, self.needs)
            if found.largest > _LARGEST:
                raise UsageError(
                    f"{rows.name}: values as large as {found.largest:.3g} leave float32 when"
                    " codewords are added up; use another method, such as cast --to bf16"
                )
            half = fits_half(found, rotated=True)
            planned[key] = replace(
                self,
                codebooks=self._books(rows.shape[1]),
                bits=self.bits or self._default_bits(rows, found),
                codebook_dtype=self.codebook_dtype if half else "fp32",
                sample=self._rows,
            )
        return planned

    def _default_bits(self, rows: Rows, found: Statistics) -> int:
        """8, or fewer: all codewords at most half the rows, a book no larger than distinct rows."""
        import numpy as np

        from embcompress.solvers.additive import MOST_CODEWORDS

        n, d = rows.shape
        assert found.sample is not None
        distinct = len(np.unique(found.sample, axis=0)) if found.sample.size else 1
        if distinct == len(found.sample):
            distinct = n
        books = self._books(d)
        together = -(-books // self._splits(d))
        most = min(n // (2 * books), MOST_CODEWORDS // together, self.sample or n)
        by_rows = max(most, 1).bit_length() - 1
        by_distinct = max(distinct - 1, 1).bit_length()
        return max(1, min(_DEFAULT_BITS, by_rows, by_distinct))

    def fit(self, rows: Rows, context: Context) -> Encoder:
        import numpy as np

        from embcompress.solvers.additive import Scaled, Searching, fit_additive
        from embcompress.solvers.product import power_of_two

        found = context.statistics(rows, self.needs)
        assert found.sample is not None
        assert found.sample_weights is not None
        assert found.mean is not None
        assert self.bits is not None
        d = rows.shape[1]
        scale = power_of_two(max(found.root_mean_square, found.largest * 2.0**-40))
        centre = (found.mean * scale).astype(np.float32)
        return fit_additive(
            found.sample, found.sample_weights, self._books(d), self._splits(d), self.bits,
            Scaled(scale, centre, self.codebook_dtype == "fp16"),
            Searching(self.beam, self.search == "lsq"), self.rounds, context.seed,
            context.threads, context.progress,
        )  # fmt: skip
