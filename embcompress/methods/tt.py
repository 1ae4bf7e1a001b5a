"""Tensor train: a table as a chain of small cores that all rows share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from embcompress.errors import IOFailure, UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.codecs.base import Codec
    from embcompress.codecs.tensor_train import TensorTrain
    from embcompress.solvers.tensor_train import Cut, Fixed, Train
    from embcompress.solvers.train_shape import TrainShape

_RANK = 16


@dataclass(frozen=True, kw_only=True)
class TT(Method):
    """Store the table as a tensor train: cores that all rows share, and nothing for a row.

    Rows and columns are factored, n ≤ n₁·n₂·n₃ and D ≤ d₁·d₂·d₃ with zeros beyond the table; row i
    is G₁[i₁]·G₂[i₂]·G₃[i₃], where i₁ i₂ i₃ are the digits of i, G_k[i_k] is r_{k-1}×d_k·r_k, and
    the d's multiply out to the row. Cores are float32. They come from the singular value
    decompositions of the cuts, last core first: the Gram matrix of that cut's n₃·d₃ columns is
    added up in float64 in one streamed pass, a second pass projects the rows on its eigenvectors,
    and what is left, smaller by n₃·d₃ over the rank, is held in memory and cut again with its
    singular values in it. Squared errors of the cuts add up, so --target-error and --budget know
    them. Frequencies do not weight the fit.

    Cores have about equal sizes n_k·d_k. For huge tables the last one grows, up to a Gram matrix
    of 4,096 columns, so that what is held at rank 64 stays below 200 MB up to 3·10⁹ weights; past
    that, raise --memory or give a --shape with a larger last core.

    A tensor train needs neighbouring rows to be alike, and the rows of a trained table lie in
    arbitrary order: at equal bytes it loses badly to quantization (GloVe at rank 64: 0.89 of the
    length is lost at 11.6 bytes a row, product codes of 13 bytes lose 0.3). --order cluster helps:
    balanced recursive 2-means puts like rows side by side, and every row stores its slot in
    ⌈log₂ n⌉ bits; a note tells the error in either order. It holds the table in memory. Random
    look-ups multiply the whole chain and are slow; neighbouring slots share the beginning of it.
    """

    name = "tt"
    family = "decomposition"
    native = False
    source = (
        "Oseledets 2011, Tensor-train decomposition; Yin et al. 2021, TT-Rec: Tensor train"
        " compression for deep learning recommendation models (the layout; the paper trains cores)"
    )
    example = "tt glove.npy -o glove.tt.safetensors --rank 64"

    rank: Annotated[
        str | None,
        Option(
            "Rank of every cut, 64, or the most that it has; or of each cut, 48,64. 16 by default."
        ),
    ] = None
    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below: 12MB (10^6 bytes), 8x (an eighth of"
            " the source) or 2.5bpw (bits per weight); ranks are shared out among cuts and tables."
        ),
    ] = None
    target_error: Annotated[
        float | None,
        Option("Relative error of each table to stay below with small ranks.", min=0, max=1),
    ] = None
    shape: Annotated[
        str | None,
        Option(
            "Factors of rows and columns, NxD of each core, 2 to 8 cores: 64x2,79x5,80x5 holds up"
            " to 404,480 rows of 50 columns. Three cores of about equal size by default."
        ),
    ] = None
    columns: Annotated[
        Literal["spread", "first", "last"],
        Option(
            "Which cores factor the columns where --shape does not say: all, as in TT-Rec, or one."
        ),
    ] = "spread"
    order: Annotated[
        Literal["none", "cluster"],
        Option("Order of the rows in the tensor: as they come, or like rows side by side."),
    ] = "none"

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        given = [
            flag
            for flag, value in (
                ("--rank", self.rank),
                ("--budget", self.budget),
                ("--target-error", self.target_error),
            )
            if value is not None
        ]
        if len(given) > 1:
            raise UsageError(f"tt: {given[0]} and {given[1]} both say the ranks; give one of them")
        if self.budget is not None:
            parse_budget(self.budget)
        self._ranks()
        self._given_shape()

    def _ranks(self) -> tuple[int, ...]:
        """The ranks of ``--rank``, none without it."""
        if self.rank is None:
            return ()
        words = self.rank.split(",")
        if not all(word.isascii() and word.isdecimal() and int(word) for word in words):
            raise UsageError(
                f"tt: --rank '{self.rank}' is no rank; write 64, or one for each cut such as 48,64"
            )
        return tuple(map(int, words))

    def _given_shape(self) -> TrainShape | None:
        from embcompress.solvers.train_shape import parse_shape

        if self.shape is None:
            return None
        shape = parse_shape(self.shape)
        if shape is None:
            raise UsageError(
                f"tt: --shape '{self.shape}' is no shape; write NxD of 2 to 8 cores, such as"
                " 64x2,79x5,80x5"
            )
        return shape

    def preflight(self, rows: Rows, context: Context) -> None:
        shape = self._shape(rows)
        n, d = rows.shape
        slots, columns = math.prod(shape.rows), math.prod(shape.columns)
        if slots < n or columns < d:
            raise UsageError(
                f"{rows.name}: --shape {self.shape} holds {slots:,} rows of {columns:,} columns,"
                f" fewer than its {n:,} of {d:,}; {self._usual(rows)} would do"
            )
        if columns > 2 * d + 64 or slots > 2**47:
            raise UsageError(
                f"{rows.name}: --shape {self.shape} holds {slots:,} rows of {columns:,} columns,"
                f" far more than its {n:,} of {d:,}; {self._usual(rows)} would do"
            )
        self._check_ranks(rows, shape)
        held = 2 * 4 * n * d
        if self.order == "cluster" and held > context.memory:
            raise IOFailure(
                f"{rows.name}: --order cluster holds the table twice, {held:,} bytes; raise"
                " --memory or use --order none"
            )

    def _check_ranks(self, rows: Rows, shape: TrainShape) -> None:
        ranks, cuts = self._ranks(), len(shape.rows) - 1
        if len(ranks) > 1 and len(ranks) != cuts:
            raise UsageError(
                f"{rows.name}: --rank {self.rank} gives {len(ranks)} ranks, but --shape {shape} has"
                f" {cuts} cuts"
            )
        most = shape.within(shape.most) if min(rows.shape) else ranks
        if len(ranks) > 1 and any(r > m for r, m in zip(ranks, most, strict=True)):
            raise UsageError(
                f"{rows.name}: --rank {self.rank} is beyond what --shape {shape} has; use"
                f" {','.join(map(str, most))} or less"
            )

    def _check_rank(self, tables: Mapping[str, Rows]) -> None:
        """Refuse one rank for all cuts that no cut of any table has."""
        ranks = self._ranks()
        shapes = {rows.name: self._shape(rows) for rows in tables.values() if min(rows.shape)}
        most = {name: max(shape.within(shape.most)) for name, shape in shapes.items()}
        if len(ranks) != 1 or not most or ranks[0] <= max(most.values()):
            return
        name = max(most, key=lambda name: most[name])
        raise UsageError(
            f"{name}: --rank {self.rank} is beyond {most[name]}, the most that a cut of its shape"
            f" {shapes[name]} has; use that or less, or another --shape"
        )

    def _shape(self, rows: Rows) -> TrainShape:
        return self._given_shape() or self._usual(rows)

    def _usual(self, rows: Rows) -> TrainShape:
        from embcompress.solvers.train_shape import usual_shape

        return usual_shape(*rows.shape, self.columns)

    def _settled(self, shape: TrainShape) -> tuple[int, ...]:
        """Ranks as options say them, no larger than a shape has."""
        ranks = self._ranks() or (_RANK,)
        cuts = len(shape.rows) - 1
        return shape.within(ranks * cuts if len(ranks) == 1 else ranks)

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        self._check_rank(tables)
        settled = {}
        for key, rows in tables.items():
            shape = self._shape(rows)
            settled[key] = replace(self, shape=str(shape), columns="spread")
            if self.budget is None and self.target_error is None:
                ranks = ",".join(map(str, self._settled(shape)))
                settled[key] = replace(settled[key], rank=ranks)
        if self.budget is None:
            return settled
        return self._within(self.budget, tables, settled, context)

    def _within(
        self, budget: str, tables: Mapping[str, Rows], settled: Mapping[str, TT], context: Context
    ) -> dict[str, TT]:
        from embcompress.budget import parse_budget
        from embcompress.methods.sizing import accounts_of, share_out
        from embcompress.solvers.train_ranks import rank_path

        accounts = accounts_of(self.name, context)
        allowed = parse_budget(budget).bytes_for(accounts.source_bytes, accounts.weights)
        paths = {}
        for key, rows in tables.items():
            shape, method = self._shape(rows), settled[key]
            limits = method._limits(shape, allowed, context)
            train, *_ = method._train(rows, shape, limits, context)
            paths[key] = rank_path(shape, train, limits, allowed // 4)

        def of(key: str, steps: int) -> TT:
            ranks = ",".join(map(str, paths[key].ranks[steps]))
            return replace(settled[key], rank=ranks, budget=None)

        def made(steps: Mapping[str, int]) -> dict[str, tuple[Method, Codec]]:
            return {
                key: (of(key, steps[key]), of(key, steps[key])._empty(rows))
                for key, rows in tables.items()
            }

        gains = {key: path.gains for key, path in paths.items()}
        steps = share_out(self.name, budget, gains, made, context, "rank 1")
        return {key: of(key, count) for key, count in steps.items()}

    def _limits(self, shape: TrainShape, allowed: int, context: Context) -> Fixed:
        """Ranks as far as a budget and the memory reach."""
        from embcompress.solvers.tensor_train import Fixed

        sizes = shape.sizes
        bounds = [
            max(1, min(most, allowed // (4 * (sizes[k] + sizes[k + 1]))))
            for k, most in enumerate(shape.most)
        ]
        held = 8 * math.prod(shape.rows) * math.prod(shape.columns) // sizes[-1]
        bounds[-1] = max(1, min(bounds[-1], context.memory // (4 * held)))
        return Fixed(shape.within(tuple(bounds)))

    def fit(self, rows: Rows, context: Context) -> Encoder:
        from embcompress.codecs.tensor_train import TensorTrain
        from embcompress.solvers.tensor_train import Fixed, TrainEncoder, Within

        shape = self._shape(rows)
        if not min(rows.shape):
            return TrainEncoder(self._empty(rows))
        cut: Cut = Fixed(self._settled(shape))
        if self.target_error is not None and self.rank is None:
            cut = Within(self.target_error**2)
        train, order, ids = self._train(rows, shape, cut, context)
        codec = TensorTrain(rows.shape[1], self._bits(rows), train.cores)
        if order is None:
            return TrainEncoder(codec)
        import numpy as np

        plain, *_ = replace(self, order="none")._train(rows, shape, Fixed(codec.ranks), context)
        context.progress.note(
            f"{rows.name}: the rows' own order leaves {plain.lost**0.5:.4f} at these ranks, the"
            f" clustered one {train.lost**0.5:.4f}"
        )
        slots = np.empty(len(order), np.int64)
        slots[order] = np.arange(len(order))
        return TrainEncoder(codec, slots, ids)

    def _bits(self, rows: Rows) -> int:
        return (rows.shape[0] - 1).bit_length() if self.order == "cluster" else 0

    def _empty(self, rows: Rows) -> TensorTrain:
        """The codec of these ranks without its numbers."""
        import numpy as np

        from embcompress.codecs.tensor_train import TensorTrain

        shape = self._shape(rows)
        around = (1, *self._settled(shape), 1)
        cores = tuple(
            np.zeros((n, around[k], d, around[k + 1]), np.float32)
            for k, (n, d) in enumerate(zip(shape.rows, shape.columns, strict=True))
        )
        return TensorTrain(rows.shape[1], self._bits(rows) if rows.shape[0] else 0, cores)

    def _train(
        self, rows: Rows, shape: TrainShape, cut: Cut, context: Context
    ) -> tuple[Train, NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """The train, the row of every slot, and the ids of the rows."""
        from embcompress.solvers.tensor_train import fit_train

        largest = context.statistics(rows, frozenset()).largest
        settings = (context.each, context.threads, context.memory)
        if self.order == "none":
            return fit_train(rows, shape, largest, cut, *settings), None, None
        from embcompress.solvers.coordinates import SampleRows
        from embcompress.solvers.row_order import clustered_order, held

        values, ids = held(rows, context.each)
        with context.progress.stage("ordering", len(values)) as progress:
            order = clustered_order(values, shape.rows, progress.advance)
        ordered = SampleRows(rows.name, values[order])
        return fit_train(ordered, shape, largest, cut, *settings), order, ids
