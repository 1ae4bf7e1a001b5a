"""GloVe in text, 400,000 lines: the whole command beside a plain Python loop over split lines."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from embcompress.convert.run import Conversion, convert
from embcompress.progress import Progress
from embcompress.threads import available
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


PLAIN = """
import sys
import numpy as np
from safetensors.numpy import save_file

words, rows = [], []
with open(sys.argv[1], encoding="utf-8") as file:
    for line in file:
        word, *numbers = line.rstrip().split(" ")
        words.append(word)
        rows.append(np.array([float(x) for x in numbers], np.float32))
text = np.frombuffer("\\n".join(words).encode(), np.uint8)
save_file({"rows": np.stack(rows), "words": text}, sys.argv[2])
"""


def plain(path):
    """The loop alone, in this process."""
    words, rows = [], []
    with open(path, encoding="utf-8") as file:
        for line in file:
            word, *numbers = line.rstrip().split(" ")
            words.append(word)
            rows.append(np.array([float(x) for x in numbers], np.float32))
    return words, np.stack(rows)


def test_parser_beside_a_loop(text, tmp_path):
    asked = Conversion(input=text, output=tmp_path / "o.safetensors", force=True)
    times = pairs(lambda: convert(asked, available(), Progress()), lambda: plain(text), 3)
    ours, theirs = medians(times)
    print(
        f"\nconvert, GloVe in text, 400,000 lines, in one process: {ours:.2f} s, a Python loop that"
        f" splits {theirs:.2f} s, ratio {times_faster(times):.1f} (bar 3)"
    )


def test_convert_beside_a_loop(text, tmp_path):
    output, other = tmp_path / "o.safetensors", tmp_path / "p.safetensors"
    words = ["convert", text, "-o", output, "-q", "--force"]
    loop = [sys.executable, "-c", PLAIN, str(text), str(other)]
    times = pairs(command(*words), lambda: subprocess.run(loop, check=True), 3)
    assert np.array_equal(load_file(output)["glove.6B.50d"], load_file(other)["rows"])
    ours, theirs = medians(times)
    print(
        f"\nconvert, GloVe in text, 400,000 lines, whole command: {ours:.2f} s, a Python loop that"
        f" splits and saves {theirs:.2f} s, ratio {times_faster(times):.1f} (bar 3); peak"
        f" {peak_memory(*words) / 1e6:.0f} MB"
    )
