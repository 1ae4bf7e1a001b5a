"""The options of gates, shared by report and every compress verb."""

from __future__ import annotations

from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from embcompress.report.gates import Gates
    from embcompress.report.model import Report

GATE_PANEL = "Gates (exit 1 when one fails)"

_NUMBERS = {
    "max_rel_error": "Largest relative error allowed.",
    "min_cosine": "Least mean cosine allowed.",
    "min_cosine_p1": "Least 1st percentile of the cosines allowed.",
    "min_recall": "Least recall@10 allowed, held against its confidence bound.",
    "min_ratio": "Least source bytes over artifact bytes.",
    "max_bits": "Most bits per weight.",
}
_COUNTS = {
    "max_skipped": "Most tables passed through although their name or a rule asks for more; 0 for"
    " none.",
}
_TEXTS = {
    "max_bytes": "Largest artifact, such as 12MB.",
    "max_growth": "Most growth in bytes since --baseline, such as 5%, per table and in all.",
    "max_error_growth": "Most growth of the relative error since --baseline, such as 5%.",
}


def gate_parameters() -> list[Parameter]:
    """Typer parameters of the gates."""
    found = [_gate(name, float, text) for name, text in _NUMBERS.items()]
    found += [_gate(name, int, text) for name, text in _COUNTS.items()]
    found += [_gate(name, str, text) for name, text in _TEXTS.items()]
    return [*found, _gate("baseline", Path, "An earlier report (.json) to compare with.")]


def _gate(name: str, kind: type, text: str) -> Parameter:
    info = typer.Option(
        "--" + name.replace("_", "-"), help=text, rich_help_panel=GATE_PANEL, show_default=False
    )
    annotation = Annotated[Optional[kind], info]  # type: ignore[valid-type]  # noqa: UP045
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def gates_from(options: dict[str, Any]) -> Gates:
    """The gates among a verb's options.

    Raises:
        UsageError: A value outside its range.
    """
    from embcompress.budget import parse_share, parse_size
    from embcompress.report.gates import Gates

    numbers = {name: options[name] for name in (*_NUMBERS, *_COUNTS)}
    parsers = {"max_bytes": parse_size, "max_growth": parse_share, "max_error_growth": parse_share}
    texts = {
        name: None if options[name] is None else parse(options[name])
        for name, parse in parsers.items()
    }
    return Gates(**numbers, **texts)  # type: ignore[arg-type]


def baseline_from(path: Path | None) -> tuple[Report, Path] | None:
    """An earlier report and its file, read before any work.

    Raises:
        BadInput: It is none.
        IOFailure: It cannot be read.
    """
    from embcompress.report.baseline import read_report

    return None if path is None else (read_report(path), path)
