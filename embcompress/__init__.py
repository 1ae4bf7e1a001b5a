"""Shrink pretrained embedding tables after training, and say exactly what it cost.

art = embcompress.open("glove.q4.safetensors")       # mapping: name -> compressed table
rows = art["glove"].lookup(ids)                       # float32 [len(ids), D]
table = embcompress.compress(array, embcompress.methods.Quantize(bits=4))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from embcompress.version import __version__

__all__ = ["__version__", "compress", "methods", "open", "read_table"]

if TYPE_CHECKING:
    from embcompress import methods
    from embcompress.artifact.reader import open_artifact as open
    from embcompress.pipeline.memory import compress
    from embcompress.tables.source import read_table

_HOMES = {
    "open": ("embcompress.artifact.reader", "open_artifact"),
    "compress": ("embcompress.pipeline.memory", "compress"),
    "read_table": ("embcompress.tables.source", "read_table"),
}


def __getattr__(name: str) -> Any:
    if name == "methods":
        return importlib.import_module("embcompress.methods")
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'embcompress' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
