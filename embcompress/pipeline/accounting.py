"""What an artifact would take if its segments had certain codecs: for budgets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from embcompress.artifact.form import Form, Segment
from embcompress.artifact.layout import Extent, Plan, place
from embcompress.artifact.writer import implied_sizes, stream_sizes
from embcompress.codecs.base import Codec
from embcompress.errors import UsageError
from embcompress.methods.base import Context, Method
from embcompress.pipeline.segments import Grouped
from embcompress.tables.rows import Rows

_FEW_COLUMNS = 8
_MOST_ENERGY = 0.5


def method_json(asked: Method, resolved: Sequence[Method], notes: Sequence[str]) -> dict[str, Any]:
    """What an artifact tells of the method that made a table."""
    return {
        "name": asked.name,
        "spelled": asked.spelled(),
        "asked": asdict(asked),
        "resolved": [asdict(m) | {"method": m.name} for m in resolved],
        "notes": list(notes),
    }


def outlier_notes(table: Grouped, context: Context) -> list[str]:
    """A line when one column holds most of a table's energy, so that it swamps the others."""
    found = [context.statistics(s, frozenset()) for s in table.segments]
    energy = np.sum([f.squares for f in found], axis=0)
    if len(energy) < _FEW_COLUMNS or not energy.any():
        return []
    column = int(energy.argmax())
    share = energy[column] / energy.sum()
    if share < _MOST_ENERGY:
        return []
    return [
        f"column {column} holds {share:.0%} of the table's energy and swamps the others;"
        " rotate --basis random spreads it"
    ]


def form_of(
    name: str,
    table: Grouped,
    asked: Method,
    resolved: Sequence[Method],
    codecs: Sequence[Codec],
    context: Context,
) -> Form:
    """What an artifact holds of a table.

    Args:
        name: The table.
        table: Its segments.
        asked: The method as asked for.
        resolved: The settled method of every segment.
        codecs: The codec of every segment.
        context: Statistics.
    """
    source = table.reader.table
    segments = tuple(Segment(s.count, c) for s, c in zip(table.segments, codecs, strict=True))
    described = method_json(asked, resolved, outlier_notes(table, context))
    if table.twin:
        described["twin"] = table.twin
    return Form(name, source.shape, source.dtype, table.rowmap, segments, described)


@dataclass(frozen=True)
class Accounting:
    """All tables of a run, for methods that aim at a size.

    Args:
        tables: By name.
        asked: The method of every table.
        methods: The method of every segment.
        plan: The whole artifact with given forms.
    """

    tables: Mapping[str, Grouped]
    asked: Mapping[str, Method]
    methods: Mapping[str, list[Method]]
    plan: Callable[[tuple[Form, ...]], Plan]

    def among(self, names: Collection[str]) -> Accounting:
        """The accounts of some of the tables: those of one rule."""
        tables = {name: table for name, table in self.tables.items() if name in names}
        return replace(self, tables=tables)

    @property
    def source_bytes(self) -> int:
        """Bytes of all tables in their source."""
        return sum(t.reader.table.source_bytes for t in self.tables.values())

    @property
    def weights(self) -> int:
        """Numbers in all tables."""
        shapes = (t.reader.table.shape for t in self.tables.values())
        return sum(n * d for n, d in shapes)

    def holds(self, rows: Rows) -> bool:
        """Whether some rows are a segment of the tables, and not coordinates of another method."""
        return any(rows is s for table in self.tables.values() for s in table.segments)

    def artifact_bytes(
        self,
        chosen: Mapping[str, tuple[Method, Codec]],
        context: Context,
        ragged: Mapping[str, int] | None = None,
    ) -> int:
        """Bytes of all tables in the artifact, header, maps and checksums counted.

        Args:
            chosen: Settled method and codec by the keys of ``Method.plan``. Only the shapes of
                shared arrays matter.
            context: Fits the other segments, which hold hot rows.
            ragged: Bytes of the data of codecs with one ragged part, whose lengths are implied.
                Streams count as if they were empty.

        Raises:
            UsageError: A table has another method, whose bytes are not known.
        """
        forms = []
        for name, table in self.tables.items():
            made = []
            for segment, method in zip(table.segments, self.methods[name], strict=True):
                key = f"{name}::{segment.segment}"
                if key in chosen:
                    made.append(chosen[key])
                elif segment.segment == table.hot:
                    made.append((method, context.fit(method, segment).codec))
                else:
                    raise UsageError(
                        f"table '{name}': --budget is over all tables together; --set cannot give"
                        " some of them other options"
                    )
            resolved, codecs = zip(*made, strict=True) if made else ((), ())
            forms.append(form_of(name, table, self.asked[name], resolved, codecs, context))
        plan = self.plan(tuple(forms))
        extents: dict[str, Extent] = {}
        for form in forms:
            for number, stored in enumerate(form.segments):
                for part in stored.codec.layout().ragged:
                    size = (ragged or {})[f"{form.name}::{number}"]
                    extents |= implied_sizes(form, number, part, size)
                for stream in stored.codec.layout().streams:
                    extents |= stream_sizes(form, number, stream, 0)
        return place(plan, extents).total - sum(p.nbytes for p in plan.passed)
