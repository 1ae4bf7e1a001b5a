"""An artifact's recipe, written as TOML that runs again and gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from embcompress.artifact.reader import Artifact
from embcompress.errors import BadInput
from embcompress.methods import registry
from embcompress.options import declared
from embcompress.pipeline.settings import Settings
from embcompress.report.gates import Gates

_FILES = ("frequencies", "fields", "grads")
_GATES = [field.name for field in fields(Gates)]


def recipe_text(artifact: Artifact) -> str:
    """The recipe that an artifact was made by.

    Args:
        artifact: An open artifact.

    Returns:
        TOML: one rule for every method with its options and gates, naming its tables.

    Raises:
        BadInput: What the artifact keeps of its making is not understood.
    """
    where = str(artifact.path)
    kept = _object(artifact.document.get("recipe", {}), where)
    lines = [f"# embcompress run THIS_FILE makes {_comment(artifact.path.name)} again"]
    if isinstance(kept.get("input"), str):
        lines.append(f"input = {_value(kept['input'])}")
    else:
        lines.append("# the input is not known: embcompress run THIS_FILE --input INPUT")
    folder = "/" if artifact.path.is_dir() else ""
    lines.append(f"output = {_value(Path(artifact.path).name + folder)}")
    lines += [f"{key} = {_value(kept[key])}" for key in _FILES if isinstance(kept.get(key), str)]
    if type(kept.get("max_shard_size")) is int:
        lines.append(f"max_shard_size = {kept['max_shard_size']}")
    for title, known in (("settings", declared(Settings)), ("gates", _GATES)):
        if table := _known(kept, title, known, where):
            lines += ["", f"[{title}]", *(f"{k} = {_value(v)}" for k, v in table.items())]
    dropped = ["!" + name for name in _texts(kept.get("left_out", []), where)]
    for rule in _rules(artifact, _object(kept.get("table_gates", {}), where), dropped, where):
        lines += ["", "[[rules]]", *rule]
    return "\n".join(lines) + "\n"


def _rules(
    artifact: Artifact, gates: Mapping[str, Any], dropped: list[str], where: str
) -> Iterable[list[str]]:
    """The lines of every rule; tables of the same method, options and gates share one.

    The first excludes what was left out on purpose, for the gate on skipped tables.
    """
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for name, table in sorted(artifact.items()):
        method = table.form.method
        verb = str(method.get("name"))
        if verb not in registry():
            raise BadInput(f"{where}: table '{name}' was made by '{verb:.60}', which is unknown")
        known = declared(registry()[verb])
        asked = _object(method.get("asked"), where)
        options = {k: v for k, v in asked.items() if k in known and v is not None}
        bounds = _inline(_known(gates, name, _GATES, where))
        twin = str(method.get("twin", 0))
        groups.setdefault((verb, _inline(options), bounds, twin), []).append(name)
    for (verb, asked_options, bounds, _), names in groups.items():
        patterns, dropped = [*names, *dropped], []
        lines = [f"match = [{', '.join(map(_value, patterns))}]", f"method = {_value(verb)}"]
        if asked_options != "{}":
            lines.append(f"options = {asked_options}")
        if bounds != "{}":
            lines.append(f"gates = {bounds}")
        yield lines


def _known(
    tables: Mapping[str, Any], name: str, known: Collection[str], where: str
) -> Mapping[str, Any]:
    """A table of keys that are known."""
    return {k: v for k, v in _object(tables.get(name, {}), where).items() if k in known}


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{where}: what it keeps of its recipe is malformed")
    return value


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BadInput(f"{where}: what it keeps of its recipe is malformed")
    return value


def _inline(table: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key} = {_value(value)}" for key, value in table.items()) + "}"


def _value(value: Any) -> str:
    """A value as TOML; texts of JSON are texts of TOML but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return text if text.isprintable() else repr(text)
