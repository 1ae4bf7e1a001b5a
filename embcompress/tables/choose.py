"""Which tensors of a source are compressed, and why the others are not.

In an .npy file the array is the table. In a safetensors file, unless patterns say otherwise, a 2-D
float tensor is taken when its name reads like an embedding. A name is split at dots and slashes
into segments, and segments into words at other punctuation, digits and camel case. Numbers and
plain parameter segments at the end ("weight", "params", "default", …) are dropped; what is then
last is the owner.

* A name with an optimizer's words anywhere (``exp_avg``, ``momentum``, ``adagrad``, ``grad``, …) is
  optimizer state, never a table.
* An owner with an embedding word (``emb…``, ``…embed…``, ``wte``, ``wpe``, ``vectors``,
  ``lookup``, ``factors``, ``vocab``, …) is an embedding, unless a dense layer's word follows its
  last embedding word (``embeddings_project``, ``embed_out``): in English the last noun says what a
  thing is. So ``dense_embedding`` is a table. ``rotary``, ``lora`` and ``patch`` count anywhere;
  ``mlp`` and ``layers`` do not count here (``embed_user_MLP``, ``embedding_layers``).
* An owner without one is an embedding when the segment before it passes for one, as in
  ``embedding_bags.user_id.weight``, and the owner has no word of a dense layer or module, as in
  ``time_embedding.linear_1.weight`` and ``t_embedder.mlp.0.weight``.
* T5's ``shared.weight`` is an embedding.
* A tensor with a ``bias`` beside it is a dense layer's, whatever it is called: embeddings have no
  bias, and ``text_embedding.0``, ``x_embedder`` and ``class_embed`` are dense layers.

When no name reads so, a file's only 2-D float tensor, optimizer state aside, is taken.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from embcompress.errors import BadInput, UsageError
from embcompress.tables.grammar import METADATA_KEY
from embcompress.tables.quoting import listed, quoted
from embcompress.tables.source import Source, is_candidate, refusal, why_no_table

SEPARATOR = "::"
"""Joins a table's name to those of its parts in an artifact; reserved in source names."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PARAMETER = re.compile(
    r"weights?(?::0)?|w|data|params?|parameters?|table|default|base_layer|original_module"
    r"|modules_to_save|[0-9]*"
)
_EMBEDDING = re.compile(
    r"[a-z]*embd?s?|[a-z]*embed[a-z]*|wte|wpe|vecs?|vectors?|lookup|factors|vocab|vocabulary"
    r"|glove|syn"
)
_LAYER = re.compile(
    r"proj(?:ect[a-z]*)?|norm|layernorm|ln|linear|lin|dense|fc|out|mapping|transform|conv|gate"
    r"|scales?|bias|zeros|qzeros|qscale|qbias|qscaleshift|absmax|lstm|gru|rnn|ih|hh|kernel"
)
_MODULE = re.compile(r"mlp|ffn|layers?|blocks?|encoder|decoder|net")
_NEVER = {"rotary", "rope", "lora", "patch", "patches", "unembed", "unembedding", "cos", "sin"}
_OPTIMIZER = re.compile(
    r"_(exp_avg|exp_inf|square_avg|momentum|moments|adagrad|adam|adamw|rmsprop|ftrl|grads?"
    r"|gradients?|optimizer|optim|opt_state|state_sum|accumulator|master|velocity)_"
)

# Comparing names takes time with the square of their length.
_MOST_COMPARED = 1000
_LONGEST_COMPARED = 200


@dataclass(frozen=True)
class Taken:
    """A tensor that is compressed, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Skipped:
    """A tensor that is passed through, why, and whether it could have been compressed."""

    name: str
    reason: str
    candidate: bool


@dataclass(frozen=True)
class Choice:
    """Every tensor of a source, in the source's order, on one side or the other."""

    taken: list[Taken]
    skipped: list[Skipped]


def choose(source: Source, patterns: Sequence[str] = (), asker: str = "--tables") -> Choice:
    """Choose the tables of a source.

    Args:
        source: The file to compress.
        patterns: Case-sensitive globs (``*``, ``?``, ``[…]``) over whole tensor names; a tensor's
            exact name always means that tensor. ``!GLOB`` excludes, whatever the order. With only
            exclusions, they narrow the choice by name; without any, names decide.
        asker: Where the patterns stand, for messages.

    Returns:
        The tensors taken, at least one, and those skipped, each with its reason.

    Raises:
        UsageError: A pattern matches nothing, or nothing that could be a table; or there is nothing
            to take. The message lists the candidates.
        BadInput: The array of an .npy file, or a tensor given by its exact name, is no 2-D float
            tensor; or a tensor's name is reserved for artifacts.
    """
    _check_names(source)
    if source.kind == "npy":
        for info in source.tensors.values():
            if not is_candidate(info):
                raise BadInput(f"{source.shown}: {refusal(info)}")
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    negated = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    excluded = _excluded(source, negated, asker)
    reasons = _by_pattern(source, included, asker) if included else _by_name(source)
    taken: list[Taken] = []
    skipped: list[Skipped] = []
    for name, info in source.tensors.items():
        take, reason = reasons[name]
        if not is_candidate(info):
            skipped.append(Skipped(name, why_no_table(info), False))
        elif take and name in excluded:
            skipped.append(Skipped(name, f"excluded by {quoted('!' + excluded[name])}", True))
        elif take:
            taken.append(Taken(name, reason))
        else:
            skipped.append(Skipped(name, reason, True))
    if not taken:
        raise UsageError(f"{source.shown}: no table to compress: {_candidates(source)}")
    return Choice(taken, skipped)


