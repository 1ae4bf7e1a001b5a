"""Verification: every checksum and every stored value of an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embcompress.artifact.reader import Artifact
from embcompress.artifact.rowmap import Labels
from embcompress.artifact.table import CompressedTable
from embcompress.codecs.base import Parts
from embcompress.errors import BadInput
from embcompress.progress import Progress
from embcompress.tables.base import TILE
from embcompress.threads import ordered


@dataclass(frozen=True)
class Verified:
    """What a verification found.

    Args:
        blocks: Checked chunks.
        tables: Tables whose values were checked.
        problems: One line each; empty when the file is sound.
    """

    blocks: int
    tables: int
    problems: list[str]


def verify(path: Path, threads: int, progress: Progress) -> Verified:
    """Check an artifact whole.

    Args:
        path: The file.
        threads: Cores to use.
        progress: Told of stages.

    Raises:
        BadInput: The file cannot even be opened.
    """
    with Artifact(path, threads=threads, check=False) as artifact:
        guard = artifact.guard
        blocks = artifact.blocks()
        problems = [problem] if (problem := artifact.index_problem()) else []
        with progress.stage("checksums", len(blocks)) as stage:
            for found in ordered(guard.problem, blocks, threads):
                stage.advance(1)
                if found:
                    problems.append(found)
        for name, table in artifact.items():
            measured = artifact.measured(name)
            if np.isinf(list(measured.values())).any():
                problems.append(f"table '{name}': its measured errors are not finite")
            problems += _value_problems(name, table, progress)
        return Verified(len(blocks), len(artifact), problems)


def _value_problems(name: str, table: CompressedTable, progress: Progress) -> list[str]:
    problems = []
    rowmap = table.form.rowmap
    if isinstance(rowmap, Labels) and not rowmap.sound():
        problems.append(f"table '{name}': the directory of its row map is wrong")
    with progress.stage("values", table.shape[0]) as stage:
        for number, segment in enumerate(table.form.segments):
            for start in range(0, segment.rows, TILE):
                stop = min(start + TILE, segment.rows)
                parts: Parts = table.encoded(number, start, stop)
                try:
                    segment.codec.check(parts, 0, stop - start)
                except BadInput as error:
                    problems.append(f"table '{name}', segment {number}, from row {start}: {error}")
                stage.advance(stop - start)
    return problems
