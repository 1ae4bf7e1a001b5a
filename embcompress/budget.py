"""Sizes as people write them, and budgets: what an artifact may take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from embcompress.errors import UsageError

_UNITS = {"": 1, "b": 1} | {
    f"{letter}{kind}b": base ** (power + 1)
    for power, letter in enumerate("kmgtp")
    for kind, base in (("", 1000), ("i", 1024))
}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_SHARE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(%?)\s*")
_RELATIVE = {"x": "ratio", "bpw": "bits"}


def parse_size(text: str) -> int:
    """Bytes from text such as ``12MB``, ``1.5 GB``, ``500KiB`` or ``4096``.

    Args:
        text: A number and a unit: B, KB, MB, GB, TB, PB are powers of 1,000, KiB, MiB, … of
            1,024; none means bytes. Upper and lower case are the same.

    Returns:
        Whole bytes, rounded down.

    Raises:
        UsageError: Another form.
    """
    match = _SIZE.fullmatch(text)
    factor = _UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise UsageError(
            f"'{text}' is not a size; write bytes as 12MB, 1.5GB or 500KB (MB = 10^6 bytes),"
            " 12MiB (2^20), or a plain number"
        )
    return int(Decimal(match[1]) * factor)


def parse_shard_size(text: str | None) -> int | None:
    """Bytes of tensors in a shard, from text as ``parse_size`` reads it; None stays None.

    Raises:
        UsageError: Another form, or 0.
    """
    if text is None:
        return None
    size = parse_size(text)
    if not size:
        raise UsageError(f"--max-shard-size {text} is no size for a shard: it must be above 0")
    return size


def parse_share(text: str) -> float:
    """A share from text such as ``5%`` or ``0.05``.

    Raises:
        UsageError: Another form, or a number above 1 without the percent sign.
    """
    match = _SHARE.fullmatch(text)
    share = None if match is None else float(match[1]) / (100 if match[2] else 1)
    if match is None or share is None or (share > 1 and not match[2]):
        raise UsageError(f"'{text}' is not a share; write 5% or 0.05")
    return share


@dataclass(frozen=True)
class Budget:
    """Bytes that all compressed tables of an artifact may take, everything counted.

    Args:
        kind: What the amount is: bytes, source bytes over artifact bytes, or bits a weight.
        amount: Above 0 unless it is bytes.
    """

    kind: Literal["bytes", "ratio", "bits"]
    amount: Decimal

    def bytes_for(self, source_bytes: int, weights: int) -> int:
        """The budget in bytes, rounded down.

        Args:
            source_bytes: Bytes of the tables in their source.
            weights: Numbers in them.
        """
        if self.kind == "bytes":
            return int(self.amount)
        if self.kind == "ratio":
            return int(source_bytes / self.amount)
        return int(weights * self.amount / 8)


def parse_budget(text: str) -> Budget:
    """A budget from text such as ``12MB``, ``8x`` or ``2.5bpw``.

    Args:
        text: A size as `parse_size` reads it; a ratio of source to artifact with ``x``; or bits a
            weight with ``bpw``.

    Raises:
        UsageError: Another form, or a ratio or bits of 0.
    """
    match = _SIZE.fullmatch(text)
    kind = _RELATIVE.get(match[2].lower()) if match else None
    if match is None or (kind is None and match[2].lower() not in _UNITS):
        raise UsageError(
            f"--budget '{text}' is no budget; write 12MB (10^6 bytes), 8x (an eighth of the"
            " source) or 2.5bpw (bits per weight)"
        )
    if kind is None:
        return Budget("bytes", Decimal(parse_size(text)))
    amount = Decimal(match[1])
    if not amount:
        raise UsageError(f"--budget '{text}' is no budget: it must be above 0")
    return Budget("ratio" if kind == "ratio" else "bits", amount)
