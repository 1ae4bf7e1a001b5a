"""Pages are what was measured."""

from __future__ import annotations

import json

from tests.fidelity.figure import front
from tests.fidelity.measuring import FILE
from tests.fidelity.pages import DOCS, FIDELITY, limit_page, standing


def test_pages_are_fresh():
    kept = json.loads(FILE.read_text())
    assert (DOCS / "fidelity.md").read_text() == FIDELITY + standing(kept)
    assert (DOCS / "measured" / "limit.md").read_text() == limit_page(kept)


def test_front():
    assert front([(1, -6), (2, -5), (3, -9)]) == [(1, -6), (3, -9)]
