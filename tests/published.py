"""Every published system run on GloVe as its listed command says: bytes and errors.

``python -m tests.published`` measures what published.json lacks (systems whose command has changed
too) and writes docs/methods/published.md.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from embcompress.methods.published import Published, published
from tests.ledger import sources

FILE = Path(__file__).with_name("published.json")
PAGE = Path(__file__).parents[1] / "docs" / "methods" / "published.md"
ROWS = 400_000
FIELDS = (1_000, 99_000, 300_000)
PROSE = """# Published systems

Written by `python -m tests.published`. The systems of the survey by Li, Guo, Tang, Tang, Hou, Li
and Zhang 2023, in its order, then others: the command that gives each, or its nearest form after
training, as `embcompress methods --published` lists them. Each was run on GloVe 6B 50d
(400,000×50, 200 bytes a row before). Where a command takes a side FILE, frequencies fall as
1/(row number + 1), and fields are the first 1,000 rows, 99,000 and 300,000. Bytes count everything
in the file; error is ‖E−Ê‖/‖E‖, unweighted. Options are those of the listed command, not tuned to
this table.

"""
TITLES = ("system", "command", "kind", "bytes a row", "error", "what it is")


def needs_more(system: Published) -> bool:
    """Whether a command takes a file that comes from a model's training; its page has figures."""
    return "--grads" in system.command


def measure(system: Published, table: Path, folder: Path) -> dict[str, float | str]:
    """Bytes and error of a command as typed."""
    files = {
        "--frequencies": folder / "frequencies.npy",
        "--fields": folder / "fields.json",
    }
    if not files["--fields"].exists():
        np.save(files["--frequencies"], 1.0 / np.arange(1, ROWS + 1))
        files["--fields"].write_text(json.dumps(FIELDS))
    words = shlex.split(system.command)[1:]
    places = {"INPUT": str(table), "OUTPUT": str(folder / "out.safetensors")}
    words = [places.get(word, word) for word in words]
    for flag, path in files.items():
        if flag in words:
            words[words.index(flag) + 1] = str(path)
    words += ["--json", "--force", "--keep-failed"]
    done = subprocess.run(
        [sys.executable, "-m", "embcompress", *words], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{system.command}: {done.stderr}")
    (found,) = json.loads(done.stdout)["tables"]
    print(f"{system.name}: {found['artifact_bytes']:,} bytes", file=sys.stderr)
    return {
        "command": system.command,
        "bytes": found["artifact_bytes"],
        "error": found["errors"]["relative_error"],
    }


def page(kept: dict[str, dict[str, float | str]]) -> str:
    """The page of all systems."""
    lines = ["| " + " | ".join(TITLES) + " |", "|---" * len(TITLES) + "|"]
    for system in published():
        command = system.command.removeprefix("embcompress ").replace(" INPUT -o OUTPUT", "")
        found = kept.get(system.name)
        verb = command.split()[0]
        cells = [f"see [{verb}]({verb}.md)", ""]
        if found is not None:
            cells = [f"{float(found['bytes']) / ROWS:.1f}", f"{float(found['error']):.4f}"]
        row = [system.name, f"`{command}`", system.kind, *cells, system.reason]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return PROSE + "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing and write the page."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    known = {system.name: system for system in published() if not needs_more(system)}
    kept = {n: f for n, f in kept.items() if n in known and f["command"] == known[n].command}
    with tempfile.TemporaryDirectory() as folder:
        table = sources(Path(folder))["glove"]
        for name, system in known.items():
            if name not in kept:
                kept[name] = measure(system, table, Path(folder))
                FILE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    FILE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(kept))


if __name__ == "__main__":
    main()
