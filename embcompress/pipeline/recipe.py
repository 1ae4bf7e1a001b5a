"""Recipes: what a run is asked to do, read from TOML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embcompress.budget import parse_shard_size
from embcompress.errors import BadInput, UsageError
from embcompress.methods import registry
from embcompress.methods.base import Method
from embcompress.options import declared, nearest
from embcompress.pipeline.document import PROJECT, TABLE, Document, read_text
from embcompress.pipeline.rules import Rule
from embcompress.pipeline.run import Job
from embcompress.pipeline.settings import Settings
from embcompress.pipeline.skipped import PASS
from embcompress.report.gates import Gates
from embcompress.tables.quoting import quoted, shown

NAMES = ("embcompress.toml", PROJECT)
"""Files that hold a recipe, the first that is there."""

_PATHS = ("input", "output", "frequencies", "fields", "grads")
_KEYS = (*_PATHS, "max_shard_size", "report", "settings", "gates", "rules")
_RULE_KEYS = ("match", "method", "options", "gates")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a recipe says.

    Args:
        path: The file.
        rules: Which method compresses which tables, the first match wins.
        input: The source.
        output: The artifact.
        as_folder: Whether the output ends with a slash.
        frequencies: File of row frequencies.
        fields: File of fields.
        grads: File of gradients.
        max_shard_size: Most bytes of tensors in a file of the output folder.
        report: Files that the report is written to.
        settings: Grouping, seed, threads, memory.
        gates: Bounds of the whole artifact and of every table.
        kept: What of it an artifact keeps, beside methods and settings.
    """

    path: Path
    rules: tuple[Rule, ...]
    input: Path | None = None
    output: Path | None = None
    as_folder: bool = False
    frequencies: Path | None = None
    fields: Path | None = None
    grads: Path | None = None
    max_shard_size: int | None = None
    report: tuple[Path, ...] = ()
    settings: Settings = field(default_factory=Settings)
    gates: Gates = field(default_factory=Gates)
    kept: Mapping[str, Any] = field(default_factory=dict)


