"""Sizes as people write them, and budgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embcompress.budget import parse_budget, parse_size
from embcompress.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("12MB", 12_000_000),
        ("500KB", 500_000),
        ("500kb", 500_000),
        ("1.5GB", 1_500_000_000),
        (" 1.5 gb ", 1_500_000_000),
        ("12MiB", 12 * 2**20),
        ("1KiB", 1024),
        ("2TB", 2 * 10**12),
        ("0.1MB", 100_000),
        ("1.0005KB", 1000),
        ("7B", 7),
    ],
)
def test_parse_size(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "-1MB", "12 apples", "12M", "1,000", "1e6", "inf", "nan", "12MB!", "٣MB"]
)
def test_not_a_size(text):
    with pytest.raises(UsageError, match="is not a size; write bytes as 12MB"):
        parse_size(text)


@given(st.integers(0, 10**15))
def test_plain_bytes(count):
    assert parse_size(str(count)) == count


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("12MB", 12_000_000),
        ("800", 800),
        ("8x", 1000),
        ("8 X", 1000),
        ("2.5bpw", 625),
        ("3x", 2666),
    ],
)
def test_budgets(text, size):
    assert parse_budget(text).bytes_for(source_bytes=8000, weights=2000) == size


@pytest.mark.parametrize("text", ["", "x", "0x", "0bpw", "-8x", "8xx", "12 apples", "8bits"])
def test_no_budget(text):
    with pytest.raises(UsageError, match=r"is no budget"):
        parse_budget(text)
