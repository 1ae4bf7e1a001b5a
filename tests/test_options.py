"""Options declared once: validation, parsing, spelling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from embcompress import methods
from embcompress.errors import UsageError
from embcompress.methods.spelling import apply_sets, parse_method
from embcompress.options import Option, declared, parse, validate


@dataclass(frozen=True, kw_only=True)
class Example:
    bits: Annotated[int, Option("Bits.", min=1, max=8)] = 4
    share: Annotated[float | None, Option("Share.", min=0, max=1)] = None
    kind: Annotated[Literal["a", "b"], Option("Kind.")] = "a"
    loud: Annotated[bool, Option("Loud.")] = False

    def __post_init__(self):
        validate(self, "example")


@pytest.mark.parametrize(
    "values",
    [
        {"bits": 0},
        {"bits": 9},
        {"bits": 2.0},
        {"bits": True},
        {"bits": "4"},
        {"bits": None},
        {"share": 1.5},
        {"share": float("nan")},
        {"share": False},
        {"kind": "c"},
        {"loud": 1},
    ],
    ids=str,
)
def test_wrong_values_are_refused(values):
    with pytest.raises(UsageError, match=f"--{next(iter(values))} is "):
        Example(**values)


def test_right_values_pass():
    Example(bits=1, share=1, kind="b", loud=True)


def test_parse_texts():
    found = parse(Example, {"bits": "2", "share": "0.5", "loud": "on"}, "example")
    assert found == {"bits": 2, "share": 0.5, "loud": True}
    assert parse(Example, {"share": "none"}, "example") == {"share": None}
    with pytest.raises(UsageError, match="did you mean 'bits'"):
        parse(Example, {"bit": "2"}, "example")
    with pytest.raises(UsageError, match="--bits is a whole number from 1 to 8, not 'x'"):
        parse(Example, {"bits": "x"}, "example")


def test_a_field_without_option_is_no_options_class():
    @dataclass
    class Bare:
        bits: int = 4

    with pytest.raises(TypeError, match="no Option"):
        declared(Bare)


@pytest.mark.parametrize(
    "method",
    [
        methods.Quantize(),
        methods.Quantize(bits=2, range="greedy", group_size=16),
        methods.Rotate(basis="random", then="quantize --bits 3 --group-size 2"),
    ],
    ids=lambda m: m.spelled(),
)
def test_spelling_is_parsed_back(method):
    assert parse_method(method.spelled()) == method


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no method"),
        ("quantise", "did you mean 'quantize'"),
        ("quantize --bit 4", "did you mean 'bits'"),
        ("quantize --bits", "wants a value"),
        ("quantize 4", "is no option"),
        ("quantize --bits 'x", "quotation"),
        ("quantize --bits 9", "from 1 to 8"),
    ],
)
def test_misspelt_methods(text, words):
    with pytest.raises(UsageError, match=words):
        parse_method(text)


def test_sets_change_some_tables():
    found = apply_sets(
        methods.Quantize(), ["*item*:bits=2,range=greedy", "a:item:bits=3"], ["item", "a:item", "u"]
    )
    assert found["item"] == methods.Quantize(bits=2, range="greedy")
    assert found["a:item"] == methods.Quantize(bits=3, range="greedy")
    assert found["u"] == methods.Quantize()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bits=2", "GLOB:option=value"),
        ("x:bits=2", "no table matches"),
        ("u:bit=2", "did you mean 'bits'"),
        ("u:bits=2,range", "is not option=value"),
    ],
)
def test_wrong_sets(text, words):
    with pytest.raises(UsageError, match=words):
        apply_sets(methods.Quantize(), [text], ["u"])
