"""What has changed since an earlier report."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Change:
    """One table, or all together, in an earlier report and in this one.

    Args:
        table: The table's name, or ``total``.
        bytes_before: Everything that decoding needs; None when the table is new. In total: the
            file.
        bytes: The same now.
        error_before: Relative error; None when it was not measured.
        error: The same now.
    """

    table: str
    bytes_before: int | None
    bytes: int
    error_before: float | None
    error: float | None

    @property
    def growth(self) -> float | None:
        """Growth in bytes as a share of the earlier bytes; None when there were none."""
        return _growth(self.bytes_before, self.bytes)

    @property
    def error_growth(self) -> float | None:
        """Growth of the relative error as a share of the earlier one; None when undefined."""
        return _growth(self.error_before, self.error)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An earlier report to compare with.

    Args:
        file: Where it was read from.
        total: All tables together.
        tables: One change each.
        gone: Names of tables that the earlier report had beside these.
    """

    file: str
    total: Change
    tables: list[Change] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


def _growth(before: float | None, after: float | None) -> float | None:
    if before is None or after is None:
        return None
    if before == 0:
        return 0.0 if after == 0 else None
    return (after - before) / before
