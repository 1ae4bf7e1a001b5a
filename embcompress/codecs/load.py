"""Codecs by name, and from the JSON and arrays of a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import lru_cache

from embcompress import codecs
from embcompress.codecs.base import Codec
from embcompress.codecs.hostile import Array, Config, Json, Shared
from embcompress.errors import BadInput

MAX_DEPTH = 8


@lru_cache
def registry() -> dict[str, type[Codec]]:
    """Every codec by its name in the file format."""
    for module in pkgutil.iter_modules(codecs.__path__):
        importlib.import_module(f"{codecs.__name__}.{module.name}")
    return {codec.name: codec for codec in Codec.registered}


def describe(codec: Codec) -> dict[str, Json]:
    """A codec's JSON, as ``load_codec`` reads it."""
    return {"codec": codec.name, "version": codec.version, "config": codec.config()}


def load_codec(
    dim: int, values: Json, arrays: Mapping[str, Array] | Shared, where: str, depth: int = 0
) -> Codec:
    """Build a codec from its JSON ``{"codec": name, "version": v, "config": {…}}``.

    Args:
        dim: Columns D of the rows it decodes.
        values: The JSON.
        arrays: The shared arrays by name.
        where: The file and tensor, for errors.
        depth: How many codecs this one lies in.

    Raises:
        BadInput: An unknown codec, a newer version, or a bad value.
    """
    if depth >= MAX_DEPTH:
        raise BadInput(f"{where}: codecs are nested deeper than {MAX_DEPTH}")
    outer = Config(values, where)
    name = outer.inner("codec")
    version = outer.integer("version", 1, 2**31)
    config = Config(outer.inner("config"), where)
    outer.end()
    cls = registry().get(name) if isinstance(name, str) else None
    if cls is None:
        raise BadInput(f"{where}: unknown codec {name!r:.60}; a newer embcompress may read it")
    if version > cls.version:
        raise BadInput(
            f"{where}: codec {name} has version {version}, this embcompress reads up to"
            f" {cls.version}; upgrade it"
        )
    shared = arrays if isinstance(arrays, Shared) else Shared(arrays, where)
    codec = cls.load(dim, config, shared, depth)
    config.end()
    return codec
