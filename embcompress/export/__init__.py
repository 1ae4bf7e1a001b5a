"""Other libraries' files made of an artifact, each target in a file of its own in ``targets``.

A target registers by existing: the verb ``export``, its help and its page follow.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache

from embcompress.export import targets
from embcompress.export.base import Target


@lru_cache
def registry() -> dict[str, type[Target]]:
    """Every target by its name."""
    for module in pkgutil.iter_modules(targets.__path__):
        importlib.import_module(f"{targets.__name__}.{module.name}")
    return {t.name: t for t in sorted(Target.registered, key=lambda t: t.name)}
