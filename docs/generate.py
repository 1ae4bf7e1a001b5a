"""Writes docs/cli.md and docs/methods/*.md from the declarations, and what docs/measured/ adds.

python docs/generate.py           write
python docs/generate.py --check   exit 1 when a page is stale
"""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from embcompress.cli.app import build
from embcompress.export import registry as targets
from embcompress.methods import registry
from embcompress.methods.base import Method
from embcompress.methods.presets import PRESETS
from embcompress.options import declared

HERE = Path(__file__).parent
LEDGER = HERE.parent / "tests" / "ledger.json"
TABLES = {"glove": 400_000, "minilm": 30_522}
GENERATED = "<!-- written by docs/generate.py: edit the declarations, not this page -->\n\n"


def paragraphs(text: str | None) -> str:
    """Docstring text with one line a paragraph."""
    blocks = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(block.split()) for block in blocks)


def table(rows: list[tuple[str, ...]], *titles: str) -> str:
    """A Markdown table."""
    lines = [titles, tuple("---" for _ in titles), *rows]
    escaped = (tuple(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped) + "\n"


def options_table(cls: type) -> str:
    """The options of a dataclass."""
    rows = [
        (
            f"`{o.flag}`",
            o.values,
            "" if o.default in (None, False) else f"`{o.default}`",
            o.option.help,
        )
        for o in declared(cls).values()
    ]
    return table(rows, "option", "values", "default", "meaning")


def figures(method: type[Method]) -> str:
    """Bytes and errors of a method on real tables, as the ledger keeps them."""
    kept = json.loads(LEDGER.read_text())
    rows = []
    for text in sorted(kept["glove"].keys() & kept["minilm"].keys()):
        if shlex.split(text)[0] == method.name:
            cells = [f"`{text}`"]
            for name, count in TABLES.items():
                found = kept[name][text]
                cells += [f"{found['bytes'] / count:.1f}", f"{found['error']:.4f}"]
            rows.append(tuple(cells))
    if not rows:
        return ""
    titles = ("method", "GloVe: bytes a row", "error", "MiniLM: bytes a row", "error")
    return (
        "## Measured\n\n"
        "GloVe 6B 50d (400,000×50) and MiniLM's word embeddings (30,522×384), 4 bytes"
        " a weight before. Bytes count everything in the file; error is ‖E−Ê‖/‖E‖. Printed by"
        " `python -m tests.ledger --show`.\n\n" + table(rows, *titles)
    )


def method_page(method: type[Method]) -> str:
    """The page of a method."""
    kind = (
        "**Native**: the paper itself works after training."
        if method.native
        else "**Counterpart**: the paper learns this in training; here a trained table is fitted."
    )
    presets = [p for p in PRESETS if p.command.split()[0] == method.name]
    parts = [
        GENERATED + f"# {method.name}\n",
        paragraphs(method.__doc__) + "\n",
        f"{kind}\n\nSource: {method.source}.\n",
        f"```\nembcompress {method.example}\n```\n",
        "## Options\n\n" + options_table(method),
    ]
    if presets:
        rows = [
            (p.name, f"`{p.command}`", "native" if p.native else "counterpart", p.note, p.source)
            for p in presets
        ]
        parts.append(
            "## Published names that are configurations of it\n\n"
            + table(rows, "name", "command", "kind", "note", "source")
        )
    if measured := figures(method):
        parts.append(measured)
    shown = HERE / "measured" / f"{method.name}.md"
    if shown.exists():
        parts.append(shown.read_text())
    parts.append(
        "The bytes are in [format.md](../format.md), shared options in [cli.md](../cli.md).\n"
    )
    return "\n".join(parts)


def parameter_rows(command: Any) -> list[tuple[str, str]]:
    """Flags and help of a verb's parameters, as the parser has them."""
    rows = []
    for p in command.params:
        flags = ", ".join([*p.opts, *p.secondary_opts]) if p.opts[0].startswith("-") else p.metavar
        rows.append((f"`{flags}`", (p.help or "").replace("\\[", "[")))
    return rows


def cli_page() -> str:
    """Every verb."""
    commands = typer.main.get_command(build()).commands
    own = {f"`{o.flag}`" for m in registry().values() for o in declared(m).values()}
    shared = [row for row in parameter_rows(commands["quantize"]) if row[0] not in own]
    parts = [GENERATED + "# The command line\n"]
    parts.append("## Compress\n")
    parts.append(
        "`embcompress VERB INPUT -o OUTPUT [options]`, one verb a method. Options of the method:"
        " see its page. Options of every compress verb:\n"
    )
    parts.append(table(shared, "option", "meaning"))
    rows = [(f"[{m.name}](methods/{m.name}.md)", m.summary()) for m in registry().values()]
    parts.append(table(rows, "verb", "what it does"))
    parts.append("## Look, check, get back\n")
    for name, command in commands.items():
        if name not in registry():
            parts.append(f"### {name}\n\n{paragraphs(command.help)}\n")
            parts.append(f"```\n{command.epilog.removeprefix('Example: ')}\n```\n")
            parts.append(table(parameter_rows(command), "option", "meaning"))
    parts.append(EXIT_CODES)
    return "\n".join(parts)


def export_page() -> str:
    """Every target of export."""
    parts = [
        GENERATED + "# Exports\n",
        "`embcompress export ARTIFACT --to TARGET -o OUTPUT` writes tables as another library's"
        " files. The real libraries load them in the tests, and give our rows. What a table cannot"
        " be exported to is an error that says what can.\n",
    ]
    rows = [(f"[{t.name}](#{t.name})", t.about, t.takes) for t in targets().values()]
    parts.append(table(rows, "target", "writes", "takes"))
    for target in targets().values():
        parts.append(f"## {target.name}\n\n{paragraphs(target.__doc__)}\n")
        parts.append(f"Takes {target.takes}.\n")
        parts.append(f"```\nembcompress export {target.example}\n```\n")
        if declared(target):
            parts.append(options_table(target))
    return "\n".join(parts)


EXIT_CODES = """## Exit codes
| code | meaning |
|---|---|
| 0 | done |
| 1 | a gate failed: one line each says which, what was wanted and what was found |
| 2 | usage: an option, a name, or an output that exists |
| 3 | bad input: a missing, damaged or unsuitable file |
| 4 | the system refused: disk full, permission, lock, or the input changed while it was read |
| 70 | a bug; `--debug` shows where |
| 130, 143 | interrupted, terminated: nothing was left under the output's name |

Results go to stdout, progress and notes to stderr. `NO_COLOR`, `CI` and `TERM=dumb` are honoured;
where stderr is no terminal, progress is one plain line every ten seconds.
"""


def pages() -> dict[Path, str]:
    """All generated pages."""
    made = {HERE / "cli.md": cli_page(), HERE / "export.md": export_page()}
    for name, method in registry().items():
        made[HERE / "methods" / f"{name}.md"] = method_page(method)
    return made


def main() -> int:
    """Write or check."""
    stale = [p for p, text in pages().items() if not p.exists() or p.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"stale: {path.relative_to(HERE.parent)}; run python docs/generate.py")
        return 1 if stale else 0
    (HERE / "methods").mkdir(exist_ok=True)
    for path in stale:
        path.write_text(pages()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
