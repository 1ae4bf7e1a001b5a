"""The methods, one file each; a file registers its method by existing.

``embcompress.methods.Quantize(bits=4)`` gives a method with its options.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import lru_cache
from typing import Any

from embcompress.methods.base import Method


@lru_cache
def registry() -> dict[str, type[Method]]:
    """Every method by the name of its verb."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {method.name: method for method in sorted(Method.registered, key=lambda m: m.name)}


def of_verb(verb: str) -> type[Method] | None:
    """The method of a verb, from the file that is called like it; imports no other.

    None where there is no such file: a method that was dropped in is in the registry only.
    """
    if verb.isidentifier() and importlib.util.find_spec(f"{__name__}.{verb}") is not None:
        importlib.import_module(f"{__name__}.{verb}")
    return next((method for method in Method.registered if method.name == verb), None)


def __getattr__(name: str) -> Any:
    for method in registry().values():
        if method.__name__ == name:
            return method
    raise AttributeError(f"embcompress.methods has no method '{name}'")
