"""Tables that were passed through although a rule was meant for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from embcompress.artifact.reader import Artifact
from embcompress.tables.choose import reads_like_embedding
from embcompress.tables.header import TensorInfo
from embcompress.tables.source import is_candidate, why_no_table

PASS = "pass"
"""Stands for a method in a rule whose tables are passed through."""

_NO_WEIGHTS = {"BOOL", "I16", "U16", "I32", "U32", "I64", "U64"}


@dataclass(frozen=True)
class Meant:
    """The tables that a rule is for.

    Args:
        match: Patterns; '!GLOB' excludes. Without any, names that read like an embedding.
        passes: Whether it passes them through.
    """

    match: tuple[str, ...]
    passes: bool = False

    def excludes(self, name: str) -> bool:
        """Whether a pattern excludes a table."""
        dropped = [m[1:] for m in self.match if m.startswith("!")]
        return any(name == m or fnmatchcase(name, m) for m in dropped)

    def names(self, name: str, every: Collection[str]) -> bool:
        """Whether a table is one of those, among all names of its file."""
        if self.excludes(name):
            return False
        wanted = [m for m in self.match if not m.startswith("!")]
        if wanted:
            return any(name == m or fnmatchcase(name, m) for m in wanted)
        return len(every) == 1 or reads_like_embedding(name, every)[0]


def skipped_tables(
    passed: Mapping[str, TensorInfo], taken: Iterable[str], rules: Sequence[Meant]
) -> dict[str, str]:
    """Tables that were passed through although a rule, or their name, asked for more.

    A tensor of two dimensions or more that holds weights, of any dtype that could be such, counts
    when the first rule that matches it compresses, or when no rule matches it and its name reads
    like an embedding. It does not count when a rule passes it through or excludes it.

    Args:
        passed: Tensors that were passed through, by name.
        taken: Names of those that were compressed.
        rules: In order; the first match wins.

    Returns:
        The reason by name.
    """
    every = {*taken, *passed}
    found = {}
    for name, info in passed.items():
        if len(info.shape) < 2 or info.dtype in _NO_WEIGHTS:
            continue
        rule = next((r for r in rules if r.names(name, every)), None)
        if rule is None:
            left_out = any(r.excludes(name) for r in rules)
            meant = not left_out and reads_like_embedding(name, every)[0]
        else:
            meant = not rule.passes
        if meant:
            found[name] = "no rule matches it" if is_candidate(info) else why_no_table(info)
    return found


def left_out(
    passed: Mapping[str, TensorInfo], taken: Collection[str], rules: Sequence[Meant]
) -> list[str]:
    """Tables that would count as skipped, if rules did not pass them through or exclude them.

    Args:
        passed: Tensors that were passed through, by name.
        taken: Names of those that were compressed.
        rules: In order; the first match wins.

    Returns:
        Their names, sorted.
    """
    skipped = skipped_tables(passed, taken, rules)
    return sorted(skipped_tables(passed, taken, []).keys() - skipped.keys())


def skipped_in(artifact: Path, rules: Sequence[Meant]) -> dict[str, str]:
    """Tables that an artifact holds uncompressed; as ``skipped_tables``.

    Raises:
        BadInput: A damaged artifact.
        IOFailure: It cannot be read.
    """
    with Artifact(artifact) as opened:
        return skipped_tables(opened.passed, opened, rules)
