"""Methods with each option moved from its default in turn, made from the declarations."""

from __future__ import annotations

import numpy as np

from embcompress.methods import registry
from embcompress.options import declared

_TEXT = {
    "then": ("cast --to fp16", "quantize --bits 3 --group-size 2", "binarize --scale row"),
    "budget": ("8x", "5bpw", "30KB"),
    "rank": ("3", "4,5"),
    "shape": ("70x2,61x6", "17x3,16x1,4x2,4x2"),
    "columns": ("", "0,2-4", "0-10"),
    "dims": ("0,2,5", "3"),
    "mixdim.groups": ("0.1", "0.01,0.2,0.3"),
    "prune.groups": ("0.1", "0.01,0.2,0.3"),
    "mixdim.budget": ("3x", "9bpw", "80KB"),
    "rows_per_record": ("1", "3", "16"),
    "groups": ("0.5:7,0.25:90,3", "0.02:4096,1"),
}


_WITH = {
    ("mixdim", "rule"): {"budget": "3x", "by": "frequency"},
    ("mixdim", "block"): {"projection": "columns"},
    ("ant", "budget"): {"anchors": 16},
    ("prune", "scale"): {"values": "int8"},
    ("prune", "groups"): {"scope": "group"},
    ("prune", "then"): {"rows": True},
    ("hash", "combine"): {"scheme": "qr"},
    ("hash", "bits"): {"scheme": "lma"},
    ("hash", "slots"): {"scheme": "lma"},
    ("hash", "block"): {"scheme": "robe"},
    ("hash", "sign"): {"scheme": "robe"},
    ("hash", "hidden"): {"scheme": "dhe"},
    ("hash", "hashes"): {"scheme": "dhe"},
}
"""What an option cannot do without."""


def values(method, option):
    """Values of an option that are worth a test."""
    if option.choices:
        return option.choices
    if option.kind is bool:
        return (True,)
    if option.kind is str:
        return _TEXT.get(f"{method}.{option.name}") or _TEXT[option.name]
    low, high = option.option.min, option.option.max
    middle = [low] if high is None else [low, (low + high) / 2, high]
    middle.append((low or 0) + 2)
    small = [v for v in middle if v < 300 and (high is None or v <= high)]
    return sorted({option.kind(v) for v in small})


def variants():
    """(id, method) of every method: as it comes, and with one option at another value."""
    for name, cls in registry().items():
        yield name, cls()
        for option in declared(cls).values():
            for value in values(name, option):
                if value != option.default:
                    yield (
                        f"{name}-{option.name}-{value}".replace(" ", "_"),
                        cls(**{option.name: value}, **_WITH.get((name, option.name), {})),
                    )


def by_frequency(method):
    """Whether a method needs frequencies."""
    return bool(method.tiers) or getattr(method, "weight", None) == "frequency"


def information_for(method, shape, fields=1):
    """What a method cannot do without, as keywords of ``compress``: frequencies, gradients."""
    rows, columns = shape
    known = {}
    if by_frequency(method):
        known["frequencies"] = 1.0 / np.arange(1, rows + 1)
    if method.gradients:
        known["gradients"] = np.random.default_rng(columns).random((fields, columns))
    return known


def information_files(method, shape, folder, fields=1):
    """The same as files in a folder, as keywords of ``Job``."""
    files = {}
    for name, values in information_for(method, shape, fields).items():
        files[{"gradients": "grads"}.get(name, name)] = folder / f"{name}.npy"
        np.save(folder / f"{name}.npy", values)
    return files


def groupings():
    """(id, settings as keywords) of every way to group rows."""
    yield "whole", {}
    yield "hot", {"keep_hot": 0.1}
    yield "hot-int8-fields", {"keep_hot": 0.07, "hot_as": "int8", "per_field": True}
    yield "fields", {"per_field": True}
