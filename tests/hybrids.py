"""Single methods and hybrids on GloVe and MiniLM: which lose least for their bytes.

``python -m tests.hybrids`` measures what hybrids.json lacks, prints the table, and writes
docs/methods/hybrids.md with its pictures; to add a method, append it to METHODS and run it again.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

from tests.ledger import measure, sources

FILE = Path(__file__).with_name("hybrids.json")
PAGE = Path(__file__).parents[1] / "docs" / "methods" / "hybrids.md"
SINGLE = (
    "cast",
    "quantize --bits 8",
    "quantize --bits 4",
    "quantize --bits 3",
    "quantize --bits 2",
    "kmeans --per table --bits 4",
    "kmeans --per table --bits 3",
    "kmeans --per table --bits 2",
    "binarize --scale row",
    "pq",
    "pq --bits 4",
    "pq --subquantizers 13",
    "pq --subquantizers 7",
    "aq --codebooks 8",
    "saec",
    "svd --budget 4x",
    "svd --budget 8x",
    "svd --budget 16x",
    "tt --budget 4x",
    "tt --budget 8x",
    "tt --budget 16x",
    "prune --keep 0.5",
    "prune --keep 0.25",
    "mixdim --rule budget --budget 8x --coords fp16",
    "sseds --saliency energy --budget 8x",
    "ant",
    "hash --scheme qr --budget 8x",
)
HYBRIDS = (
    "svd --budget 4x --coords int8",
    "svd --budget 8x --coords int8",
    'svd --budget 8x --then "quantize --bits 4"',
    'svd --budget 12x --then "quantize --bits 3"',
    'svd --rank-share 0.9 --then "quantize --bits 4"',
    'svd --rank-share 1 --then "kmeans --per table --bits 4"',
    'svd --rank-share 1 --then "kmeans --per table --bits 3"',
    "svd --rank-share 0.8 --then \"rotate --then 'quantize --bits 3'\"",
    "svd --rank-share 0.75 --then pq",
    'svd --rank-share 1 --then "pq --bits 4"',
    'svd --rank-share 0.5 --then "pq --bits 8"',
    'rotate --then "quantize --bits 4"',
    'rotate --then "quantize --bits 2"',
    'rotate --then "kmeans --per table --bits 3"',
    'rotate --basis pca --then "quantize --bits 4 --group-size 10"',
    "pq --rotate pca --bits 4",
    "pq --rotate opq --subquantizers 13",
    'mixdim --by frequency --rule budget --budget 8x --then "quantize --bits 4"',
    'sseds --saliency energy --budget 8x --then "quantize --bits 4"',
    "prune --keep 0.5 --values int8",
    "tt --budget 8x --order cluster",
    "tt --budget 16x --order cluster",
)
METHODS = (*SINGLE, *HYBRIDS)
TABLES = {
    "glove": ("GloVe 6B 50d (400,000×50)", 400_000),
    "minilm": ("MiniLM (30,522×384)", 30_522),
}

WIDTH, HEIGHT, MARGIN = 720, 420, 50


def front(found: dict[str, dict[str, float]]) -> set[str]:
    """Methods that no other beats in both bytes and error."""
    best, kept = math.inf, set()
    for text in sorted(found, key=lambda t: (found[t]["bytes"], found[t]["error"])):
        if found[text]["error"] < best:
            best = found[text]["error"]
            kept.add(text)
    return kept


def table(found: dict[str, dict[str, float]], rows: int) -> str:
    """Bytes a row and error of every method, fewest bytes first; the front in bold."""
    best = front(found)
    lines = ["| method | kind | bytes a row | error |", "|---|---|---|---|"]
    for text in sorted(found, key=lambda t: found[t]["bytes"]):
        mark = "**" if text in best else ""
        kind = "single" if text in SINGLE else "hybrid"
        size, error = found[text]["bytes"] / rows, found[text]["error"]
        lines.append(f"| {mark}`{text}`{mark} | {kind} | {size:.1f} | {error:.4f} |")
    return "\n".join(lines)


def picture(found: dict[str, dict[str, float]], rows: int, title: str) -> str:
    """Error over bytes a row, both logarithmic, as SVG."""
    sizes = [f["bytes"] / rows for f in found.values()]
    errors = [f["error"] for f in found.values()]
    spans = [(math.log(min(v)), math.log(max(v))) for v in (sizes, errors)]

    def place(size: float, error: float) -> tuple[float, float]:
        (left, right), (low, high) = spans
        across = (math.log(size) - left) / (right - left)
        up = (math.log(error) - low) / (high - low)
        return (
            MARGIN + across * (WIDTH - 2 * MARGIN),
            HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN),
        )

    best = front(found)
    line = " ".join(
        "{:.1f},{:.1f}".format(*place(found[t]["bytes"] / rows, found[t]["error"]))
        for t in sorted(best, key=lambda t: found[t]["bytes"])
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-size="14">{title}</text>',
        f'<polyline points="{line}" fill="none" stroke="#999"/>',
    ]
    for size in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if min(sizes) <= size <= max(sizes):
            x, _ = place(size, errors[0])
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 28}" text-anchor="middle">{size}</text>')
    for error in (0.001, 0.01, 0.1, 0.2, 0.5, 1):
        if min(errors) <= error <= max(errors):
            _, y = place(sizes[0], error)
            parts.append(f'<text x="{MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end">{error}</text>')
    for text, figures in found.items():
        x, y = place(figures["bytes"] / rows, figures["error"])
        colour = "#1f77b4" if text in SINGLE else "#d62728"
        label = text.replace("&", "&amp;").replace("<", "&lt;")
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4 if text in best else 2.5}" fill="{colour}">'
            f"<title>{label}</title></circle>"
        )
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">bytes a row (relative error'
        " upwards; single methods blue, hybrids red, the front joined)</text></svg>"
    )
    return "\n".join(parts) + "\n"


PROSE = """# Hybrids

Written by `python -m tests.hybrids`. Error is ‖E−Ê‖/‖E‖; bytes count everything in the file. In
bold: the Pareto front, methods that no other here beats in both.

Trained tables are close to full rank and their rows lie in arbitrary order, so `svd` and `tt` alone
lose badly to quantization at the same bytes, and `tt --order cluster` mends only part of it. In
front of a quantizer a few axes may be dropped without harm: on GloVe, `svd` with 4-bit or int8
coordinates reaches the front between other methods, and rotations pay at most sizes. On MiniLM
plain quantizers and product codes hold most of the front, `svd` none of it: a basis of 384×384
numbers weighs 19 bytes for each of its 30,522 rows.
"""


def main() -> None:
    """Measure what is missing, print, and write the page."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    page = [PROSE]
    with tempfile.TemporaryDirectory() as folder:
        paths = sources(Path(folder))
        for name, (title, rows) in TABLES.items():
            known = {t: kept.get(name, {})[t] for t in METHODS if t in kept.get(name, {})}
            found = known | measure(paths[name], [t for t in METHODS if t not in known])
            kept[name] = found
            FILE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
            PAGE.with_name(f"hybrids-{name}.svg").write_text(picture(found, rows, title))
            page.append(f"## {title}\n\n![{title}](hybrids-{name}.svg)\n\n{table(found, rows)}\n")
    PAGE.write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    main()
