"""What gates said, in words."""

from __future__ import annotations

import math

from embcompress.report import figures
from embcompress.report.model import GateResult

WORDS = {
    "max-rel-error": ("relative error", "at most"),
    "min-cosine": ("mean cosine", "at least"),
    "min-cosine-p1": ("1st percentile of the cosines", "at least"),
    "min-recall": ("recall", "at least"),
    "max-bytes": ("file bytes", "at most"),
    "max-skipped": ("skipped tables", "at most"),
    "min-ratio": ("ratio", "at least"),
    "max-bits": ("bits per weight", "at most"),
    "max-growth": ("growth in bytes", "at most"),
    "max-error-growth": ("growth of the relative error", "at most"),
    "smaller": ("file bytes", "fewer than the input's"),
    "compressed": ("compressed tables", "at least"),
    "finite": ("rows that decode to NaN or infinity", "at most"),
}
"""What a gate is about, and which side of its bound is good."""

ALWAYS_ON = {
    "smaller": "smaller than the input",
    "compressed": "a table was compressed",
    "finite": "every value decodes to a finite number",
}
"""Gates that need no asking, and what it means that they passed."""

_SHARES = ("max-growth", "max-error-growth")


def worst_first(results: list[GateResult]) -> list[GateResult]:
    """The gates that have not passed: those that could not be evaluated, then by the excess.

    Args:
        results: What the gates said.
    """

    def excess(result: GateResult) -> float:
        if result.got is None:
            return math.inf
        off = abs(result.got - result.wanted)
        return off / abs(result.wanted) if result.wanted else off

    return sorted((r for r in results if not r.passed), key=excess, reverse=True)


def failure_lines(results: list[GateResult]) -> list[str]:
    """One line for each gate that has not passed: the table, what was wanted, what it got."""
    return [failure_line(r) for r in results if not r.passed]


def failure_line(result: GateResult) -> str:
    """A gate that has not passed, in one line."""
    table = figures.name(result.table)
    if result.got is None:
        bound = (
            f"{100 * result.wanted:.15g}%" if result.gate in _SHARES else f"{result.wanted:.15g}"
        )
        return f"{table}: --{result.gate} {bound} could not be evaluated: {result.note}"
    what, bound = WORDS[result.gate]
    got, wanted = told(result)
    flag = "" if result.gate in ALWAYS_ON else f"--{result.gate}"
    aside = "; ".join(filter(None, (flag, result.note)))
    return f"{table}: {what} {got}, wanted {bound} {wanted}" + (f" ({aside})" if aside else "")


def passed_line(results: list[GateResult]) -> str:
    """One gate that some tables have passed, in one line: the closest of them."""
    what, bound = WORDS[results[0].gate]
    held = [g for g in results if g.got is not None]
    if not held:
        return f"{figures.name(results[0].table)}: {what}: {results[0].note}"
    closest = min(held, key=lambda g: abs((g.got or 0.0) - g.wanted))
    got, wanted = told(closest)
    among = f"closest of {len(results):,}" if len(results) > 1 else ""
    aside = "; ".join(filter(None, (among, closest.note)))
    return f"{figures.name(closest.table)}: {what} {got}, {bound} {wanted}" + (
        f" ({aside})" if aside else ""
    )


def told(result: GateResult) -> tuple[str, str]:
    """What was found and what was wanted, in as few digits as tell them apart.

    Args:
        result: A gate that was evaluated.
    """
    got = result.got or 0.0
    if result.gate not in _SHARES:
        return figures.told_apart(got, result.wanted)
    found, wanted = figures.told_apart(100 * got, 100 * result.wanted)
    return f"{found}%", f"{wanted}%"
