"""What is inside a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from embcompress.artifact.form import KEY
from embcompress.artifact.reader import Artifact
from embcompress.errors import EmbcompressError
from embcompress.pipeline.recipe_text import recipe_text
from embcompress.tables.choose import choose
from embcompress.tables.source import Source, open_source


def inspect(path: Path, patterns: list[str]) -> dict[str, Any]:
    """Describe a file.

    Args:
        path: An npy, a safetensors file, or an artifact.
        patterns: As for ``choose``.

    Returns:
        JSON: ``kind``, ``bytes``, ``tensors`` (one row each), ``notes``.

    Raises:
        BadInput: The file is of another kind or damaged.
    """
    with open_source(path) as source:
        if KEY in source.metadata:
            return _artifact(path)
        return _source(source, patterns)


def recipe_of(path: Path) -> str:
    """The recipe that an artifact was made by, as TOML.

    Raises:
        BadInput: It is no artifact, or damaged.
        IOFailure: The system refuses.
    """
    with Artifact(path) as artifact:
        return recipe_text(artifact)


def _source(source: Source, patterns: list[str]) -> dict[str, Any]:
    notes = [*source.warnings, *source.notes]
    verdicts = {}
    try:
        choice = choose(source, patterns)
        verdicts = {t.name: f"taken: {t.reason}" for t in choice.taken}
        verdicts |= {s.name: f"passed through: {s.reason}" for s in choice.skipped}
    except EmbcompressError as error:
        notes.append(str(error))
    tensors = [
        {
            "tensor": name,
            "dtype": info.dtype,
            "shape": "×".join(map(str, info.shape)),
            "bytes": info.nbytes,
            "verdict": verdicts.get(name, "passed through"),
        }
        for name, info in source.tensors.items()
    ]
    return {"kind": source.kind, "bytes": source.bytes, "tensors": tensors, "notes": notes}


def _artifact(path: Path) -> dict[str, Any]:
    with Artifact(path) as artifact:
        tensors = [
            {
                "tensor": name,
                "dtype": table.dtype,
                "shape": "×".join(map(str, table.shape)),
                "bytes": sum(
                    t.nbytes for n, t in artifact.tensors.items() if n.startswith(f"{name}::")
                ),
                "verdict": f"compressed: {table.form.method.get('spelled')}",
            }
            for name, table in artifact.items()
        ]
        tensors += [
            {
                "tensor": name,
                "dtype": info.dtype,
                "shape": "×".join(map(str, info.shape)),
                "bytes": info.nbytes,
                "verdict": "passed through",
            }
            for name, info in artifact.passed.items()
        ]
        tool = artifact.document.get("tool")
        note = f"written by embcompress {tool}, format {artifact.document['format']}"
        return {
            "kind": "embcompress artifact",
            "bytes": artifact.nbytes,
            "tensors": tensors,
            "notes": [note],
        }