def find_recipe(path: Path | None) -> Path:
    """The recipe's file: the one given, or the one in a folder, by default the current one.

    Raises:
        BadInput: There is none.
    """
    folder = path or Path()
    if path is not None and not path.is_dir():
        return path
    for name in NAMES:
        if (folder / name).is_file() and (name == NAMES[0] or TABLE in read_text(folder / name)):
            return folder / name
    raise BadInput(
        f"{shown(folder)}: no {NAMES[0]} there, and no pyproject.toml with [{TABLE}]; name a recipe"
    )


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Args:
        path: A TOML file: the recipe, or one with a table ``[tool.embcompress]``. Paths in it
            begin at its folder.

    Raises:
        UsageError: It is no TOML, or says something that is not understood; with the line.
        BadInput: There is no such file, or it is another kind of file.
        IOFailure: It cannot be read.
    """
    return _Reader(path, read_text(path)).recipe()


class _Reader(Document):
    """A recipe's text."""

    def recipe(self) -> Recipe:
        """Check everything and give the recipe."""
        values = self._known(self._document, _KEYS, "a recipe", ())
        rules = values.get("rules")
        if not isinstance(rules, list) or not rules:
            self._fail("", ("rules",), "a recipe needs at least one [[rules]]")
        read = tuple(self._rule(number, rule) for number, rule in enumerate(rules))
        paths = {key: self._path_of(values[key], key) for key in _PATHS if key in values}
        settings = self._options(Settings, values.get("settings", {}), "settings", ("settings",))
        gates = self._gates(values.get("gates", {}), ("gates",))
        size = values.get("max_shard_size")
        return Recipe(
            path=self._path,
            rules=read,
            **paths,
            as_folder=str(values.get("output", "")).endswith("/"),
            max_shard_size=None if size is None else self._shard_size(size),
            report=tuple(self._path_of(p, "report") for p in self._list(values, "report", ())),
            settings=settings,
            gates=gates,
            kept=self._kept(values, gates),
        )

    def _kept(self, values: Mapping[str, Any], gates: Gates) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        if "input" in values:
            kept["input"] = Path(values["input"]).name
        if asked := gates.asked():
            kept["gates"] = asked
        return kept

    def _rule(self, number: int, rule: Any) -> Rule:
        where = (f"rules {number}",)
        table = self._table(rule, f"rule {number + 1}")
        values = self._known(table, _RULE_KEYS, "a rule", where)
        match = tuple(self._list(values, "match", where))
        name = values.get("method")
        if name is None:
            self._fail("method", where, f"it names no method: method = {quoted('quantize')}")
        if not isinstance(name, str):
            self._fail("method", where, "method is a text")
        options = self._table(values.get("options", {}), "options")
        if name == PASS:
            if options:
                self._fail("options", where, "a rule that passes tables through has no options")
            method: Method | None = None
        else:
            method = self._method(name, options, where)
        gates = self._rule_gates(values.get("gates", {}), where)
        line = self._line("", where)
        at = f", line {line}" if line else ""
        return Rule(
            method=method,
            match=match,
            gates=gates,
            where=f"{shown(self._path)}{at}, rule {number + 1}",
        )

    def _method(self, name: str, options: Mapping[str, Any], where: tuple[str, ...]) -> Method:
        found = registry().get(name)
        if found is None:
            word = name.split()[0] if name.split() else name
            advice = nearest(name, [*registry(), PASS])
            if word in registry():
                advice = f"; options go into options = {{…}}, and method = {quoted(word)}"
            self._fail("method", where, f"no method is called {quoted(name)}{advice}")
        made: Method = self._options(found, options, name, (*where, "options"))
        return made

    def _options(self, cls: type, given: Any, name: str, where: tuple[str, ...]) -> Any:
        """An options dataclass from a table."""
        table = self._table(given, name)
        values = self._known(table, declared(cls), name, where)
        for key, value in values.items():
            option = declared(cls)[key]
            if option.optional and value == "none":
                values[key] = None
            elif option.kind is str and type(value) in (int, float):
                values[key] = str(value)
        try:
            return cls(**values)
        except UsageError as error:
            wrong = next((k for k in values if declared(cls)[k].flag in str(error)), "")
            self._fail(wrong, where, str(error))

    def _shard_size(self, value: Any) -> int | None:
        if type(value) is not int and not isinstance(value, str):
            self._fail("max_shard_size", (), "max_shard_size is a size such as '5GB'")
        try:
            return parse_shard_size(str(value))
        except UsageError as error:
            self._fail("max_shard_size", (), str(error))

    def _path_of(self, value: Any, key: str) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            self._fail(key, (), f"{key} is a path, in quotes")
        return self._path.parent / value


def job_of(
    recipe: Recipe,
    *,
    input: Path | None = None,
    output: str | None = None,
    threads: int | None = None,
    memory: str | None = None,
    plan: bool = False,
    force: bool = False,
    keep_failed: bool = False,
    full_report: bool = True,
) -> Job:
    """What a recipe asks for.

    Args:
        recipe: The recipe.
        input: Another source.
        output: Another artifact.
        threads: Other cores to use.
        memory: Another bound of memory.
        plan: Whether sizes are found and nothing is written, nor gates on errors judged.
        force: As in ``Job``.
        keep_failed: As in ``Job``.
        full_report: Whether sampled figures are measured; a gate on one measures them anyway.

    Raises:
        UsageError: No input or no output is named.
    """
    source = input or recipe.input
    if source is None:
        raise UsageError(f"{shown(recipe.path)}: names no input; add input = '…', or give --input")
    target = recipe.output if output is None else Path(output)
    if target is None and not plan:
        raise UsageError(f"{shown(recipe.path)}: names no output; add output = '…', or give -o")
    settings = dataclasses.replace(
        recipe.settings,
        threads=threads or recipe.settings.threads,
        memory=memory or recipe.settings.memory,
    )
    needs_full = any(g.needs_full for g in (recipe.gates, *(r.gates for r in recipe.rules)))
    return Job(
        input=source,
        output=target,
        rules=recipe.rules,
        settings=settings,
        frequencies=recipe.frequencies,
        fields=recipe.fields,
        grads=recipe.grads,
        gates=recipe.gates,
        as_folder=recipe.as_folder if output is None else output.endswith("/"),
        max_shard_size=recipe.max_shard_size,
        recipe=recipe.kept,
        dry_run=plan,
        plan=plan,
        force=force,
        keep_failed=keep_failed,
        full_report=full_report or needs_full,
    )
