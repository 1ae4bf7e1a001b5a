"""Pages to look at: reports with everything in them, and their HTML taken apart."""

from html.parser import HTMLParser

import numpy as np

from embcompress.report.gates import Gates, check
from tests.report.making import compared, report, rounded, table

VOID = {"meta", "br"}


def measured(name="emb.weight", rows=600, dim=16, bits=4, seed=0):
    """A table with figures and details."""
    random = np.random.default_rng(seed)
    original = random.standard_normal((rows, dim)).astype(np.float32)
    frequencies = random.permutation(1000 / np.arange(1.0, rows + 1))
    comparison = compared(original, rounded(original, bits), frequencies=frequencies)
    parts = {"codes": rows * dim * bits // 8, "scale": 2 * rows, "bias": 2 * rows, "header": 700}
    found = comparison.result(8 * sum(parts.values()), 1)
    return table(
        name, shape=(rows, dim), source_bytes=4 * rows * dim, method=f"quantize --bits {bits}",
        parts=parts, errors=found, details=comparison.details(),
    )  # fmt: skip


def full(*tables, **values):
    """A report of measured tables, with gates."""
    found = report(*tables, **{"command": "embcompress report emb.q4.safetensors"} | values)
    found.gates.extend(check(found, Gates(max_rel_error=0.01, min_ratio=1)))
    return found


class Page(HTMLParser):
    """A page taken apart; tags that do not fit each other are an error."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.data, self.texts, self._open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "data":
            self.data.append((dict(attrs)["value"], ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self._open and self._open[-1] == "data":
            self.data[-1] = (self.data[-1][0], data)
