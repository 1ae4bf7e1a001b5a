"""Verbs that give rows back: lookup, restore."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embcompress.errors import BadInput, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.artifact.reader import Artifact as OpenArtifact

Artifact = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A compressed file or folder.")]
RowKeys = Annotated[
    str | None,
    typer.Option(
        metavar="KEY,…",
        help="Rows by their keys, such as tokens: the,of.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]


def lookup(
    artifact: Artifact,
    ids: Annotated[
        str | None, typer.Option(help="Row numbers: 0,17,399999 or ranges 5:8.", show_default=False)
    ] = None,
    ids_file: Annotated[
        Path | None,
        typer.Option(help="Row numbers in an .npy file of integers.", show_default=False),
    ] = None,
    keys: RowKeys = None,
    keys_file: Annotated[
        Path | None,
        typer.Option(help="Keys in a text file, one a line.", show_default=False),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="The table, when the file has several.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    npy: Annotated[
        Path | None, typer.Option(help="Write float32 rows to an .npy file.", show_default=False)
    ] = None,
    force: Force = False,
) -> None:
    """Print rows of a table, decoded from the file."""
    from embcompress.artifact.atomic import check_target, write_atomically
    from embcompress.artifact.reader import open_artifact
    from embcompress.pipeline.restore import pick_table
    from embcompress.tables.npy import write_npy_header

    if sum(given is not None for given in (ids, ids_file, keys, keys_file)) != 1:
        raise UsageError(
            "lookup wants one of --ids 0,17, --ids-file FILE, --keys the,of and --keys-file FILE"
        )
    if npy is not None:
        check_target(npy, force=force, inputs=(artifact,))
    wanted = _read_keys(keys_file) if keys_file is not None else split_keys(keys)
    with open_artifact(artifact) as opened:
        found = pick_table(opened, table)
        if wanted is not None:
            numbers = rows_of(opened, found.name, wanted)
        else:
            numbers = parse_ids(ids) if ids is not None else _read_ids(ids_file)
        try:
            rows = found.lookup(numbers)
        except IndexError as error:
            raise UsageError(str(error)) from error
    if npy is not None:
        write_atomically(npy, write_npy_header(rows.shape, "F32") + rows.tobytes())
    elif json:
        document = [
            {"id": int(i), **({"key": wanted[at]} if wanted else {}), "row": row}
            for at, (i, row) in enumerate(zip(numbers, rows.tolist(), strict=True))
        ]
        print(jsonlib.dumps(document))
    else:
        for i, row in zip(wanted or numbers, rows, strict=True):
            print(i, *(f"{x:.9g}" for x in row))


def split_keys(text: str | None) -> list[str] | None:
    """The keys of --keys."""
    return None if text is None else text.split(",")


def _read_keys(path: Path) -> list[str]:
    from embcompress.tables.file import SourceFile

    with SourceFile(path) as file:
        text = file.read(0, file.size).decode(errors="surrogateescape")
    return text.removesuffix("\n").split("\n") if text else []


def rows_of(artifact: OpenArtifact, table: str, keys: list[str]) -> NDArray[np.int64]:
    """Row numbers of keys, int64 [b].

    Raises:
        UsageError: The table has no keys, or not one of these.
        BadInput: Its keys are damaged.
    """
    known = artifact.row_keys(table)
    if known is None:
        raise UsageError(
            f"{artifact.path}: table '{table}' has no keys: convert makes them of word vectors and"
            " Parquet files, and a model's folder has a vocab.txt; use --ids"
        )
    return known.find(keys, table)


def parse_ids(text: str) -> NDArray[np.int64]:
    """Row numbers of --ids, int64 [b].

    Raises:
        UsageError: A word is no number and no range, or a number is too large.
    """
    import numpy as np

    numbers: list[int] = []
    for word in text.split(","):
        first, colon, last = word.strip().partition(":")
        try:
            numbers += range(int(first), int(last)) if colon else [int(first)]
        except ValueError as error:
            raise UsageError(
                f"--ids: '{word}' is no row number and no range such as 5:8"
            ) from error
    try:
        return np.array(numbers, np.int64)
    except OverflowError as error:
        raise UsageError(f"--ids: a row number is too large in '{text:.60}'") from error


def _read_ids(path: Path | None) -> NDArray[np.int64]:
    import numpy as np

    from embcompress.tables.source import open_source

    assert path is not None
    with open_source(path) as source:
        if source.kind != "npy":
            raise BadInput(f"{path}: --ids-file is an .npy file")
        array = source.read_tensor(next(iter(source.tensors)))
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise BadInput(f"{path}: holds {array.dtype} {list(array.shape)}, not a list of integers")
    return array.astype(np.int64)


def restore_file(
    artifact: Artifact,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="A .npy or .safetensors file, or a folder: the model again, in shards.",
        ),
    ],
    table: Annotated[
        str | None, typer.Option(help="Only this table; needed for .npy when there are several.")
    ] = None,
    max_shard_size: Annotated[
        str | None,
        typer.Option(
            help="Most bytes of tensors in a file of the output folder; 5GB by default.",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
    threads: Annotated[
        int | None, typer.Option(help="Cores to use; all by default.", min=1, show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")] = False,
) -> None:
    """Write the dense tables again, in the source's dtype."""
    from embcompress.budget import parse_shard_size
    from embcompress.cli.terminal import progress_for
    from embcompress.pipeline.restore import restore
    from embcompress.threads import available

    restore(
        artifact,
        output,
        table,
        force=force,
        threads=threads or available(),
        progress=progress_for(quiet=quiet),
        shard_bytes=parse_shard_size(max_shard_size),
    )
