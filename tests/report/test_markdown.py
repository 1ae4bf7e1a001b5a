"""GitHub Markdown: what it shows and what it escapes."""

from embcompress.report.gates import Gates, check
from embcompress.report.markdown import to_markdown
from tests.report.making import errors, report, table


def test_one_table():
    text = to_markdown(report())
    assert text.startswith("### emb.npy → emb.q4.safetensors\n")
    assert "| ratio | 6.10×, 5.250 bits per weight |" in text
    assert "| relative error | 0.1000 |" in text
    assert "codes 3,200 (76.2%)" in text
    assert text.endswith("\n")


def test_worst_ten_then_more():
    tables = [table(f"t{i}", errors=errors(relative_error=0.01 * (i + 1))) for i in range(13)]
    rows = [line for line in to_markdown(report(*tables)).splitlines() if line.startswith("| t")]
    assert [row.split(" ")[1] for row in rows[:4]] == ["table", "t12", "t11", "t10"]
    assert len(rows) == 11
    assert "| 3 more |" in to_markdown(report(*tables))
    assert "| **total** |" in to_markdown(report(*tables))


def test_columns_agree():
    lines = to_markdown(report(table("a"), table("b", method="cast"))).splitlines()
    grid = [line for line in lines if line.count("|") > 5]
    assert len({line.count("|") for line in grid}) == 1


def test_hostile_names():
    text = to_markdown(report(table("a|b\n# c <img> `x` @octocat"), table("b")))
    assert "\n# c" not in text
    assert "<img>" not in text
    assert "@octocat" not in text
    assert "a\\|b" in text
    assert len({line.count(" | ") for line in text.splitlines() if "ms" in line}) <= 1


def test_gates_and_notes():
    found = report(notes=["by hand"])
    found.gates.extend(check(found, Gates(max_rel_error=0.05)))
    text = to_markdown(found)
    assert "| **FAILED** | emb.weight: relative error 0.1, wanted at most 0.05" in text
    assert "| ok | smaller than the input" in text
    assert "- by hand" in text
