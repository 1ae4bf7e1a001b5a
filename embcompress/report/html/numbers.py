"""Figures as the page writes them: the words of the terminal, with the JSON's number beside."""

from __future__ import annotations

from embcompress.report import figures
from embcompress.report.html.markup import Markup, escaped, join, number
from embcompress.report.model import TableErrors


def size(count: int) -> Markup:
    """Bytes in three digits."""
    return number(count, figures.size(count))


def whole(count: int | None) -> Markup:
    """A count or a row number, every digit."""
    return number(count, figures.row(count))


def digits(value: float | None, count: int = 4) -> Markup:
    """A number to so many significant digits."""
    return number(value, figures.digits(value, count))


def cosine(value: float | None) -> Markup:
    """A cosine."""
    return number(value, figures.cosine(value))


def ratio(value: float | None) -> Markup:
    """Source bytes over artifact bytes."""
    return number(value, figures.ratio(value))


def decibels(value: float | None) -> Markup:
    """Decibels to one decimal."""
    return number(value, figures.decibels(value))


def recall(errors: TableErrors | None) -> Markup:
    """Recall@k with half its confidence interval."""
    if errors is None or errors.recall is None:
        return escaped(figures.NONE)
    text, _, half = figures.recall(errors).partition(" ± ")
    return join(number(errors.recall, text), f" ± {half}" if half else None)
