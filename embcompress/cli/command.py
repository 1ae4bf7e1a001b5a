"""The command line as it was typed, for reports."""

from __future__ import annotations

import shlex
from contextvars import ContextVar

_WORDS: ContextVar[tuple[str, ...]] = ContextVar("words", default=())
_LONGEST = 4000


def typed(words: list[str]) -> None:
    """Note the words after the program's name."""
    _WORDS.set(tuple(words))


def command() -> str:
    """The command as a shell takes it; shortened when it is very long."""
    text = shlex.join(["embcompress", *_WORDS.get()])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
