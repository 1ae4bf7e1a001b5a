"""Every system of the survey is listed, with a command that parses."""

from __future__ import annotations

import json
import shlex

import pytest

from embcompress.methods.published import SURVEY, published
from embcompress.methods.spelling import parse_method
from embcompress.options import declared, parse
from embcompress.pipeline.settings import Settings
from tests import published as figures

SYSTEMS = {system.name: system for system in published()}
SIDE_FILES = ("--frequencies", "--fields", "--grads")


def plain(name):
    return "".join(c for c in name.lower() if c.isalnum())


def test_every_system_of_the_survey_is_there():
    assert len(set(SURVEY)) == len(SURVEY) == 51
    found = {plain(name) for name in SYSTEMS}
    assert all(plain(name) in found for name in SURVEY)


@pytest.mark.parametrize("name", SYSTEMS)
def test_commands_parse(name):
    """What is no option of the method is one that every verb has; FILE is a side file."""
    system = SYSTEMS[name]
    program, verb, source, flag, output, *words = shlex.split(system.command)
    assert (program, source, flag, output) == ("embcompress", "INPUT", "-o", "OUTPUT")
    shared, own = {}, [verb]
    options = declared(Settings)
    while words:
        word = words.pop(0)
        option = options.get(word.removeprefix("--").replace("-", "_"))
        if word in SIDE_FILES:
            assert words.pop(0) == "FILE"
        elif option is not None:
            shared[option.name] = "true" if option.kind is bool else words.pop(0)
        else:
            own.append(word)
    assert parse_method(shlex.join(own)).name == verb
    Settings(**parse(Settings, shared, "embcompress"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_kinds_and_reasons(name):
    system = SYSTEMS[name]
    assert system.kind in ("native", "counterpart")
    assert system.reason
    assert "\n" not in system.reason


def test_figures_are_of_listed_commands():
    """python -m tests.published measures what lacks here."""
    kept = json.loads(figures.FILE.read_text())
    for name, found in kept.items():
        assert found["command"] == SYSTEMS[name].command
    wanted = {s.name for s in SYSTEMS.values() if not figures.needs_more(s)}
    assert wanted == set(kept)


def test_listing(run):
    code, out, _ = run("methods", "--published", "--json")
    assert code == 0
    rows = json.loads(out)
    assert all(list(row) == ["name", "command", "kind", "reason"] for row in rows)
    known = [row["name"] for row in rows if plain(row["name"]) in map(plain, SURVEY)]
    order = [plain(name) for name in SURVEY]
    assert [order.index(plain(name)) for name in known] == sorted(
        order.index(plain(name)) for name in known
    )
    code, out, _ = run("methods", "--published")
    assert code == 0
    for row in rows:
        assert row["name"] in out
