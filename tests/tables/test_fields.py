"""Fields from JSON and TOML, and their refusals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.errors import BadInput, UsageError
from embcompress.tables.fields import read_fields

ONE = {"emb": 10}
RANGES = {"user": (0, 4), "item": (4, 9), "shop": (9, 10)}


def read(folder, text, tables=ONE, name="fields.json"):
    (folder / name).write_text(text, encoding="utf-8")
    return read_fields(folder / name, tables)


@pytest.mark.parametrize(
    "text",
    [
        '{"emb": {"shop": [9, 10], "user": [0, 4], "item": [4, 9]}}',
        '{"emb": {"user": [0, 4], "item": [4, 9], "shop": [9, 10]}, "other": 5}',
        '{"shop": [9, 10], "user": [0, 4], "item": [4, 9]}',
        "[emb]\nshop = [9, 10]\nuser = [0, 4]\nitem = [4, 9]\n",
        "emb = {user = [0, 4], item = [4, 9], shop = [9, 10]}",
        "shop = [9, 10] # last\nuser = [0, 4]\nitem = [4, 9]\n",
        "\ufeff[emb]\nuser = [0, 4]\nitem = [4, 9]\nshop = [9, 10]",
        "[emb]\nuser = [0, 4]\nitem = [4, 9]\nshop = [\n9, 10\n]",
    ],
)
def test_ranges(tmp_path, text):
    found = read(tmp_path, text)["emb"]
    assert found == RANGES
    assert list(found) == list(RANGES)


@pytest.mark.parametrize("text", ['{"emb": [4, 5, 1]}', "[4, 5, 1]", "emb = [4, 5, 1]"])
def test_sizes(tmp_path, text):
    assert read(tmp_path, text) == {"emb": {"0": (0, 4), "1": (4, 9), "2": (9, 10)}}


def test_several_tables(tmp_path):
    tables = {"a.weight": 3, "b/c": 2}
    expected = {"a.weight": {"x": (0, 3)}, "b/c": {"0": (0, 1), "1": (1, 2)}}
    assert read(tmp_path, '{"a.weight": {"x": [0, 3]}, "b/c": [1, 1]}', tables) == expected
    toml = '"b/c" = [1, 1]\n["a.weight"]\nx = [0, 3]\n'
    assert read(tmp_path, toml, tables, "fields.toml") == expected


def test_no_rows(tmp_path):
    assert read(tmp_path, "{}", {"emb": 0}) == {"emb": {}}
    assert read(tmp_path, '{"emb": []}', {"emb": 0}) == {"emb": {}}


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_any_order(tmp_path_factory, sizes, random):
    folder = tmp_path_factory.getbasetemp()
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    ranges = {
        f"f{i}": (start, start + size)
        for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
    }
    shuffled = list(ranges.items())
    random.shuffle(shuffled)
    found = read(folder, json.dumps(dict(shuffled)), {"emb": sum(sizes)})["emb"]
    assert list(found.items()) == list(ranges.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": [0, 5], "b": [4, 10]}', "fields 'a' and 'b' of table 'emb' overlap in rows 4 to 5"),
        ('{"a": [0, 10], "b": [4, 6]}', "'a' and 'b' of table 'emb' overlap in rows 4 to 6"),
        ('{"a": [0, 4], "b": [5, 10]}', "rows 4 to 5 of table 'emb', before field 'b'"),
        ('{"a": [1, 10]}', "rows 0 to 1 of table 'emb', before field 'a'"),
        ('{"a": [0, 9]}', "rows 9 to 10 of table 'emb', after the last field"),
        ('{"a": [0, 11]}', "field 'a' ends at row 11 but table 'emb' has 10 rows"),
        ('{"a": [0, 10], "b": [10, 12]}', "field 'b' ends at row 12"),
        ('{"a": [10, 0]}', "field 'a' of table 'emb' has rows 10 to 0, which is reversed"),
        ('{"a": [0, 10], "b": [5, 5]}', "field 'b' of table 'emb' has rows 5 to 5, which is empty"),
        ('{"a": [-1, 10]}', r"field 'a' of table 'emb' is \[-1, 10\]"),
        ('{"a": [0, 10.0]}', r"field 'a' of table 'emb' is \[0, 10.0\]"),
        ('{"a": [false, 10]}', r"field 'a' of table 'emb' is \[False, 10\]"),
        ('{"a": [0, 10, 2]}', "field 'a' of table 'emb' is"),
        ('{"a": [0]}', "field 'a' of table 'emb' is"),
        ('{"a": "0-10"}', "field 'a' of table 'emb' is '0-10'; it must be"),
        ('{"a": [0, 1e99]}', "field 'a' of table 'emb' is"),
        (f'{{"a": [0, {"9" * 30}]}}', "field 'a' of table 'emb' is"),
        ("{}", "rows 0 to 10 of table 'emb', after the last field"),
        ("[]", "rows 0 to 10 of table 'emb'"),
        ("[4, 5]", "rows 9 to 10 of table 'emb', after the last field"),
        ("[4, 7]", "field '1' ends at row 11"),
        ("[4, 0, 6]", "size 1 of table 'emb' is 0; sizes are whole numbers"),
        ("[4, -1, 7]", "size 1 of table 'emb' is -1"),
        ("[4, true, 5]", "size 1 of table 'emb' is True"),
        ('[4, "6"]', "size 1 of table 'emb' is '6'"),
        ('{"emb": 5}', "the fields of table 'emb' are 5; they must be"),
        ('{"emb": {"a": [0, 5], "a": [5, 10]}}', "'a' appears twice"),
        ('{"emb": {"a": [0, 10]', "neither JSON nor TOML"),
        ("a = 1\na = 2", "neither JSON nor TOML: Cannot overwrite"),
        ("user 0 4", "neither JSON nor TOML"),
        ("[4, 6", "neither JSON nor TOML"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * 100_000 + "]", "nested too deeply|neither"),
        ("a = " + "[" * 100_000, "nested too deeply|neither"),
        (f"[{'9' * 5000}]", "neither JSON nor TOML"),
    ],
)
def test_refused(tmp_path, text, words):
    with pytest.raises(UsageError, match=words) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "fields.json"))
    assert len(message) < 400 + len(str(tmp_path))


def test_refused_for_several_tables(tmp_path):
    tables = {"user": 4, "item": 6}
    with pytest.raises(UsageError, match="no fields for table 'item'; it names 'user', 'itme'"):
        read(tmp_path, '{"user": [4], "itme": [6]}', tables)
    with pytest.raises(UsageError, match="keyed by table name, since there are 2 tables"):
        read(tmp_path, "[4, 6]", tables)
    with pytest.raises(UsageError, match="no fields for table 'user', 'item'; it names none"):
        read(tmp_path, "{}", tables)


def test_refused_files(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read_fields(tmp_path / "none.json", ONE)
    (tmp_path / "f").write_bytes(b'{"\xff": 1}')
    with pytest.raises(UsageError, match="not UTF-8 text, at byte 2"):
        read_fields(tmp_path / "f", ONE)
    with open(tmp_path / "big", "wb") as file:
        file.truncate(17_000_000)
    with pytest.raises(UsageError, match="has 17,000,000 bytes"):
        read_fields(tmp_path / "big", ONE)
