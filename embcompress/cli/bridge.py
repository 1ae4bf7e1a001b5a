"""Turns option declarations into Typer parameters, and a method into a verb."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Optional

import typer

from embcompress.options import Declared, declared

Parameter = inspect.Parameter


def parameters(cls: type, panel: str, others: Mapping[str, str] | None = None) -> list[Parameter]:
    """Typer parameters of an options dataclass.

    Args:
        cls: The dataclass.
        panel: The help panel they stand in.
        others: Another panel for some options, by name.
    """
    panels = others or {}
    return [_parameter(o, panels.get(o.name, panel)) for o in declared(cls).values()]


def _parameter(option: Declared, panel: str) -> Parameter:
    kind: Any = Literal[option.choices] if option.choices else option.kind
    bounds = {} if option.kind not in (int, float) else _bounds(option)
    flag = option.flag if option.kind is bool else None
    info = typer.Option(
        *([flag] if flag else [option.flag]),
        help=option.option.help,
        rich_help_panel=panel,
        show_default=not option.optional and option.kind is not bool,
        **bounds,
    )
    annotation: Any = Annotated[Optional[kind] if option.optional else kind, info]  # noqa: UP045
    return Parameter(
        option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=annotation
    )


def _bounds(option: Declared) -> dict[str, Any]:
    low, high = option.option.min, option.option.max
    cast = option.kind
    return {
        "min": None if low is None else cast(low),
        "max": None if high is None else cast(high),
    }


def flowed(doc: str | None) -> str:
    """A docstring whose paragraphs are lines, as help that fits any width wants them."""
    paragraphs = inspect.cleandoc(doc or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def with_parameters(
    function: Callable[..., Any],
    added: list[Parameter],
    name: str,
    doc: str,
    *,
    before: str | None = None,
) -> Callable[..., Any]:
    """A function that Typer sees with further parameters; they reach it as keywords.

    Args:
        function: Takes its own parameters and ``**options``.
        added: The further parameters.
        name: The verb.
        doc: What ``--help`` says.
        before: The function's parameter that they come before; at the end by default.

    Raises:
        TypeError: A further parameter has the name of one of the function's own.
    """
    own = [
        p
        for p in inspect.signature(function, eval_str=True).parameters.values()
        if p.kind is not Parameter.VAR_KEYWORD
    ]
    clash = {p.name for p in own} & {p.name for p in added}
    if clash:
        raise TypeError(f"{name}: the options {sorted(clash)} are the command line's own")
    names = [p.name for p in own]
    at = len(own) if before is None else names.index(before)
    own = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in own]
    everything = own[:at] + added + own[at:]

    def verb(**values: Any) -> Any:
        return function(**values)

    verb.__name__ = name
    verb.__doc__ = doc
    verb.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    verb.__annotations__ = {p.name: p.annotation for p in everything}
    return verb
