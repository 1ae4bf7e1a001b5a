"""Budgets that are met to the byte: streams take what the rest of the file leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from embcompress.artifact.form import Form, Segment
from embcompress.artifact.layout import Extent, place
from embcompress.artifact.writer import stream_sizes
from embcompress.budget import parse_budget
from embcompress.errors import UsageError
from embcompress.methods.base import Method
from embcompress.pipeline.accounting import Accounting
from embcompress.solvers.encoder import Elastic, Encoder

Place = tuple[str, int]
"""A table and the number of a segment."""


def fill(
    forms: Mapping[str, Form],
    encoders: Mapping[str, Sequence[Encoder]],
    asked: Mapping[str, Method],
    rules: Mapping[str, int],
    accounting: Accounting,
) -> dict[str, Form]:
    """Give the streams of elastic encoders the bytes that a budget leaves them.

    Args:
        forms: The tables, all else of them final.
        encoders: Of every table's segments.
        asked: The method of every table.
        rules: The rule of every table; a budget is that of all tables of a rule.
        accounting: The whole artifact.

    Returns:
        The forms with the codecs that the encoders settled on.

    Raises:
        UsageError: A budget is too small, or is not that of all tables of its rule.
    """
    for rule in sorted(set(rules.values())):
        names = [name for name, own in rules.items() if own == rule]
        elastic = {
            (name, i): encoder
            for name in names
            for i, encoder in enumerate(encoders[name])
            if isinstance(encoder, Elastic) and encoder.open_ended
        }
        if elastic:
            _check_whole(elastic, {n: asked[n] for n in names}, accounting)
            text = str(asked[names[0]].budgeted)
            own = {name: forms[name] for name in names}
            _fill_rule(own, elastic, text, accounting.among(names))
    return {name: _refreshed(form, encoders[name]) for name, form in forms.items()}


def _check_whole(
    elastic: Mapping[Place, Elastic], asked: Mapping[str, Method], accounting: Accounting
) -> None:
    """Refuse a budget that some tables of its rule do not share in."""
    for name in asked:
        table = accounting.tables[name]
        alone = [i for i in range(len(table.segments)) if (name, i) not in elastic]
        if any(i != table.hot for i in alone) or len({m.budgeted for m in asked.values()}) > 1:
            raise UsageError(
                f"table '{name}': --budget is over all tables together; --set cannot give some of"
                " them other options"
            )


def _fill_rule(
    forms: Mapping[str, Form],
    elastic: Mapping[Place, Elastic],
    text: str,
    accounting: Accounting,
) -> None:
    """Fill the encoders of a rule, small ones first: later ones get what is left over."""
    allowed = parse_budget(text).bytes_for(accounting.source_bytes, accounting.weights)
    plan = accounting.plan(tuple(forms.values()))
    passed = sum(p.nbytes for p in plan.passed)
    weights = {key: encoder.weights for key, encoder in elastic.items()}

    def total(bits: Mapping[Place, int]) -> int:
        sizes: dict[str, Extent] = {}
        for (name, i), count in bits.items():
            for stream in forms[name].segments[i].codec.layout().streams:
                sizes |= stream_sizes(forms[name], i, stream, count)
        return place(plan, sizes).total - passed

    least = total(dict.fromkeys(elastic, 0))
    if least > allowed:
        raise UsageError(
            f"--budget {text} is {allowed:,} bytes, but header, maps and what rows share take"
            f" {least:,}"
        )
    taken: dict[Place, int] = {}
    left = sorted(elastic, key=lambda key: weights[key])
    while left:
        whole = max(sum(weights[key] for key in left), 1)
        low, high = 0, allowed + 1
        while high - low > 1:
            middle = (low + high) // 2
            parts = {key: 8 * (middle * weights[key] // whole) for key in left}
            if total(taken | parts) <= allowed:
                low = middle
            else:
                high = middle
        key = left.pop(0)
        own = low if not left else low * weights[key] // whole
        segment = forms[key[0]].segments[key[1]]
        (stream,) = segment.codec.layout().streams
        elastic[key].fill(stream.nbytes(segment.rows, 8 * own), at_most=not left)
        taken[key] = elastic[key].stream_bits


def _refreshed(form: Form, encoders: Sequence[Encoder]) -> Form:
    """The form with the codecs that the encoders have now."""
    if all(s.codec is e.codec for s, e in zip(form.segments, encoders, strict=True)):
        return form
    segments = tuple(Segment(s.rows, e.codec) for s, e in zip(form.segments, encoders, strict=True))
    return replace(form, segments=segments)
