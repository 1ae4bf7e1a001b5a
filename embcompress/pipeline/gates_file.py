"""Gates read from a file: bounds of a whole artifact, and of the tables that patterns name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from embcompress.artifact.reader import Artifact
from embcompress.errors import UsageError
from embcompress.pipeline.document import Document, read_text
from embcompress.pipeline.skipped import PASS, Meant
from embcompress.report.gates import Gates, check_tables
from embcompress.report.model import GateResult, Report
from embcompress.tables.quoting import listed, shown

_RECIPE = (
    "input", "output", "frequencies", "fields", "max_shard_size", "report", "settings", "rules",
)  # fmt: skip
_NAMES = [f.name for f in dataclasses.fields(Gates)]


@dataclass(frozen=True, kw_only=True)
class TableGates:
    """Bounds of the tables that a rule names.

    Args:
        meant: The tables.
        gates: The bounds.
        where: Names the rule in messages.
    """

    meant: Meant
    gates: Gates
    where: str

    def names(self, tables: Iterable[str]) -> list[str]:
        """Those of some tables that the rule names."""
        every = list(tables)
        return [name for name in every if self.meant.names(name, every)]


@dataclass(frozen=True, kw_only=True)
class GatesFile:
    """What a file asks for.

    Args:
        gates: Bounds of the whole artifact and of every table.
        tables: Bounds of some tables; the first rule that names a table counts.
    """

    gates: Gates
    tables: tuple[TableGates, ...] = ()

    @property
    def meant(self) -> list[Meant]:
        """The tables that each rule is for."""
        return [rule.meant for rule in self.tables]

    def check(self, report: Report) -> list[GateResult]:
        """Hold a report against the bounds of some tables.

        Raises:
            UsageError: As for ``assign``.
        """
        assigned = self.assign(t.name for t in report.tables)
        return [
            result
            for rule, names in zip(self.tables, assigned, strict=True)
            for result in check_tables(report, rule.gates, names)
        ]

    def assign(self, tables: Iterable[str]) -> list[list[str]]:
        """The tables that each rule is for.

        Raises:
            UsageError: A rule with gates names no table, or only those of earlier rules.
        """
        left = list(tables)
        found = []
        for rule in self.tables:
            mine = rule.names(left)
            if not mine and rule.gates.asked():
                raise UsageError(
                    f"{rule.where}: its gates are for no table; left for it are"
                    f" {listed(left) or 'none'}"
                )
            left = [name for name in left if name not in mine]
            found.append(mine)
        return found


def read_gates_for(path: Path, artifact: Path) -> GatesFile:
    """Gates of an artifact, whose tables they name.

    Raises:
        UsageError: As for ``read_gates``, or a rule with gates is for none of its tables.
        BadInput: A file is missing or damaged.
        IOFailure: A file cannot be read.
    """
    found = read_gates(path)
    if found.tables:
        with Artifact(artifact) as opened:
            found.assign(opened)
    return found


def read_gates(path: Path) -> GatesFile:
    """Read gates: TOML or, when the name ends with .json, JSON.

    The bounds stand by themselves, or as in a recipe: under ``[gates]``, and of some tables under
    ``[[rules]]`` with ``match`` and ``gates``. A recipe's other keys are not looked at.

    Raises:
        UsageError: It is no TOML or JSON, or says something that is not understood, or holds no
            gates.
        BadInput: There is no such file.
        IOFailure: It cannot be read.
    """
    return _Reader(path, read_text(path)).file()


class _Reader(Document):
    """A text that holds gates."""

    def file(self) -> GatesFile:
        """Check everything and give the gates."""
        words = {key.replace("-", "_") for key in self._document}
        if words & {*_NAMES}:
            return GatesFile(gates=self._gates(self._document, ()))
        values = self._known(self._document, ("gates", *_NAMES, *_RECIPE), "gates", ())
        rules = values.get("rules", [])
        if not isinstance(rules, list):
            self._fail("rules", (), "rules are written as [[rules]]")
        found = GatesFile(
            gates=self._gates(values.get("gates", {}), ("gates",)),
            tables=tuple(self._rule(number, rule) for number, rule in enumerate(rules)),
        )
        if not found.gates.asked() and not any(t.gates.asked() for t in found.tables):
            raise UsageError(f"{shown(self._path)}: holds no gates; write max-rel-error = 0.1")
        return found

    def _rule(self, number: int, rule: object) -> TableGates:
        where = (f"rules {number}",)
        table = self._table(rule, f"rule {number + 1}")
        values = self._known(table, ("match", "method", "options", "gates"), "a rule", where)
        gates = self._rule_gates(values.get("gates", {}), where)
        line = self._line("", where)
        at = f", line {line}" if line else ""
        return TableGates(
            meant=Meant(tuple(self._list(values, "match", where)), values.get("method") == PASS),
            gates=gates,
            where=f"{shown(self._path)}{at}, rule {number + 1}",
        )
