"""How each figure is written, the same in the terminal, in Markdown and in messages."""

from __future__ import annotations

from collections.abc import Callable

from embcompress.report.model import TableErrors, TableReport
from embcompress.tables.quoting import quoted

NONE = "–"

Written = Callable[[float], str]
"""How a number is written."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_LONGEST_NAME = 100


def name(text: str) -> str:
    """A table's name on one line: as it is when short and printable, else quoted and shortened."""
    return text if text.isprintable() and 0 < len(text) <= _LONGEST_NAME else quoted(text)


def shape(table: TableReport) -> str:
    """Rows by columns, such as ``400,000×50``."""
    return f"{table.shape[0]:,}×{table.shape[1]:,}"


def size(count: int) -> str:
    """Bytes in three digits, such as ``11.7 MB``; exact below 1,000 (MB = 10⁶ bytes)."""
    value, unit = float(count), 0
    while round(value, max(0, 3 - len(str(int(value))))) >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    if unit == 0:
        return f"{count} B"
    return f"{value:.{max(0, 3 - len(str(int(value))))}f} {_UNITS[unit]}"


def percent(share: float) -> str:
    """A share, such as ``85.6%``."""
    return f"{100 * share:.1f}%"


def grown(share: float | None) -> str:
    """A growth, such as ``+1.2%`` or ``−0.4%``."""
    if share is None:
        return NONE
    text = f"{abs(100 * share):,.3g}%" if abs(share) < 10 else f"{abs(100 * share):,.0f}%"
    return text if text == "0%" else f"{'+' if share > 0 else '−'}{text}"


def ratio(value: float | None) -> str:
    """Source bytes over artifact bytes, such as ``6.85×``."""
    return NONE if value is None else f"{digits(value, 3)}×"


def digits(value: float | None, count: int = 4) -> str:
    """A number to so many significant digits, never fewer before the point."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e15:
        text = f"{value:#,.{count}g}"
        exact = text if "e" not in text else f"{value:,.0f}"
        return exact.rstrip(".")
    return f"{value:.{count - 1}e}"


def cosine(value: float | None) -> str:
    """A cosine to four decimals, or to as many as tell it from 1."""
    if value is None:
        return NONE
    texts = (f"{value:.{places}f}" for places in range(4, 10))
    return next((t for t in texts if value == 1 or float(t) != 1), "0.999999999…")


def recall(errors: TableErrors) -> str:
    """Recall@k with half its confidence interval, such as ``0.820 ± 0.010``."""
    if errors.recall is None or errors.recall_low is None or errors.recall_high is None:
        return NONE
    half = max(errors.recall - errors.recall_low, errors.recall_high - errors.recall)
    return f"{errors.recall:.3f}" + (f" ± {half:.3f}" if half > 0 else "")


def decibels(value: float | None) -> str:
    """Decibels to one decimal."""
    return NONE if value is None else f"{value:.1f}"


def row(number: int | None) -> str:
    """A row number."""
    return NONE if number is None else f"{number:,}"


def lowest_cosine(errors: TableErrors) -> str:
    """The lowest cosine and its row, such as ``0.8710@201,534``."""
    if errors.cosine_lowest is None or errors.cosine_lowest_row is None:
        return cosine(errors.cosine_lowest)
    return f"{cosine(errors.cosine_lowest)}@{row(errors.cosine_lowest_row)}"


def told_apart(got: float, wanted: float) -> tuple[str, str]:
    """Two numbers in as few digits as tell them apart."""
    pairs = [(f"{got:,.{count}g}", f"{wanted:,.{count}g}") for count in range(4, 18)]
    apart = (p for p in pairs if p[0] != p[1] and "e+" not in p[0] + p[1])
    return next(apart, (f"{got:,.15g}", f"{wanted:,.15g}"))


def worst_first(tables: list[TableReport]) -> list[TableReport]:
    """Tables by falling relative error; those without one come last."""

    def key(table: TableReport) -> tuple[bool, float]:
        error = table.errors.relative_error if table.errors else None
        return error is None, -(error or 0.0)

    return sorted(tables, key=key)
