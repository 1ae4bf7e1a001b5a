"""Decimals: what Python's float makes of them, then float32; or NaN, a doubt."""

from __future__ import annotations

import random

import numpy as np
import pytest

from embcompress.kernels.decimals import parse_lines


def parsed(fields):
    """float32 of fields, a line each, as the kernel gives them."""
    text = b"".join(b"t " + f.encode() + b"\n" for f in fields)
    data = np.frombuffer(text, np.uint8)
    stops = np.flatnonzero(data == 10)
    starts = np.concatenate(([0], stops[:-1] + 1))
    values = np.empty((len(fields), 1), np.float32)
    tokens = np.empty(len(fields), np.int64)
    doubts = np.empty((len(fields) + 1, 4), np.int64)
    counts = np.zeros(1, np.int64)
    done = parse_lines(data, starts, stops, 0, values, tokens, doubts, counts)
    assert done == len(fields)
    assert (tokens == starts + 1).all()
    for line, column, begin, end in doubts[: counts[0]]:
        assert column == 0
        assert text[begin:end].decode() == fields[line]
    assert counts[0] == np.isnan(values).sum()
    return values[:, 0]


def reference(field):
    with np.errstate(over="ignore"):
        return np.float32(float(field))


def holds(fields, most_doubts):
    got = parsed(fields)
    sure = ~np.isnan(got)
    wanted = np.array([reference(f) for f in fields], np.float32)
    assert (got[sure].view(np.uint32) == wanted[sure].view(np.uint32)).all()
    assert (~sure).sum() <= most_doubts * len(fields), np.array(fields)[~sure][:5]


EXACT = ["0", "-0", "+1", "1.", ".5", "-.5", "0.1", "1e5", "1E-5", "1e+05", "00012.50", "0e999",
         "123456789012345678", "9007199254740992", "9007199254740993", "3.4028234663852886e38",
         "1.17549435e-38", "1e-45", "7e-46", "1e-50", "0.000000000000000000001"]  # fmt: skip


def test_spellings_that_are_decided():
    got = parsed(EXACT)
    assert not np.isnan(got).any()
    wanted = np.array([reference(f) for f in EXACT])
    assert (got.view(np.uint32) == wanted.view(np.uint32)).all()
    assert np.signbit(got[1])


DOUBTS = ["nan", "inf", "-inf", "1_0", "0x1p3", "1e", "1e+", "e5", "-", ".", "+-1", "1..2", "1e39",
          "1e999999", "12345678901234567890123", "٣", "1,5", "--1", "1e5.5", "3.5e38"]  # fmt: skip


def test_spellings_that_are_left_to_python():
    assert np.isnan(parsed(DOUBTS)).all()


@pytest.mark.parametrize("form", ["{:.5f}", "{:.6g}", "{:.9g}", "{:.17g}", "{!r}", "{:.3e}"])
def test_random_numbers(form):
    draw = random.Random(form)
    numbers = [draw.gauss(0, 1) * 10 ** draw.uniform(-6, 3) for _ in range(20_000)]
    holds([form.format(x) for x in numbers], 1e-3)


def test_random_numbers_of_all_sizes():
    draw = random.Random(1)
    numbers = [draw.uniform(-1, 1) * 10 ** draw.uniform(-50, 38) for _ in range(20_000)]
    holds([repr(x) for x in numbers], 1e-3)


def test_float32_and_the_middles_between_them():
    """The hard cases: halfway between two float32, and one unit of the last digit beside it."""
    draw = np.random.default_rng(2)
    bits = draw.integers(0x00800000, 0x7F000000, 3000).astype(np.uint32)
    low = bits.view(np.float32).astype(np.float64)
    high = (bits + 1).view(np.float32).astype(np.float64)
    fields = [repr(float(x)) for x in np.concatenate((low, (low + high) / 2))]
    fields += [f"{x:.40g}" for x in ((low + high) / 2)[:300]]  # exact, in many digits
    for field in [f for f in fields if "e" not in f][:500]:
        last = str((int(field[-1]) + 1) % 10)
        fields += [field[:-1] + last, field + "1", field + "0001"]
    holds(fields, 0.7)


def test_double_rounding_is_pythons():
    # near the middle of two float32: float64 rounds to the middle, then float32 to even
    field = "1.00000005960464477540"
    assert float(field) == 1.0000000596046448
    holds([field, "1.0000000596046447", "1.0000000596046449", "16777217", "16777219"], 1)


def test_lines():
    text = b"of the 1 2\n\t3  4 \nshort\n 5 6\r\n. . 7 8\n"
    data = np.frombuffer(text, np.uint8)
    stops = np.flatnonzero(data == 10)
    starts = np.concatenate(([0], stops[:-1] + 1))
    stops[3] -= 1  # the caller takes carriage returns off
    values = np.empty((5, 2), np.float32)
    tokens = np.empty(5, np.int64)
    doubts = np.empty((9, 4), np.int64)
    counts = np.zeros(1, np.int64)
    assert parse_lines(data, starts, stops, 0, values, tokens, doubts, counts) == 3
    assert [text[a:b] for a, b in zip(starts[:2], tokens[:2], strict=True)] == [b"of the", b""]
    assert tokens[2] == -1
    assert parse_lines(data, starts, stops, 3, values, tokens, doubts, counts) == 5
    assert text[starts[4] : tokens[4]] == b". ."
    assert values[[0, 1, 3, 4]].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]


def test_a_full_list_of_doubts_stops_the_work():
    text = b"a nan\nb nan\nc 1\n"
    data = np.frombuffer(text, np.uint8)
    stops = np.flatnonzero(data == 10)
    starts = np.concatenate(([0], stops[:-1] + 1))
    values, tokens = np.empty((3, 1), np.float32), np.empty(3, np.int64)
    doubts, counts = np.empty((1, 4), np.int64), np.zeros(1, np.int64)
    done = parse_lines(data, starts, stops, 0, values, tokens, doubts, counts)
    assert (done, counts[0]) == (1, 1)
    done = parse_lines(data, starts, stops, done, values, tokens, doubts, counts)
    assert (done, counts[0]) == (2, 1)
