"""The page: whole, self-contained, escaped, and of the JSON's numbers."""

import json
import re
import time
from itertools import pairwise

import numpy as np
import pytest

from embcompress.report.comparing import lineup
from embcompress.report.details import Details, Histogram
from embcompress.report.html.comparison import comparison_to_html
from embcompress.report.html.page import failure_to_html, to_html
from tests.report.html.making import Page, full, measured
from tests.report.making import errors, report, table


@pytest.fixture(scope="module")
def one():
    return full(measured())


@pytest.fixture(scope="module")
def several():
    return full(*(measured(f"emb_{i}", rows=40 * (i + 2), seed=i) for i in range(5)))


def numbers(document):
    """Every number in JSON, as JSON writes it."""
    if isinstance(document, dict):
        return {n for key, value in document.items() for n in numbers(value) | {key}}
    if isinstance(document, list):
        return {n for value in document for n in numbers(value)}
    return {json.dumps(document)}


PAGES = ["one", "several"]


@pytest.mark.parametrize("name", PAGES)
def test_numbers_are_those_of_the_json(name, request):
    found = request.getfixturevalue(name)
    page = Page(to_html(found))
    known = numbers(found.to_json()) | {str(len(found.tables))}
    known |= {str(size) for size in found.parts.values()}
    assert len(page.data) > 60
    assert {value for value, _ in page.data} <= known
    for value, text in page.data:
        shown = re.match(r"[−-]?[\d,.]+(?:e[+-]\d+)?", text)
        factor = {"kB": 1e3, "MB": 1e6}.get(text.split()[-1], 1)
        if text.endswith("%"):  # a share of the table's rows
            continue
        assert factor * float(shown[0].replace(",", "")) == pytest.approx(float(value), rel=6e-3)
    total = found.total
    told = {value for value, _ in page.data}
    assert {
        json.dumps(v) for v in (total.artifact_bytes, total.ratio, total.relative_error)
    } <= told


@pytest.mark.parametrize("name", PAGES)
def test_needs_nothing_else(name, request):
    found = request.getfixturevalue(name)
    for text in (to_html(found), comparison_to_html(lineup([found, found]))):
        page = Page(text)
        assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
        attributes = {key for _, attrs in page.tags for key in attrs}
        assert not {"src", "href", "srcset", "onclick", "onload"} & attributes
        assert "url(" not in text
        assert "@import" not in text
        assert "//" not in text.replace("://", "")
        assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("name", PAGES)
def test_can_be_read_without_seeing(name, request):
    text = to_html(request.getfixturevalue(name))
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert ("html", {"lang": "en"}) in page.tags
    assert names.count("h1") == 1
    levels = [int(n[1]) for n in names if re.fullmatch(r"h[1-6]", n)]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")
    pictures = re.findall(r"<svg[^>]*>(.*?)</svg>", text, re.DOTALL)
    assert len(pictures) == names.count("svg") >= 4
    assert all("<title>" in p and "<desc>" in p for p in pictures)
    assert all(a["role"] == "img" for t, a in page.tags if t == "svg")


def luminance(colour):
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast():
    """Words stand out 4.5 to 1 from what is behind them, in light and dark."""
    from embcompress.report.html.style import STYLE

    schemes = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        for paper in ("paper", "card"):
            for ink in ("ink", "soft", "accent", "bad"):
                pair = sorted(luminance(colours[c]) + 0.05 for c in (paper, ink))
                assert pair[1] / pair[0] >= 4.5, (paper, ink)


HOSTILE = ["<script>alert(1)</script>", '"><img src=x>', "a\x00b\x1b[31m", "\ud800", "two\nlines",
           "x" * 5000, "&amp;", "😀/emb", "]]>", "' onload='x"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(name):
    found = full(
        measured(name), measured("other", rows=30), artifact=name, source=name, command=name,
        notes=[name], versions={name: name},
    )  # fmt: skip
    for text in (
        to_html(found),
        failure_to_html(name),
        comparison_to_html(lineup([found, found], name)),
    ):
        tags = {tag for tag, _ in Page(text).tags}
        assert not {"script", "img"} & tags
        assert not {k for _, a in Page(text).tags for k in a} & {"src", "onload"}
        assert "\x00" not in text
        assert "\x1b" not in text
        text.encode()


def test_forty_tables_are_small_and_quick():
    found = full(*(measured(f"embedding_bags.f{i}.weight", rows=3000, seed=i) for i in range(40)))
    times = []
    for _ in range(2):
        start = time.thread_time()
        text = to_html(found)
        times.append(time.thread_time() - start)
    assert len(text.encode()) < 2e6
    assert min(times) < 2
    assert len(re.findall("<details", text)) == 40


def test_thousands_of_tables():
    text = to_html(report(*(table(f"t{i}", errors=errors()) for i in range(5000))))
    assert len(text.encode()) < 2e6
    assert "4,700 more tables" in text


ODD = {
    "no tables": report(table(), file_bytes=700).__class__(
        artifact="a", source=None, tables=[], file_bytes=700
    ),
    "unmeasured": report(table(errors=None, errors_from=None)),
    "empty": report(
        table(shape=(0, 8), source_bytes=0, errors=errors(rows=0, relative_error=None))
    ),
    "lossless": report(table(errors=errors(relative_error=0.0))),
    "no parts": report(table(parts={})),
    "nothing known": report(
        table(
            errors=errors(),
            details=Details(
                row_error=Histogram(edges=[], counts=[], below=9, above=0),
                cosine_distance=Histogram(edges=[], counts=[], below=9, above=0),
            ),
        )
    ),
    "one bin": report(
        table(
            errors=errors(),
            details=Details(
                row_error=Histogram(edges=[0.1, 0.2], counts=[5], below=1, above=2),
                cosine_distance=Histogram(edges=[1e-9, 1.0], counts=[5], below=0, above=0),
            ),
        )
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_reports(name):
    Page(to_html(ODD[name]))
    if ODD[name].tables:
        Page(comparison_to_html(lineup([ODD[name], ODD[name]])))


def test_one_row_and_huge_values():
    for rows in (1, 2):
        Page(to_html(full(measured(rows=rows), measured("b", rows=rows, dim=1))))
    huge = measured()
    assert np.isfinite(huge.errors.relative_error)


def test_comparison_marks_the_front():
    small = full(measured(bits=2), artifact="q2.safetensors")
    large = full(measured(bits=4), artifact="q4.safetensors")
    worse = full(measured(bits=2), artifact="again.safetensors", file_bytes=large.file_bytes + 9)
    found = lineup([small, large, worse])
    assert found.front == [True, True, False]
    text = comparison_to_html(found)
    assert text.count("<ins>front</ins>") == 2
    assert text.count('class="beaten"') == 1
    assert {value for value, _ in Page(text).data} <= numbers(found.to_json())
