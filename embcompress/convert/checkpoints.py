"""Checkpoints of PyTorch: .pt, .pth and .bin files, read by torch without ever running code."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embcompress.convert.stream import Made, Pieces, Whole, write_tensors
from embcompress.errors import BadInput, IOFailure, UsageError
from embcompress.progress import Progress
from embcompress.tables.file import SourceFile
from embcompress.tables.header import tensor_info
from embcompress.tables.quoting import listed, quoted

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
    torch = _torch()
    state = _load(torch, file)
    tensors: dict[str, Any] = {}
    others: list[str] = []
    _collect(torch, state, "", tensors, others, 0)
    if not tensors:
        raise BadInput(f"{file.shown}: holds no tensors: it is {_kind(state)}")
    wholes = []
    for name, tensor in tensors.items():
        dtype = _DTYPES.get(str(tensor.dtype).removeprefix("torch."))
        if dtype is None or tensor.layout != torch.strided or tensor.is_quantized:
            others.append(name)
            continue
        info = tensor_info(name, dtype, tensor.shape)
        wholes.append(Whole(info, _reader(torch, tensor, progress)))
    if others:
        progress.note(
            f"{file.shown}: left out {len(others)} values that are no dense tensors:"
            f" {listed(others, 4)}"
        )
    for pair in _shared(tensors):
        progress.note(
            f"{file.shown}: {quoted(pair[0])} and {quoted(pair[1])} share their storage (tied"
            " weights); each is written"
        )
    if not wholes:
        raise BadInput(f"{file.shown}: holds no dense tensor")
    made = write_tensors(output, wholes)
    file.unchanged()
    return made


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
    mapped = file.read(0, 4) == b"PK\x03\x04"  # older files cannot be mapped
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


def _reader(torch: Any, tensor: Any, progress: Progress) -> Any:
    def pieces() -> Pieces:
        flat = tensor.contiguous().reshape(-1)
        step = max(1, _PIECE // tensor.element_size())
        with progress.stage("converting", flat.numel()) as stage:
            for begin in range(0, flat.numel(), step):
                some = flat[begin : begin + step]
                yield some.view(torch.uint8).numpy()
                stage.advance(len(some))

    return pieces


def _shared(tensors: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of names that view the same bytes."""
    known: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        if tensor.layout.__str__() == "torch.strided" and tensor.numel():
            key = tensor.data_ptr(), tuple(tensor.shape), str(tensor.dtype)
            if key in known:
                yield known[key], name
            known.setdefault(key, name)
