"""One conversion: a file of another format, told by its content, into one safetensors file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embcompress.artifact.atomic import check_target
from embcompress.convert.stream import Made
from embcompress.errors import BadInput, UsageError
from embcompress.progress import Progress
from embcompress.tables.file import SourceFile
from embcompress.tables.folder import is_index
from embcompress.tables.sniff import sniff

Format = Literal["auto", "text", "word2vec", "torch", "npz", "fvecs", "bvecs", "fbin", "parquet"]

_SUFFIXES: dict[str, Format] = {
    ".fvecs": "fvecs", ".bvecs": "bvecs", ".fbin": "fbin",
}  # fmt: skip
_FASTTEXT = b"\xba\x16\x4f\x2f"  # a model, not its vectors
_ONE_TABLE = ("text", "word2vec", "fvecs", "bvecs", "fbin", "parquet")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What is to be converted.

    Args:
        input: The file; or the folder of a model of PyTorch, or the index of its shards.
        output: The safetensors file; of a model a folder, when its name has another suffix.
        format: The input's format; told by its content, or its suffix, when ``auto``.
        name: The table's name, where a file is one table; the file's without suffix by default.
        column: Of Parquet: the column of lists.
        key_column: Of Parquet: the column of keys.
        force: Whether an existing output is replaced.
    """

    input: Path
    output: Path
    format: Format = "auto"
    name: str | None = None
    column: str | None = None
    key_column: str | None = None
    force: bool = False


def convert(asked: Conversion, threads: int, progress: Progress) -> Made:
    """Bring a file into safetensors.

    Args:
        asked: What is to be converted.
        threads: Cores to use.
        progress: Told of stages and notes.

    Returns:
        The tensors written, by name.

    Raises:
        UsageError: An output that must not be written, an option that the format has no use for,
            or a missing extra.
        BadInput: A file of no known format, or damaged.
        IOFailure: The system refuses, or the input changed while it was read.
    """
    if asked.input.is_dir() or is_index(asked.input):
        return _converted_model(asked, progress)
    check_target(asked.output, force=asked.force, inputs=(asked.input,))
    if asked.output.suffix != ".safetensors":
        raise UsageError(f"{asked.output}: convert writes .safetensors; name the output so")
    with SourceFile(asked.input) as file:
        found = told(file) if asked.format == "auto" else asked.format
        if found != "parquet" and (asked.column or asked.key_column):
            raise UsageError("--column and --key-column are of Parquet files")
        if found not in _ONE_TABLE and asked.name is not None:
            raise UsageError(f"--name is of files that are one table; {found} files name their own")
        stem = os.fsencode(asked.input.stem).decode(errors="replace")
        return _converted(file, found, asked, asked.name or stem, threads, progress)


def _converted_model(asked: Conversion, progress: Progress) -> Made:
    from embcompress.convert.models import convert_model

    if asked.format not in ("auto", "torch"):
        raise UsageError(f"--format {asked.format} is of a file; {asked.input} is a model of torch")
    if asked.name or asked.column or asked.key_column:
        raise UsageError("--name, --column and --key-column are of files that are one table")
    return convert_model(asked.input, asked.output, force=asked.force, progress=progress)


def _converted(
    file: SourceFile,
    found: Format,
    asked: Conversion,
    name: str,
    threads: int,
    progress: Progress,
) -> Made:
    if found == "text":
        from embcompress.convert.text import convert_text

        return convert_text(file, asked.output, name, threads, progress)
    if found == "torch":
        from embcompress.convert.checkpoints import convert_checkpoint

        return convert_checkpoint(file, asked.output, progress)
    if found == "npz":
        from embcompress.convert.archives import convert_npz

        return convert_npz(file, asked.output, progress)
    if found == "parquet":
        from embcompress.convert.columns import convert_parquet

        return convert_parquet(file, asked.output, name, asked.column, asked.key_column, progress)
    from embcompress.convert.vectors import convert_fbin, convert_vecs, convert_word2vec

    if found == "word2vec":
        return convert_word2vec(file, asked.output, name, progress)
    if found == "fbin":
        return convert_fbin(file, asked.output, name, progress)
    item = "<f4" if found == "fvecs" else "u1"
    return convert_vecs(file, asked.output, name, progress, item)


def told(file: SourceFile) -> Format:
    """Tell a file's format.

    Raises:
        BadInput: It is of no format that is converted.
        UsageError: It needs no conversion.
    """
    from embcompress.convert.vectors import WORD2VEC

    head = file.read(0, 512)
    found = sniff(file)
    if found.kind in ("npy", "safetensors"):
        raise UsageError(f"{file.shown}: is {found.what}, which every verb reads as it is")
    suffix = _SUFFIXES.get(Path(file.path).suffix)
    if suffix is not None and head:
        return suffix
    if found.kind == "text":
        return "text"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04"):
        return _zip(file)
    if head.startswith(b"\x80") and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch"
    if head.startswith(_FASTTEXT):
        raise BadInput(
            f"{file.shown}: is a fastText model, whose words share subword vectors; convert its"
            " .vec file"
        )
    if WORD2VEC.match(head):
        return "word2vec"
    first = head.split(b"\n")[0]
    if found.what.startswith("neither") and b" " in first and b"\0" not in head:
        return "text"  # mostly letters beyond ASCII
    raise BadInput(f"{file.shown}: is {found.what}")


def _zip(file: SourceFile) -> Format:
    import zipfile

    try:
        with zipfile.ZipFile(file.path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise BadInput(f"{file.shown}: is a damaged archive: {error}") from error
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    if any(name.endswith(".npy") for name in names):
        return "npz"
    raise BadInput(f"{file.shown}: is a zip archive without arrays; unpack it first")
