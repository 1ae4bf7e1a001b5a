"""docs/ci.md: its snippets are whole, and their shell lines do what they say, step by step."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text()


def snippet(mark):
    """The code block after a mark."""
    return re.search(rf"<!-- {re.escape(mark)} -->\n```\w*\n(.*?)^```", PAGE, re.DOTALL | re.M)[1]


@pytest.fixture
def place(tmp_path):
    """A repository as the page wants it, and the installed command on the path."""
    shutil.copy(ROOT / "fixtures" / "glove.npy", tmp_path / "model.npy")
    (tmp_path / "requirements.txt").write_text("embcompress\n")
    (tmp_path / "gates.toml").write_text(snippet("file: gates.toml"))
    shell(snippet("baseline"), tmp_path)
    return tmp_path


def shell(lines, folder, **variables):
    """Run lines as CI does: bash that stops at the first failure. No package index is asked."""
    scripts = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    environment |= {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PIP_NO_INDEX": "1",
                    "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # fmt: skip
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", lines],
        cwd=folder, env=environment | variables, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 or "failing" in variables, (lines, done.stdout, done.stderr)
    return done


def test_github(place):
    document = yaml.safe_load(snippet("github"))
    steps = document["jobs"]["compress"]["steps"]
    assert all(set(step) & {"run", "uses"} for step in steps)
    runs = [step["run"] for step in steps if "run" in step]
    assert len(runs) == 3
    summary = place / "summary.md"
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    for lines in runs:
        shell(lines, place, **actions)
    build = place / "build"
    assert {p.name for p in build.iterdir()} == {
        "model.q4.safetensors", "report.html", "report.json", "report.xml",
    }  # fmt: skip
    report = json.loads((build / "report.json").read_text())
    asked = {g["gate"] for g in report["gates"]}
    assert {"max-rel-error", "min-recall", "max-bytes", "max-growth"} <= asked
    assert report["baseline"]["file"] == "baseline.json"
    assert "### model.npy" in summary.read_text()
    (place / "gates.toml").write_text("max-rel-error = 0.01\n")
    done = shell(runs[-1], place, failing="yes", **actions)
    assert done.returncode == 1
    assert "::error title=embcompress::model: relative error" in done.stderr
    assert "**FAILED**" in summary.read_text()
    assert ET.parse(build / "report.xml").find("testsuite").get("failures") == "1"


def test_gitlab(place):
    job = yaml.safe_load(snippet("gitlab"))["embeddings"]
    shell("\n".join(job["script"]), place)
    assert (place / job["artifacts"]["reports"]["junit"]).exists()


def test_pre_commit(place):
    (repo,) = yaml.safe_load(snippet("pre-commit"))["repos"]
    assert len(repo["hooks"]) == 2
    for hook in repo["hooks"]:
        assert re.search(hook["files"], "build/model.q4.safetensors")
        shell(f"{hook['entry']} model.q4.safetensors", place)
    artifact = place / "model.q4.safetensors"
    data = bytearray(artifact.read_bytes())
    data[-1000] ^= 1
    artifact.write_bytes(data)
    done = shell(f"{repo['hooks'][0]['entry']} model.q4.safetensors", place, failing="yes")
    assert done.returncode != 0


def test_every_gate_is_on_the_page():
    from embcompress.report.gates import Gates

    for name in Gates.__dataclass_fields__:
        assert f"`{name.replace('_', '-')}`" in PAGE
