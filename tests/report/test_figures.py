"""How single figures are written."""

import pytest

from embcompress.report import figures
from tests.report.making import errors, table


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (80_000_000, "80.0 MB"),
        (10**12, "1.00 TB"),
        (10**19, "10000 PB"),
    ],
)
def test_size(count, text):
    assert figures.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.07981234, "0.07981"),
        (12.3456, "12.35"),
        (1234.56, "1,235"),
        (123_456.7, "123,457"),
        (1e-5, "1.000e-05"),
        (-0.5, "-0.5000"),
        (2.5e30, "2.500e+30"),
    ],
)
def test_digits(value, text):
    assert figures.digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (1.0, "1.0000"),
        (0.99996, "0.99996"),
        (0.9999999, "0.9999999"),
        (1 - 1e-12, "0.999999999…"),
        (0.5, "0.5000"),
        (-1.0, "-1.0000"),
    ],
)
def test_cosine(value, text):
    assert figures.cosine(value) == text


def test_numbers_that_must_differ():
    assert figures.told_apart(0.05000001, 0.05) == ("0.05000001", "0.05")
    assert figures.told_apart(12_000_001, 12_000_000) == ("12,000,001", "12,000,000")
    assert figures.told_apart(0.1, 0.1) == ("0.1", "0.1")


def test_recall():
    assert figures.recall(errors()) == "0.800 ± 0.020"
    assert figures.recall(errors(recall_low=0.8, recall_high=0.8)) == "0.800"
    assert figures.recall(errors(recall=None)) == "–"


def test_worst_first():
    tables = [
        table("none", errors=None),
        table("good", errors=errors(relative_error=0.1)),
        table("bad", errors=errors(relative_error=0.2)),
    ]
    assert [t.name for t in figures.worst_first(tables)] == ["bad", "good", "none"]


def test_names():
    assert figures.name("emb.weight") == "emb.weight"
    assert figures.name("a\nb") == "'a\\nb'"
    assert figures.name("") == "''"
    assert len(figures.name("x" * 4000)) < 140
