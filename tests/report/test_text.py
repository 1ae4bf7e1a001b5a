"""What the terminal shows: everything, in any width, with or without colour and Unicode."""

import dataclasses
import io
import re

import pytest
from rich.console import Console

from embcompress.report.gates import Gates, check
from embcompress.report.text import print_report
from tests.report.making import errors, report, table


def printed(found, width=80, encoding="utf-8", **options):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_report(found, Console(file=stream, width=width, **options))
    stream.flush()
    return raw.getvalue().decode(encoding)


def several(count=4):
    return report(
        *(
            table(
                f"embedding_bags.t_{i}.weight",
                method="quantize --range minmax" if i % 2 else "cast --to fp16",
                shape=(1_234_567 * (i + 1), 64),
                errors=errors(
                    rows=1_234_567 * (i + 1),
                    relative_error=0.01 * (i + 1),
                    cosine_lowest_row=1_234_567,
                ),
            )
            for i in range(count)
        )
    )


ONE = [
    "emb.npy → emb.q4.safetensors",
    "emb.weight, 100×64 F32",
    "25,600 → 4,200 bytes",
    "6.10×, 5.250 bits per weight",
    "3,200",
    "76.2%",
    "0.1000",
    "0.5000 in row 7",
    "mean 0.9950, 1st percentile 0.9800, lowest 0.9000 in row 12",
    "1.0010 of the original's on average",
    "0.800 ± 0.020 (95%; 50 queries in all rows, seed 0)",
    "correlation 0.9900, rms error 0.1200 of their spread",
    "6.0 dB above the Gaussian rate-distortion bound at the same bits",
    "(0 = the limit; 6 dB = twice the error)",
]


@pytest.mark.parametrize("width", [80, 140])
def test_one_table(width):
    shown = " ".join(printed(report(), width).split())
    for words in ONE:
        assert words in shown


@pytest.mark.parametrize("width", [60, 80, 140, 220])
def test_several_tables_keep_every_digit(width):
    found = several()
    shown = printed(found, width)
    assert all(len(line) <= width for line in shown.splitlines())
    for i in range(4):
        assert re.search(rf"\b0\.0{i + 1}000\b", shown)
        assert f"{1_234_567 * (i + 1):,}×64" in shown
    assert shown.count("0.9000@1,234,567") == 4
    assert shown.count("0.800 ± 0.020") == 4
    assert "…" not in shown
    assert "total" in shown


def test_wide_terminals_get_one_table():
    shown = printed(several(), 220)
    assert shown.count("embedding_bags.t_2.weight") == 1


def test_one_method_is_told_once():
    shown = printed(report(table("a"), table("b")))
    assert shown.count("quantize") == 1


def test_most_tables():
    shown = printed(several(55), 200)
    assert "15 more tables with smaller errors" in shown
    assert "t_54" in shown
    assert "t_3." not in shown


def test_only_sizes_without_errors():
    shown = printed(report(table("a", errors=None), table("b", errors=None)))
    assert "relative" not in shown
    assert "dB" not in shown
    assert printed(report(table(errors=None))).count("\n") > 5


def test_nothing_compressed():
    empty = dataclasses.replace(report(), tables=[], file_bytes=100)
    assert printed(empty) == "emb.npy → emb.q4.safetensors\n"


def test_ascii():
    found = several()
    found.gates.extend(check(found, Gates(min_recall=0.9)))
    shown = printed(found, 100, encoding="ascii")
    assert "emb.npy -> emb.q4.safetensors" in shown
    assert "0.800 +/- 0.020" in shown
    assert "#####" in shown


def test_names_are_shown_as_they_are():
    shown = printed(report(table("[bold]x[/bold] :smile: \x1b[31m")), 120)
    assert "[bold]x[/bold] :smile:" in shown
    assert "\x1b" not in shown


def test_gates():
    found = report(table("a"), table("b"), table("c"))
    found.gates.extend(check(found, Gates(max_rel_error=0.05, min_ratio=3)))
    shown = " ".join(printed(found).split())
    assert "gate FAILED a: relative error 0.1, wanted at most 0.05 (--max-rel-error)" in shown
    assert "gate ok a: ratio 6.095, at least 3 (closest of 4)" in shown
    assert "smaller than the input; a table was compressed" in shown


def test_notes():
    bad = errors(rows=95, nonfinite_rows=3, nonfinite_row=1)
    found = report(table("a", errors=bad, notes=["scale fp16 became fp32"]), notes=["by hand"])
    shown = " ".join(printed(found).split())
    assert "by hand" in shown
    assert "scale fp16 became fp32" in shown
    assert "decode to NaN or infinity, in no figure: 3" in shown
    assert "source with NaN or infinity, in no figure: 2" in shown


def test_samples_are_stated():
    e = errors(recall_rows=60, limit_rows=40, weighted_recall=0.75, weighted_cosine=0.99)
    shown = " ".join(printed(report(table(errors=e))).split())
    assert "in a sample of 60 rows" in shown
    assert "bound from a sample of 40 rows" in shown
    assert "cosine 0.9900, recall 0.750" in shown
    several_shown = " ".join(printed(report(table("a", errors=e), table("b")), 200).split())
    assert "in 1 tables searched in a sample of rows" in several_shown


def test_below_the_limit():
    e = errors(decibels_above_limit=-1.5)
    assert "1.5 dB below the Gaussian" in printed(report(table(errors=e)), 120)


def test_colour():
    shown = printed(report(), force_terminal=True, color_system="standard")
    assert "\x1b[1m" in shown
