"""Anchors and sparse transformations: rows as non-negative combinations of a few anchors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Final, Literal

from embcompress.errors import IOFailure, UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    from embcompress.codecs.base import Codec

_ANCHORS: Final = 256
_NONZEROS: Final = 4
_MOST_NONZEROS: Final = 64
_WORK: Final = 24  # bytes a pair of anchors: products, normal equations, their factor


@dataclass(frozen=True, kw_only=True)
class ANT(Method):
    """Store every row as a non-negative combination of a few of K anchors.

    x ≈ Σ value·anchors[code] over s codes: a row costs s·⌈log₂K⌉ bits and s values. Anchors begin
    as the centroids of k-means on a sample drawn in proportion to frequency. Codes are found by
    non-negative orthogonal matching pursuit (each step takes the anchor that correlates most with
    what is left, then solves the non-negative least squares on those taken); anchors by least
    squares of the sample on its codes; in turn, until a round gains less than 0.1%. Then every row
    is coded in a streamed pass. The paper learns anchors and transformations together in training.
    """

    name = "ant"
    family = "decomposition"
    native = False
    source = (
        "Liang et al. 2021, Anchor & Transform: learning sparse embeddings for large vocabularies"
    )
    example = "ant glove.npy -o glove.ant.safetensors --anchors 1024 --nonzeros 4"

    anchors: Annotated[
        int | None,
        Option(
            "Anchors K, at most the number of rows; by default 256, or one a row.", min=1, max=4096
        ),
    ] = None
    nonzeros: Annotated[
        int | None,
        Option("Anchors s of a row, at most K; by default 4.", min=1, max=_MOST_NONZEROS),
    ] = None
    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below by the largest --nonzeros: 12MB (10^6"
            " bytes), 8x (an eighth of the source) or 2.5bpw (bits per weight)."
        ),
    ] = None
    values: Annotated[
        Literal["fp16", "uint8"],
        Option("How a row's values are stored; uint8 with an fp16 scale a row."),
    ] = "fp16"
    anchor_dtype: Annotated[
        Literal["fp16", "fp32"],
        Option("Of the anchors; fp32 is taken where fp16 cannot hold a table's values."),
    ] = "fp16"
    sample: Annotated[
        int | None,
        Option(
            "Rows to learn anchors from, never fewer than anchors; by default 256 an anchor, at"
            " least 65,536.",
            min=1,
        ),
    ] = None

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        if self.budget is not None:
            parse_budget(self.budget)
            if self.nonzeros is not None:
                raise UsageError("ant: --budget and --nonzeros both say the size; give one")
        if self.nonzeros is not None and self.anchors is not None and self.nonzeros > self.anchors:
            raise UsageError(
                f"ant: --nonzeros {self.nonzeros} is more than --anchors {self.anchors}; a row"
                " takes each anchor once"
            )

    @property
    def _rows(self) -> int:
        from embcompress.solvers.product import training_rows

        wanted = self.anchors or _ANCHORS
        return max(self.sample or training_rows(wanted), wanted)

    @property
    def needs(self) -> frozenset[str]:
        from embcompress.solvers.statistics import sample_of

        return frozenset({sample_of(self._rows)})

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.product import physical_memory

        n, d = rows.shape
        if self.anchors is not None and self.anchors > n > 0:
            raise UsageError(
                f"{rows.name}: --anchors {self.anchors} is more than its {n} rows; use {n} or fewer"
            )
        k = min(self.anchors or _ANCHORS, max(n, 1))
        needed = min(n, self._rows) * (4 * d + 40) + k * (_WORK * k + 40 * d)
        if needed > (memory := physical_memory()):
            raise IOFailure(
                f"{rows.name}: {k} anchors of {min(n, self._rows)} rows take {needed:,} bytes, the"
                f" machine has {memory:,}; use fewer --anchors or a smaller --sample"
            )

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        from embcompress.methods.sizing import largest_within
        from embcompress.solvers.product import fits_half
        from embcompress.solvers.row_kmeans import distinct_rows

        settled: dict[str, ANT] = {}
        for key, rows in tables.items():
            found = context.statistics(rows, self.needs)
            assert found.sample is not None
            assert found.sample_weights is not None
            wanted = self.anchors or _ANCHORS
            used = found.sample[found.sample_weights > 0]
            kinds = len(distinct_rows(used if len(used) else found.sample, wanted))
            anchors = max(1, min(wanted, kinds))
            settled[key] = replace(
                self,
                budget=None,
                anchors=anchors,
                nonzeros=min(self.nonzeros or _NONZEROS, anchors),
                anchor_dtype=self.anchor_dtype if fits_half(found, rotated=True) else "fp32",
                sample=self._rows,
            )
        if self.budget is None:
            return settled

        def shared_out(setting: int) -> dict[str, ANT]:
            return {
                key: replace(method, nonzeros=min(setting + 1, method.anchors or 1))
                for key, method in settled.items()
            }

        def made(setting: int) -> dict[str, tuple[Method, Codec]]:
            return {
                key: (method, method.codec(tables[key].shape[1]))
                for key, method in shared_out(setting).items()
            }

        most = min(_MOST_NONZEROS, max(m.anchors or 1 for m in settled.values())) - 1
        return shared_out(
            largest_within(self.name, self.budget, most, made, context, "one anchor a row")
        )

    def codec(self, dim: int) -> Codec:
        """The codec of settled options, anchors left out."""
        import numpy as np

        from embcompress.codecs.combination import Combination

        kind = np.float16 if self.anchor_dtype == "fp16" else np.float32
        assert self.anchors is not None
        assert self.nonzeros is not None
        anchors = np.zeros((self.anchors, dim), kind)
        return Combination(dim, self.nonzeros, self.values, anchors)

    def fit(self, rows: Rows, context: Context) -> Encoder:
        from embcompress.codecs.combination import Combination
        from embcompress.solvers.anchors import ROUNDS, CombinationEncoder, fit_anchors
        from embcompress.solvers.row_kmeans import MOST_ROUNDS, row_centroids
        from embcompress.solvers.shared_rows import stored

        found = context.statistics(rows, self.needs)
        assert self.anchors is not None
        assert self.nonzeros is not None
        assert found.sample is not None
        assert found.sample_weights is not None
        half = self.anchor_dtype == "fp16"
        with context.progress.stage("training", MOST_ROUNDS + ROUNDS) as progress:
            first = row_centroids(
                found.sample, found.sample_weights, self.anchors, found.largest, context.seed,
                context.threads, lambda: progress.advance(1),
            )  # fmt: skip
            pursuit = fit_anchors(
                found.sample, found.sample_weights, first, min(self.nonzeros, len(first)),
                self.values, found.largest, half=half, threads=context.threads,
                tick=lambda: progress.advance(1),
            )  # fmt: skip
        book = stored(pursuit.book, half=half)
        codec = Combination(rows.shape[1], pursuit.nonzeros, self.values, book)
        return CombinationEncoder(codec, pursuit)
