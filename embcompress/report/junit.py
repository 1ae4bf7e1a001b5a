"""Gates as JUnit XML, which CI systems show as tests: a gate on a table is a test case."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from embcompress.report import figures, summary
from embcompress.report.model import GateResult, Report
from embcompress.report.verdicts import ALWAYS_ON, WORDS, failure_line, told, worst_first

_MOST_LISTED = 20


def to_junit(report: Report) -> str:
    """A report's gates as JUnit XML.

    Args:
        report: The report.

    Returns:
        An XML document of one suite; its properties hold the sizes and the error in all.
    """
    failed = [g for g in report.gates if not g.passed]
    suite = ET.Element(
        "testsuite",
        name=f"embcompress {figures.name(report.artifact)}",
        tests=str(len(report.gates)),
        failures=str(len(failed)),
        errors="0",
        skipped="0",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", name=name, value=value)
    for gate in [*worst_first(failed), *(g for g in report.gates if g.passed)]:
        suite.append(_case(gate))
    lines = [summary.headline(report), *(f"{a}: {b}" for a, b in summary.sizes(report))]
    if len(report.tables) <= _MOST_LISTED:
        lines += [_table_line(row) for row in summary.table_rows(report)]
    ET.SubElement(suite, "system-out").text = _legal("\n".join(lines))
    return _document(suite)


def failure_to_junit(message: str) -> str:
    """A report that could not be made: one test case in error.

    Args:
        message: Why there is none.
    """
    suite = ET.Element(
        "testsuite", name="embcompress", tests="1", failures="0", errors="1", skipped="0"
    )
    case = ET.SubElement(suite, "testcase", classname="embcompress", name="report")
    ET.SubElement(case, "error", message=_legal(message)).text = _legal(message)
    return _document(suite)


def _case(gate: GateResult) -> ET.Element:
    what = ALWAYS_ON.get(gate.gate) or WORDS[gate.gate][0]
    case = ET.Element(
        "testcase",
        classname=f"embcompress.{gate.gate}",
        name=f"{figures.name(gate.table)}: {what}",
    )
    if not gate.passed:
        line = failure_line(gate)
        ET.SubElement(case, "failure", message=line, type=gate.outcome).text = line
    elif gate.got is not None:
        got, wanted = told(gate)
        ET.SubElement(case, "system-out").text = f"{got}, {WORDS[gate.gate][1]} {wanted}"
    return case


def _properties(report: Report) -> list[tuple[str, str]]:
    total = report.total
    values = {
        "source": report.source,
        "command": report.command,
        "source_bytes": total.source_bytes,
        "artifact_bytes": total.artifact_bytes,
        "file_bytes": total.file_bytes,
        "ratio": total.ratio,
        "relative_error": total.relative_error,
        "seed": report.seed,
    }
    known = [(name, _legal(str(v))) for name, v in values.items() if v is not None]
    return [*known, *((f"version.{n}", _legal(v)) for n, v in report.versions.items())]


def _table_line(cells: list[tuple[str, str]]) -> str:
    return "; ".join(f"{title}: {value}" for title, value in cells)


def _legal(text: str) -> str:
    """Text without the characters that XML 1.0 has no way to write."""
    return "".join(c if c in "\t\n" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _document(suite: ET.Element) -> str:
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'
