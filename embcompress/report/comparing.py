"""Several artifacts of one source side by side, and which of them no other one beats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from embcompress.errors import BadInput
from embcompress.report import figures
from embcompress.report.model import SCHEMA, Report
from embcompress.tables.quoting import listed

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Lineup:
    """Reports of artifacts that hold the same tables.

    Args:
        reports: At least one.
        command: The command line that made them.
    """

    reports: list[Report]
    command: str | None = None

    @property
    def names(self) -> list[str]:
        """What tells the artifacts apart: their files' names, or their paths where these agree."""
        short = [PurePath(r.artifact).name.removesuffix(_SUFFIX) for r in self.reports]
        paths = [r.artifact for r in self.reports]
        return [
            figures.name(s if s and short.count(s) == 1 else p)
            for s, p in zip(short, paths, strict=True)
        ]

    @property
    def front(self) -> list[bool]:
        """Which artifacts are on the Pareto front of bytes and relative error.

        No other artifact is as good in both and better in one. Those without an error are not.
        """
        known = [(r.total.artifact_bytes, r.total.relative_error) for r in self.reports]
        return [
            error is not None
            and not any(
                e is not None and b <= size and e <= error and (b, e) != (size, error)
                for b, e in known
            )
            for size, error in known
        ]

    def to_json(self) -> dict[str, Any]:
        """All reports for machines, each with whether it is on the front."""
        entries = [
            {"pareto": on, "report": report.to_json()}
            for report, on in zip(self.reports, self.front, strict=True)
        ]
        return {"schema": SCHEMA, "command": self.command, "artifacts": entries}


def lineup(reports: list[Report], command: str | None = None) -> Lineup:
    """Put artifacts of one source side by side.

    Args:
        reports: One an artifact.
        command: The command line that made them.

    Raises:
        BadInput: Artifacts with other tables than the first, or tables of another shape.
    """
    first = {t.name: t.shape for t in reports[0].tables}
    for other in reports[1:]:
        shapes = {t.name: t.shape for t in other.tables}
        where = f"{other.artifact}: does not hold the tables of {reports[0].artifact}"
        if missing := sorted(first.keys() - shapes.keys()):
            raise BadInput(f"{where}: it lacks {listed(missing)}; compare artifacts of one source")
        if more := sorted(shapes.keys() - first.keys()):
            raise BadInput(f"{where}: it has {listed(more)} too; compare artifacts of one source")
        for name, shape in shapes.items():
            if shape != first[name]:
                raise BadInput(
                    f"{where}: table {name!r:.100} is {shape[0]}×{shape[1]}, there"
                    f" {first[name][0]}×{first[name][1]}"
                )
    return Lineup(reports, command)
