"""HTML and SVG out of small functions; whatever is not markup already is escaped."""

from __future__ import annotations

import html
import json

_EMPTY = {"meta", "path", "line", "rect", "circle", "polyline", "br"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | None


def escaped(text: str) -> Markup:
    """Any text, as HTML shows it: control characters are written out."""
    shown = "".join(c if c.isprintable() or c == "\n" else _written(c) for c in text)
    return Markup(html.escape(shown))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """An element.

    Args:
        name: Its name.
        children: Markup as it is, other text escaped, None left out.
        attributes: By name, ``_`` for ``-`` and none at the end; None and False are left out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY and not children:
        return Markup(f"<{name}{given}/>" if name not in ("meta", "br") else f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Pieces one after the other, escaped where they are not markup."""
    return Markup("".join(_child(c) for c in children if c is not None))


def number(value: float | None, text: str) -> Markup:
    """A figure: what is read, and beside it the number that the JSON has.

    Args:
        value: The number.
        text: How it is written.
    """
    if value is None:
        return escaped(text)
    return tag("data", text, value=json.dumps(value))


def _child(child: str) -> str:
    return child if isinstance(child, Markup) else escaped(child)


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-").replace("viewbox", "viewBox")
    if value is True:
        return f" {name}"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name}="{escaped(text)}"'


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
