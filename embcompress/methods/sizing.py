"""Settings whose artifact stays within a budget: the largest of one, or shared among tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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


def share_out(
    verb: str,
    budget: str,
    gains: Mapping[str, Sequence[float]],
    made: Callable[[Mapping[str, int]], Made],
    context: Context,
    least: str,
) -> dict[str, int]:
    """Steps that each table takes under a budget they share, most gain per byte first.

    Steps are taken in the order of gain per byte over all tables; where one no longer fits, its
    table stops and the others go on.

    Args:
        verb: The method, for errors.
        budget: As `parse_budget` reads it.
        gains: Error drop per byte of each table's steps, in their order; a step that gains more
            than one before it counts as that one.
        made: Settled method and codec of every table after so many steps of each.
        context: Accounts for the whole artifact.
        least: What no steps are, for the error, such as "rank 1".

    Raises:
        UsageError: No steps at all do not fit, or rows are not those of a file.
    """
    steps = []
    for number, (key, own) in enumerate(gains.items()):
        lowest = float("inf")
        for step, gain in enumerate(own):
            lowest = min(lowest, gain)
            steps.append((-lowest, number, step, key))
    left = [key for *_, key in sorted(steps)]
    taken = dict.fromkeys(gains, 0)

    def after(count: int) -> dict[str, int]:
        counts = Counter(left[:count])
        return {key: steps + counts[key] for key, steps in taken.items()}

    while True:
        fits = largest_within(verb, budget, len(left), lambda m: made(after(m)), context, least)
        taken, rest = after(fits), left[fits:]
        if not rest:
            return taken
        left = [key for key in rest if key != rest[0]]


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
