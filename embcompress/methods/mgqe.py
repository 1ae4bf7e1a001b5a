"""Multi-granular quantized embeddings: product codes, shorter for rows that are used less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

_MOST_CODEWORDS = 4096
_MOST_GROUPS = 64


@dataclass(frozen=True, kw_only=True)
class MGQE(Method):
    """Store product codes whose length depends on how often a row is used.

    Rows are ranked by frequency and cut into groups, as --groups says. All groups share the
    codebooks of the S segments; a group of K_i codewords uses the first K_i only, and its rows
    cost S·⌈log₂K_i⌉ bits. Nested k-means fits all groups at once: every row takes the nearest of
    the codewords it may use, and all rows, weighted by frequency, move the codewords they took.
    Each group is sampled in proportion to frequency, and its sample weighs what the group weighs.
    Needs --frequencies.
    """

    name = "mgqe"
    family = "vector quantization"
    native = False
    source = (
        "Kang et al. 2020, Learning multi-granular quantized embeddings for large-vocab categorical"
        " features in recommender systems"
    )
    example = (
        'mgqe glove.npy -o glove.mgqe.safetensors --groups "0.1:256,64" --frequencies counts.npy'
    )

    subquantizers: Annotated[
        int | None,
        Option("Segments S of a row; by default one for every two columns.", min=1),
    ] = None
    groups: Annotated[
        str,
        Option(
            "SHARE:CODEWORDS of each group of rows, most frequent first, then the CODEWORDS of the"
            " rest: 0.1:256,64 gives the top tenth 256 codewords and all others 64."
        ),
    ] = "0.1:256,64"
    codebook_dtype: Annotated[
        Literal["fp16", "fp32"],
        Option("Of the codewords; fp32 is taken where fp16 cannot hold a table's values."),
    ] = "fp16"
    sample: Annotated[
        int | None,
        Option(
            "Rows of a group to train on; by default 256 a codeword of the largest group, at least"
            " 65,536.",
            min=256,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_groups(self.groups)

    @property
    def tiers(self) -> tuple[float, ...]:
        return parse_groups(self.groups)[0]

    @property
    def _codewords(self) -> tuple[int, ...]:
        return parse_groups(self.groups)[1]

    @property
    def _rows(self) -> int:
        from embcompress.solvers.product import training_rows

        return self.sample or training_rows(max(self._codewords))

    @property
    def needs(self) -> frozenset[str]:
        from embcompress.solvers.statistics import sample_of

        return frozenset({sample_of(self._rows)})

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.product import check_memory, check_segments

        check_segments(rows, self.subquantizers)
        check_memory(rows, self._rows * len(self._codewords))

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        from embcompress.solvers.product import fits_half, settled_segments

        wide = {  # all groups of a table share its codebooks
            rows.name
            for rows in tables.values()
            if not fits_half(context.statistics(rows, self.needs), rotated=False)
        }
        return {
            key: replace(
                self,
                subquantizers=settled_segments(rows, self.subquantizers),
                codebook_dtype="fp32" if rows.name in wide else self.codebook_dtype,
                sample=self._rows,
            )
            for key, rows in tables.items()
        }

    def fit(self, rows: Rows, context: Context) -> Encoder:
        raise UsageError(
            f"{rows.name}: mgqe groups a table's rows by frequency; it cannot compress coordinates"
        )

    def fit_tiers(self, tiers: Sequence[Rows], context: Context) -> Sequence[Encoder]:
        from embcompress.solvers.product import Tier, fit_product

        samples = []
        squares = values = 0.0
        for rows, codewords in zip(tiers, self._codewords, strict=True):
            found = context.statistics(rows, self.needs)
            assert found.sample is not None
            assert found.sample_weights is not None
            drawn = found.sample_weights.sum()
            share = found.weight / drawn if drawn else 1.0
            samples.append(Tier(found.sample, found.sample_weights * share, codewords))
            squares += float(found.squares.sum())
            values += found.rows * len(found.squares)
        size = (squares / values) ** 0.5 if values else 0.0
        half = self.codebook_dtype == "fp16"
        return fit_product(
            samples, self.subquantizers or 0, size, half, context.seed, context.threads,
            context.progress,
        )  # fmt: skip


def parse_groups(text: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Shares and codewords of groups.

    Args:
        text: Such as ``0.1:256,0.3:64,16``.

    Returns:
        The shares of all groups but the last, and the codewords of all.

    Raises:
        UsageError: Another form, shares of more than 1, codewords not within 1 to 4,096.
    """
    *heads, rest = text.split(",")
    try:
        pairs = [head.split(":") for head in heads]
        shares = tuple(float(share) for share, _ in pairs)
        codewords = tuple(int(count) for count in [*(c for _, c in pairs), rest])
    except ValueError:
        shares, codewords = (), ()
    if not (
        1 <= len(shares) < _MOST_GROUPS
        and all(0 < share < 1 for share in shares)
        and sum(shares) <= 1
        and all(1 <= count <= _MOST_CODEWORDS for count in codewords)
    ):
        raise UsageError(
            f"mgqe: --groups '{text}' is not SHARE:CODEWORDS,…,CODEWORDS such as 0.1:256,64, with"
            f" shares that add up to 1 at most and 1 to {_MOST_CODEWORDS} codewords"
        )
    return shares, codewords
