"""The program's entry: runs a verb and turns every outcome into an exit code and one line."""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from embcompress.cli.command import typed
from embcompress.cli.github import annotation, in_actions
from embcompress.errors import EmbcompressError

INTERRUPTED, TERMINATED, BUG, IO = 130, 143, 70, 4


class Terminated(BaseException):
    """SIGTERM arrived: what is being written is removed on the way out."""


def main() -> NoReturn:
    """Run the command line and exit."""
    code = run(sys.argv[1:])
    gc.freeze()  # the process ends: looking through what compilers leave behind takes 0.3 s
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name.

    Returns:
        The exit code.
    """
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    typed(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _verb(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # what reads our output has closed it: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Terminated:
        return _say("terminated; nothing was left under the output's name", TERMINATED)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except EmbcompressError as error:
        if debug:
            traceback.print_exc()
        return _say(str(error), error.exit_code)
    except MemoryError:
        if debug:
            traceback.print_exc()
        return _say("out of memory; --memory or --threads make it need less", IO)
    except OSError as error:
        if debug:
            traceback.print_exc()
        name = f"{error.filename}: " if error.filename else ""
        return _say(f"{name}{(error.strerror or str(error)).lower()}", IO)
    except Exception as error:
        if debug:
            traceback.print_exc()
        kind = type(error).__name__
        return _say(f"internal error, please report it with --debug: {kind}: {error}", BUG)
    if code == INTERRUPTED:
        return _say("interrupted; nothing was left under the output's name", INTERRUPTED)
    return code


def _verb(arguments: list[str]) -> int:
    import typer

    from embcompress.cli.app import build

    verb = next((a for a in arguments if not a.startswith("-")), "")
    completing = "_EMBCOMPRESS_COMPLETE" in os.environ
    app = build(None if completing else verb)
    try:
        code = app(args=arguments, prog_name="embcompress", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:
        if not error.format_message():  # the help has been shown in its place
            return error.exit_code
        known = verb in {command.name for command in app.registered_commands}
        hint = f"embcompress {verb} --help" if known else "embcompress --help"
        return _say(f"{error.format_message()}\nTry: {hint}", error.exit_code)
    return code if isinstance(code, int) else 0


def _say(text: str, code: int) -> int:
    """One line on stderr, and the code."""
    try:
        print(annotation(text) if in_actions() else f"embcompress: {text}", file=sys.stderr)
    except OSError:
        return code
    return code


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