def _check_names(source: Source) -> None:
    if "embcompress" in source.metadata:
        raise BadInput(
            f"{source.shown}: is compressed already (an embcompress artifact); restore it first, "
            "or compress its source"
        )
    for name in source.tensors:
        if SEPARATOR in name or name == METADATA_KEY:
            raise BadInput(
                f"{source.shown}: tensor {quoted(name)}: names with '{SEPARATOR}' and "
                f"'{METADATA_KEY}' are reserved for artifacts; rename it"
            )


def _excluded(source: Source, globs: list[str], asker: str) -> dict[str, str]:
    """Give the excluded names, each with the first glob that excludes it."""
    excluded: dict[str, str] = {}
    for glob in globs:
        for name in _matches(source, glob, "!" + glob, asker):
            excluded.setdefault(name, glob)
    return excluded


def _matches(source: Source, glob: str, pattern: str, asker: str) -> list[str]:
    if glob in source.tensors:
        return [glob]
    names = [name for name in source.tensors if fnmatchcase(name, glob)]
    if not names:
        raise UsageError(
            f"{source.shown}: {asker} {quoted(pattern)} matches no tensor; "
            f"{_candidates(source, glob)}"
        )
    return names


def _by_pattern(source: Source, globs: list[str], asker: str) -> dict[str, tuple[bool, str]]:
    reasons = dict.fromkeys(source.tensors, (False, f"not named by {asker}"))
    for glob in globs:
        names = _matches(source, glob, glob, asker)
        fitting = [name for name in names if is_candidate(source.tensors[name])]
        if not fitting and names == [glob]:
            raise BadInput(f"{source.shown}: tensor {quoted(glob)} {refusal(source.tensors[glob])}")
        if not fitting:
            first = names[0]
            raise UsageError(
                f"{source.shown}: {asker} {quoted(glob)} matches no 2-D float tensor "
                f"({quoted(first)} {why_no_table(source.tensors[first])}); "
                f"{_candidates(source, glob)}"
            )
        for name in fitting:
            reasons[name] = (True, f"matches {quoted(glob)}")
    return reasons


def _by_name(source: Source) -> dict[str, tuple[bool, str]]:
    if source.kind == "npy":
        return dict.fromkeys(source.tensors, (True, "the array of an .npy file"))
    reasons = {name: reads_like_embedding(name, source.tensors) for name in source.tensors}
    floats = [candidate.name for candidate in source.tables]
    if not any(reasons[name][0] for name in floats):
        weights = [name for name in floats if not _optimizer_word(name)]
        if len(weights) == 1:
            reasons[weights[0]] = (True, "the file's only 2-D float tensor")
    return reasons


def reads_like_embedding(name: str, names: Collection[str]) -> tuple[bool, str]:
    """Judge a tensor by its name; the module's docstring states the rule.

    Args:
        name: The tensor's name.
        names: The names of all tensors of its file.

    Returns:
        Whether it reads like an embedding, and the reason as a phrase.
    """
    state = _optimizer_word(name)
    if state:
        return False, f"optimizer state ({state})"
    if name.endswith(".weight") and f"{name.removesuffix('weight')}bias" in names:
        return False, "a dense layer: it has a bias"
    if name == "shared.weight" or name.endswith(".shared.weight"):
        return True, "its name reads like an embedding ('shared')"
    segments = re.split(r"[./]", name)
    while len(segments) > 1 and _PARAMETER.fullmatch(segments[-1]):
        segments.pop()
    owner = _words(segments[-1])
    before = _words(segments[-2]) if len(segments) > 1 else []
    never = _NEVER.intersection(owner + before)
    if never:
        return False, f"no embedding table by its name ({quoted(min(never))})"
    at = _last_embedding(owner)
    if at is not None:
        reading, dense = owner[at], _matching(_LAYER, owner[at + 1 :])
    else:
        at = _last_embedding(before)
        if at is None:
            return False, "its name does not read like an embedding"
        reading = before[at]
        dense = _matching(_LAYER, before[at + 1 :] + owner) + _matching(_MODULE, owner)
    if dense:
        return False, f"a dense layer by its name ({quoted(dense[-1])})"
    return True, f"its name reads like an embedding ({quoted(reading)})"


def _words(segment: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(segment)]


def _matching(kind: re.Pattern[str], words: list[str]) -> list[str]:
    return [word for word in words if kind.fullmatch(word)]


def _last_embedding(words: list[str]) -> int | None:
    found = [at for at, word in enumerate(words) if _EMBEDDING.fullmatch(word)]
    return found[-1] if found else None


def _optimizer_word(name: str) -> str | None:
    found = _OPTIMIZER.search(f"_{'_'.join(_words(name))}_")
    return found[1] if found else None


def _candidates(source: Source, wanted: str | None = None) -> str:
    """List what could be taken, the names nearest to a wanted one first."""
    names = [candidate.name for candidate in source.tables]
    if not names:
        return f"none of its {len(source.tensors)} tensors is 2-D and of floats"
    if wanted is not None:
        comparable = [name for name in names if len(name) <= _LONGEST_COMPARED][:_MOST_COMPARED]
        near = difflib.get_close_matches(wanted[:_LONGEST_COMPARED], comparable, n=8, cutoff=0.3)
        names = near + [name for name in names if name not in near]
    advice = "" if wanted is not None else "; name some with --tables"
    return f"its 2-D float tensors are {listed(names)}{advice}"
