"""A model with compressed tables in the place of its embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from embcompress.artifact.form import MARK
from embcompress.artifact.reader import Artifact
from embcompress.artifact.table import CompressedTable
from embcompress.errors import UsageError
from embcompress.tables.keys import KEYS, LENGTHS
from embcompress.torch.held import Held, in_memory
from embcompress.torch.modules import Compressed, Embedding, EmbeddingBag

_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16",
    "F16": "float16", "BF16": "bfloat16", "U32": "uint32", "I32": "int32", "F32": "float32",
    "C64": "complex64", "U64": "uint64", "I64": "int64", "F64": "float64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
_FEW = 5


@dataclass(frozen=True)
class Loaded:
    """What became of a model's tensors.

    Args:
        compressed: Embeddings that now look rows up in a compressed table.
        restored: Tensors that were filled with a restored table: their modules are no plain
            embeddings, or share the weight of one.
        copied: Tensors that were copied.
        missing: Tensors of the model that were not given; empty when strict.
        unexpected: Tensors given that the model has not; empty when strict.
    """

    compressed: list[str]
    restored: list[str]
    copied: list[str]
    missing: list[str]
    unexpected: list[str]


def load_model(
    module: Any,
    artifact: str | Path | Artifact | Mapping[str, Any],
    *,
    strict: bool = True,
    prefix: str = "",
    mmap: bool = False,
    assign: bool = False,
) -> Loaded:
    """Put an artifact's compressed tables in the place of a model's embeddings, and load the rest.

    A table ``emb.weight`` replaces the module ``emb`` when that is a ``torch.nn.Embedding`` or
    ``EmbeddingBag``, wherever the model holds it; its mode and padding are kept. A table of any
    other module is restored, with a warning. Nothing is changed when names or shapes do not fit.
    Buffers that the model does not save keep its own values.

    Args:
        module: The model; on the meta device, ``assign`` is needed.
        artifact: A path, an open artifact, or the state dict of a model that was loaded so before,
            which needs no file.
        strict: Whether missing and unexpected names are an error.
        prefix: What the artifact's names have before the model's.
        mmap: Whether rows stay in the file instead of being read now.
        assign: Whether tensors are put in the place of the model's, as they are, instead of copied
            into them.

    Returns:
        What became of each tensor.

    Raises:
        UsageError: A name or shape that does not fit, or an embedding with ``max_norm``.
        BadInput: The file is damaged.
    """
    if isinstance(artifact, Mapping) and not isinstance(artifact, Artifact):
        return _load(module, _from_state(artifact), strict, prefix, assign=assign)
    opened = artifact if isinstance(artifact, Artifact) else Artifact(Path(artifact))
    try:
        return _load(module, _from_artifact(opened, mmap=mmap), strict, prefix, assign=assign)
    finally:
        if opened is not artifact and not mmap:
            opened.close()


@dataclass(frozen=True)
class _Source:
    """What is to be loaded.

    Args:
        where: Its name, for errors.
        shapes: Of everything, by name.
        table: Gives a compressed table by name.
        tables: Names of the compressed tables.
        tensor: Gives any other tensor by name.
    """

    where: str
    shapes: Mapping[str, tuple[int, ...]]
    tables: frozenset[str]
    table: Callable[[str], CompressedTable]
    tensor: Callable[[str], Any]


def _from_artifact(artifact: Artifact, *, mmap: bool) -> _Source:
    companions = {name + end for name in artifact for end in (KEYS, LENGTHS)}
    passed = {n: info for n, info in artifact.passed.items() if n not in companions}

    def read(name: str) -> Any:
        info = passed[name]
        kind = getattr(torch, _DTYPES.get(info.dtype, ""), None)
        if kind is None:
            raise UsageError(f"{artifact.path}: PyTorch has no dtype for '{name}', {info.dtype}")
        artifact.guard.whole(name, info.nbytes)
        return torch.from_numpy(np.array(artifact.raw(name))).view(kind).reshape(info.shape)

    return _Source(
        str(artifact.path),
        {n: t.shape for n, t in artifact.items()} | {n: i.shape for n, i in passed.items()},
        frozenset(artifact),
        lambda name: artifact[name] if mmap else in_memory(artifact[name]),
        read,
    )


def _from_state(state: Mapping[str, Any]) -> _Source:
    parts: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        name, mark, suffix = key.partition(MARK)
        if mark:
            parts.setdefault(name, {})[mark + suffix] = tensor
    tables = {n: Held.from_tensors(found, f"'{n}'").table for n, found in parts.items()}
    rest = {key: tensor for key, tensor in state.items() if MARK not in key}
    shapes = {n: t.shape for n, t in tables.items()} | {n: tuple(t.shape) for n, t in rest.items()}
    return _Source(
        "the state dict", shapes, frozenset(tables), tables.__getitem__, rest.__getitem__
    )


def _load(module: Any, source: _Source, strict: bool, prefix: str, *, assign: bool) -> Loaded:
    expected = _expected(module)
    given = {_name_in(expected, n.removeprefix(prefix)): n for n in source.shapes}
    # buffers that the model fills itself and does not save, as older checkpoints of it hold
    unsaved = {name for name, _ in module.named_buffers()} - expected.keys()
    given = {name: n for name, n in given.items() if name not in unsaved}
    alike = _alike(expected)
    swapped: dict[str, str] = {}
    restored: dict[str, str] = {}
    copied: dict[str, str] = {}
    covered = set()
    for name, own in given.items():
        if name not in expected:
            continue
        # a weight that several modules share may be given once for all of them
        sharing = [n for n in alike[id(expected[name])] if n == name or n not in given]
        covered.update(sharing)
        if own not in source.tables:
            copied[name] = own
            continue
        for n in sharing:
            (swapped if _is_plain(module, n) else restored)[n] = own
    # a module that stands in two places may be given dense for one of them
    places = {id(_owner(module, name)): own for name, own in swapped.items()}
    for name in [n for n in copied if _is_plain(module, n) and id(_owner(module, n)) in places]:
        del copied[name]
        swapped[name] = places[id(_owner(module, name))]
    missing = sorted(expected.keys() - covered)
    unexpected = sorted(given.keys() - expected.keys())
    problems = _shape_problems(expected, source, swapped | restored | copied)
    if strict:
        problems += [
            f"buffer '{name}' is on the meta device and in no checkpoint: make the model without it"
            " (strict=False allows it)"
            for name, buffer in module.named_buffers()
            if name in unsaved and buffer.device.type == "meta"
        ][:1]
        problems += _listed("missing", missing) + _listed("unexpected", unexpected)
    if problems:
        raise UsageError(f"{source.where} does not fit the model: {'; '.join(problems)}")
    for name in swapped:
        if getattr(_owner(module, name), "max_norm", None) is not None:
            raise UsageError(
                f"'{name}' has max_norm, which rescales rows: that needs a dense table"
            )

    tables = {own: source.table(own) for own in {*swapped.values(), *restored.values()}}
    _replace(module, {name: tables[own] for name, own in swapped.items()})
    values = {name: source.tensor(own) for name, own in copied.items()}
    for name, own in restored.items():
        warnings.warn(
            f"'{name}' is not the weight of a plain embedding; it gets the table of '{own}'"
            " restored, uncompressed",
            stacklevel=3,
        )
        values[name] = torch.from_numpy(tables[own].restore())
    module.load_state_dict(values, strict=False, assign=assign)
    return Loaded([*swapped], [*restored], [*copied], missing, unexpected)


def _expected(module: Any) -> dict[str, Any]:
    """Tensors of a model by name, and the compressed modules in the place of a weight."""
    state = module.state_dict(keep_vars=True)
    found = {name: tensor for name, tensor in state.items() if MARK not in name}
    for path, child in module.named_modules(remove_duplicate=False):
        if isinstance(child, Compressed):
            found[f"{path}.weight".removeprefix(".")] = child
    return found


def _name_in(expected: Mapping[str, Any], name: str) -> str:
    """The name of the module's weight, where a table has the name of the module."""
    weight = f"{name}.weight"
    return weight if name not in expected and weight in expected else name


