"""The PyTorch modules on a table of 2,000,000 × 64, beside torch's own quantized bags."""

from __future__ import annotations

import numpy as np
import pytest

import embcompress
from embcompress.methods import Quantize
from tests.benchmarks.pairs import WARM, medians, pairs, times_faster

torch = pytest.importorskip("torch")
et = pytest.importorskip("embcompress.torch")

ROWS, COLUMNS, IDS, CALLS = 2_000_000, 64, 100_000, 8
BAGS = {8: "byte", 4: "4bit", 2: "2bit"}

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def dense():
    return np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)


def both(bits, dense):
    """Our compressed table, and a function that calls torch's operator."""
    torch.set_num_threads(2)
    operators = torch.ops.quantized
    bag = getattr(operators, f"embedding_bag_{BAGS[bits]}_rowwise_offsets")
    packed = getattr(operators, f"embedding_bag_{BAGS[bits]}_prepack")(torch.from_numpy(dense))

    def theirs(ids, edges):
        return bag(packed, ids, edges, False, 0, False, None, None, True)

    return embcompress.compress(dense, Quantize(bits=bits, range="minmax")), theirs


def compared(what, ours, theirs):
    times = pairs(ours, theirs, 40, WARM)
    speeds = [CALLS * IDS / seconds / 1e6 for seconds in medians(times)]
    print(f"\n{what}: {speeds[0]:.0f} M rows/s, torch {speeds[1]:.0f}, ratio"
          f" {times_faster(times):.2f}")  # fmt: skip


@pytest.mark.parametrize("bits", BAGS)
def test_rows(bits, dense):
    """Rows by id: both sides make a new tensor; torch's bags hold one row each."""
    table, theirs = both(bits, dense)
    module = et.Embedding(table)
    random = np.random.default_rng(1)
    ids = [torch.from_numpy(random.integers(0, ROWS, IDS)) for _ in range(CALLS)]
    edges = torch.arange(IDS + 1)
    assert torch.allclose(module(ids[0]), theirs(ids[0], edges), atol=0.05)
    compared(
        f"torch.Embedding at {bits} bits",
        lambda: [module(i) for i in ids],
        lambda: [theirs(i, edges) for i in ids],
    )


@pytest.mark.parametrize("length", [1, 10, 50])
@pytest.mark.parametrize("bits", BAGS)
def test_bags(bits, length, dense):
    """Sums over bags whose lengths vary around a mean (geometrically), or of one row each."""
    table, theirs = both(bits, dense)
    module = et.EmbeddingBag(table, mode="sum", include_last_offset=True)
    random = np.random.default_rng(1)
    ids = [torch.from_numpy(random.integers(0, ROWS, IDS)) for _ in range(CALLS)]
    lengths = random.geometric(1 / length, IDS)
    ends = np.cumsum(lengths)
    edges = torch.from_numpy(np.concatenate([[0], ends[ends < IDS], [IDS]]))
    assert torch.allclose(module(ids[0], edges), theirs(ids[0], edges), atol=0.5)
    compared(
        f"torch.EmbeddingBag at {bits} bits, {length} a bag",
        lambda: [module(i, edges) for i in ids],
        lambda: [theirs(i, edges) for i in ids],
    )
