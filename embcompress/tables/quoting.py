"""How names and paths that come from outside appear inside one line of a message."""

from __future__ import annotations

import os

_LONGEST = 100


def quoted(name: str) -> str:
    """Quote a tensor, field or pattern name: unprintable characters escaped, long ones shortened.

    Args:
        name: Any text, newlines and kilobytes included.

    Returns:
        The name in quotes, on one line, at most about 100 characters long.
    """
    if len(name) > _LONGEST:
        kept = _LONGEST // 2
        return f"{name[:kept]!r}…{name[-kept:]!r} ({len(name)} characters)"
    return repr(name)


def shown(path: str | os.PathLike[str]) -> str:
    """Give a path for a message: as it is when printable, escaped otherwise."""
    text = os.fspath(path)
    return text if text.isprintable() and text else repr(text)


def listed(names: list[str], most: int = 8) -> str:
    """List quoted names, at most ``most`` of them, and say how many more there are."""
    text = ", ".join(quoted(name) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
