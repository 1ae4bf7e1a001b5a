"""Sizes as people write them, bounds, verdicts and the lines that tell of them."""

import dataclasses

import pytest

from embcompress.errors import UsageError
from embcompress.report.gates import Gates, check
from embcompress.report.verdicts import failure_lines
from tests.report.making import errors, report, table


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_rel_error", -0.1),
        ("min_recall", 95),
        ("min_cosine", 1.5),
        ("min_ratio", float("nan")),
        ("max_bits", float("inf")),
        ("max_bytes", -1),
    ],
)
def test_impossible_bounds(name, value):
    with pytest.raises(UsageError, match="--" + name.replace("_", "-")):
        Gates(**{name: value})


def results(gates, *tables, **values):
    return check(report(*tables, **values), gates)


def by_gate(found, gate):
    return [r for r in found if r.gate == gate]


def test_nothing_asked_still_checks_what_is_always_on():
    found = results(Gates())
    assert [r.gate for r in found] == ["smaller", "compressed", "finite"]
    assert all(r.passed and r.outcome == "passed" for r in found)
    assert failure_lines(found) == []


@pytest.mark.parametrize(
    ("gates", "line"),
    [
        (
            {"max_rel_error": 0.05},
            "emb.weight: relative error 0.1, wanted at most 0.05 (--max-rel-error)",
        ),
        (
            {"max_rel_error": 0.09999999},
            "emb.weight: relative error 0.1, wanted at most 0.09999999 (--max-rel-error)",
        ),
        (
            {"min_cosine": 0.999},
            "emb.weight: mean cosine 0.995, wanted at least 0.999 (--min-cosine)",
        ),
        (
            {"min_recall": 0.79},
            "emb.weight: recall 0.78, wanted at least 0.79"
            " (--min-recall; lower end of 0.800 ± 0.020, 50 queries)",
        ),
        ({"max_bytes": 4000}, "total: file bytes 4,200, wanted at most 4,000 (--max-bytes)"),
        ({"min_ratio": 8}, "emb.weight: ratio 6.095, wanted at least 8 (--min-ratio)"),
        ({"max_bits": 4}, "emb.weight: bits per weight 5.25, wanted at most 4 (--max-bits)"),
    ],
)
def test_failed_gates(gates, line):
    assert failure_lines(results(Gates(**gates))) == [line]


@pytest.mark.parametrize(
    "gates",
    [
        {"max_rel_error": 0.1},
        {"min_cosine": 0.995},
        {"min_recall": 0.78},
        {"max_bytes": 4200},
        {"min_ratio": 6.09},
        {"max_bits": 5.25},
    ],
)
def test_bounds_that_are_just_kept(gates):
    assert all(r.passed for r in results(Gates(**gates)))


def test_several_tables_and_their_total():
    good = errors(relative_error=0.01, squared_error=0.08)
    bad = errors(relative_error=0.2, squared_error=32.0)
    found = results(
        Gates(max_rel_error=0.05, min_ratio=5, max_bits=6),
        table("a", errors=good),
        table("b", errors=bad),
    )
    assert [(r.table, r.passed) for r in by_gate(found, "max-rel-error")] == [
        ("a", True),
        ("b", False),
        ("total", False),
    ]
    assert by_gate(found, "max-rel-error")[2].got == pytest.approx((32.08 / 1600) ** 0.5)
    assert [r.table for r in by_gate(found, "min-ratio")] == ["a", "b", "total"]
    assert [r.table for r in by_gate(found, "max-bits")] == ["a", "b", "total"]


def test_total_counts_what_no_table_holds():
    found = results(Gates(min_ratio=6), file_bytes=10_000, passed_through_bytes=1000)
    assert [(r.table, r.passed) for r in by_gate(found, "min-ratio")] == [
        ("emb.weight", True),
        ("total", False),
    ]
    assert by_gate(found, "min-ratio")[1].got == pytest.approx(25_600 / 9000)


def test_not_measured_is_not_passed():
    kept = errors(recall=None, recall_low=None, recall_high=None)
    found = results(Gates(min_recall=0.9), table(errors=kept, errors_from="compression"))
    (result,) = by_gate(found, "min-recall")
    assert (result.passed, result.outcome) == (False, "could not be evaluated")
    assert failure_lines(found) == [
        "emb.weight: --min-recall 0.9 could not be evaluated:"
        " it was not kept at compression; give --against SOURCE"
    ]
    (line,) = failure_lines(results(Gates(min_cosine=0.9), table(errors=None, errors_from=None)))
    assert line.endswith("could not be evaluated: nothing was measured")
    lost = errors(relative_error=None, squared_norm=0.0)
    (line,) = failure_lines(results(Gates(max_rel_error=0.9), table(errors=lost)))
    assert "could not be evaluated" in line


def test_empty_tables_have_nothing_to_lose():
    empty = table(shape=(0, 8), source_bytes=0, parts={"header": 500})
    found = results(
        Gates(max_rel_error=0.1, min_cosine=0.9, min_recall=0.9, min_ratio=2, max_bits=8),
        empty,
        table(errors=errors(recall_low=0.95)),
    )
    assert failure_lines(found) == []
    assert "the table is empty" in {r.note for r in found}


def test_one_row_has_no_neighbours():
    lone = table(shape=(1, 64), errors=errors(recall=None, recall_low=None))
    (result,) = by_gate(results(Gates(min_recall=0.9), lone), "min-recall")
    assert result.passed
    assert result.note == "one row has no neighbours"


def test_output_must_be_smaller():
    found = results(Gates(), file_bytes=25_600)
    assert failure_lines(found) == [
        "total: file bytes 25,600, wanted fewer than the input's 25,600"
    ]
    assert failure_lines(check(report(file_bytes=25_600), Gates(), 25_728)) == []
    passed = results(Gates(), file_bytes=35_000, passed_through_bytes=30_000)
    assert failure_lines(passed) == []


def test_tiny_tables_are_not_judged_by_size():
    tiny = table(shape=(3, 64), source_bytes=768, parts={"header": 900})
    (result,) = by_gate(results(Gates(), tiny), "smaller")
    assert result.passed
    assert "not judged" in result.note


def test_at_least_one_table():
    empty = dataclasses.replace(report(), tables=[], file_bytes=10)
    assert failure_lines(check(empty, Gates())) == ["total: compressed tables 0, wanted at least 1"]


def test_nonfinite_values_fail():
    found = results(Gates(), table(errors=errors(nonfinite_rows=3, nonfinite_row=17)))
    assert failure_lines(found) == [
        "emb.weight: rows that decode to NaN or infinity 3, wanted at most 0 (the first is row 17)"
    ]


def test_lines_stay_lines():
    (line,) = failure_lines(results(Gates(max_bits=1), table("evil\nname")))
    assert "\n" not in line
