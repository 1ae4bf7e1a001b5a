"""JUnit XML: a gate on a table is a test case, whatever the table is called."""

from xml.etree import ElementTree as ET

from embcompress.report.gates import Gates, check
from embcompress.report.junit import failure_to_junit, to_junit
from tests.report.making import errors, report, table


def parsed(found):
    return ET.fromstring(to_junit(found)).find("testsuite")


def test_cases():
    found = report(table("a"), table("b", errors=errors(relative_error=0.3)))
    found.gates.extend(check(found, Gates(max_rel_error=0.2, min_recall=0.5)))
    suite = parsed(found)
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases) == len(found.gates)
    failed = [c for c in cases if c.find("failure") is not None]
    assert int(suite.get("failures")) == len(failed) == sum(not g.passed for g in found.gates)
    assert failed[0].get("name") == "b: relative error"
    assert failed[0].get("classname") == "embcompress.max-rel-error"
    assert "wanted at most 0.2" in failed[0].find("failure").get("message")
    assert len({(c.get("classname"), c.get("name")) for c in cases}) == len(cases)
    values = {p.get("name"): p.get("value") for p in suite.find("properties")}
    assert values["artifact_bytes"] == str(found.total.artifact_bytes)
    assert float(values["ratio"]) == found.total.ratio


def test_hostile_names():
    names = ["a\x00b\x1b[0m", "<&\"'>]]>", "two\nlines", "\ud800", "x" * 5000, "emb/😀"]
    found = report(*(table(n) for n in names), artifact="s\x01.safetensors", command="a \x02 b",
                   versions={"python": "\x03"})  # fmt: skip
    found.gates.extend(check(found, Gates(max_rel_error=0.01)))
    text = to_junit(found)
    assert len(text.encode()) < 60_000
    assert len(ET.fromstring(text).findall(".//failure")) >= len(names)


def test_unmeasured_gates_fail():
    found = report(table(errors=None, errors_from=None))
    found.gates.extend(check(found, Gates(min_recall=0.5)))
    failure = parsed(found).find("testcase/failure")
    assert failure.get("type") == "could not be evaluated"


def test_no_report():
    suite = ET.fromstring(failure_to_junit("x.npy: no such file \x00")).find("testsuite")
    assert suite.get("errors") == "1"
    assert "no such file" in suite.find("testcase/error").get("message")
