"""The largest setting whose artifact stays within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from embcompress.budget import parse_budget
from embcompress.errors import UsageError

if TYPE_CHECKING:
    from embcompress.codecs.base import Codec
    from embcompress.methods.base import Accounts, Context, Method

    Made = Mapping[str, tuple[Method, Codec]]


def largest_within(
    verb: str,
    budget: str,
    most: int,
    made: Callable[[int], Made],
    context: Context,
    least: str,
    ragged: Mapping[str, int] | None = None,
) -> int:
    """The largest setting whose tables, everything counted, take no more than a budget.

    Args:
        verb: The method, for errors.
        budget: As `parse_budget` reads it.
        most: The settings are 0 … most; a larger one never takes fewer bytes.
        made: Settled method and codec of every table under a setting, by the keys of
            ``Method.plan``; only the shapes of shared arrays matter.
        context: Accounts for the whole artifact.
        least: What setting 0 is, for the error, such as "rank 1".
        ragged: Bytes of ragged data under the setting that ``made`` was last called with.

    Raises:
        UsageError: Setting 0 does not fit, or rows are not those of a file.
    """
    accounts = accounts_of(verb, context)
    allowed = parse_budget(budget).bytes_for(accounts.source_bytes, accounts.weights)
    smallest = accounts.artifact_bytes(made(0), context, ragged)
    if smallest > allowed:
        raise UsageError(
            f"{verb}: --budget {budget} is {allowed:,} bytes, but {least} takes {smallest:,} with"
            " header and maps"
        )
    fits, beyond = 0, most + 1
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        if accounts.artifact_bytes(made(middle), context, ragged) <= allowed:
            fits = middle
        else:
            beyond = middle
    return fits


def accounts_of(verb: str, context: Context) -> Accounts:
    """The accounts of the run.

    Raises:
        UsageError: Rows are not those of a file, such as coordinates of another method.
    """
    if context.accounting is None:
        raise UsageError(
            f"{verb}: --budget is of whole tables; say the size of coordinates in other options"
        )
    return context.accounting
