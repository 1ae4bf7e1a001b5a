"""Writes docs/cli.md and docs/methods/*.md from the declarations.

    python docs/generate.py           write
    python docs/generate.py --check   exit 1 when a page is stale
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from embcompress.cli.compress import verb as compress_verb
from embcompress.cli.rows import lookup, restore_file
from embcompress.cli.sizes import inspect_file, report, verify_file
from embcompress.cli.listing import list_methods
from embcompress.methods import registry
from embcompress.methods.base import Method
from embcompress.methods.presets import PRESETS
from embcompress.options import declared
from embcompress.pipeline.settings import Settings

HERE = Path(__file__).parent
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


def method_page(method: type[Method]) -> str:
    """The page of a method."""
    kind = (
        "**Native**: the paper itself works after training."
        if method.native
        else "**Counterpart**: the paper learns this in training; here it is fitted to a trained table."
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
    parts.append("The bytes are in [format.md](../format.md), shared options in [cli.md](../cli.md).\n")
    return "\n".join(parts)


def parameter_rows(function: object) -> list[tuple[str, str]]:
    """Flags and help of a verb's own parameters."""
    rows = []
    for p in inspect.signature(function, eval_str=True).parameters.values():
        if p.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        info = p.annotation.__metadata__[0]
        flags = info.param_decls or ()
        default = "" if "Argument" in type(info).__name__ else f"--{p.name.replace('_', '-')}"
        name = ", ".join(flags) or default or info.metavar
        rows.append((f"`{name}`", (info.help or "").replace("\\[", "[")))
    return rows


def cli_page() -> str:
    """Every verb."""
    shared = [p for p in parameter_rows(compress_verb(registry()["quantize"]))]
    own = {f"`{o.flag}`" for m in registry().values() for o in declared(m).values()}
    shared = [row for row in shared if row[0] not in own]
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
    for verb in (report, inspect_file, verify_file, lookup, restore_file, list_methods):
        name = verb.__name__.removesuffix("_file").removeprefix("list_")
        parts.append(f"### {name}\n\n{paragraphs(verb.__doc__)}\n")
        parts.append(table(parameter_rows(verb), "option", "meaning"))
    parts.append(EXIT_CODES)
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
    made = {HERE / "cli.md": cli_page()}
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
