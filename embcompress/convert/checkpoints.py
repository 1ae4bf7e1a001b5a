"""Checkpoints of PyTorch: .pt, .pth and .bin files, read by torch without ever running code."""

from __future__ import annotations

import importlib.util
import pickle
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from embcompress.convert.stream import Made, Pieces, Whole, write_tensors
from embcompress.errors import BadInput, IOFailure, UsageError
from embcompress.progress import Progress
from embcompress.tables.file import SourceFile
from embcompress.tables.header import TensorInfo, tensor_info
from embcompress.tables.quoting import listed, quoted
from embcompress.tables.sniff import sniff

PYTORCH = {"format": "pt"}
"""Metadata that transformers wants in a file of weights."""

_PICKLED = re.compile(rb"\x80[\x02-\x05]")
_PIECE = 2**24
_LEAST_TORCH = (2, 6)  # weights_only could be got round before: CVE-2025-32434
_MOST_DEEP = 16
_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
    "uint16": "U16", "uint32": "U32", "uint64": "U64", "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip


def convert_checkpoint(file: SourceFile, output: Path, progress: Progress) -> Made:
    """Bring a checkpoint of PyTorch into safetensors.

    Nested dictionaries join their keys with dots. What is no tensor is left out, and told.

    Args:
        file: The open file.
        output: The file to write.
        progress: Told of bytes and notes.

    Raises:
        UsageError: torch is not installed, or older than 2.6.
        BadInput: It would run code, is damaged, or holds no tensors.
        IOFailure: The system refuses.
    """
    tensors = dense_tensors(file, progress)
    wholes = [
        Whole(described(name, tensor), partial(pieces_of_tensor, tensor, progress))
        for name, tensor in tensors.items()
    ]
    made = write_tensors(output, wholes, PYTORCH)
    file.unchanged()
    return made


def dense_tensors(file: SourceFile, progress: Progress | None) -> dict[str, Any]:
    """The dense tensors of a file, by name.

    Args:
        file: The open file.
        progress: Told of what is left out and of tied weights, if it is given.

    Raises:
        UsageError: torch is not installed, or older than 2.6.
        BadInput: It would run code, is damaged, or holds no tensors.
        IOFailure: The system refuses.
    """
    torch = _torch()
    state = _load(torch, file)
    found: dict[str, Any] = {}
    others: list[str] = []
    _collect(torch, state, "", found, others, 0)
    if not found:
        raise BadInput(f"{file.shown}: holds no tensors: it is {_kind(state)}")
    dense = {name: tensor for name, tensor in found.items() if _is_dense(torch, tensor)}
    others += [name for name in found if name not in dense]
    if not dense:
        raise BadInput(f"{file.shown}: holds no dense tensor")
    if progress is None:
        return dense
    if others:
        progress.note(
            f"{file.shown}: left out {len(others)} values that are no dense tensors:"
            f" {listed(others, 4)}"
        )
    for pair in _shared(dense):
        progress.note(
            f"{file.shown}: {quoted(pair[0])} and {quoted(pair[1])} share their storage (tied"
            " weights); each is written"
        )
    return dense


def _is_dense(torch: Any, tensor: Any) -> bool:
    known = str(tensor.dtype).removeprefix("torch.") in _DTYPES
    return known and tensor.layout == torch.strided and not tensor.is_quantized


def described(name: str, tensor: Any) -> TensorInfo:
    """A dense tensor as a header describes it."""
    return tensor_info(name, _DTYPES[str(tensor.dtype).removeprefix("torch.")], tensor.shape)


def _torch() -> Any:
    if importlib.util.find_spec("torch") is None:
        raise UsageError(".pt files are read by torch: pip install 'embcompress[torch]'")
    import torch

    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < _LEAST_TORCH:
        raise UsageError(
            f"torch {torch.__version__} may run code of a .pt file (CVE-2025-32434); upgrade it to"
            f" {'.'.join(map(str, _LEAST_TORCH))} or newer"
        )
    return torch


def _load(torch: Any, file: SourceFile) -> Any:
    head = file.read(0, 4)
    mapped = head == b"PK\x03\x04"  # older files cannot be mapped
    if not mapped and not _PICKLED.match(head):
        found = sniff(file)
        aside = ", not a file of torch" if found.kind != "other" else ""
        raise BadInput(f"{file.shown}: is {found.what}{aside}")
    try:
        return torch.load(file.path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{file.shown}: holds more than tensors, and what it holds could run code, so it is"
            f" not loaded ({_first_line(error)}); save model.state_dict() alone"
        ) from error
    except OSError as error:
        raise IOFailure(f"{file.shown}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise BadInput(
            f"{file.shown}: is no checkpoint that torch can load: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Unsupported" in line or "GLOBAL" in line]
    return (telling or lines or [type(error).__name__])[0][:160]


def _kind(state: Any) -> str:
    return "an empty dictionary" if state == {} else f"a {type(state).__name__}"


def _collect(
    torch: Any, value: Any, name: str, tensors: dict[str, Any], others: list[str], depth: int
) -> None:
    """Take the tensors of nested dictionaries."""
    if isinstance(value, torch.Tensor):
        tensors[name or "tensor"] = value.detach()
    elif isinstance(value, Mapping) and depth < _MOST_DEEP:
        for key, inner in value.items():
            joined = f"{name}.{key}" if name else str(key)
            _collect(torch, inner, joined, tensors, others, depth + 1)
    else:
        others.append(name or "the whole")


def pieces_of_tensor(tensor: Any, progress: Progress) -> Pieces:
    """A dense tensor's bytes, in order."""
    import torch

    flat = tensor.contiguous().reshape(-1)
    step = max(1, _PIECE // tensor.element_size())
    with progress.stage("converting", flat.numel()) as stage:
        for begin in range(0, flat.numel(), step):
            some = flat[begin : begin + step]
            yield some.view(torch.uint8).numpy()
            stage.advance(len(some))


def _shared(tensors: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of names that view the same bytes."""
    known: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            key = tensor.data_ptr(), tuple(tensor.shape), str(tensor.dtype)
            if key in known:
                yield known[key], name
            known.setdefault(key, name)
