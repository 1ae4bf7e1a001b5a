"""Models in PyTorch's files: a folder of .bin shards, read one after another, as one model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from embcompress.artifact.atomic import check_folder, check_target
from embcompress.convert.checkpoints import PYTORCH, dense_tensors, described, pieces_of_tensor
from embcompress.convert.stream import Made, Pieces, Whole, write_folder, write_tensors
from embcompress.errors import BadInput, UsageError
from embcompress.progress import Progress
from embcompress.tables.file import SourceFile
from embcompress.tables.folder import WEIGHTS, ModelFiles, companions, find_weights, is_index
from embcompress.tables.quoting import listed, quoted, shown

_INDEX = ".index.json"
_PREFERRED = ("pytorch_model.bin.index.json", "pytorch_model.bin")
_SUFFIXES = (".bin", ".pt", ".pth")


def convert_model(given: Path, output: Path, *, force: bool, progress: Progress) -> Made:
    """Bring a model of PyTorch into safetensors, one shard in memory at a time.

    Args:
        given: A folder, or the index of its shards.
        output: A file ``*.safetensors``, or a folder, which gets configuration and tokenizer too.
        force: Whether an existing file is replaced; a folder with files in it never is.
        progress: Told of bytes and notes.

    Returns:
        The tensors written, by name.

    Raises:
        UsageError: An output that must not be written, or torch is not installed.
        BadInput: No such model, or it is damaged, or would run code.
        IOFailure: The system refuses, or the input changed while it was read.
    """
    folder = given.parent if is_index(given) else given
    if output.suffix == WEIGHTS:
        check_target(output, force=force, inputs=(given,))
    else:
        check_folder(output, force=force, ours=lambda _: False, inputs=(folder,))
    model = _find(given)
    with ExitStack() as opened:
        files = [opened.enter_context(SourceFile(folder / name)) for name in model.shards]
        shards = _Shards(files)
        tensors = list(_described(shards, model, progress))
        if output.suffix == WEIGHTS:
            made = write_tensors(output, tensors, PYTORCH)
        else:
            copied = [name for name, inside in companions(model) if inside]
            made = write_folder(output, tensors, PYTORCH, folder, copied)
        for file in files:
            file.unchanged()
    return made


def _find(given: Path) -> ModelFiles:
    """The files of a model, by its index or by their names."""
    if is_index(given):
        return find_weights(given)
    names = sorted(path.name for path in given.iterdir() if path.is_file())
    if any(name.endswith(WEIGHTS) for name in names):
        raise UsageError(
            f"{shown(given)}: holds .safetensors, which every verb reads as they are; name a file"
            " to convert"
        )
    indices = [name for name in names if name.endswith(tuple(s + _INDEX for s in _SUFFIXES))]
    weights = [name for name in names if name.endswith(_SUFFIXES)]
    for name in _PREFERRED:
        if name in names:
            indices, weights = [n for n in (name,) if is_index(n)], [name]
            break
    if len(indices) == 1:
        return find_weights(given / indices[0])
    if len(weights) != 1 or indices:
        raise UsageError(
            f"{shown(given)}: is a folder without {' or '.join(_PREFERRED)}; name a file to convert"
            + (f": {listed(indices or weights)}" if weights else "")
        )
    return ModelFiles(given, weights, None, False)


class _Shards:
    """Files of PyTorch of which one is loaded at a time."""

    def __init__(self, files: list[SourceFile]) -> None:
        self.files = files
        self._loaded: tuple[int, dict[str, Any]] | None = None

    def load(self, number: int, progress: Progress | None = None) -> dict[str, Any]:
        """The tensors of a file; what it holds beside them is told to ``progress``."""
        if self._loaded is None or self._loaded[0] != number:
            self._loaded = None
            self._loaded = number, dense_tensors(self.files[number], progress)
        return self._loaded[1]


def _described(shards: _Shards, model: ModelFiles, progress: Progress) -> Iterator[Whole]:
    """Every tensor, shard after shard, held against the index.

    Raises:
        BadInput: A tensor is in two shards, or not where the index has it; or as for
            ``dense_tensors``.
    """
    held: dict[str, str] = {}
    for number, name in enumerate(model.shards):
        tensors = shards.load(number, progress)
        for tensor in tensors:
            if tensor in held:
                raise BadInput(
                    f"{shown(model.folder)}: tensor {quoted(tensor)} is in two shards,"
                    f" {quoted(held[tensor])} and {quoted(name)}"
                )
            held[tensor] = name
        for tensor, value in tensors.items():
            pieces = partial(_pieces, shards, number, tensor, progress)
            yield Whole(described(tensor, value), pieces)
    if model.index is None:
        return
    for tensor, name in model.index.files.items():
        if held.get(tensor) != name:
            raise BadInput(
                f"{shown(model.index.path)}: names tensor {quoted(tensor)} in {quoted(name)},"
                " which lacks it; fetch the shards again"
            )
    if extra := [tensor for tensor in held if tensor not in model.index.files]:
        progress.note(
            f"{shown(model.index.path)}: {len(extra)} tensors of its shards are not in it, such as"
            f" {listed(extra, 3)}; they go along"
        )


def _pieces(shards: _Shards, number: int, name: str, progress: Progress) -> Pieces:
    return pieces_of_tensor(shards.load(number)[name], progress)
