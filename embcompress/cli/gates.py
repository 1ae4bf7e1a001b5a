"""The options of gates, shared by report and every compress verb."""

from __future__ import annotations

from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from embcompress.report.gates import Gates

GATE_PANEL = "Gates (exit 1 when one fails)"

_NUMBERS = {
    "max_rel_error": "Largest relative error allowed.",
    "min_cosine": "Least mean cosine allowed.",
    "min_recall": "Least recall@10 allowed, held against its confidence bound.",
    "min_ratio": "Least source bytes over artifact bytes.",
    "max_bits": "Most bits per weight.",
}


def gate_parameters() -> list[Parameter]:
    """Typer parameters of the gates."""
    found = [_gate(name, float, text) for name, text in _NUMBERS.items()]
    found.append(_gate("max_bytes", str, "Largest artifact, such as 12MB."))
    return found


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
    from embcompress.budget import parse_size
    from embcompress.report.gates import Gates

    numbers = {name: options[name] for name in _NUMBERS}
    size = options["max_bytes"]
    return Gates(**numbers, max_bytes=None if size is None else parse_size(size))
