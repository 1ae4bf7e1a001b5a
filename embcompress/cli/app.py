"""The app: every method's verb and the verbs around them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Annotated

import typer

from embcompress.cli import compress
from embcompress.cli.bridge import flowed
from embcompress.methods import of_verb, registry
from embcompress.methods.base import Method
from embcompress.version import __version__

_PANEL = "Look, check, get back"
_AROUND = {
    "plan": ("recipes", "plan_recipe", "plan embcompress.toml"),
    "run": ("recipes", "run_recipe", "run embcompress.toml"),
    "convert": (
        "conversion", "convert_file", "convert glove.6B.50d.txt -o glove.safetensors"
    ),
    "report": (
        "sizes", "report",
        "report glove.q4.safetensors --against glove.npy --max-rel-error 0.08",
    ),
    "compare": (
        "comparing", "compare",
        "compare glove.q4.safetensors glove.q2.safetensors --report q.html",
    ),
    "inspect": ("sizes", "inspect_file", "inspect model.safetensors"),
    "verify": ("sizes", "verify_file", "verify glove.q4.safetensors"),
    "lookup": ("rows", "lookup", "lookup glove.q4.safetensors --ids 0,17,399999"),
    "neighbors": ("neighbors", "neighbors", "neighbors glove.q4.safetensors --ids 0,17 -k 5"),
    "restore": ("rows", "restore_file", "restore glove.q4.safetensors -o back.npy"),
    "export": ("exports", "export", "export glove.q4.safetensors --to word2vec -o glove.vec"),
    "methods": ("listing", "list_methods", "methods"),
}  # fmt: skip
"""Verbs around the methods: module, function, example."""


def build(only: str | None = None) -> typer.Typer:
    """Build the command line.

    Args:
        only: The verb that is wanted. One that exists is built alone, and nothing is imported for
            the others; else every verb has its name and first lines, which is what the list of
            verbs shows. None builds all of them with their options.
    """
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Shrink pretrained embedding tables after training, and say exactly what it cost.",
        epilog="Example: embcompress quantize glove.npy -o glove.q4.safetensors --bits 4",
    )
    app.callback()(_root)
    if only in _AROUND:
        _add_verb(app, only, outlined=False)
    elif only and (method := of_verb(only)):
        _add_method(app, method, outlined=False)
    else:
        for method in registry().values():
            _add_method(app, method, outlined=only not in (None, method.name))
        for name in _AROUND:
            _add_verb(app, name, outlined=only is not None)
    return app


def _add_method(app: typer.Typer, method: type[Method], *, outlined: bool) -> None:
    shown = _outline(method.__doc__) if outlined else compress.verb(method)
    app.command(
        method.name,
        rich_help_panel=f"Compress: {method.family}",
        epilog=f"Example: embcompress {method.example}",
    )(shown)


def _add_verb(app: typer.Typer, name: str, *, outlined: bool) -> None:
    module, function, example = _AROUND[name]
    verb = getattr(importlib.import_module(f"embcompress.cli.{module}"), function)
    shown = _outline(verb.__doc__) if outlined else verb
    app.command(
        name,
        help=flowed(verb.__doc__),
        rich_help_panel=_PANEL,
        epilog=f"Example: embcompress {example}",
    )(shown)


def _outline(doc: str | None) -> Callable[[], None]:
    """A verb without options."""

    def outline() -> None: ...

    outline.__doc__ = doc
    return outline


def _version(shown: bool) -> None:
    if shown:
        print(f"embcompress {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from; works on every verb.")
    ] = False,
) -> None:
    pass
