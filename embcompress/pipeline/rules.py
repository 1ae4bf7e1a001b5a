"""Rules: which method compresses which tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from embcompress.errors import UsageError
from embcompress.methods.base import Method
from embcompress.report.gates import Gates
from embcompress.tables.choose import Choice, Skipped, Taken, choose
from embcompress.tables.quoting import listed
from embcompress.tables.source import Source, is_candidate, why_no_table


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A method for the tables whose names match.

    Args:
        method: The method; None passes the tables through.
        match: Patterns as ``choose`` takes them; without any, names that read like an embedding.
        gates: Bounds that each of its tables has to keep.
        where: Names the rule in messages.
    """

    method: Method | None
    match: tuple[str, ...] = ()
    gates: Gates = field(default_factory=Gates)
    where: str = "rule"


@dataclass(frozen=True)
class Assigned:
    """What becomes of every tensor of a source.

    Args:
        choice: The tensors taken and skipped, with the reasons.
        methods: The method of every table taken.
        rules: The rule that gave it, by its number from 0.
    """

    choice: Choice
    methods: dict[str, Method]
    rules: dict[str, int]

    def twins(self) -> dict[str, int]:
        """Numbers that tell the tables of two rules apart that have the same method.

        They count by the first table, in the order of names, from 0, whatever the rules' order.
        """
        known: dict[Method, list[int]] = {}
        twins = {}
        for name in sorted(self.methods):
            mine = known.setdefault(self.methods[name], [])
            if self.rules[name] not in mine:
                mine.append(self.rules[name])
            twins[name] = mine.index(self.rules[name])
        return twins


def assign(source: Source, rules: Sequence[Rule]) -> Assigned:
    """Give every table to the first rule that matches it.

    Args:
        source: The file or model to compress.
        rules: At least one.

    Raises:
        UsageError: A rule matches nothing, or only what earlier rules have taken; or nothing is
            to be compressed.
        BadInput: As for ``choose``.
    """
    first: dict[str, tuple[int, str]] = {}
    for number, rule in enumerate(rules):
        found = choose(source, rule.match, f"{rule.where}: match").taken
        fresh = [taken for taken in found if taken.name not in first]
        if not fresh:
            names = listed([taken.name for taken in found])
            raise UsageError(
                f"{rule.where}: earlier rules have taken all that it matches: {names}; the first"
                " match wins, so put it before them or remove it"
            )
        first |= {taken.name: (number, taken.reason) for taken in fresh}
    choice = Choice([], [])
    methods: dict[str, Method] = {}
    for name, info in source.tensors.items():
        if name not in first:
            candidate = is_candidate(info)
            reason = "no rule matches it" if candidate else why_no_table(info)
            choice.skipped.append(Skipped(name, reason, candidate))
            continue
        number, reason = first[name]
        method = rules[number].method
        if method is None:
            choice.skipped.append(Skipped(name, f"rule {number + 1} passes it through", True))
        else:
            choice.taken.append(Taken(name, f"rule {number + 1}: {reason}"))
            methods[name] = method
    if not methods:
        raise UsageError(f"{source.shown}: every rule passes its tables through: nothing to do")
    return Assigned(choice, methods, {name: first[name][0] for name in methods})
