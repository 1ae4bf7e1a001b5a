"""TOML and JSON that people write, read strictly: every complaint names the file and the line."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from embcompress.budget import parse_share, parse_size
from embcompress.errors import BadInput, UsageError
from embcompress.options import nearest
from embcompress.report.gates import Gates
from embcompress.tables.file import SourceFile
from embcompress.tables.quoting import quoted, shown
from embcompress.tables.sniff import sniff

PROJECT = "pyproject.toml"
TABLE = "tool.embcompress"
"""Where a project's file holds what is ours."""

_MAX_BYTES = 2**24
_SHARES = ("max_growth", "max_error_growth")
_WHOLE = ("max_bytes", "max_skipped")


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        BadInput: There is no such file, or it is no text, or too long.
        IOFailure: It cannot be read.
    """
    with SourceFile(path) as file:
        if file.size > _MAX_BYTES:
            raise BadInput(f"{file.shown}: has {file.size:,} bytes, too many to be read here")
        kind = sniff(file)
        if kind.kind != "text" and file.size and not kind.what.startswith("JSON"):
            raise BadInput(f"{file.shown}: is {kind.what}")
        try:
            return file.read(0, file.size).decode()
        except UnicodeDecodeError as error:
            raise BadInput(f"{file.shown}: is not UTF-8 text") from error


class Document:
    """The text of a recipe or of gates, and where in it things stand.

    Args:
        path: The file.
        text: What is in it: TOML, or JSON when the file's name ends with .json.

    Raises:
        UsageError: It is not, or the table ``[tool.embcompress]`` is missing in a project's file.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()
        kind, load = ("JSON", json.loads) if path.suffix == ".json" else ("TOML", tomllib.loads)
        try:
            document = load(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{shown(path)}: is no {kind}: {error}") from error
        self._prefix = ""
        tool = document.get("tool") if isinstance(document, dict) else None
        if path.name == PROJECT or (isinstance(tool, dict) and "embcompress" in tool):
            self._prefix = f"{TABLE}."
            if not isinstance(tool, dict) or "embcompress" not in tool:
                raise UsageError(f"{shown(path)}: has no table [{TABLE}]")
            document = tool["embcompress"]
        self._document = self._table(document, "what it holds")

    def _gates(self, given: Any, where: tuple[str, ...]) -> Gates:
        known = [f.name for f in dataclasses.fields(Gates)]
        values = self._known(self._table(given, "gates"), known, "gates", where)
        for key, value in values.items():
            try:
                if key == "max_bytes" and isinstance(value, str):
                    values[key] = parse_size(value)
                    continue
                if key in _SHARES and isinstance(value, str):
                    values[key] = parse_share(value)
                    continue
            except UsageError as error:
                self._fail(key, where, f"{key}: {error}")
            if type(value) not in (int, float) or (key in _WHOLE and type(value) is float):
                self._fail(key, where, f"{key} is a number, not {value!r:.60}")
        try:
            return Gates(**values)
        except UsageError as error:
            wrong = next((k for k in values if f"--{k.replace('_', '-')} " in str(error)), "")
            self._fail(wrong, where, str(error))

    def _rule_gates(self, given: Any, where: tuple[str, ...]) -> Gates:
        """Gates of a rule's tables, each by itself."""
        gates = self._gates(given, (*where, "gates"))
        for key in _WHOLE:
            if getattr(gates, key) is not None:
                self._fail(key, where, f"{key} is of the whole file: put it under [gates]")
        return gates

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
