"""Ranges and codes of whole tables on two threads, beside torch's row-wise operators."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from embcompress.solvers.ranges import quantize_rows
from tests.benchmarks.pairs import WARM, medians, pairs, times_faster

torch = pytest.importorskip("torch")

TILE, BITS = 4096, 4
ROUNDS = {"minmax": 15, "greedy": 3, "lsq": 3}

pytestmark = pytest.mark.bench


@pytest.fixture
def two_torch_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def own(rows, search, pool):
    tiles = [rows[start : start + TILE] for start in range(0, len(rows), TILE)]

    def fit(tile):
        return quantize_rows(tile, BITS, search, 200, 0.16, True)

    return lambda: list(pool.map(fit, tiles))


def by_torch(rows, search):
    tensor, optimized = torch.from_numpy(rows), search != "minmax"
    pack = torch.ops.quantized.embedding_bag_4bit_prepack
    return lambda: pack(tensor, optimized_qparams=optimized)


@pytest.mark.parametrize("search", ROUNDS)
@pytest.mark.parametrize("table", ["glove", "minilm"])
def test_ranges_beside_torch(table, search, request, two_torch_threads):
    rows = np.ascontiguousarray(request.getfixturevalue(table))
    with ThreadPoolExecutor(2) as pool:
        times = pairs(
            own(rows, search, pool),
            by_torch(rows, search),
            ROUNDS[search],
            WARM if search == "minmax" else 0,
        )
    speed = [rows.nbytes / seconds / 1e6 for seconds in medians(times)]
    print(
        f"\n{table} {search}, {BITS} bits: {speed[0]:.0f} MB/s, "
        f"torch {speed[1]:.0f}, ratio {times_faster(times):.1f}"
    )
