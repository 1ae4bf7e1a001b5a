"""The app: every method's verb and the verbs around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from embcompress.cli import (
    comparing,
    compress,
    conversion,
    exports,
    listing,
    neighbors,
    recipes,
    rows,
    sizes,
)
from embcompress.cli.bridge import flowed
from embcompress.methods import registry
from embcompress.version import __version__

_AROUND = "Look, check, get back"


def build(only: str | None = None) -> typer.Typer:
    """Build the command line.

    Args:
        only: The verb that is wanted with its options; every other has its name and first lines
            alone, which is what the list of verbs shows. None builds all of them.
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
    for method in registry().values():
        app.command(
            method.name,
            rich_help_panel=f"Compress: {method.family}",
            epilog=f"Example: embcompress {method.example}",
        )(compress.verb(method) if only in (None, method.name) else _outline(method.__doc__))
    for verb, example in (
        (recipes.plan_recipe, "plan embcompress.toml"),
        (recipes.run_recipe, "run embcompress.toml"),
        (conversion.convert_file, "convert glove.6B.50d.txt -o glove.safetensors"),
        (sizes.report, "report glove.q4.safetensors --against glove.npy --max-rel-error 0.08"),
        (
            comparing.compare,
            "compare glove.q4.safetensors glove.q2.safetensors --report q.html",
        ),
        (sizes.inspect_file, "inspect model.safetensors"),
        (sizes.verify_file, "verify glove.q4.safetensors"),
        (rows.lookup, "lookup glove.q4.safetensors --ids 0,17,399999"),
        (neighbors.neighbors, "neighbors glove.q4.safetensors --ids 0,17 -k 5"),
        (rows.restore_file, "restore glove.q4.safetensors -o back.npy"),
        (exports.export, "export glove.q4.safetensors --to word2vec -o glove.vec"),
        (listing.list_methods, "methods"),
    ):
        name = verb.__name__.removesuffix("_file").removesuffix("_recipe").removeprefix("list_")
        shown = verb if only in (None, name) else _outline(verb.__doc__)
        app.command(
            name,
            help=flowed(verb.__doc__),
            rich_help_panel=_AROUND,
            epilog=f"Example: embcompress {example}",
        )(shown)
    return app


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
