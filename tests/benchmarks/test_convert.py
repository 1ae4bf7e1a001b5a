"""GloVe in text, 400,000 lines: the whole command beside a plain Python loop over split lines."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.benchmarks.pairs import command, medians, pairs, peak_memory, times_faster

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def text(glove, tmp_path_factory):
    """The table as GloVe's own file has it: a word and 50 numbers of 5 digits a line."""
    path = tmp_path_factory.mktemp("glove") / "glove.6B.50d.txt"
    with open(path, "w") as file:
        for i, row in enumerate(glove.tolist()):
            file.write(f"word{i} {' '.join(f'{x:.5g}' for x in row)}\n")
    yield path
    path.unlink()


def plain(path):
    """What one would write: split, float, one row after the other."""
    words, rows = [], []
    with open(path, encoding="utf-8") as file:
        for line in file:
            word, *numbers = line.rstrip().split(" ")
            words.append(word)
            rows.append(np.array([float(x) for x in numbers], np.float32))
    return words, np.stack(rows)


def test_convert_beside_a_loop(text, tmp_path):
    output = tmp_path / "o.safetensors"
    words = ["convert", text, "-o", output, "-q", "--force"]
    times = pairs(command(*words), lambda: plain(text), 3)
    assert np.array_equal(load_file(output)["glove.6B.50d"], plain(text)[1])
    ours, theirs = medians(times)
    print(
        f"\nconvert, GloVe in text, 400,000 lines, whole command: {ours:.2f} s, a Python loop"
        f" {theirs:.2f} s, ratio {times_faster(times):.1f} (bar 3); peak"
        f" {peak_memory(*words) / 1e6:.0f} MB"
    )
