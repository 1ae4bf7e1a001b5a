"""The page of a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from embcompress.report import figures, summary
from embcompress.report.html import numbers
from embcompress.report.html.grids import listing
from embcompress.report.html.markup import Child, Markup, join, number, tag
from embcompress.report.html.sizes import sizes_section
from embcompress.report.html.style import STYLE
from embcompress.report.html.tables import error_section
from embcompress.report.model import Report


def to_html(report: Report) -> str:
    """A report as one HTML file that needs nothing else.

    Args:
        report: The report.
    """
    name = figures.name(PurePath(report.artifact).name or report.artifact)
    return page(
        f"{name}: size and error",
        tag("p", "Compressed embedding tables"),
        tag("h1", name),
        tag("p", summary.headline(report), class_="path"),
        _tiles(report),
        gates_part(report),
        body=join(sizes_section(report), error_section(report)),
        foot=made_by(report),
    )


def failure_to_html(message: str) -> str:
    """A report that could not be made.

    Args:
        message: Why there is none.
    """
    return page(
        "No report", tag("p", "embcompress"), tag("h1", "No report"), tag("p", message),
        body=Markup(""), foot=Markup(""),
    )  # fmt: skip


def page(title: str, *head: Child, body: Markup, foot: Markup) -> str:
    """A whole page.

    Args:
        title: In the browser's tab.
        head: What stands on top.
        body: Sections.
        foot: What stands below.
    """
    return "<!doctype html>\n" + tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("style", Markup(STYLE)),
        ),
        tag("body", tag("header", *head), tag("main", body), tag("footer", tag("div", foot))),
        lang="en",
    )


def tile(label: str, value: str, aside: str = "") -> Markup:
    """One figure that stands out."""
    return tag("div", tag("dt", label), tag("dd", value, class_="main"),
               tag("dd", aside, class_="aside") if aside else None)  # fmt: skip


def _tiles(report: Report) -> Markup:
    return tag("dl", *_figures(report), class_="figures")


def _figures(report: Report) -> Iterator[Markup]:
    total = report.total
    yield tile(
        "size", numbers.size(total.artifact_bytes),
        join("from ", numbers.size(total.source_bytes)),
    )  # fmt: skip
    yield tile(
        "smaller by", numbers.ratio(total.ratio),
        join(numbers.digits(total.bits_per_weight), " bits a weight"),
    )  # fmt: skip
    if total.relative_error is not None:
        yield tile("relative error", numbers.digits(total.relative_error), "‖E−Ê‖ / ‖E‖")
    one = report.tables[0].errors if len(report.tables) == 1 else None
    if one is not None and one.cosine_mean is not None:
        yield tile(
            "cosine, mean", numbers.cosine(one.cosine_mean),
            join("lowest ", numbers.cosine(one.cosine_lowest)),
        )  # fmt: skip
    if one is not None and one.recall is not None:
        _, _, half = figures.recall(one).partition(" ± ")
        yield tile(
            f"recall@{one.recall_k}", number(one.recall, f"{one.recall:.3f}"),
            f"± {half} (95%)" if half else "of all rows",
        )  # fmt: skip
    if len(report.tables) != 1:
        yield tile("tables", numbers.whole(len(report.tables)), "compressed")
    if total.decibels_above_limit is not None:
        decibels = total.decibels_above_limit
        yield tile(
            "above the limit" if decibels >= 0 else "below the limit",
            join(number(decibels, figures.decibels(abs(decibels))), " dB"),
            "rate–distortion bound",
        )
    if report.baseline is not None:
        change = report.baseline.total
        yield tile(
            "bytes since the baseline", figures.grown(change.growth),
            f"error {figures.grown(change.error_growth)}",
        )  # fmt: skip


def gates_part(report: Report) -> Markup | None:
    """The gates' verdicts, in words."""
    lines = summary.gates(report)
    if not lines:
        return None
    return tag(
        "ul",
        *(
            tag("li", tag("b", "passed" if ok else "failed"), tag("span", words),
                class_=None if ok else "failed")
            for ok, words in lines
        ),
        class_="gates", aria_label="Gates",
    )  # fmt: skip


def made_by(report: Report) -> Markup:
    """The command and versions that made the report, and notes."""
    lines: list[tuple[str, str]] = []
    if report.command:
        lines.append(("command", tag("code", report.command)))
    lines.append(("versions", ", ".join(f"{n} {v}" for n, v in report.versions.items())))
    lines.append(("seed of samples", str(report.seed)))
    if report.baseline is not None:
        lines.append(("baseline", figures.name(report.baseline.file)))
    lines += [("note", note) for note in summary.notes(report)]
    return join(tag("h2", "How this was made"), listing(lines))
