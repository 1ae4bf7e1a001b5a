"""The verb that brings other formats into safetensors."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Literal

import typer

from embcompress.cli.rows import Force
from embcompress.cli.sizes import Json, Quiet, Threads


def convert_file(
    input: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A .pt, .pth or .bin checkpoint, or a model's folder of them; GloVe or word2vec"
            " vectors (text or binary), a fastText .vec, an .npz, .fvecs, .bvecs, .fbin or Parquet"
            " file.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A .safetensors file; for a model a folder too.")
    ],
    format: Annotated[
        Literal["auto", "text", "word2vec", "torch", "npz", "fvecs", "bvecs", "fbin", "parquet"],
        typer.Option(help="The input's format; word2vec is the binary one. By content, or suffix."),
    ] = "auto",
    name: Annotated[
        str | None,
        typer.Option(
            help="The table's name where INPUT is one table; INPUT's without suffix by default.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Parquet: the column of lists of floats; the only one by default.",
            show_default=False,
        ),
    ] = None,
    key_column: Annotated[
        str | None,
        typer.Option(
            help="Parquet: the column of texts or integers that are the rows' keys.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    force: Force = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Bring vectors or a checkpoint of another format into .safetensors, streamed.

    Tokens and keys go along in tensors of their own: lookup --keys takes them, on the artifact
    too. Nothing is unpickled and no code of a file runs: .pt files are read by torch with
    weights_only, or not at all.
    """
    from embcompress.cli.listing import print_rows
    from embcompress.cli.terminal import progress_for
    from embcompress.convert.run import Conversion, convert
    from embcompress.threads import available

    asked = Conversion(
        input=input,
        output=output,
        format=format,
        name=name,
        column=column,
        key_column=key_column,
        force=force,
    )
    made = convert(asked, threads or available(), progress_for(quiet=quiet))
    rows = [
        {
            "tensor": info.name,
            "dtype": info.dtype,
            "shape": "×".join(map(str, info.shape)),
            "bytes": info.nbytes,
        }
        for info in made.values()
    ]
    if json:
        print(jsonlib.dumps({"output": str(output), "tensors": rows}, indent=2))
    elif not quiet:
        print_rows(f"{input} → {output}", rows)
