"""Bytes before and after, per table and per part."""

from __future__ import annotations

from embcompress.report import figures
from embcompress.report.html import numbers
from embcompress.report.html.grids import Title, grid
from embcompress.report.html.markup import Markup, join, tag
from embcompress.report.model import Report, Sizes

_MOST_TABLES = 300
_TINTS = 4


def sizes_section(report: Report) -> Markup:
    """The section about bytes."""
    total = report.total
    passed = ""
    if total.passed_through_bytes:
        passed = (
            f" Other tensors were copied as they are, {total.passed_through_bytes:,} bytes; they"
            f" count in no ratio. The file has {total.file_bytes:,} bytes."
        )
    return tag(
        "section",
        tag("h2", "Size"),
        tag(
            "p",
            "Everything that decoding needs is counted, header and checksums included." + passed,
            class_="note",
        ),
        _tables(report),
        tag("h3", "Where the bytes are"),
        _stack(report.parts),
        _parts(report.parts),
    )


def _tables(report: Report) -> Markup:
    shown = sorted(report.tables, key=lambda t: -t.source_bytes)[:_MOST_TABLES]
    most = max((t.source_bytes for t in shown), default=1) or 1
    titles = [
        Title("table", "name"), Title("shape"), Title("before"), Title("after"), Title("ratio"),
        Title("bits a weight"), Title("before and after", "bar"),
    ]  # fmt: skip
    rows = [
        [
            figures.name(t.name),
            figures.shape(t),
            numbers.size(t.source_bytes),
            numbers.size(t.artifact_bytes),
            numbers.ratio(t.ratio),
            numbers.digits(t.bits_per_weight, 3),
            _pair(t.source_bytes / most, t.artifact_bytes / most),
        ]
        for t in shown
    ]
    total = report.total
    last = None
    if len(report.tables) > 1:
        last = [
            f"{len(report.tables):,} tables", "",
            numbers.size(total.source_bytes), numbers.size(total.artifact_bytes),
            numbers.ratio(total.ratio), numbers.digits(total.bits_per_weight, 3), "",
        ]  # fmt: skip
    more = len(report.tables) - len(shown)
    return join(
        grid(titles, rows, last=last),
        tag("p", f"{more:,} more tables, all smaller", class_="gloss") if more else None,
    )


def _pair(before: float, after: float) -> Markup:
    def meter(share: float, kind: str) -> Markup:
        return tag("span", class_=kind, style=f"width:{100 * min(share, 1):.2f}%")

    return tag("div", meter(before, "meter before"), meter(after, "meter"), class_="pair")


def _tint(place: int) -> str:
    return f"p{min(place, _TINTS - 1) + 1}"


def _ordered(parts: Sizes) -> list[tuple[str, int]]:
    return sorted(((n, s) for n, s in parts.items() if s), key=lambda p: -p[1])


def _stack(parts: Sizes) -> Markup:
    whole = sum(parts.values()) or 1
    pieces = [
        tag("span", class_=_tint(i), title=f"{name}: {size:,} bytes",
            style=f"display:inline-block;height:22px;width:{100 * size / whole:.3f}%")
        for i, (name, size) in enumerate(_ordered(parts))
    ]  # fmt: skip
    look = "display:flex;gap:1px;border-radius:4px;overflow:hidden;margin:10px 0 14px"
    return tag("div", *pieces, style=look, aria_hidden="true")


def _parts(parts: Sizes) -> Markup:
    whole = sum(parts.values()) or 1
    rows = [
        [
            join(tag("span", class_=f"swatch {_tint(i)}"), name),
            numbers.whole(size),
            figures.percent(size / whole),
        ]
        for i, (name, size) in enumerate(_ordered(parts))
    ]
    return grid([Title("part", "name"), Title("bytes"), Title("share")], rows, kind="narrow")
