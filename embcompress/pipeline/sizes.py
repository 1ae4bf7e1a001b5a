"""Every byte of an artifact, told apart by table and part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embcompress.artifact.form import CHECKSUMS, Form
from embcompress.codecs.hostile import INNER
from embcompress.codecs.stream import STREAM_PIECES


def table_parts(
    forms: Iterable[Form], sizes: Mapping[str, int], header: int
) -> dict[str, dict[str, int]]:
    """Bytes by table and part; header and checksums are shared out by the tables' bytes.

    Args:
        forms: The compressed tables.
        sizes: Bytes of every tensor of the file.
        header: Bytes before the file's data.
    """
    parts = {form.name: _own_parts(form, sizes) for form in forms}
    overhead = {"header": header, "checksums": sizes[CHECKSUMS]}
    totals = {name: sum(own.values()) for name, own in parts.items()}
    for what, size in overhead.items():
        for name, share in shared_out(size, totals).items():
            parts[name][what] = share
    return parts


def shared_out(size: int, totals: Mapping[str, int]) -> dict[str, int]:
    """Split a number of bytes in proportion to totals, exactly.

    Args:
        size: Bytes.
        totals: Bytes by name; when all are 0, the first name takes everything.
    """
    whole = sum(totals.values())
    shares = {name: size * total // whole if whole else 0 for name, total in totals.items()}
    if shares:
        shares[next(iter(shares))] += size - sum(shares.values())
    return shares


def _own_parts(form: Form, sizes: Mapping[str, int]) -> dict[str, int]:
    parts = form.part_bytes()
    parts["measured"] = sizes[form.measured]
    for i, segment in enumerate(form.segments):
        layout = segment.codec.layout()
        for part in layout.ragged:
            short = part.rsplit(INNER, 1)[-1]
            for piece in layout.pieces(part):
                name = short if piece == "data" else f"{short} {piece}"
                parts[name] = parts.get(name, 0) + sizes[form.tensor(i, f"{part}.{piece}")]
        for stream in segment.codec.layout().streams:
            short = stream.name.rsplit(INNER, 1)[-1]
            for piece in STREAM_PIECES:
                size = sizes[form.tensor(i, f"{stream.name}.{piece}")]
                name = short if piece == "data" else piece
                parts[name] = parts.get(name, 0) + size
    return {name: size for name, size in parts.items() if size}
