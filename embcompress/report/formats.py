"""The files a report can be written to, by suffix."""

from __future__ import annotations

import json
from typing import Any

from embcompress.report.model import SCHEMA, Report

SUFFIXES = (".json", ".md", ".xml", ".html")


def render(report: Report, suffix: str) -> str:
    """A report as a file's text.

    Args:
        report: The report.
        suffix: One of ``SUFFIXES``.
    """
    if suffix == ".json":
        return json_text(report.to_json())
    if suffix == ".md":
        from embcompress.report.markdown import to_markdown

        return to_markdown(report)
    if suffix == ".xml":
        from embcompress.report.junit import to_junit

        return to_junit(report)
    from embcompress.report.html.page import to_html

    return to_html(report)


def render_failure(message: str, suffix: str) -> str:
    """What a report's file holds when there is no report: an older one must not stand for it.

    Args:
        message: Why there is none.
        suffix: One of ``SUFFIXES``.
    """
    if suffix == ".json":
        return json_text({"schema": SCHEMA, "error": message})
    if suffix == ".md":
        from embcompress.report.markdown import failure_to_markdown

        return failure_to_markdown(message)
    if suffix == ".xml":
        from embcompress.report.junit import failure_to_junit

        return failure_to_junit(message)
    from embcompress.report.html.page import failure_to_html

    return failure_to_html(message)


def json_text(document: dict[str, Any]) -> str:
    """JSON as it is written to files and printed, with a newline at the end."""
    return json.dumps(document, indent=2) + "\n"
