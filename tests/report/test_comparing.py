"""Artifacts side by side: who is on the front, and which can be compared."""

import pytest

from embcompress.errors import BadInput
from embcompress.report.comparing import lineup
from embcompress.report.comparing_text import columns
from tests.report.making import errors, report, table


def one(name, size, error):
    squared = {} if error is None else {"squared_error": error**2, "squared_norm": 1.0}
    told = errors(relative_error=error, **squared)
    return report(table(parts={"codes": size}, errors=told), artifact=f"{name}.safetensors")


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(100, 0.1), (50, 0.2)], [True, True]),
        ([(100, 0.1), (100, 0.2)], [True, False]),
        ([(100, 0.1), (90, 0.1)], [False, True]),
        ([(100, 0.1), (100, 0.1)], [True, True]),
        ([(100, None), (200, 0.1)], [False, True]),
        ([(100, 0.3), (50, 0.5), (75, 0.6), (20, 0.9)], [True, True, False, True]),
    ],
)
def test_front(points, front):
    found = lineup([one(f"r{i}", *p) for i, p in enumerate(points)])
    assert found.front == front
    assert [a["pareto"] for a in found.to_json()["artifacts"]] == front


def test_table():
    found = dict(columns(lineup([one("small", 50, 0.2), one("large", 100, 0.1)])))
    assert found["artifact"] == ["large", "small"]
    assert found[""] == ["*", "*"]
    assert found["bytes"] == ["100", "50"]
    assert found["relative error"] == ["0.1000", "0.2000"]


def test_names_that_agree():
    reports = [one(f"{folder}/model", 50, 0.2) for folder in "ab"]
    assert lineup(reports).names == ["a/model.safetensors", "b/model.safetensors"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ([table("b")], "lacks 'a'"),
        ([table("a"), table("b")], "has 'b' too"),
        ([table("a", shape=(50, 64))], "is 50×64, there 100×64"),
    ],
)
def test_other_sources(other, words):
    with pytest.raises(BadInput, match=words):
        lineup([report(table("a")), report(*other, artifact="other")])