def _alike(expected: Mapping[str, Any]) -> dict[int, list[str]]:
    """Names by the identity of what they name."""
    names: dict[int, list[str]] = {}
    for name, tensor in expected.items():
        names.setdefault(id(tensor), []).append(name)
    return names


def _owner(module: Any, name: str) -> Any:
    return module.get_submodule(name.rpartition(".")[0])


def _is_plain(module: Any, name: str) -> bool:
    """Whether a weight is that of an embedding inside the model whose forward is PyTorch's own."""
    path, _, last = name.rpartition(".")
    if last != "weight" or not path:
        return False
    owner = _owner(module, name)
    return type(owner) in (torch.nn.Embedding, torch.nn.EmbeddingBag, Embedding, EmbeddingBag)


def _shape_problems(
    expected: Mapping[str, Any], source: _Source, given: Mapping[str, str]
) -> list[str]:
    problems = []
    for name, own in given.items():
        wanted = expected[name]
        shape = tuple(wanted.weight.shape if isinstance(wanted, Compressed) else wanted.shape)
        if shape != source.shapes[own]:
            problems.append(f"'{name}' is {list(source.shapes[own])}, in the model {list(shape)}")
    return problems[:_FEW]


def _listed(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    few = ", ".join(f"'{n}'" for n in names[:_FEW])
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return [f"{what} {few}{more} (strict=False allows it)"]


def _replace(module: Any, tables: Mapping[str, CompressedTable]) -> None:
    """Put compressed modules in the place of the owners of some weights, wherever they are held."""
    owners = {name: _owner(module, name) for name in tables}
    made = {id(owners[name]): _compressed(owners[name], table) for name, table in tables.items()}
    for parent in list(module.modules()):
        for key, child in list(parent._modules.items()):
            if id(child) in made:
                setattr(parent, key, made[id(child)])


def _compressed(old: Any, table: CompressedTable) -> Compressed:
    """The compressed counterpart of an embedding."""
    if isinstance(old, (torch.nn.EmbeddingBag, EmbeddingBag)):
        new: Compressed = EmbeddingBag(
            table,
            mode=old.mode,
            padding_idx=old.padding_idx,
            include_last_offset=old.include_last_offset,
            mmap=True,
        )
    else:
        new = Embedding(table, padding_idx=old.padding_idx, mmap=True)
    like = old.weight
    if like.device.type != "meta":
        new.to(device=like.device, dtype=like.dtype)
    new.train(old.training)
    return new
