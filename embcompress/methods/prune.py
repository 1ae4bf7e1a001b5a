"""Pruning: the largest values of a table are kept, all others become 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.methods.grouping import columns_within, fit_columns, parse_shares
from embcompress.options import Option
from embcompress.tables.rows import Rows, Tile

if TYPE_CHECKING:
    from embcompress.codecs.sparse import Sparse
    from embcompress.solvers.sparsity import Keeping

_SHARE = 0.5
_LEAST = 1e-9
_STORED = {"fp32": "cast --to fp32", "fp16": "cast --to fp16", "int8": "quantize --bits 8"}


@dataclass(frozen=True, kw_only=True)
class Prune(Method):
    """Keep the largest values of a table as sparse rows; all others become 0.

    --scope says what competes: global, all values of all tables together under one threshold
    (DeepLight); row, those of each row; column, those of each column; group, whole columns of
    each group of rows by frequency (DNIS), by energy a value, weighted by frequency.

    Thresholds are exact, found from streamed counts: for global, one pass over the table and one
    to encode. Kept columns are stored as a bitmap or as a list, whichever is smaller for the
    table; values as float32, halves, or int8 with a scale a row or a table. --soft also takes the
    threshold from what is kept, as PEP's published code does: its training makes up for that,
    here it only adds error.

    --rows drops whole rows instead (OptEmbed): the share --keep of them is kept, those with most
    frequency times norm, or norm alone without --frequencies. The others take no bytes beside a
    bit a row of the map, and decode to the weighted mean of the dropped rows of their field.

    --keep is the share of values kept, --budget the bytes of all tables together; both are met
    from below.
    """

    name = "prune"
    family = "pruning"
    native = False
    source = (
        "Deng et al. 2021, DeepLight: deep lightweight feature interactions (global magnitudes);"
        " Liu et al. 2021, Learnable embedding sizes for recommender systems (PEP)"
    )
    example = "prune glove.npy -o glove.sparse.safetensors --keep 0.3 --values fp16"

    scope: Annotated[
        Literal["global", "row", "column", "group"],
        Option(
            "What competes: all values of all tables, those of a row, those of a column, or the"
            " columns of all groups of rows; group needs --frequencies."
        ),
    ] = "global"
    keep: Annotated[
        float | None,
        Option("Share of the values to keep; 0.5 where nothing says it.", min=_LEAST, max=1),
    ] = None
    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below: 12MB (10^6 bytes), 8x (an eighth of"
            " the source) or 2.5bpw (bits per weight)."
        ),
    ] = None
    values: Annotated[
        Literal["fp32", "fp16", "int8"],
        Option("How kept values are stored; fp32 is taken where fp16 cannot hold a table's."),
    ] = "fp32"
    scale: Annotated[
        Literal["row", "table"], Option("What has one scale, where values are int8.")
    ] = "row"
    rows: Annotated[
        bool, Option("Drop whole rows, those with least frequency times norm, instead of values.")
    ] = False
    groups: Annotated[
        str,
        Option(
            "Shares of the rows that are groups of --scope group, most frequent first; the rest is"
            " one more."
        ),
    ] = "0.05,0.15,0.3"
    then: Annotated[
        str | None,
        Option("The method that compresses kept rows, or kept columns of groups."),
    ] = None
    soft: Annotated[
        bool, Option("Take the threshold from every kept magnitude, as PEP's code; adds error.")
    ] = False

    _keeping: ClassVar[Any] = None  # settled by plan: thresholds are no options
    _kept: ClassVar[int] = 0
    _columns: ClassVar[Mapping[int, Any]] = {}  # by the identity of a group's rows

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        if self.budget is not None:
            parse_budget(self.budget)
            if self.keep is not None:
                raise UsageError("prune: --keep and --budget both say the size; give one of them")

        if self.scale == "table" and self.values != "int8":
            raise UsageError("prune: --scale table is of --values int8")
        parse_shares(self.name, self.groups)
        if self.rows:
            self._check_rows()
        elif self.then is not None and self.scope != "group":
            raise UsageError("prune: --then is of --rows, or of --scope group")
        if self.scope == "group" and (self.soft or self.scale != "row"):
            raise UsageError("prune: --soft and --scale do not go with --scope group")
        if self.then is not None:
            if self.values != "fp32" or self.budget is not None:
                raise UsageError("prune: --then does not go with --values or --budget")
            self.inner()

    def _check_rows(self) -> None:
        if self.budget is not None:
            raise UsageError(
                "prune: --rows needs --keep: rows are grouped before the bytes of a file are known"
            )
        if self.scope != "global" or self.soft or self.scale != "row":
            raise UsageError(
                "prune: --rows drops whole rows; leave out --scope, --soft and --scale"
            )

    def inner(self) -> Method:
        """The method that stores kept rows, or kept columns of groups.

        Raises:
            UsageError: ``--then`` names no method, or one with a wrong option.
        """
        from embcompress.methods.spelling import parse_method

        return parse_method(self.then or _STORED[self.values])

    @property
    def tiers(self) -> tuple[float, ...]:
        if self.rows:
            return (self._share,)
        return parse_shares(self.name, self.groups) if self.scope == "group" else ()

    @property
    def ranked_by(self) -> Literal["frequency", "norm"]:
        return "norm" if self.rows else "frequency"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"moments"}) if self.rows else frozenset()

    @property
    def _share(self) -> float:
        return _SHARE if self.keep is None else self.keep

    @property
    def reads_first(self) -> bool:
        return self.scope != "row" and self.budget is None and not self.rows

    def preflight(self, rows: Rows, context: Context) -> None:
        d = rows.shape[1]
        if self.tiers and context.accounting is None:
            raise UsageError(
                f"{rows.name}: prune groups a table's rows; it cannot compress coordinates so"
            )
        if self.scope == "row" and self.budget is None and d and not _part(self._share, d):
            raise UsageError(
                f"{rows.name}: --keep {self._share:g} keeps none of {d:,} columns; the least is"
                f" {1 / d:.3g}"
            )

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        if self.rows:
            return self._by_rows(tables, context)
        if self.scope == "group":
            return self._by_groups(tables, context)
        if self.scope == "global":
            return self._joint(tables, context)
        counts = self._counts(tables, context)
        settled = {}
        for key, rows in tables.items():
            keeping: Keeping | None = None
            if self.scope == "column":
                from embcompress.solvers.thresholds import column_thresholds

                keeping = column_thresholds(rows, counts[key], self._each(context), soft=self.soft)
            else:
                from embcompress.solvers.sparsity import LargestOfRow

                keeping = LargestOfRow(counts[key], self.soft) if counts[key] else None
            kept = counts[key] * rows.shape[1 if self.scope == "column" else 0]
            settled[key] = self._settled(rows, context, keeping, kept)
        return settled

    def _each(self, context: Context) -> Callable[..., Iterator[Any]]:
        def each(rows: Rows, function: Callable[[Tile], Any], stage: str) -> Iterator[Any]:
            return context.each(rows, function, stage, self.needs)

        return each

    def _settled(self, rows: Rows, context: Context, keeping: Keeping | None, kept: int) -> Prune:
        """This method with the rule for a segment."""
        from embcompress.solvers.sparsity import LARGEST_HALF

        values = self.values
        if values == "fp16" and context.statistics(rows, self.needs).largest > LARGEST_HALF:
            values = "fp32"
        made = replace(self, values=values)
        object.__setattr__(made, "_keeping", keeping)
        object.__setattr__(made, "_kept", kept)
        return made

    def _by_rows(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        """One form of values for all rows of a table, which are fitted together."""
        made = {key: self._settled(rows, context, None, 0) for key, rows in tables.items()}
        wide = {tables[key].name for key, method in made.items() if method.values != self.values}
        return {
            key: replace(self, values="fp32") if tables[key].name in wide else self for key in made
        }

    def _by_groups(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        """Columns of groups by energy a value, over all tables."""
        import numpy as np

        from embcompress.solvers.group_columns import (
            by_group,
            column_energies,
            ranked_columns,
            within,
        )

        each = self._each(context)
        energies = {
            key: sum(each(rows, column_energies, "column energies"), np.zeros(rows.shape[1]))
            for key, rows in tables.items()
        }
        counts = {key: rows.shape[0] for key, rows in tables.items()}
        ranked = ranked_columns(energies, counts)
        if self.budget is None:
            total = sum(rows.shape[0] * rows.shape[1] for rows in tables.values())
            taken = within(ranked, counts, _part(self._share, total))
        else:
            made = {k: self._settled(r, context, None, 0) for k, r in tables.items()}
            inner = {key: method.inner() for key, method in made.items()}
            taken = columns_within(self.name, self.budget, ranked, tables, made, inner, context)
        columns = by_group(taken, tables)
        known = {id(rows): columns[key] for key, rows in tables.items()}
        settled = {}
        for key, rows in tables.items():
            settled[key] = self._settled(rows, context, None, 0)
            object.__setattr__(settled[key], "_columns", known)
        return settled

    def _joint(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        """One threshold over all tables."""
        from embcompress.solvers.thresholds import joint_threshold

        segments = list(tables.values())
        fits = self._within_share(tables)
        if self.budget is not None:
            fits = self._within_budget(self.budget, tables, context)
        found, kept = joint_threshold(segments, fits, self._each(context), soft=self.soft)
        return {
            key: self._settled(rows, context, above, int(count))
            for (key, rows), above, count in zip(tables.items(), found, kept, strict=True)
        }

    def _within_share(self, tables: Mapping[str, Rows]) -> Callable[[Any], bool]:
        total = sum(rows.shape[0] * rows.shape[1] for rows in tables.values())
        most = max(1, _part(self._share, total))
        return lambda kept: int(kept.sum()) <= most

    def _within_budget(
        self, budget: str, tables: Mapping[str, Rows], context: Context
    ) -> Callable[[Any], bool]:
        """Whether the file with so many values of each segment stays within a budget."""
        from embcompress.budget import parse_budget
        from embcompress.methods.sizing import accounts_of

        accounts = accounts_of(self.name, context)
        allowed = parse_budget(budget).bytes_for(accounts.source_bytes, accounts.weights)
        settled = {key: self._settled(rows, context, None, 0) for key, rows in tables.items()}

        def taken(kept: Any) -> int:
            chosen, ragged = {}, {}
            for (key, rows), count in zip(tables.items(), kept.tolist(), strict=True):
                codec = settled[key]._codec(rows, count, context)
                chosen[key] = settled[key], codec
                ragged[key] = count * codec.entry_bytes
            return accounts.artifact_bytes(chosen, context, ragged)

        import numpy as np

        least = taken(np.zeros(len(tables), np.int64))
        if least > allowed:
            raise UsageError(
                f"prune: --budget {budget} is {allowed:,} bytes, but no values at all take"
                f" {least:,} with indexes, header and maps"
            )
        return lambda kept: taken(kept) <= allowed

    def _counts(self, tables: Mapping[str, Rows], context: Context) -> dict[str, int]:
        """Columns of each row, or rows of each column, that are kept."""
        along = 1 if self.scope == "row" else 0
        lengths = {key: rows.shape[along] for key, rows in tables.items()}
        if self.budget is None:
            return {
                key: min(length, max(1, _part(self._share, length)))
                for key, length in lengths.items()
            }
        return self._counts_within(self.budget, tables, lengths, context)

    def _counts_within(
        self,
        budget: str,
        tables: Mapping[str, Rows],
        lengths: Mapping[str, int],
        context: Context,
    ) -> dict[str, int]:
        from embcompress.methods.sizing import largest_within

        across = {key: rows.shape[0 if self.scope == "row" else 1] for key, rows in tables.items()}
        most = max(lengths.values(), default=1)
        settled = {key: self._settled(rows, context, None, 0) for key, rows in tables.items()}
        ragged: dict[str, int] = {}

        def counts(step: int) -> dict[str, int]:
            return {
                key: min(length, max(1, length * (step + 1) // most)) if length else 0
                for key, length in lengths.items()
            }

        def made(step: int) -> dict[str, tuple[Method, Sparse]]:
            chosen: dict[str, tuple[Method, Sparse]] = {}
            for key, count in counts(step).items():
                codec = settled[key]._codec(tables[key], count * across[key], context)
                chosen[key] = settled[key], codec
                ragged[key] = count * across[key] * codec.entry_bytes
            return chosen

        least = "one column a row" if self.scope == "row" else "one value a column"
        return counts(largest_within(self.name, budget, most - 1, made, context, least, ragged))

    def _codec(self, rows: Rows, kept: int, context: Context) -> Sparse:
        """The codec of a segment that keeps so many values."""
        import numpy as np

        from embcompress.solvers.sparsity import int8_scale, sparse_codec

        n, d = rows.shape
        scale = None
        if self.values == "int8" and self.scale == "table":
            found = context.statistics(rows, self.needs)
            scale = int8_scale(np.array([found.largest]))
        nonzeros = kept // max(n, 1) if self.scope == "row" and kept else None
        return sparse_codec((n, d), kept, self.values, nonzeros, scale)

    def fit_tiers(self, tiers: Sequence[Rows], context: Context) -> Sequence[Encoder]:
        import numpy as np

        from embcompress.solvers.encoder import constant

        if not self.rows:
            return [self.fit(rows, context) for rows in tiers]
        kept, absent = tiers
        mean = context.statistics(absent, self.needs).mean
        assert mean is not None
        row = mean.astype(np.float32)
        if not absent.shape[0]:  # no row is absent: nothing to store
            return [context.fit(self.inner(), rows) for rows in tiers]
        return [context.fit(self.inner(), kept), constant(row)]

    def fit(self, rows: Rows, context: Context) -> Encoder:
        if self.scope == "group":
            return fit_columns(self.inner(), rows, self._columns[id(rows)], context)
        from embcompress.solvers.sparsity import SparseEncoder

        keeping = self._keeping or _nothing(rows)
        return SparseEncoder(self._codec(rows, self._kept, context), keeping)


def _part(share: float, count: int) -> int:
    """The whole number of a share as it was written: 0.29 of 100 is 29."""
    import math
    from fractions import Fraction

    return math.floor(Fraction(str(share)) * count)


def _nothing(rows: Rows) -> Keeping:
    """A rule for segments without rows or columns."""
    import numpy as np

    from embcompress.solvers.sparsity import Above

    d = rows.shape[1]
    return Above(np.zeros(d, np.uint32), np.zeros(d, np.int64))
