"""Growth since an earlier report, and files that are none."""

import gzip
import json

import pytest

from embcompress.errors import BadInput
from embcompress.report.baseline import read_report, with_baseline
from embcompress.report.figures import grown
from embcompress.report.gates import Gates, check
from embcompress.report.model import Report
from embcompress.report.verdicts import failure_lines
from tests.report.making import errors, report, table


def grown_report(tmp_path, now, before):
    path = tmp_path / "base.json"
    path.write_text(json.dumps(before.to_json()))
    return with_baseline(now, read_report(path), path)


def parts(size):
    return {"codes": size}


def test_growth(tmp_path):
    before = report(table("a", parts=parts(1000)), table("b", parts=parts(500)), table("old"))
    now = report(
        table("a", parts=parts(1100), errors=errors(relative_error=0.09)),
        table("b", parts=parts(500)),
        table("new", parts=parts(10)),
    )
    found = grown_report(tmp_path, now, before)
    a, b, new = found.baseline.tables
    assert a.growth == pytest.approx(0.1)
    assert a.error_growth == pytest.approx(-0.1)
    assert (b.growth, b.error_growth) == (0, 0)
    assert new.growth is None
    assert found.baseline.gone == ["old"]
    assert Report.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("gates", "lines"),
    [
        ({"max_growth": 0.1}, []),
        (
            {"max_growth": 0.05},
            ["a: growth in bytes 10%, wanted at most 5% (--max-growth)"],
        ),
        (
            {"max_error_growth": 0.5},
            ["a: growth of the relative error 100%, wanted at most 50% (--max-error-growth)"],
        ),
        ({"max_error_growth": 1}, []),
    ],
)
def test_gates(gates, lines, tmp_path):
    before = report(table("a", parts=parts(1000)), table("b", parts=parts(3000)))
    now = report(
        table("a", parts=parts(1100), errors=errors(relative_error=0.2)),
        table("b", parts=parts(3000)),
    )
    found = grown_report(tmp_path, now, before)
    assert failure_lines(check(found, Gates(**gates))) == lines


def test_gates_without_baseline_or_error(tmp_path):
    (line,) = failure_lines(check(report(), Gates(max_growth=0.05)))
    assert line == (
        "total: --max-growth 5% could not be evaluated: there is nothing to compare with; give"
        " --baseline REPORT.json"
    )
    unmeasured = report(table(errors=None, errors_from=None))
    found = grown_report(tmp_path, report(), unmeasured)
    (line,) = failure_lines(check(found, Gates(max_error_growth=0.05)))
    assert "not measured" in line
    exact = report(table(errors=errors(relative_error=0.0, squared_error=0.0)))
    (line,) = failure_lines(
        check(grown_report(tmp_path, report(), exact), Gates(max_error_growth=1))
    )
    assert "the baseline's is 0" in line


def test_new_tables_and_empty_ones_pass(tmp_path):
    before = report(table("e", shape=(0, 4), errors=errors(relative_error=None)))
    now = report(table("e", shape=(0, 4), errors=errors(relative_error=None)), table("n"),
                 file_bytes=before.file_bytes)  # fmt: skip
    found = check(grown_report(tmp_path, now, before), Gates(max_growth=0, max_error_growth=0))
    assert failure_lines(found) == []


def edited(edit):
    document = report().to_json()
    edit(document)
    return json.dumps(document).encode()


BAD = {
    "empty": (b"", "empty"),
    "text": (b"all good", "text, not JSON"),
    "cut": (json.dumps(report().to_json()).encode()[:-20], "cut or damaged"),
    "html": (b"<!DOCTYPE html><html>404</html>", "an HTML page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "gzip": (gzip.compress(b"{}"), "gunzip"),
    "npy": (b"\x93NUMPY\x01\x00", "a .npy file"),
    "deep": (b"[" * 200_000, "no report"),
    "deeper": (b'{"a":' * 200_000, "cut or damaged"),
    "list": (b"[]", "a report is a JSON object"),
    "number": (b"7", "a report is a JSON object"),
    "schema": (b'{"schema": 1}', "schema 1 where 2 is known"),
    "future": (b'{"schema": 99}', "schema 99"),
    "failed": (b'{"schema": 2, "error": "x.npy: no such file"}', "a failed run"),
    "nan": (edited(lambda d: d["tables"][0]["errors"].update(mse=float("nan"))), "mse"),
    "huge": (edited(lambda d: d["tables"][0]["errors"].update(mse=10**400)), "mse"),
    "huge bytes": (edited(lambda d: d.update(file_bytes=10**400)), "too large"),
    "digits": (b'{"schema": ' + b"9" * 5000 + b"}", "cut or damaged"),
    "negative": (edited(lambda d: d["tables"][0].update(parts="none")), "is not an object"),
    "untold": (edited(lambda d: d["tables"][0].pop("details")), "lacks details"),
    "name": (edited(lambda d: d["tables"][0].update(name=3)), "is not text"),
    "totals": (edited(lambda d: d["total"].update(ratio=5)), "do not follow"),
}


@pytest.mark.parametrize("case", BAD)
def test_no_report(case, tmp_path):
    content, words = BAD[case]
    path = tmp_path / "base.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"base\.json") as caught:
        read_report(path)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(BadInput):
            read_report(path)


def test_growth_in_words():
    shares = (0.0, 0.0123, -0.5, 20.0, None)
    assert [grown(s) for s in shares] == ["0%", "+1.23%", "−50%", "+2,000%", "–"]
