"""The methods, one file each; a file registers its method by existing.

``embcompress.methods.Quantize(bits=4)`` gives a method with its options.
"""

from __future__ import annotations

import importlib
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


def __getattr__(name: str) -> Any:
    for method in registry().values():
        if method.__name__ == name:
            return method
    raise AttributeError(f"embcompress.methods has no method '{name}'")
