"""The survey's systems, each with the command that gives it or its nearest form after training."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Final

from embcompress.methods import registry
from embcompress.methods.presets import PRESETS

SURVEY: Final = (
    "two-stage binarization", "L2Q-GCN", "DCF", "DCMF", "DPR", "DFM", "CIGAR", "HashGNN",
    "Guan uniform", "Guan k-means", "Guan k-means, grouped", "Xu 16-bit", "Yang mixed precision",
    "ALPT", "MDE", "CpRec", "NIS", "RULE", "OptEmbed", "ESAPN", "AutoEmb", "AMTL", "AutoIAS",
    "AutoDim", "DeepLight", "PEP", "DNIS", "SSEDS", "naive hash", "QR", "MEmCom", "BCH", "FDH",
    "ROBE", "LMA", "Saec", "PQ", "OPQ", "AQ", "LSQ", "MGQE", "xLightFM", "LightRec", "LISA",
    "SVD", "MLET", "TT-Rec", "LLRec", "STTD", "ANT", "DHE",
)  # fmt: skip
"""Li, Guo, Tang, Tang, Hou, Li, Zhang 2023, Embedding Compression in Recommender Systems."""


@dataclass(frozen=True)
class Published:
    """A published system.

    Args:
        name: As published.
        command: What to type; INPUT, OUTPUT and FILE, a side file, stand for paths.
        kind: ``native`` where the paper itself works after training, else ``counterpart``.
        reason: One line: what of the paper cannot exist after training, or what it is.
    """

    name: str
    command: str
    kind: str
    reason: str


def published() -> list[Published]:
    """The survey's systems in its order, then other published names.

    A system is the preset of its name, or else the method of its name.
    """
    known = {_plain(preset.name): _of_preset(preset.name) for preset in PRESETS}
    named = {_plain(name): name for name in SURVEY}
    for name in registry():
        if name in named:
            known.setdefault(name, _of_method(name, named[name]))
    order = [*(n for n in named if n in known), *(n for n in known if n not in named)]
    return [known[name] for name in order]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _of_preset(name: str) -> Published:
    (preset,) = [p for p in PRESETS if p.name == name]
    verb, _, options = preset.command.partition(" ")
    command = f"embcompress {verb} INPUT -o OUTPUT {options}".rstrip()
    return Published(name, command, kind_of(native=preset.native), preset.note)


def _of_method(verb: str, name: str) -> Published:
    method = registry()[verb]
    words = shlex.split(method.example)
    words[1] = "INPUT"
    words[words.index("-o") + 1] = "OUTPUT"
    for flag in ("--frequencies", "--fields", "--grads"):
        if flag in words:
            words[words.index(flag) + 1] = "FILE"
    command = shlex.join(["embcompress", *words])
    return Published(name, command, kind_of(native=method.native), method.summary())


def kind_of(*, native: bool) -> str:
    """The word for whether a paper itself works after training."""
    return "native" if native else "counterpart"
