"""Recipes: what a run is asked to do, read from TOML."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from embcompress.budget import parse_shard_size, parse_size
from embcompress.errors import BadInput, UsageError
from embcompress.methods import registry
from embcompress.methods.base import Method
from embcompress.options import declared, nearest
from embcompress.pipeline.rules import Rule
from embcompress.pipeline.run import Job
from embcompress.pipeline.settings import Settings
from embcompress.report.gates import Gates
from embcompress.tables.file import SourceFile
from embcompress.tables.quoting import quoted, shown

NAMES = ("embcompress.toml", "pyproject.toml")
"""Files that hold a recipe, the first that is there."""

PASS = "pass"
"""Stands for a method in a rule whose tables are passed through."""

_TABLE = "tool.embcompress"
_MAX_BYTES = 2**24
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
        if (folder / name).is_file() and (name == NAMES[0] or _TABLE in _text(folder / name)):
            return folder / name
    raise BadInput(
        f"{shown(folder)}: no {NAMES[0]} there, and no pyproject.toml with [{_TABLE}]; name a"
        " recipe"
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
    return _Reader(path, _text(path)).recipe()


def _text(path: Path) -> str:
    with SourceFile(path) as file:
        if file.size > _MAX_BYTES:
            raise BadInput(f"{file.shown}: has {file.size:,} bytes, too many for a recipe")
        try:
            return file.read(0, file.size).decode()
        except UnicodeDecodeError as error:
            raise BadInput(f"{file.shown}: is no recipe: it is not UTF-8 text") from error


class _Reader:
    """A recipe's text, and where in it things stand."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()
        try:
            document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(f"{shown(path)}: is no TOML: {error}") from error
        self._prefix = ""
        tool = document.get("tool")
        if path.name == NAMES[1] or (isinstance(tool, dict) and "embcompress" in tool):
            self._prefix = f"{_TABLE}."
            if not isinstance(tool, dict) or "embcompress" not in tool:
                raise UsageError(f"{shown(path)}: has no table [{_TABLE}]")
            document = tool["embcompress"]
        self._document = self._table(document, "the recipe")

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
        gates = self._gates(values.get("gates", {}), (*where, "gates"))
        if gates.max_bytes is not None:
            self._fail("max_bytes", where, "max_bytes is of the whole file: put it under [gates]")
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

    def _gates(self, given: Any, where: tuple[str, ...]) -> Gates:
        known = [f.name for f in dataclasses.fields(Gates)]
        values = self._known(self._table(given, "gates"), known, "gates", where)
        for key, value in values.items():
            if key == "max_bytes" and isinstance(value, str):
                values[key] = parse_size(value)
            elif type(value) not in (int, float) or (key == "max_bytes" and type(value) is float):
                self._fail(key, where, f"{key} is a number, not {value!r:.60}")
        try:
            return Gates(**values)
        except UsageError as error:
            self._fail(next(iter(values)), where, str(error))

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

    def _list(self, values: Mapping[str, Any], key: str, where: tuple[str, ...]) -> list[str]:
        value = values.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(v, str) and v for v in listed):
            self._fail(key, where, f"{key} is a text or a list of texts")
        return listed

    def _table(self, value: Any, name: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise UsageError(f"{shown(self._path)}: {name} is a table of keys, not {value!r:.60}")
        return value

    def _known(
        self, table: Mapping[str, Any], known: Iterable[str], name: str, where: tuple[str, ...]
    ) -> dict[str, Any]:
        """The values by key, with _ for -; another key is an error that names the nearest."""
        values = {}
        words = list(known)
        for key, value in table.items():
            word = key.replace("-", "_")
            if word not in words:
                advice = nearest(key, words).replace("-", "_")
                advice = advice or f"; its keys are {', '.join(words) or 'none'}"
                self._fail(key, where, f"{name} has no key {quoted(key)}{advice}")
            values[word] = value
        return values

    def _fail(self, key: str, where: tuple[str, ...], cause: str) -> NoReturn:
        line = self._line(key, where)
        at = f", line {line}" if line else ""
        rule = f", rule {int(where[0].split()[1]) + 1}" if where and " " in where[0] else ""
        raise UsageError(f"{shown(self._path)}{at}{rule}: {cause}")

    def _line(self, key: str, where: tuple[str, ...]) -> int | None:
        """The line where a key stands, from 1, as far as a search of the text can tell.

        tomllib gives no positions; headers are looked for as people write them.
        """
        start = 0
        stop = len(self._lines)
        for place in where[:1]:
            name, _, number = place.partition(" ")
            header = re.compile(rf"\s*\[{{1,2}}\s*{re.escape(self._prefix + name)}\s*\]")
            found = [i for i, line in enumerate(self._lines) if header.match(line)]
            if int(number or 0) >= len(found):
                return None
            start = found[int(number or 0)]
            stop = min([i for i in found if i > start], default=stop)
        if not key:
            return start + 1
        word = re.compile(rf"""(?:^|[\s{{,."'])(?:{_spellings(key)})["']?\s*[=.\]]""")
        for i in range(start, stop):
            if word.search(self._lines[i].split(" #")[0]):
                return i + 1
        return start + 1 if where else None


def _spellings(key: str) -> str:
    return "|".join({re.escape(key), re.escape(key.replace("_", "-"))})


def job_of(
    recipe: Recipe,
    *,
    input: Path | None = None,
    output: str | None = None,
    threads: int | None = None,
    memory: str | None = None,
    dry_run: bool = False,
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
        dry_run: As in ``Job``.
        force: As in ``Job``.
        keep_failed: As in ``Job``.
        full_report: Whether sampled figures are measured; a gate on recall measures them anyway.

    Raises:
        UsageError: No input or no output is named.
    """
    source = input or recipe.input
    if source is None:
        raise UsageError(f"{shown(recipe.path)}: names no input; add input = '…', or give --input")
    target = recipe.output if output is None else Path(output)
    if target is None and not dry_run:
        raise UsageError(f"{shown(recipe.path)}: names no output; add output = '…', or give -o")
    settings = dataclasses.replace(
        recipe.settings,
        threads=threads or recipe.settings.threads,
        memory=memory or recipe.settings.memory,
    )
    recall = any(g.min_recall is not None for g in (recipe.gates, *(r.gates for r in recipe.rules)))
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
        dry_run=dry_run,
        force=force,
        keep_failed=keep_failed,
        full_report=full_report or recall,
    )
