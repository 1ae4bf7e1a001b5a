"""SSEDS: the columns of each feature field that the loss feels least are dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from embcompress.errors import BadInput, UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.codecs.base import Codec
    from embcompress.tables.gradients import Gradients

_KEEP = 0.5


@dataclass(frozen=True, kw_only=True)
class Sseds(Method):
    """Drop the columns of each feature field that the loss feels least, told by gradients.

    With a mask M of ones on the columns of the fields, the gradient by column j of field i is
    g_ij = ∂L/∂M_ij = Σ (E_nj − fill_ij)·∂L/∂E_nj over the rows n of field i, and the saliency is
    |g_ij| / Σ|g| over all fields of all tables. --keep keeps that share of all columns of all
    fields; --budget keeps the best columns by saliency per byte, since a column of a field costs a
    value in each of its rows. A field is a range of --fields, or a whole table. The kept columns
    are exact with the default --then.

    --grads is a saliency of fields by columns, summed batch by batch, or the gradients of all rows,
    rows by columns. embcompress.torch.collect_saliency writes the former. Sum magnitudes or squares
    over batches, not the gradients themselves: at a trained optimum those of all batches add up to
    nearly nothing, so that their sum ranks columns by chance, while magnitudes still say how far
    the loss would move. Gradients of rows are one such sum, and a note says so. The saliency is of
    the move made: a file that was collected for another --fill is refused.

    --fill mean puts the mean of the field, weighted by --frequencies, in place of a dropped column;
    zero is the paper's padding; project predicts dropped columns from the kept ones by weighted
    least squares, with a matrix stored per field and counted, and ranks by the saliency of mean.
    --saliency energy and magnitude need no gradients: they are the squared and absolute move,
    averaged over the rows of the field, weighted by --frequencies.
    """

    name = "sseds"
    family = "pruning"
    native = True
    source = (
        "Qu et al. 2022, Single-shot embedding dimension search in recommender system (the"
        " searching stage; no retraining)"
    )
    example = "sseds glove.npy -o glove.s.safetensors --grads saliency.npy --keep 0.5"

    keep: Annotated[
        float | None,
        Option(
            f"Share of the columns of all fields to keep; {_KEEP} unless --budget or --columns is"
            " given.",
            min=0,
            max=1,
        ),
    ] = None
    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below: 12MB (10^6 bytes), 8x (an eighth of"
            " the source) or 2.5bpw (bits per weight)."
        ),
    ] = None
    fill: Annotated[
        Literal["mean", "zero", "project"], Option("What stands in for dropped columns.")
    ] = "mean"
    saliency: Annotated[
        Literal["gradient", "energy", "magnitude"],
        Option("What columns are ranked by; gradient needs --grads."),
    ] = "gradient"
    columns: Annotated[
        str | None,
        Option("The columns to keep in every field, such as 0-7,12, in place of a choice."),
    ] = None
    then: Annotated[str, Option("The method that stores the kept columns: 'VERB options'.")] = (
        "cast --to fp32"
    )

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        if sum(value is not None for value in (self.keep, self.budget, self.columns)) > 1:
            raise UsageError("sseds: give one of --keep, --budget and --columns")
        if self.budget is not None:
            parse_budget(self.budget)
        if self.columns is not None:
            _ranges(self.columns)
        self.inner()

    def inner(self) -> Method:
        """The method of ``--then``.

        Raises:
            UsageError: It names no method, or one with a wrong option.
        """
        from embcompress.methods.spelling import parse_method

        return parse_method(self.then)

    @property
    def per_field(self) -> bool:
        return True

    @property
    def gradients(self) -> bool:
        return self.saliency == "gradient" and self.columns is None

    @property
    def needs(self) -> frozenset[str]:
        own = {"mean": {"moments"}, "project": {"moments", "gram"}}
        return frozenset(own.get(self.fill, set()))

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.alignment import check_room

        d = rows.shape[1]
        if self.columns is not None:
            last = max((stop for _, stop in _ranges(self.columns)), default=0) - 1
            if last >= d:
                raise UsageError(
                    f"{rows.name}: has {d} columns, counted from 0; --columns names column {last}"
                )
        if self.fill == "project":
            check_room(rows.name, d, context.memory)
        if not self.gradients:
            return
        found = context.gradients(rows)
        if found is None:
            raise UsageError(
                "sseds: needs gradients of the tables themselves, --grads FILE; --saliency energy"
                " and magnitude need none"
            )
        move = "zero" if self.fill == "zero" else "mean"
        if found.saliency is not None and found.fill not in (None, move):
            raise UsageError(
                f"{found.where}: was collected for fill {found.fill}, which says nothing of --fill"
                f" {self.fill}; collect it with fill={move!r}, or give --fill {found.fill}"
            )

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        import numpy as np

        if self.columns is not None:
            return dict.fromkeys(tables, self)
        self._warn(tables, context)
        found = {key: self._saliency(rows, context) for key, rows in tables.items()}
        if (
            self.gradients
            and any(map(len, found.values()))
            and not any(map(np.any, found.values()))
        ):
            raise BadInput(f"{_where(tables, context)}: every saliency is 0; it ranks no column")
        ranked = {key: np.argsort(-own, kind="stable") for key, own in found.items()}
        if self.budget is None:
            counts = _most_salient(found, _KEEP if self.keep is None else self.keep)
        else:
            counts = self._within(self.budget, found, ranked, tables, context)
        return {key: self._keeping(ranked[key][:count]) for key, count in counts.items()}

    def _within(
        self,
        budget: str,
        found: Mapping[str, NDArray[np.float64]],
        ranked: Mapping[str, NDArray[np.int64]],
        tables: Mapping[str, Rows],
        context: Context,
    ) -> dict[str, int]:
        """How many columns of each field are kept under a budget: the best by saliency per byte."""
        from embcompress.methods.sizing import share_out

        gains = {
            key: (own[ranked[key]] / max(tables[key].shape[0], 1)).tolist()
            for key, own in found.items()
        }
        known: dict[tuple[str, int], Codec] = {}

        def made(counts: Mapping[str, int]) -> dict[str, tuple[Method, Codec]]:
            chosen: dict[str, tuple[Method, Codec]] = {}
            for key, count in counts.items():
                method = self._keeping(ranked[key][:count])
                if (key, count) not in known:
                    known[key, count] = method.fit(tables[key], context).codec
                chosen[key] = method, known[key, count]
            return chosen

        return share_out(self.name, budget, gains, made, context, "no column of any field")

    def _keeping(self, kept: NDArray[np.int64]) -> Sseds:
        """The settled method of a field that keeps some columns."""
        return replace(self, keep=None, budget=None, columns=_spelled(sorted(kept.tolist())))

    def _warn(self, tables: Mapping[str, Rows], context: Context) -> None:
        """Tell what the gradients of the tables cannot say."""
        for note in dict.fromkeys(
            note for rows in tables.values() for note in _doubts(context.gradients(rows), self.fill)
        ):
            context.progress.note(note)

    def _saliency(self, rows: Rows, context: Context) -> NDArray[np.float64]:
        """|g|, or the mean energy or magnitude, of every column, float64 [D]."""
        import numpy as np

        from embcompress.solvers.saliency import absolute_moves, mask_gradient, squared_moves

        fill = self._fill(rows, context)
        total: NDArray[np.float64] = np.zeros(rows.shape[1])
        if self.saliency == "gradient":
            gradients = context.gradients(rows)
            assert gradients is not None
            if gradients.saliency is not None:
                told: NDArray[np.float64] = np.abs(gradients.saliency[0])
                return told
            assert gradients.rows is not None
            of_tile = partial(mask_gradient, gradients=gradients.rows, fill=fill)
            for part in context.each(rows, of_tile, "saliency"):
                total += part
            return np.abs(total)
        moves = squared_moves if self.saliency == "energy" else absolute_moves
        for part in context.each(rows, partial(moves, fill=fill), "saliency"):
            total += part
        return total / (context.statistics(rows, self.needs).weight or 1.0)

    def _fill(self, rows: Rows, context: Context) -> NDArray[np.float64]:
        """What dropped columns hold, float64 [D], every column of it."""
        import numpy as np

        if self.fill == "zero":
            return np.zeros(rows.shape[1])
        mean = context.statistics(rows, self.needs).mean
        assert mean is not None
        return mean.astype(np.float32).astype(np.float64)

    def fit(self, rows: Rows, context: Context) -> Encoder:
        import numpy as np

        from embcompress.codecs.columns import Columns
        from embcompress.codecs.projected import Projected
        from embcompress.solvers.alignment import alignment
        from embcompress.solvers.encoder import ColumnsEncoder
        from embcompress.solvers.kept_columns import KeptColumns

        d = rows.shape[1]
        kept = _columns(self.columns or "")
        inner = context.fit(self.inner(), KeptColumns(rows, kept))
        if self.fill == "project" and 0 < len(kept) < d:
            offset, basis = alignment(context.statistics(rows, self.needs), kept)
            return ColumnsEncoder(Projected(d, offset, basis, inner.codec), kept, inner)
        fill = None
        if self.fill != "zero" and len(kept) < d:
            fill = np.delete(self._fill(rows, context), kept).astype(np.float32)
        return ColumnsEncoder(Columns(d, kept, fill, inner.codec), kept, inner)


def _most_salient(found: Mapping[str, NDArray[np.float64]], share: float) -> dict[str, int]:
    """How many of each field's columns are among a share of all; of equal ones the first are."""
    import numpy as np

    field = np.repeat(np.arange(len(found)), [len(own) for own in found.values()])
    order = np.argsort(-np.concatenate([np.empty(0), *found.values()]), kind="stable")
    kept = order[: math.floor(Fraction(str(share)) * len(order))]
    return dict(zip(found, np.bincount(field[kept], minlength=len(found)).tolist(), strict=True))


