"""Totals, and a report's way to JSON and back."""

import copy
import json
import math

import pytest

from embcompress.errors import BadInput
from embcompress.report.gates import Gates, check
from embcompress.report.model import Report, TableErrors, root_ratio
from tests.report.making import errors, report, table


def full_report():
    found = report(
        table("a", notes=["scale fp16 became fp32"]),
        table("b", errors=None, errors_from=None),
        table("c", shape=(0, 4), source_bytes=0, errors=errors(relative_error=None)),
        passed_through_bytes=100,
        notes=["a note"],
    )
    found.gates.extend(check(found, Gates(max_rel_error=0.2, max_bytes=10)))
    return found


def test_ratio_and_bits():
    one = table()
    assert one.artifact_bytes == 4200
    assert one.ratio == 25_600 / 4200
    assert one.bits_per_weight == 8 * 4200 / 6400
    empty = table(shape=(0, 3), source_bytes=0, parts={})
    assert (empty.ratio, empty.bits_per_weight) == (None, None)


def test_total():
    both = report(
        table("a", errors=errors(squared_error=1.0, squared_norm=4.0)),
        table("b", errors=errors(squared_error=3.0, squared_norm=12.0)),
        file_bytes=10_000,
        passed_through_bytes=600,
    )
    total = both.total
    assert total.source_bytes == 51_200
    assert total.artifact_bytes == 9400
    assert total.ratio == 51_200 / 9400
    assert total.bits_per_weight == 8 * 9400 / 12_800
    assert total.relative_error == 0.5
    assert both.parts == {"codes": 6400, "scale": 400, "bias": 400, "header": 1200 + 1000}


def test_total_error_needs_every_table():
    assert report(table("a"), table("b", errors=None)).total.relative_error is None
    empty = table("b", shape=(0, 2), errors=errors(relative_error=None, squared_error=0.0))
    assert report(table("a"), empty).total.relative_error == 0.1


def test_root_ratio():
    assert root_ratio(4.0, 16.0) == 0.5
    assert root_ratio(0.0, 0.0) == 0
    assert root_ratio(1.0, 0.0) is None


def test_json_and_back():
    found = full_report()
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Report.from_json(json.loads(text)) == found
    document = json.loads(text)
    assert document["schema"] == 2
    assert document["tables"][0]["ratio"] == 25_600 / 4200
    assert document["total"]["passed_through_bytes"] == 100


def test_json_never_holds_nan():
    bad = errors(mse=math.nan, max_abs_error=math.inf)
    entry = report(table(errors=bad)).to_json()["tables"][0]["errors"]
    assert entry["mse"] is entry["max_abs_error"] is None


def change(path, value):
    def apply(document):
        place = document
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return apply


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change(["schema"], 1), "schema 1 where 2 is known"),
        (change(["schema"], None), "schema None"),
        (change(["seed"], None), "base.json: lacks seed"),
        (change(["colour"], "red"), "base.json: has unknown colour"),
        (change(["tables"], "a"), r"base.json.tables: 'a' is not a list"),
        (change(["tables", 0], 5), r"base.json.tables\[0\]: 5 is not an object"),
        (change(["tables", 0, "shape"], [1]), r"shape: \[1\] is not a list of 2"),
        (change(["tables", 0, "shape", 0], 1.5), r"shape\[0\]: 1.5 is not a whole number"),
        (change(["tables", 0, "parts"], []), r"parts: \[\] is not an object"),
        (change(["tables", 0, "errors", "rows"], True), "rows: True is not a whole number"),
        (change(["tables", 0, "errors", "mse"], math.inf), "mse: inf is not a finite number"),
        (change(["tables", 0, "errors", "mse"], "1"), "mse: '1' is not a finite number"),
        (change(["tables", 0, "errors_from"], "dreams"), "'dreams' is not one of source"),
        (change(["gates", 0, "passed"], 1), r"gates\[0\].passed: 1 is not true or false"),
        (change(["notes", 0], 7), r"notes\[0\]: 7 is not text"),
        (change(["total", "ratio"], 9000), "totals do not follow"),
        (change(["tables", 0, "ratio"], 1), "totals do not follow"),
        (change(["tables", 0, "ratio"], None), "totals do not follow"),
    ],
)
def test_strange_documents(edit, message):
    document = copy.deepcopy(full_report().to_json())
    edit(document)
    with pytest.raises(BadInput, match=message):
        Report.from_json(document, "base.json")


@pytest.mark.parametrize("document", [None, 3, [], "x"])
def test_no_document(document):
    with pytest.raises(BadInput, match="a report is a JSON object"):
        Report.from_json(document)


def test_errors_from_numbers():
    numbers = {
        "rows": 5.0,
        "nonfinite_rows": 0.0,
        "squared_error": 1.0,
        "squared_norm": 4.0,
        "relative_error": 0.5,
        "max_abs_error_row": 3.0,
        "cosine_mean": math.nan,
    }
    found = TableErrors.from_numbers(numbers, "x.safetensors: table 'a'")
    assert found == TableErrors(
        rows=5,
        nonfinite_rows=0,
        squared_error=1.0,
        squared_norm=4.0,
        relative_error=0.5,
        max_abs_error_row=3,
    )
    assert type(found.max_abs_error_row) is int


@pytest.mark.parametrize(
    ("name", "number"),
    [("rows", math.nan), ("rows", 1.5), ("max_abs_error_row", math.inf), ("mse", math.inf)],
)
def test_hostile_numbers(name, number):
    numbers = {"rows": 5.0, "nonfinite_rows": 0.0, "squared_error": 1.0, "squared_norm": 4.0}
    with pytest.raises(BadInput, match=f"x.safetensors.{name}"):
        TableErrors.from_numbers(numbers | {name: number}, "x.safetensors")
