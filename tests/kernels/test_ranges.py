"""Ranges of rows: torch's operators, plain numpy references, and rows that no table should have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import load, store, to_half, transpose
from embcompress.solvers.ranges import quantize_rows

SEARCHES = ("minmax", "greedy", "lsq")
BIGGEST = np.finfo(np.float32).max


def quantize(rows, bits=4, search="greedy", *, half=True, bins=200, shrink=0.16):
    return quantize_rows(np.ascontiguousarray(rows, np.float32), bits, search, bins, shrink, half)


def decode(codes, scale, bias):
    with np.errstate(all="ignore"):
        return codes.astype(np.float32) * scale[:, None] + bias[:, None]


def errors(rows, fitted):
    return ((rows.astype(np.float64) - decode(*fitted)) ** 2).sum(1)


def rounded(values, half):
    return values.astype(np.float16).astype(np.float32) if half else values


def reference(rows, bits, half, bins=0, shrink=0.16):
    """Guan et al.'s search as torch has it, in numpy, all rows together; bins = 0: no search."""
    top = np.float32(2**bits - 1)
    low, high = rows.min(1), rows.max(1)
    best_low, best_high = low.copy(), high.copy()

    def loss(low, high):
        bias = rounded(low, half)
        spread = high - bias
        scale = np.where(spread == 0, np.float32(1), rounded(spread / top, half))
        per_step = np.divide(1, scale, out=np.ones_like(scale), where=scale != 0)
        total = np.zeros(len(rows), np.float32)
        for column in rows.T:
            codes = np.clip(np.rint((column - bias) * per_step), 0, top)
            rest = column - (codes * scale + bias)
            total += rest * rest
        return np.sqrt(total)

    if bins:
        step = (high - low) / np.float32(bins)
        margin = np.float32(int(bins * (1.0 - float(np.float32(shrink))))) * step
        best = now = loss(low, high)
        while (going := low + margin < high).any():
            up, down = loss(low + step, high), loss(low, high - step)
            better = going & (now < up) & (now < down) & (now < best)
            best[better], best_low[better] = now[better], low[better]
            best_high[better] = high[better]
            raise_low, drop_high = going & (up < down), going & ~(up < down)
            now = np.where(up < down, up, down)
            low, high = np.where(raise_low, low + step, low), np.where(drop_high, high - step, high)
    bias = rounded(best_low, half)
    spread = best_high - bias
    scale = np.where(spread == 0, np.float32(1), rounded(spread / top, half))
    scale = np.where(scale == 0, np.float32(1), scale)
    steps = (rows - bias[:, None]) * (1 / scale)[:, None]
    return np.clip(np.rint(steps), 0, top).astype(np.uint8), scale, bias


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def by_torch(rows, bits, search):
    torch = pytest.importorskip("torch")
    operator = getattr(torch.ops.quantized, f"embedding_bag_{bits}bit_prepack")
    packed = operator(torch.from_numpy(rows), optimized_qparams=search == "greedy").numpy()
    width = rows.shape[1] * bits // 8
    parts = [packed[:, :width] >> (bits * k) & (2**bits - 1) for k in range(8 // bits)]
    scale, bias = packed[:, width:].copy().view(np.float16).astype(np.float32).T
    return np.stack(parts, -1).reshape(rows.shape), scale, bias


@kernel("void(float32[::1], float32[::1])")
def halves(values, out):
    for start in range(0, values.shape[0], 16):
        store(out, start, to_half(load(values, start)))


@kernel("void(float32[:,::1], float32[:,::1], uint8[:,::1], uint8[:,::1])")
def turned(floats, float_out, small, small_out):
    transpose(floats, 0, floats.shape[1], float_out, 0, 16)
    transpose(small, 0, small.shape[1], small_out, 0, 16)


def test_fp16_rounding_is_numpys():
    every = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (every[1:] + every[:-1]) / 2
    around = [np.nextafter(middle, sign * np.float32(np.inf)) for sign in (1, -1)]
    values = np.concatenate([every, middle, *around, [1e-45, 65519.9]]).astype(np.float32)
    values = np.resize(np.concatenate([values, -values]), (2 * len(values) + 15) // 16 * 16)
    out = np.empty_like(values)
    halves(values, out)
    expected = values.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(out.view(np.int32), expected.view(np.int32))
    halves(np.full(16, BIGGEST), out[:16])
    assert (out[:16] == 65504).all()


def test_transpose():
    floats = np.random.default_rng(0).random((16, 21), np.float32)
    small = np.random.default_rng(1).integers(0, 256, (16, 16), np.uint8)
    float_out, small_out = np.empty((16, 16), np.float32), np.empty((16, 16), np.uint8)
    turned(floats, float_out, small, small_out)
    np.testing.assert_array_equal(float_out, floats[:, :16].T)
    np.testing.assert_array_equal(small_out, small.T)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("bits", range(1, 9))
def test_numpy_reference(bits, half):
    rng = np.random.default_rng(bits)
    for width in (1, 2, 7, 16, 19, 33, 64):
        rows = rng.standard_t(3, (45, width)).astype(np.float32) * np.float32(0.3)
        for search, bins in (("minmax", 0), ("greedy", 200), ("greedy", 37)):
            expected = reference(rows, bits, half, bins)
            assert_same(quantize(rows, bits, search, half=half, bins=bins or 200), expected)
        expected = reference(rows, bits, half, 100, 0.7)
        assert_same(quantize(rows, bits, half=half, bins=100, shrink=0.7), expected)


@pytest.mark.parametrize("search", ["minmax", "greedy"])
@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("table", ["glove", "minilm"])
def test_torch_bit_for_bit(table, bits, search, request):
    rows = request.getfixturevalue(table)
    width = rows.shape[1] // 4 * 4
    rows = np.ascontiguousarray(rows[:: len(rows) // 10_000, :width])
    assert_same(quantize(rows, bits, search), by_torch(rows, bits, search))


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("table", ["glove", "minilm"])
def test_torch_bit_for_bit_on_whole_tables(table, bits, request):
    rows = request.getfixturevalue(table)
    rows = np.ascontiguousarray(rows[:, : rows.shape[1] // 4 * 4])
    assert_same(quantize(rows, bits), by_torch(rows, bits, "greedy"))


@pytest.mark.parametrize("search", ["minmax", "greedy"])
def test_torch_bit_for_bit_on_odd_rows(search):
    rng = np.random.default_rng(3)
    scales = 10.0 ** rng.uniform(-9, 4, (4000, 1))
    rows = (rng.standard_t(2, (4000, 8)).clip(-6, 6) * scales).astype(np.float32)
    rows[:500] = rows[:500, :1]  # constant
    rows[500:600] = 0
    rows[600:1000, 1:] = rows[600:1000, :1] * rng.uniform(1, 1.01, (400, 7))
    assert_same(quantize(rows, 4, search), by_torch(rows, 4, search))


def test_search_stops_where_torch_never_does():
    rows = np.ones((16, 8), np.float32)
    rows[:, 1] = 1 + 2**-20  # a two-hundredth of the range is lost in rounding
    _, scale, bias = quantize(rows)
    assert np.isfinite(scale).all()
    assert (bias == 1).all()


BARS = {4: 0.1015, 3: 0.1900, 2: 0.3425, 1: 0.6020}


@pytest.mark.parametrize("bits", BARS)
def test_least_squares_error_on_minilm(bits, minilm):
    rows = minilm
    fitted, greedy = quantize(rows, bits, "lsq"), quantize(rows, bits)
    assert np.sqrt(errors(rows, fitted).sum() / (rows.astype(np.float64) ** 2).sum()) <= BARS[bits]
    assert (errors(rows, fitted) <= errors(rows, greedy) * (1 + 1e-12)).all()


@pytest.mark.parametrize("bits", range(1, 9))
def test_least_squares_matches_many_starts(bits):
    """The plain iteration, from forty shrunken ranges, twelve rounds each."""
    rows = np.random.default_rng(bits).standard_normal((300, 24)).astype(np.float32)
    top, best = 2**bits - 1, np.full(len(rows), np.inf)
    for share in np.linspace(0.25, 1, 40):
        middle, spread = (rows.min(1) + rows.max(1)) / 2, np.ptp(rows, axis=1) * share
        low, step = middle - spread / 2, spread / top
        for _ in range(12):
            codes = np.clip(np.rint((rows - low[:, None]) / step[:, None]), 0, top)
            centred = codes - codes.mean(1, keepdims=True)
            square = (centred**2).sum(1)
            fit = (centred * rows).sum(1) / np.where(square > 0, square, 1)
            step = np.where(square > 0, fit, step)
            low = rows.mean(1) - step * codes.mean(1)
        best = np.minimum(best, errors(rows, (codes, step, low)))
    assert errors(rows, quantize(rows, bits, "lsq", half=False)).sum() <= 1.01 * best.sum()


def odd_rows(half):
    largest = 65504.0 if half else float(BIGGEST)
    plain = st.floats(-largest, largest, width=32)
    shape = st.tuples(st.integers(1, 20), st.integers(1, 40))
    around = st.builds(lambda x, e: float(np.float32(x * 2.0**e)), st.floats(-2, 2), ends(half))
    few = st.sampled_from([0.0, -0.0, 1.0, 0.1, largest, -largest, 1e-45, -1e-38, 6e-8])
    return shape.flatmap(
        lambda size: st.one_of(
            *(hnp.arrays(np.float32, size, elements=kind) for kind in (plain, around, few))
        )
    )


def ends(half):
    return st.integers(-149, 13 if half else 126)


@pytest.mark.parametrize("half", [True, False])
def test_any_rows(half):
    @settings(max_examples=150, deadline=None)
    @given(odd_rows(half), st.integers(1, 8))
    def check(rows, bits):
        found = [quantize(rows, bits, search, half=half) for search in SEARCHES]
        for codes, scale, bias in found:
            assert codes.max(initial=0) <= 2**bits - 1
            assert np.isfinite(decode(codes, scale, bias)).all()
            full = np.full((len(rows), 1), 2**bits - 1)
            assert np.isfinite(decode(full, scale, bias)).all()
            assert (scale != 0).all()
            if half:
                np.testing.assert_array_equal(rounded(scale, True), scale)
                np.testing.assert_array_equal(rounded(bias, True), bias)
        assert (errors(rows, found[2]) <= errors(rows, found[1]) * (1 + 1e-12)).all()

    check()


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("half", [True, False])
def test_constant_rows(search, half):
    values = [0, 1, -1, 0.1, 1.1, -1234.5, 6e-5] + ([] if half else [1e-45, 3e-39, BIGGEST, 1e30])
    for width in (1, 3, 16, 40):
        rows = np.repeat(np.array(values, np.float32)[:, None], width, 1)
        decoded = decode(*quantize(rows, 3, search, half=half))
        if half:
            nearest = np.abs(rows.astype(np.float16).astype(np.float32) - rows)
            assert (np.abs(decoded - rows) <= nearest).all()
        else:
            np.testing.assert_array_equal(decoded, rows)
        assert (decoded[0] == 0).all()


@pytest.mark.parametrize("search", SEARCHES)
def test_size_of_rows_does_not_matter(search):
    """In float32, times a power of two: the same codes, and the range times it."""
    rows = np.random.default_rng(0).standard_normal((50, 24)).astype(np.float32)
    codes, scale, bias = quantize(rows, 5, search, half=False)
    for power in (-110, -60, -49, 49, 60, 110, 124):
        times = np.float32(2.0**power)
        same = quantize(rows * times, 5, search, half=False)
        assert_same(same, (codes, scale * times, bias * times))


def test_denormal_rows_keep_what_they_can():
    rows = (np.arange(-20, 20, dtype=np.float32) * np.float32(1e-45)).reshape(2, 20)
    for search in SEARCHES:
        np.testing.assert_array_equal(decode(*quantize(rows, 5, search, half=False)), rows)


def test_range_wider_than_float32():
    rows = np.linspace(-1, 1, 33, dtype=np.float32)[None] * BIGGEST
    found = [errors(rows, quantize(rows, 8, search, half=False)) for search in SEARCHES]
    assert found[2] < 0.5 * found[1]


@pytest.mark.parametrize("width", [1, 3, 8, 15, 16, 17, 50])
def test_rows_do_not_depend_on_their_batch(width):
    rows = np.random.default_rng(width).standard_t(3, (83, width)).astype(np.float32)
    rows[::9] *= np.float32(1e20)
    for search in SEARCHES:
        whole = quantize(rows, 3, search, half=False)
        for start, stop in ((0, 1), (0, 16), (5, 21), (1, 83), (40, 83), (82, 83), (13, 64)):
            part = quantize(rows[start:stop], 3, search, half=False)
            assert_same(part, [value[start:stop] for value in whole])


def test_empty():
    for shape in ((0, 5), (4, 0), (0, 0)):
        codes, scale, bias = quantize(np.zeros(shape, np.float32))
        assert codes.shape == shape
        assert scale.shape == bias.shape == shape[:1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bits": 0},
        {"bits": 9},
        {"search": "best"},
        {"bins": 0},
        {"shrink": -0.1},
        {"shrink": 1.1},
        {"rows": np.zeros(4, np.float32)},
        {"rows": np.zeros((4, 4))},
        {"rows": np.zeros((4, 4), np.float32, order="F")},
    ],
)
def test_refuses(wrong):
    given = {"bits": 4, "search": "lsq", "bins": 200, "shrink": 0.16, "half": True}
    given["rows"] = np.zeros((4, 3), np.float32)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        quantize_rows(**(given | wrong))