def _doubts(gradients: Gradients | None, fill: str) -> list[str]:
    """What makes gradients poor guides, one line each."""
    if gradients is None:
        return []
    if gradients.rows is not None:
        return [
            f"{gradients.where}: gradients of rows are one sum, which vanishes at a trained"
            " optimum; magnitudes summed batch by batch (embcompress.torch.collect_saliency) say"
            " more"
        ]
    doubts = []
    if gradients.saliency is not None and (gradients.saliency < 0).any():
        doubts.append(
            f"{gradients.where}: holds negative numbers, so it sums signed gradients, which vanish"
            " at a trained optimum; sum their magnitudes or squares batch by batch"
        )
    if gradients.fill is None and fill != "zero":
        doubts.append(
            f"{gradients.where}: records no fill, so it counts as collected for zeros in place of"
            f" dropped columns; --fill {fill} makes another move"
        )
    return doubts


def _where(tables: Mapping[str, Rows], context: Context) -> str:
    """The file of the gradients."""
    found = [context.gradients(rows) for rows in tables.values()]
    return next((g.where for g in found if g is not None), "gradients")


def _ranges(text: str) -> list[tuple[int, int]]:
    """Columns as written, [start, stop) each.

    Raises:
        UsageError: It is not like 0-7,12.
    """
    ranges = []
    for part in text.split(",") if text.strip() else []:
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit() and (last.isdigit() or not dash)):
            raise UsageError(f"sseds: --columns is like 0-7,12, not {text!r:.80}")
        start, end = int(first), int(last or first)
        if end < start:
            raise UsageError(f"sseds: --columns has {part.strip()}, which ends before it begins")
        ranges.append((start, end + 1))
    return ranges


def _columns(text: str) -> NDArray[np.int64]:
    """The columns of ``--columns``, ascending, int64 [K]."""
    import numpy as np

    found = [np.arange(start, stop) for start, stop in _ranges(text)]
    return np.unique(np.concatenate([np.empty(0, np.int64), *found])).astype(np.int64)


def _spelled(columns: Sequence[int]) -> str:
    """Ascending columns as ``--columns`` takes them: 0-7,12."""
    ranges: list[list[int]] = []
    for column in columns:
        if ranges and column == ranges[-1][1] + 1:
            ranges[-1][1] = column
        else:
            ranges.append([column, column])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
