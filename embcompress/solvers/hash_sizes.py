"""Sizes of hashed forms: from least to greatest, a share of them for all tables, and defaults."""

from __future__ import annotations

import math
from typing import Final

MOST_HIDDEN: Final = 2048
_USUAL_HIDDEN: Final = 512


def bits_of(count: int) -> int:
    """Bits that tell so many numbers apart, at least 1."""
    return max(1, (count - 1).bit_length())


def size_range(scheme: str, shape: tuple[int, int], span: int) -> tuple[int, int]:
    """The least and the greatest size of a scheme.

    Args:
        scheme: As ``hash --scheme``.
        shape: Rows n and columns D.
        span: Numbers of rows.
    """
    n, d = shape
    if scheme == "qr":
        return max(1, math.isqrt(max(span - 1, 0)) + 1), max(1, n, math.isqrt(span) + 1)
    return {
        "naive": (1, max(1, n)), "memcom": (1, max(1, n)), "bch": (1, bits_of(span)),
        "robe": (1, max(1, n * d)), "lma": (1, max(1, n * d)), "dhe": (1, MOST_HIDDEN),
    }[scheme]  # fmt: skip


def size_at(scheme: str, shape: tuple[int, int], span: int, setting: int, steps: int) -> int:
    """The size of a table at a setting of 0 … ``steps``: the same share for all tables.

    Args:
        scheme: As ``hash --scheme``.
        shape: Rows n and columns D.
        span: Numbers of rows.
        setting: Of the share.
        steps: The setting at which sizes are the greatest.
    """
    low, high = size_range(scheme, shape, span)
    if scheme == "bch":
        return max(1, high - (steps - setting))
    return low + ((high - low) * setting // steps if steps else 0)


def usual_size(scheme: str, n: int, d: int, span: int, share: int) -> int:
    """The size whose numbers are one in ``share`` of a table's, about."""
    if scheme == "bch":
        return max(1, (span // share).bit_length() - 1)
    if scheme == "dhe":
        return max(1, min(_USUAL_HIDDEN, n // share))
    if scheme in ("robe", "lma"):
        return max(1, n * d // share)
    return max(1, n // share)
