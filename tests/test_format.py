"""The format's promise: goldens are read by this version and by the reader of docs/format.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import embcompress
from embcompress.codecs.load import registry
from embcompress.pipeline.verification import verify
from embcompress.progress import Progress
from tests import reader
from tests.goldens import CASES, place_of

V1 = Path(__file__).parents[1] / "fixtures" / "v1"
GOLDENS = sorted(p.name for p in V1.iterdir())


def test_every_case_has_its_golden():
    assert sorted(CASES) == GOLDENS


def test_every_codec_has_a_golden_and_a_section():
    text = (Path(__file__).parents[1] / "docs" / "format.md").read_text()
    described = set(re.findall(r"^### `(.+)` version", text, re.MULTILINE))
    ours = {name for name in registry() if not name.startswith("test-")}
    assert described == ours
    stored = set()
    for name in GOLDENS:
        document = embcompress.open(place_of(name, V1 / name)).document
        stored |= set(re.findall(r"'codec': '([^']+)'", str(document)))
    assert stored == ours


@pytest.mark.parametrize("name", GOLDENS)
def test_goldens(name):
    path = place_of(name, V1 / name)
    wanted = np.load(V1 / name / "rows.npy")
    table = embcompress.open(path)["emb.weight"]
    assert np.array_equal(table.restore(), wanted)
    ids = np.random.default_rng(0).permutation(len(wanted))
    assert np.array_equal(table.lookup(ids), wanted[ids])
    assert np.array_equal(reader.read(path)["emb.weight"], wanted)
    assert verify(path, 1, Progress()).problems == []


@pytest.mark.parametrize("name", GOLDENS)
def test_the_same_parts_give_the_same_file(name, tmp_path):
    """Writing is part of the promise too: the bytes of a golden come out again."""
    from tests.goldens import artifact

    artifact(name, tmp_path)
    assert contents(tmp_path) == {
        file: data for file, data in contents(V1 / name).items() if file != "rows.npy"
    }


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_reader_imports_nothing_of_ours():
    imports = re.findall(r"^(?:import|from) (\w+)", Path(reader.__file__).read_text(), re.MULTILINE)
    assert set(imports) <= {"json", "struct", "pathlib", "numpy"}
