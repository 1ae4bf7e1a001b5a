"""Look-ups of 100,000 random rows of 2,000,000 × 64 through the public API, beside torch's bags."""

from __future__ import annotations

import numpy as np
import pytest

import embcompress
from embcompress.methods import Quantize
from tests.benchmarks.pairs import WARM, medians, pairs, times_faster

torch = pytest.importorskip("torch")

ROWS, COLUMNS, IDS, CALLS = 2_000_000, 64, 100_000, 8
BAGS = {8: "byte", 4: "4bit", 2: "2bit"}

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)


@pytest.mark.parametrize("bits", BAGS)
def test_lookup_beside_torchs_bags(bits, table):
    """Bags of one, two threads each; ours reuses its output, as ``out=`` allows."""
    torch.set_num_threads(2)
    operators = torch.ops.quantized
    look_up = getattr(operators, f"embedding_bag_{BAGS[bits]}_rowwise_offsets")
    packed = getattr(operators, f"embedding_bag_{BAGS[bits]}_prepack")(torch.from_numpy(table))
    compressed = embcompress.compress(table, Quantize(bits=bits, range="minmax"))
    random = np.random.default_rng(1)
    ids = [random.integers(0, ROWS, IDS) for _ in range(CALLS)]
    tensors = [torch.from_numpy(i) for i in ids]
    offsets = torch.arange(IDS)
    out = np.empty((IDS, COLUMNS), np.float32)

    def ours():
        for i in ids:
            compressed.lookup(i, out=out)

    def theirs():
        for i in tensors:
            look_up(packed, i, offsets, False, 0, False, None, None, False)

    times = pairs(ours, theirs, 40, WARM)
    speeds = [CALLS * IDS / seconds / 1e6 for seconds in medians(times)]
    print(
        f"\nlook-ups at {bits} bits: {speeds[0]:.0f} M rows/s, torch {speeds[1]:.0f},"
        f" ratio {times_faster(times):.2f}"
    )
