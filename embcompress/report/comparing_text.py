"""Artifacts side by side in words: a table for the terminal and for Markdown."""

from __future__ import annotations

from embcompress.report import figures
from embcompress.report.comparing import Lineup
from embcompress.report.model import Report

FRONT = "front: no other artifact is as small and as exact, and better in one of the two"


def columns(found: Lineup) -> list[tuple[str, list[str]]]:
    """Titles with the cells of every artifact, by falling size; columns that tell nothing left out.

    Args:
        found: The artifacts.
    """
    reports = [found.reports[i] for i in order(found)]
    one = len(reports[0].tables) == 1
    cells = {
        "": ["*" if found.front[i] else "" for i in order(found)],
        "artifact": [found.names[i] for i in order(found)],
        "bytes": [f"{r.total.artifact_bytes:,}" for r in reports],
        "ratio": [figures.ratio(r.total.ratio) for r in reports],
        "bits a weight": [figures.digits(r.total.bits_per_weight, 3) for r in reports],
        "relative error": [figures.digits(r.total.relative_error) for r in reports],
        "dB above limit": [figures.decibels(r.total.decibels_above_limit) for r in reports],
        "mean cosine": [_of_one(r, "cosine") if one else figures.NONE for r in reports],
        "recall": [_of_one(r, "recall") if one else figures.NONE for r in reports],
    }
    return [(k, v) for k, v in cells.items() if any(c != figures.NONE for c in v)]


def order(found: Lineup) -> list[int]:
    """Numbers of the artifacts, the largest first."""
    sizes = [r.total.artifact_bytes for r in found.reports]
    return sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))


def _of_one(report: Report, figure: str) -> str:
    errors = report.tables[0].errors
    if errors is None:
        return figures.NONE
    if figure == "recall":
        return figures.recall(errors).partition(" ")[0]
    return figures.cosine(errors.cosine_mean)
