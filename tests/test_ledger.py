"""No change may worsen a figure of the ledger."""

from __future__ import annotations

import json

import pytest

from embcompress.methods import registry
from tests import ledger

KEPT = json.loads(ledger.FILE.read_text())


def test_every_method_is_in_the_ledger():
    assert {text.split()[0] for text in ledger.METHODS} == set(registry())
    for table in KEPT.values():
        assert set(table) == set(ledger.METHODS)


@pytest.mark.parametrize("table", KEPT)
def test_figures_hold(table, tmp_path):
    hold(table, ledger.UNTRAINED, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("table", KEPT)
def test_figures_of_trained_codewords_hold(table, tmp_path):
    hold(table, ledger.TRAINED, tmp_path)


def hold(table, methods, folder):
    """Measure methods again and compare with what the ledger keeps."""
    files = ledger.sources(folder)
    if table not in files:
        pytest.skip(f"the package of {table} is not installed")
    worse = []
    for text, got in ledger.measure(files[table], methods).items():
        kept = KEPT[table][text]
        spare = 64 if text.startswith("limit") else 0  # how far below its budget it may stay
        if got["bytes"] > kept["bytes"] + spare:
            worse.append(f"{text}: {got['bytes']} bytes, the ledger has {kept['bytes']}")
        # another BLAS or processor moves fitted rotations and codewords a little
        if got["error"] > kept["error"] * (1 + 5e-3) + 1e-9:
            worse.append(f"{text}: error {got['error']}, the ledger has {kept['error']}")
    assert not worse, "\n".join(worse)
