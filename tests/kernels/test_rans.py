"""Records of exact length: written, read back by the kernel, and by whole numbers in Python."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.codecs.stream import Stream, StreamPiece, StreamRows
from embcompress.codecs.trellis_tables import Order, Tables
from embcompress.errors import BadInput
from embcompress.kernels.rans import write_records
from embcompress.kernels.rans_reading import read_records_at
from embcompress.kernels.stream_records import joined
from embcompress.solvers.trellis_tables import first_tables
from tests.kernels.walls import walled

N = 12


def laid(states: int, count: int, seed: int, scale: float):
    """Random codes of some classes, their bits, and lengths that hold them."""
    random = np.random.default_rng(seed)
    tables = first_tables(states, 10, 18)
    spreads = np.linspace(130, -40, N).round().astype(np.int64)
    gains = np.array([[-30], [0], [14]], np.int64)
    order = Order.of(tables, spreads, gains)
    classes = random.integers(0, 3, count)
    codes = np.zeros((count, N), np.int32)
    bits = np.zeros(count)
    for i, g in enumerate(classes):
        s = 0
        for q in range(order.counts[g]):
            t = order.tables[g, q] + (s & 1 if states > 1 else 0)
            most = (tables.most[t] + 40) << tables.low[t]
            m = min(int(random.exponential(scale * 2.0 ** (spreads[q] / 24))), int(most))
            codes[i, q] = m if random.random() < 0.5 else -m
            high = min(m >> tables.low[t], tables.most[t])
            bits[i] += tables.rate[t, high] + (m > 0)
            s = tables.moves[s, m & 1]
    lengths = np.array([int(bits[classes == g].max(initial=0)) + 3 for g in range(3)], np.int64)
    return tables, order, classes, codes, bits, lengths


def written(tables: Tables, order, classes, codes, bits, lengths):
    own = lengths[classes]
    begins = np.cumsum(own) - own
    string = np.zeros(int(own.sum()) // 8 + 17, np.uint8)
    came = np.zeros(len(classes), np.uint8)
    write_records(
        codes, classes, order.tables, order.counts, lengths, bits, tables.moves, tables.most,
        tables.low, tables.wide, tables.first, tables.ranked, tables.precision, begins, string,
        came,
    )  # fmt: skip
    return string, begins, came


def by_whole_numbers(tables: Tables, order, g: int, record: int, length: int) -> list[int]:
    """Signed magnitudes of a record that is one whole number, bit 0 first."""
    words = max(length // 32 - 1, 0)
    width = length - 32 * words
    x = record & ((1 << width) - 1) | 1 << width
    rest = record >> width
    size, s, found = 1 << tables.precision, 0, []

    def refilled(x: int) -> int:
        nonlocal words, rest
        if x < 2**32 and words:
            x, rest, words = x << 32 | rest & (2**32 - 1), rest >> 32, words - 1
        return x

    for q in range(order.counts[g]):
        t = order.tables[g, q] + (s & 1 if tables.states > 1 else 0)
        f = tables.wide[t]
        entries = sorted((np.float64(2 * r + 1) / (2 * f[m]), m, r) for m in range(len(f))
                         for r in range(f[m]))  # fmt: skip
        _, m, rank = entries[x % size]
        x = refilled(int(f[m]) * (x // size) + rank)
        if m == tables.most[t]:
            m, x = m + x % 256, refilled(x >> 8)
        low = int(tables.low[t])
        if low:
            m, x = m << low | x % (1 << low), refilled(x >> low)
        found.append(int(m))
        s = tables.moves[s, m & 1]
    for q, m in enumerate(found):
        if m:
            found[q] = -m if x & 1 else m
            x = refilled(x >> 1)
    return found


@pytest.mark.parametrize("states", [1, 4, 8, 32])
@pytest.mark.parametrize("scale", [0.05, 0.5, 1.5])
def test_records_come_back(states, scale):
    tables, order, classes, codes, bits, lengths = laid(states, 70, states, scale)
    string, begins, came = written(tables, order, classes, codes, bits, lengths)
    assert came.all()
    out = np.full((len(classes), N), np.nan, np.float32)
    steps = np.array([1, 0.5, 3], np.float32)
    read_records_at(
        walled(string), begins, classes, lengths, order.tables, order.places, order.counts, steps,
        tables.slots, tables.low, tables.most, tables.values, tables.shift, tables.moves,
        tables.precision, tables.idle, out,
    )  # fmt: skip
    for i, g in enumerate(classes):
        s, wanted = 0, np.zeros(N, np.float32)
        for q in range(order.counts[g]):
            z = s & 1 if states > 1 else 0
            m = abs(int(codes[i, q]))
            level = np.float32(2 * m - z if m else 0) * steps[g]
            wanted[order.places[g, q]] = level if codes[i, q] >= 0 else -level
            s = tables.moves[s, m & 1]
        assert np.array_equal(out[i], wanted), i


def test_beside_whole_numbers():
    tables, order, classes, codes, bits, lengths = laid(8, 12, 5, 0.7)
    string, begins, came = written(tables, order, classes, codes, bits, lengths)
    assert came.all()
    whole = int.from_bytes(string.tobytes(), "little")
    for i, g in enumerate(classes):
        record = whole >> int(begins[i]) & ((1 << int(lengths[g])) - 1)
        found = by_whole_numbers(tables, order, g, record, int(lengths[g]))
        assert found == codes[i, : order.counts[g]].tolist()


def test_records_too_long_are_told():
    tables, order, classes, codes, bits, lengths = laid(8, 70, 6, 1.0)
    short = lengths - 30
    _, _, came = written(tables, order, classes, codes, bits, short)
    fits = bits < short[classes] - 1
    assert not came[bits > short[classes] + 1].any()
    assert came[fits].all()


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kinds", [2, 5, 16, 300])
def test_records_are_found(rows, kinds):
    """Beside sums of lengths, whole and in slices; every bit lies where it was put."""
    random = np.random.default_rng(kinds)
    stream = Stream("records", tuple(random.integers(0, 90, kinds).tolist()), rows)
    classes = random.integers(0, kinds, 700)
    lengths = np.array(stream.lengths)[classes]
    ends = np.cumsum(lengths)
    planes = random.integers(0, 2, int(ends[-1])).astype(np.uint8)
    packed = np.packbits(planes, bitorder="little")
    data = joined([(np.append(packed, np.zeros(8, np.uint8)), 0, len(planes))], 0)
    assert np.array_equal(data[:-8], packed)
    piece = StreamPiece(classes, data, len(planes))
    whole = StreamRows.build(stream, piece.classes, piece.data)
    for start, stop in ((0, 700 * rows), (131 * rows + 1, 640 * rows), (5, 6)):
        part = whole.slice(start, stop)
        ids = random.integers(0, stop - start, 100)
        records = part.records(ids)
        assert np.array_equal(records, (ids + start) // rows)
        found, begins = part.locate(records)
        assert np.array_equal(found, classes[records])
        assert np.array_equal(begins, (ends - lengths)[records])
    assert sum(a.nbytes for a in whole.tensors.values()) == stream.nbytes(700 * rows, len(planes))


def test_damaged_addresses_and_classes_are_refused():
    stream = Stream("records", (10, 70, 9))
    classes = np.tile([0, 1], 100)
    data = np.zeros(1008, np.uint8)
    whole = StreamRows.build(stream, classes, data)
    every = np.arange(200)
    whole.locate(every)
    for damage in (2**32 - 1, 8000):
        bad = StreamRows.build(stream, classes, data)
        bad.addresses[2] = damage
        with pytest.raises(BadInput, match="lies outside its data"):
            bad.locate(every)
    for base in (2**63, 2**64 - 1, 2**40):
        bad = StreamRows.build(stream, classes, data)
        bad.bases[0] = base
        with pytest.raises(BadInput, match="lies outside its data"):
            bad.locate(every)
    bad = StreamRows.build(stream, classes, data)
    bad.classes[3] = 0xFF  # class 3 of 3
    with pytest.raises(BadInput, match="lies outside its data"):
        bad.locate(every)


def test_noise_decodes_to_something():
    """Any bytes are records: nothing outside the string is read, and values stay finite."""
    random = np.random.default_rng(9)
    tables, order, classes, _, _, lengths = laid(8, 64, 7, 1.0)
    own = lengths[classes]
    begins = np.cumsum(own) - own
    string = random.integers(0, 256, int(own.sum()) // 8 + 9).astype(np.uint8)
    out = np.empty((64, N), np.float32)
    read_records_at(
        walled(string), begins, classes, lengths, order.tables, order.places, order.counts,
        np.ones(3, np.float32), tables.slots, tables.low, tables.most, tables.values, tables.shift,
        tables.moves, tables.precision, tables.idle, out,
    )  # fmt: skip
    assert np.isfinite(out).all()
