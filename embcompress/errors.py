"""Every error the tool raises on purpose, each with the exit code the command line gives it."""

from __future__ import annotations


class EmbcompressError(Exception):
    """Base of all deliberate errors; the message is one or two lines: what, where, what to do."""

    exit_code = 70


class GateFailed(EmbcompressError):
    """A size or error gate was not met."""

    exit_code = 1


class UsageError(EmbcompressError):
    """An option, argument or recipe is wrong."""

    exit_code = 2


class BadInput(EmbcompressError):
    """A file's content is wrong: damaged, hostile, of another kind, or missing."""

    exit_code = 3


class IOFailure(EmbcompressError):
    """The system refused: disk full, permission, lock, input changed while it was read."""

    exit_code = 4
