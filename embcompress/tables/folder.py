"""Folders of models: which of their files hold weights, and which go along with them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embcompress.errors import BadInput, IOFailure
from embcompress.tables.file import SourceFile
from embcompress.tables.json_tokens import Tokens
from embcompress.tables.quoting import listed, quoted, shown

WEIGHTS = ".safetensors"
INDEX = ".safetensors.index.json"
MODEL = "model"
"""What weights are called before their suffix, unless the source says otherwise."""

_MAX_INDEX_BYTES = 1 << 28
_WEIGHTS = re.compile(r".*\.(safetensors|bin|pt|pth|ckpt|distcp|npz|npy)|.*\.index\.json")
_EXPORT = re.compile(r".*\.(h5|msgpack|onnx|gguf|ot|tflite)")
_EXPORTS = ("onnx", "openvino")
_OTHERS = (
    ("*.distcp", "is a checkpoint of torch.distributed in its own format, whose list of tensors is"
     " a pickle; save it with torch.distributed.checkpoint.HuggingFaceStorageWriter"),
    ("*.bin", "holds .bin files of torch, not .safetensors; embcompress convert takes the folder"),
    ("*.pt", "holds .pt files, not .safetensors; bring them over with embcompress convert"),
    ("*.pth", "holds .pth files, not .safetensors; bring them over with embcompress convert"),
    ("*.npy", "holds .npy files and no .safetensors; name one of them"),
)  # fmt: skip


@dataclass(frozen=True)
class WeightIndex:
    """A ``model.safetensors.index.json``.

    Attributes:
        path: The file.
        files: Which shard holds each tensor, by tensor name, in the index's order.
        total_size: Bytes of all tensors as it says, if it says.
        nbytes: Bytes of the file.
    """

    path: Path
    files: dict[str, str]
    total_size: int | None
    nbytes: int


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model's weights.

    Attributes:
        folder: Where they lie.
        shards: Their names below it, in order.
        index: The index that names them, if there is one.
        rows: Whether they are row shards of torch's distributed checkpoints, without an index.
    """

    folder: Path
    shards: list[str]
    index: WeightIndex | None
    rows: bool

    @property
    def names(self) -> set[str]:
        """The names of the shards and of the index."""
        return {*self.shards, *([self.index.path.name] if self.index else ())}


def is_index(path: str | os.PathLike[str]) -> bool:
    """Say whether a path has the name of an index of shards."""
    return os.fspath(path).endswith(".index.json")


def find_weights(path: str | os.PathLike[str]) -> ModelFiles:
    """Find the weights that a folder or an index names.

    Args:
        path: A folder, or an index file.

    Raises:
        BadInput: The folder holds no weights or several models, or the index is damaged, leads out
            of its folder, or names shards that are not there.
        IOFailure: The system refuses.
    """
    given = Path(path)
    if not given.is_dir():
        return _indexed(given)
    try:
        names = sorted(entry.name for entry in os.scandir(given) if not entry.name.startswith("."))
    except OSError as error:
        raise IOFailure(f"{shown(given)}: cannot be listed: {error.strerror}") from error
    indices = [name for name in names if name.endswith(INDEX)]
    preferred = MODEL + INDEX
    if preferred in indices or len(indices) == 1:
        return _indexed(given / (preferred if preferred in indices else indices[0]))
    if indices:
        raise BadInput(f"{shown(given)}: has {len(indices)} indices, name one: {listed(indices)}")
    shards = [name for name in names if name.endswith(WEIGHTS)]
    if MODEL + WEIGHTS in shards:
        shards = [MODEL + WEIGHTS]
    for shard in shards:
        _inside(given, shard, shown(given / shard))
    if shards:
        return ModelFiles(given, shards, None, len(shards) > 1)
    raise BadInput(f"{shown(given)}: {_what_else(given, names)}")


def _what_else(folder: Path, names: list[str]) -> str:
    if not names:
        return "is an empty folder; fetch the model again"
    below = sorted(p.parent.name for p in folder.glob(f"*/*{WEIGHTS}"))
    if below:
        return f"is a directory with its weights further down; name {quoted(below[0])} in it"
    for pattern, what in _OTHERS:
        if any(folder.glob(pattern)):
            return what
    return "is a directory without .safetensors files; name a model's folder or a file"


