"""Options declared once, on a dataclass field, for validation, the CLI, files and the docs."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from embcompress.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Option:
    """What a field of an options dataclass means; used as ``Annotated[int, Option("Bits.")]``.

    Args:
        help: One sentence for ``--help`` and the docs, with the unit.
        min: Least value allowed, for numbers.
        max: Greatest value allowed, for numbers.
    """

    help: str
    min: float | None = None
    max: float | None = None


@dataclasses.dataclass(frozen=True)
class Declared:
    """One option of a dataclass: its name, type, default and metadata."""

    name: str
    kind: type  # int, float, str or bool
    choices: tuple[str, ...]
    optional: bool
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The option as typed on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def values(self) -> str:
        """The values allowed, for people."""
        if self.choices:
            return "|".join(self.choices)
        if self.kind is bool:
            return "on or off"
        words = {int: "a whole number", float: "a number", str: "text"}[self.kind]
        low, high = self.option.min, self.option.max
        if low is not None and high is not None:
            return f"{words} from {low:g} to {high:g}"
        if low is not None:
            return f"{words}, at least {low:g}"
        if high is not None:
            return f"{words}, at most {high:g}"
        return words


def declared(cls: type) -> dict[str, Declared]:
    """All options of a dataclass, by name, in order.

    Raises:
        TypeError: A field has no Option, or a type that options cannot have.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: _declare(field, hints[field.name]) for field in dataclasses.fields(cls)}


def _declare(field: dataclasses.Field[Any], hint: Any) -> Declared:
    metadata = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Option)]
    if not metadata:
        raise TypeError(f"field {field.name} has no Option")
    inner = get_args(hint)[0]
    optional = False
    if get_origin(inner) in (Union, types.UnionType):
        rest = [a for a in get_args(inner) if a is not type(None)]
        optional = len(rest) < len(get_args(inner))
        (inner,) = rest
    choices = get_args(inner) if get_origin(inner) is Literal else ()
    kind = str if choices else inner
    if kind not in (int, float, str, bool):
        raise TypeError(f"field {field.name} has type {inner}, which options cannot have")
    if kind is bool and field.default is not False:
        raise TypeError(f"the switch {field.name} is not off by default")
    return Declared(field.name, kind, choices, optional, field.default, metadata[0])


def validate(instance: Any, name: str) -> None:
    """Check every field of an options dataclass against its declaration.

    Args:
        instance: The dataclass instance.
        name: What to call it in an error.

    Raises:
        UsageError: A value has the wrong type or lies outside its range.
    """
    for option in declared(type(instance)).values():
        value = getattr(instance, option.name)
        if not _fits(option, value):
            raise UsageError(f"{name}: {option.flag} is {option.values}, not {value!r}")


def _fits(option: Declared, value: Any) -> bool:
    if value is None:
        return option.optional
    if option.choices:
        return value in option.choices
    if option.kind is float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value:
            return False
    elif type(value) is not option.kind:
        return False
    if option.kind in (int, float):
        low, high = option.option.min, option.option.max
        return (low is None or value >= low) and (high is None or value <= high)
    return True


def parse(cls: type, texts: Mapping[str, str], name: str) -> dict[str, Any]:
    """Turn texts such as ``{"bits": "2"}`` into values of a dataclass's options.

    Raises:
        UsageError: An unknown option (naming the nearest) or a text of the wrong type.
    """
    options = declared(cls)
    values = {}
    for key, text in texts.items():
        option = options.get(key.replace("-", "_"))
        if option is None:
            raise UsageError(f"{name} has no option '{key}'{nearest(key, options)}")
        values[option.name] = _value(option, text, name)
    return values


def _value(option: Declared, text: str, name: str) -> Any:
    if option.optional and text == "none":
        return None
    if option.kind is bool:
        truth = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
        if text.lower() in truth:
            return truth[text.lower()]
    elif option.kind is str:
        return text
    else:
        try:
            return option.kind(text)
        except ValueError:
            pass
    raise UsageError(f"{name}: {option.flag} is {option.values}, not '{text}'")


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """A clause such as ``; did you mean 'bits'?``, or nothing when no known word is near."""
    found = difflib.get_close_matches(word.replace("-", "_"), list(known), n=1)
    return f"; did you mean '{found[0].replace('_', '-')}'?" if found else ""


def changed(instance: Any) -> dict[str, Any]:
    """The options of a dataclass instance that differ from their defaults."""
    options = declared(type(instance)).values()
    return {o.name: v for o in options if (v := getattr(instance, o.name)) != o.default}
