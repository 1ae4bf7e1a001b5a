"""Methods as typed: "quantize --bits 4" and "GLOB:bits=2"."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from embcompress.errors import UsageError
from embcompress.methods import of_verb, registry
from embcompress.methods.base import Method
from embcompress.options import declared, nearest, parse

_SET = re.compile(r"(?P<glob>.+):(?P<pairs>[A-Za-z][\w-]*=.*)", re.DOTALL)


def parse_method(text: str) -> Method:
    """A method from its verb and options.

    Args:
        text: Such as ``quantize --bits 4 --range lsq``.

    Raises:
        UsageError: An unknown verb or option, or a bad value.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"'{text}': {error}") from error
    if not words:
        raise UsageError("an empty text names no method")
    name, *rest = words
    cls = of_verb(name) or registry().get(name)
    if cls is None:
        raise UsageError(f"no method is called '{name}'{nearest(name, registry())}")
    texts: dict[str, str] = {}
    options = declared(cls)
    while rest:
        flag, *rest = rest
        if not flag.startswith("--"):
            raise UsageError(f"{name}: '{flag}' is no option; options begin with --")
        key, equals, value = flag[2:].partition("=")
        option = options.get(key.replace("-", "_"))
        if not equals and option is not None and option.kind is bool:
            value = "true"
        elif not equals:
            if not rest:
                raise UsageError(f"{name}: {flag} wants a value")
            value, *rest = rest
        texts[key] = value
    return cls(**parse(cls, texts, name))


def apply_sets(method: Method, sets: Sequence[str], names: Sequence[str]) -> Mapping[str, Method]:
    """Change a method's options for some tables.

    Args:
        method: What every table gets.
        sets: Texts such as ``*item*:bits=2,range=greedy``; later ones win.
        names: The tables.

    Returns:
        The method of each table.

    Raises:
        UsageError: A malformed text, a pattern that matches no table, an unknown option.
    """
    methods = dict.fromkeys(names, method)
    for text in sets:
        match = _SET.fullmatch(text)
        if match is None:
            raise UsageError(f"--set '{text}': write it as 'GLOB:option=value'")
        glob = match["glob"]
        hit = [n for n in names if fnmatchcase(n, glob)]
        if not hit:
            raise UsageError(f"--set '{text}': no table matches '{glob}'; there are {list(names)}")
        pairs: dict[str, str] = {}
        for pair in match["pairs"].split(","):
            key, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(f"--set '{text}': '{pair}' is not option=value")
            pairs[key.strip()] = value.strip()
        values = parse(type(method), pairs, method.name)
        for name in hit:
            methods[name] = dataclasses.replace(methods[name], **values)
    return methods
