"""Tied weights: one matrix that a model uses twice, as embedding and as output head."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from embcompress.tables.file import SourceFile
from embcompress.tables.quoting import quoted
from embcompress.tables.source import Source

_CONFIG = "config.json"
_MAX_CONFIG = 2**24
_INPUTS = re.compile(r"(^|\.)(wte|embed_tokens|word_embeddings|tok_embeddings|shared)\.weight$")
_PIECE = 2**24
_FEW = 256
_MOST_TOLD = 4


def tied_notes(source: Source, taken: Collection[str]) -> list[str]:
    """Tell of compressed tables that are tied to something else in the model.

    Args:
        source: The input.
        taken: The tables that are compressed.

    Returns:
        One line for every pair.
    """
    pairs = _same_content(source, taken)
    notes = [_told(name, other, both=other in taken) for name, other in pairs[:_MOST_TOLD]]
    if len(pairs) > _MOST_TOLD:
        notes.append(f"{len(pairs) - _MOST_TOLD:,} more pairs of tensors hold the same values")
    if _config_ties(source):
        paired = {name for name, _ in pairs}
        notes += [
            f"{_CONFIG} ties the output head to {quoted(name)}: what it loses, the logits lose too"
            for name in taken
            if _INPUTS.search(name) and name not in paired
        ]
    return notes


def _told(name: str, other: str, *, both: bool) -> str:
    if both:
        return (
            f"tables {quoted(name)} and {quoted(other)} hold the same values: tied weights, of"
            " which each is compressed and stored"
        )
    return (
        f"table {quoted(name)} and tensor {quoted(other)} hold the same values: tied weights, of"
        " which the one is compressed and the other copied; name both in --tables, or load the"
        " one for both"
    )


def _same_content(source: Source, taken: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of a taken table and another tensor that are equal bit for bit."""
    forms = {(source.tensors[name].dtype, source.tensors[name].shape) for name in taken}
    alike: dict[tuple[object, ...], list[str]] = {}
    for name in dict.fromkeys([*taken, *source.tensors]):
        info = source.tensors[name]
        if (info.dtype, info.shape) in forms and info.nbytes:
            middle = info.nbytes // 2
            some = source.read_raw(info, middle, min(middle + _FEW, info.nbytes))
            alike.setdefault((info.dtype, info.shape, some), []).append(name)
    return [
        (names[0], other)
        for names in alike.values()
        if names[0] in taken
        for other in names[1:]
        if _equal(source, names[0], other)
    ]


def _equal(source: Source, one: str, other: str) -> bool:
    """Compare two tensors of one form."""
    nbytes = source.tensors[one].nbytes
    for start in range(0, nbytes, _PIECE):
        stop = min(start + _PIECE, nbytes)
        first, second = (source.read_raw(source.tensors[n], start, stop) for n in (one, other))
        if first != second:
            return False
    return True


def _config_ties(source: Source) -> bool:
    """Whether the model's configuration says that input and output share their weights."""
    if source.files is None:
        return False
    path: Path = source.files.folder / _CONFIG
    if not path.is_file() or path.stat().st_size > _MAX_CONFIG:
        return False
    with SourceFile(path) as file:
        try:
            document = json.loads(file.read(0, file.size))
        except (ValueError, RecursionError):
            return False
    return isinstance(document, dict) and document.get("tie_word_embeddings") is True
