"""quantize beside PyTorch's operators, through files."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.artifact.form import Form
from embcompress.codecs.base import Parts
from embcompress.kernels.bits import unpack_codes
from embcompress.methods import Quantize
from embcompress.pipeline.memory import compress


def fields(table):
    """Codes, scales and biases of a compressed table of one segment."""
    form: Form = table.form
    codec = form.segments[0].codec
    parts: Parts = table.encoded(0, 0, len(table))
    layout = codec.layout()
    packed = parts.values(layout, "codes", 0, len(table))
    return (
        unpack_codes(packed, codec.dim, codec.bits),
        parts.values(layout, "scale", 0, len(table)),
        parts.values(layout, "bias", 0, len(table)),
    )


def relative_error(rows, restored):
    wide = rows.astype(np.float64)
    return np.linalg.norm(wide - restored) / np.linalg.norm(wide)


def torch_fields(rows, bits):
    """Codes, scales and biases by PyTorch's greedy operator; D fills whole bytes."""
    torch = pytest.importorskip("torch")
    operator = getattr(torch.ops.quantized, f"embedding_bag_{bits}bit_prepack")
    packed = operator(torch.from_numpy(rows), optimized_qparams=True).numpy()
    d = rows.shape[1]
    raw, numbers = packed[:, : d * bits // 8], packed[:, d * bits // 8 :]
    per = 8 // bits
    codes = np.stack([raw >> (bits * i) & (2**bits - 1) for i in range(per)], 2).reshape(
        len(rows), d
    )
    halves = np.ascontiguousarray(numbers).view(np.float16)
    return codes, halves[:, :1], halves[:, 1:]


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("source", ["glove", "minilm"])
def test_greedy_is_torch_bit_for_bit(source, bits, request):
    rows = request.getfixturevalue(source)
    rows = np.ascontiguousarray(rows[:40_000, : rows.shape[1] // 4 * 4])
    ours = fields(compress(rows, Quantize(bits=bits, range="greedy")))
    for mine, theirs in zip(ours, torch_fields(rows, bits), strict=True):
        assert np.array_equal(mine, theirs)


def test_minmax_8_bit_is_torch(glove_slice):
    torch = pytest.importorskip("torch")
    rows = glove_slice[:2000]
    packed = torch.ops.quantized.embedding_bag_byte_prepack(torch.from_numpy(rows)).numpy()
    table = compress(rows, Quantize(bits=8, range="minmax", scale_dtype="fp32"))
    theirs = torch.ops.quantized.embedding_bag_byte_unpack(torch.from_numpy(packed)).numpy()
    step = (rows.max(1) - rows.min(1))[:, None] / 255
    assert (np.abs(table.restore() - theirs) <= 1.01 * step).all()
    assert relative_error(rows, table.restore()) <= 1.001 * relative_error(rows, theirs)


def test_greedy_bars_on_glove(glove, tmp_path):
    table = compress(glove, Quantize(bits=4, range="greedy"))
    assert relative_error(glove, table.restore()) <= 0.0798


@pytest.mark.parametrize(("bits", "bar"), [(4, 0.1015), (3, 0.1900), (2, 0.3425), (1, 0.6020)])
def test_lsq_bars_on_minilm(bits, bar, minilm):
    table = compress(minilm, Quantize(bits=bits))
    greedy = compress(minilm, Quantize(bits=bits, range="greedy"))
    ours, theirs = table.restore(), greedy.restore()
    assert relative_error(minilm, ours) <= bar
    wide = minilm.astype(np.float64)
    mine = ((wide - ours) ** 2).sum(1)
    assert (mine <= ((wide - theirs) ** 2).sum(1) * (1 + 1e-12)).all()
    assert [f.nbytes for f in table.form.segments[0].codec.layout().fields] == [
        -(-384 * bits // 8), 2, 2,
    ]  # fmt: skip


def test_groups_are_quantized_apart(glove_slice):
    """A group's codes are those of its columns alone."""
    rows = np.ascontiguousarray(glove_slice[:500])
    table = compress(rows, Quantize(bits=3, group_size=16))
    alone = [compress(rows[:, a : a + 16], Quantize(bits=3)).restore() for a in (0, 16, 32, 48)]
    assert np.array_equal(table.restore(), np.concatenate(alone, axis=1))
    whole = compress(rows, Quantize(bits=3))
    assert relative_error(rows, table.restore()) < relative_error(rows, whole.restore())


def test_group_size_beyond_the_columns_is_the_whole_row(glove_slice):
    wide, plain = (compress(glove_slice[:10], Quantize(group_size=g)) for g in (51, None))
    assert np.array_equal(wide.restore(), plain.restore())
    assert wide.form.part_bytes() == plain.form.part_bytes()


@pytest.mark.parametrize(("factor", "dtype"), [(1, "fp16"), (1e6, "fp32"), (1e-6, "fp32")])
def test_scale_dtype_follows_the_values(glove_slice, factor, dtype):
    rows = (glove_slice[:300] * factor).astype(np.float32)
    table = compress(rows, Quantize())
    assert table.form.method["resolved"][0]["scale_dtype"] == dtype
    assert relative_error(rows, table.restore()) < 0.125
