"""Budgets that are met to the byte: streams take what the rest of the file leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from embcompress.artifact.form import Form, Segment
from embcompress.artifact.writer import Extent, place, stream_sizes
from embcompress.budget import parse_budget
from embcompress.errors import UsageError
from embcompress.pipeline.accounting import Accounting
from embcompress.solvers.encoder import Elastic, Encoder

Place = tuple[str, int]
"""A table and the number of a segment."""


def fill(
    forms: Mapping[str, Form],
    encoders: Mapping[str, Sequence[Encoder]],
    accounting: Accounting,
) -> dict[str, Form]:
    """Give the streams of elastic encoders the bytes that a budget leaves them.

    Args:
        forms: The tables, all else of them final.
        encoders: Of every table's segments.
        accounting: The whole artifact.

    Returns:
        The forms with the codecs that the encoders settled on.

    Raises:
        UsageError: The budget is too small, or is not that of all tables.
    """
    elastic = {
        (name, i): encoder
        for name, own in encoders.items()
        for i, encoder in enumerate(own)
        if isinstance(encoder, Elastic) and encoder.budget is not None
    }
    if not elastic:
        return dict(forms)
    for name, table in accounting.tables.items():
        for i in range(len(table.segments)):
            if (name, i) not in elastic and i != table.hot:
                raise UsageError(
                    f"table '{name}': --budget is over all tables together; --set cannot give"
                    " some of them other options"
                )
    budgets = {encoder.budget for encoder in elastic.values()}
    if len(budgets) > 1:
        raise UsageError(f"--budget is over all tables together; there are {len(budgets)} of them")
    text = str(budgets.pop())
    allowed = parse_budget(text).bytes_for(accounting.source_bytes, accounting.weights)
    plan = accounting.plan(tuple(forms.values()))
    passed = sum(p.nbytes for p in plan.passed)

    def total(bits: Mapping[Place, int]) -> int:
        sizes: dict[str, Extent] = {}
        for (name, i), count in bits.items():
            for stream in forms[name].segments[i].codec.layout().streams:
                sizes |= stream_sizes(forms[name], i, stream, count)
        return place(plan, sizes).total - passed

    nothing = dict.fromkeys(elastic, 0)
    if total(nothing) > allowed:
        raise UsageError(
            f"--budget {text} is {allowed:,} bytes, but header, maps and what rows share take"
            f" {total(nothing):,}"
        )
    weights = {key: encoder.weights for key, encoder in elastic.items()}
    taken: dict[Place, int] = {}
    left = dict(elastic)
    while left:
        # later ones get what earlier ones left over
        key, encoder = next(iter(left.items()))
        whole = sum(weights[k] for k in left)
        low, high = 0, allowed + 1

        def shared(data: int, whole: int = whole, left: Mapping[Place, Elastic] = left) -> int:
            parts = {k: 8 * (data * weights[k] // max(whole, 1)) for k in left}
            return total({**taken, **parts})

        while high - low > 1:
            middle = (low + high) // 2
            if shared(middle) <= allowed:
                low = middle
            else:
                high = middle
        own = low * weights[key] // max(whole, 1) if len(left) > 1 else low
        segment = forms[key[0]].segments[key[1]]
        (stream,) = segment.codec.layout().streams
        encoder.fill(stream.nbytes(segment.rows, 8 * own))
        taken[key] = encoder.stream_bits
        del left[key]
    return {name: _refreshed(form, encoders[name]) for name, form in forms.items()}


def _refreshed(form: Form, encoders: Sequence[Encoder]) -> Form:
    segments = tuple(
        Segment(s.rows, e.codec) for s, e in zip(form.segments, encoders, strict=True)
    )
    return replace(form, segments=segments)