def _indexed(path: Path) -> ModelFiles:
    index = read_index(path)
    folder = path.parent
    shards = sorted(set(index.files.values()))
    missing = [
        shard for shard in shards if not _inside(folder, shard, f"{shown(path)}: {quoted(shard)}")
    ]
    if missing:
        raise BadInput(
            f"{shown(path)}: {len(missing)} of its {len(shards)} shards are missing: "
            f"{listed(missing, 40)}; fetch them"
        )
    return ModelFiles(folder, shards, index, False)


def _inside(folder: Path, name: str, where: str) -> bool:
    """Say whether a file is there, and refuse one that lies outside of the folder.

    Raises:
        BadInput: The name is absolute or climbs, or the file is a link that leads out.
    """
    parts = Path(name).parts
    if not name or "\0" in name or "\\" in name or Path(name).is_absolute() or ".." in parts:
        raise BadInput(f"{where} is no file name below the folder; the index is wrong or hostile")
    path = folder / name
    if not path.exists():
        return False
    if not stays_inside(folder, path):
        raise BadInput(f"{where} is a link that leads out of the folder; copy the file there")
    return True


def stays_inside(folder: Path, path: Path) -> bool:
    """Say whether a path, its links followed, lies in a folder or in its cache's blobs.

    The cache of the Hugging Face hub keeps files in ``blobs`` and links to them from
    ``snapshots/REVISION``.
    """
    home, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
    if real.is_relative_to(home):
        return True
    return home.parent.name == "snapshots" and real.parent == home.parent.parent / "blobs"


def read_index(path: Path) -> WeightIndex:
    """Read an index.

    Raises:
        BadInput: There is no such file, or it is no index.
        IOFailure: It cannot be read.
    """
    with SourceFile(path) as file:
        if file.size > _MAX_INDEX_BYTES:
            raise BadInput(f"{file.shown}: has {file.size:,} bytes, too many for an index")
        try:
            text = file.read(0, file.size).decode()
        except UnicodeDecodeError as error:
            raise BadInput(f"{file.shown}: is no index: it is not UTF-8") from error
        tokens = Tokens(text, file.shown)
        files: dict[str, str] | None = None
        total = None
        for key in tokens.keys("the index"):
            if key == "weight_map" and files is None:
                files = _weight_map(tokens)
            elif key == "metadata":
                total = _total_size(tokens)
            else:
                tokens.skip()
        tokens.end()
        if not files:
            raise BadInput(f"{file.shown}: is no index of shards: it has no weight_map")
        return WeightIndex(path, files, total, file.size)


def _weight_map(tokens: Tokens) -> dict[str, str]:
    files: dict[str, str] = {}
    for tensor in tokens.keys("weight_map"):
        if tensor in files:
            tokens.fail(f"weight_map names tensor {quoted(tensor)} twice")
        files[tensor] = tokens.string(f"the file of tensor {quoted(tensor)}")
    return files


def _total_size(tokens: Tokens) -> int | None:
    total = None
    for key in tokens.keys("metadata"):
        number = tokens.integer() if key == "total_size" else None
        if number is None:
            tokens.skip()
        else:
            total = number
    return total


def companions(files: ModelFiles) -> Iterator[tuple[str, bool]]:
    """Give the files that go along with a model's weights: configuration, tokenizer, modules.

    Args:
        files: The model.

    Yields:
        Names below its folder, in a fixed order, and whether each stays inside of it; links that
        lead out are not to be copied. Left out are hidden files, the weights and their index, the
        same weights in other formats beside them, and exports to other engines.
    """
    weights = files.names
    for place, folders, names in os.walk(files.folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _EXPORTS)
        top = Path(place) == files.folder
        for name in sorted(names):
            path = Path(place) / name
            below = str(path.relative_to(files.folder))
            left_out = below in weights or name.startswith(".") or _EXPORT.fullmatch(name)
            if not left_out and not (top and _WEIGHTS.fullmatch(name)) and path.is_file():
                yield below, stays_inside(files.folder, path)
