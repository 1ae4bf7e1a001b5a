"""Groups of rows by frequency: as typed, and the columns they keep."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from embcompress.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.methods.base import Context, Encoder, Method
    from embcompress.tables.rows import Rows

    Ranked = list[tuple[str, int]]  # columns by the keys of their groups

_MOST_GROUPS = 64


def parse_shares(verb: str, text: str) -> tuple[float, ...]:
    """Shares of the rows as typed, those of the most frequent first.

    Args:
        verb: The method, for errors.
        text: Such as ``0.05,0.15``; what is left is one group more.

    Raises:
        UsageError: Another form, or shares of 1 or more together.
    """
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if not (1 <= len(shares) < _MOST_GROUPS and all(0 < s < 1 for s in shares) and sum(shares) < 1):
        raise UsageError(
            f"{verb}: --groups '{text}' are not shares of the rows such as 0.05,0.15, that leave"
            " some for the rest"
        )
    return shares


def fit_columns(
    method: Method,
    rows: Rows,
    kept: NDArray[np.int64],
    context: Context,
    *,
    empty: bool | None = None,
) -> Encoder:
    """The encoder of a group that keeps some columns; the others are 0.

    Args:
        method: Compresses the columns.
        rows: What values are looked at.
        kept: int64 [K], ascending columns.
        context: Fits the method.
        empty: Whether the group has no rows, where ``rows`` do not tell.
    """
    import numpy as np

    from embcompress.codecs.columns import Columns
    from embcompress.solvers.encoder import ColumnsEncoder, constant
    from embcompress.solvers.kept_columns import KeptColumns

    n, d = rows.shape
    empty = not n if empty is None else empty
    if d and not empty and not len(kept):
        return constant(np.zeros(d, np.float32))
    inner = context.fit(method, KeptColumns(rows, kept))
    return ColumnsEncoder(Columns(d, kept, None, inner.codec), kept, inner)


def columns_within(
    verb: str,
    budget: str,
    ranked: Ranked,
    tables: Mapping[str, Rows],
    settled: Mapping[str, Method],
    inner: Mapping[str, Method],
    context: Context,
) -> Ranked:
    """The most of ranked columns whose file stays within a budget.

    Args:
        verb: The method, for errors.
        budget: As `parse_budget` reads it.
        ranked: Columns of groups, those to keep first.
        tables: The groups' rows.
        settled: The settled method of each.
        inner: What compresses its columns.
        context: Accounts for the whole artifact.

    Raises:
        UsageError: No columns at all do not fit, or rows are not those of a file.
    """
    import numpy as np

    from embcompress.budget import parse_budget
    from embcompress.methods.sizing import accounts_of
    from embcompress.solvers.coordinates import SampleRows
    from embcompress.solvers.group_columns import by_group, longest

    accounts = accounts_of(verb, context)
    allowed = parse_budget(budget).bytes_for(accounts.source_bytes, accounts.weights)

    def size(some: Ranked, *, fitted: bool) -> int:
        """Bytes of the file; without a fit to the rows, those that any values take at least."""
        made = {}
        for key, kept in by_group(some, tables).items():
            own = tables[key]
            rows = own if fitted else SampleRows(own.name, np.empty((0, own.shape[1]), np.float32))
            encoder = fit_columns(inner[key], rows, kept, context, empty=not own.shape[0])
            made[key] = settled[key], encoder.codec
        return accounts.artifact_bytes(made, context)

    def fits(aim: int, some: Ranked) -> bool:
        return size(some, fitted=False) <= aim

    least = size([], fitted=True)
    if least > allowed:
        raise UsageError(
            f"{verb}: --budget {budget} is {allowed:,} bytes, but no columns at all take {least:,}"
            " with header and maps"
        )
    aim = allowed
    while True:
        taken = longest(ranked, partial(fits, aim))
        over = size(taken, fitted=True) - allowed
        if over <= 0 or not taken:
            return taken
        aim -= over
