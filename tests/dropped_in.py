"""A method in forty lines: plans over all tables in a second pass, stores ragged rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from embcompress.codecs.base import Codec, Layout, RaggedRows
from embcompress.methods.base import Encoder, Method
from embcompress.options import Option

ENTRY = np.dtype([("column", "<u2"), ("value", "<f4")])


@dataclass(frozen=True)
class Largest(Codec):
    name = "test-largest"
    dim: int

    def layout(self):
        return Layout(ragged=("entries",))

    def config(self):
        return {}

    @classmethod
    def load(cls, dim, config, shared, depth):
        return cls(dim)

    def decode(self, parts, rows, out):
        out[:] = 0
        entries = parts.ragged["entries"]
        for row, begin, end in zip(out, *entries.spans(rows), strict=True):
            found = entries.data[begin:end].copy().view(ENTRY)
            row[found["column"]] = found["value"]

    def check(self, parts, start, stop):
        parts.ragged["entries"].spans(np.arange(start, stop))


@dataclass(frozen=True, kw_only=True)
class KeepLargest(Method):
    """Keep the largest weights of all tables together."""

    name = "test-largest"
    family = "tests"
    native = True
    source = "this test"
    example = "test-largest glove.npy -o out.safetensors"
    share: Annotated[float, Option("Share of the weights to keep.", min=0, max=1)] = 0.2
    least: Annotated[float | None, Option("Smallest magnitude kept; by default from share.")] = None

    def plan(self, tables, context):
        sizes = [
            size
            for rows in tables.values()
            for size in context.each(rows, lambda tile: np.abs(tile.rows).ravel(), "sizes")
        ]
        least = float(np.quantile(np.concatenate(sizes), 1 - self.share))
        return dict.fromkeys(tables, replace(self, least=least))

    def fit(self, rows, context):
        return KeepEncoder(Largest(rows.shape[1]), self.least)


@dataclass(frozen=True)
class KeepEncoder(Encoder):
    codec: Largest
    least: float

    def encode(self, ids, rows):
        kept = [np.flatnonzero(np.abs(row) >= self.least) for row in rows]
        pairs = [list(zip(c, row[c], strict=True)) for c, row in zip(kept, rows, strict=True)]
        return {"entries": RaggedRows.of([np.array(p, ENTRY).view(np.uint8) for p in pairs])}
