"""Dataclasses out of JSON that others may have edited: every value is checked by its annotation."""

from __future__ import annotations

import math
import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from embcompress.errors import BadInput

_WORDS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}


def decode(wanted: Any, value: Any, where: str) -> Any:
    """Build a value of an annotation.

    Args:
        wanted: A dataclass, a scalar, ``X | None``, ``Literal``, list, tuple or str-keyed dict.
        value: JSON, decoded.
        where: Place in the document, for errors.

    Raises:
        BadInput: A missing or unknown key, or a value of the wrong type, naming the place.
    """
    origin, inner = get_origin(wanted), get_args(wanted)
    if is_dataclass(wanted):
        return _dataclass(wanted, value, where)
    if origin in (types.UnionType, Union):
        real = next(i for i in inner if i is not type(None))
        return None if value is None else decode(real, value, where)
    if origin is Literal:
        if value not in inner:
            raise BadInput(f"{where}: {value!r:.60} is not one of {', '.join(map(str, inner))}")
        return value
    if origin is list:
        if not isinstance(value, list):
            raise BadInput(f"{where}: {value!r:.60} is not a list")
        return [decode(inner[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(inner):
            raise BadInput(f"{where}: {value!r:.60} is not a list of {len(inner)}")
        pairs = zip(inner, value, strict=True)
        return tuple(decode(w, v, f"{where}[{i}]") for i, (w, v) in enumerate(pairs))
    if origin is dict:
        if not isinstance(value, dict):
            raise BadInput(f"{where}: {value!r:.60} is not an object")
        return {k: decode(inner[1], v, f"{where}.{k}") for k, v in value.items()}
    if type(value) is wanted or (wanted is float and type(value) is int):
        try:
            converted = wanted(value)
        except OverflowError:  # a whole number that no float can hold
            converted = math.inf
        if wanted is not float or math.isfinite(converted):
            return converted
    raise BadInput(f"{where}: {value!r:.60} is not {_WORDS[wanted]}")


def _dataclass(wanted: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise BadInput(f"{where}: {value!r:.60} is not an object")
    hints = get_type_hints(wanted)
    names = {f.name for f in fields(wanted)}
    if names != value.keys():
        missing, unknown = sorted(names - value.keys()), sorted(value.keys() - names)
        raise BadInput(
            f"{where}: "
            + "; ".join(
                f"{word} {', '.join(found)}"
                for word, found in (("lacks", missing), ("has unknown", unknown))
                if found
            )
        )
    return wanted(**{name: decode(hints[name], value[name], f"{where}.{name}") for name in names})
