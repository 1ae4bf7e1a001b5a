"""Look-ups of 100,000 random rows of 2,000,000 x 64, beside torch's quantized embedding bags."""

from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter

import numpy as np
import pytest

from embcompress.kernels.bits import packed_bytes
from embcompress.kernels.uniform import decode_uniform

torch = pytest.importorskip("torch")

ROWS, COLUMNS, IDS, ROUNDS = 2_000_000, 64, 100_000, 60
BAGS = {8: "byte", 4: "4bit", 2: "2bit"}

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def ids():
    rng = np.random.default_rng(0)
    return [rng.integers(0, ROWS, IDS) for _ in range(8)]


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def torch_lookup(bits, ids):
    bag = getattr(torch.ops.quantized, f"embedding_bag_{BAGS[bits]}_rowwise_offsets")
    pack = getattr(torch.ops.quantized, f"embedding_bag_{BAGS[bits]}_prepack")
    packed = pack(torch.randn(ROWS, COLUMNS))
    offsets = torch.arange(IDS)
    ids = [torch.from_numpy(one) for one in ids]
    return lambda k: bag(packed, ids[k], offsets, False, 0, False, None, None, False)


def own_lookup(bits, ids, pool, threads):
    rng = np.random.default_rng(1)
    h = packed_bytes(COLUMNS, bits)
    records = rng.integers(0, 255, (ROWS, h + 4), dtype=np.uint8)
    scales = rng.uniform(-1.5, -0.5, (ROWS, 2)).astype(np.float16)
    records[:, h:] = scales.view(np.uint8)
    out = np.empty((IDS, COLUMNS), np.float32)
    shares = [slice(IDS * i // threads, IDS * (i + 1) // threads) for i in range(threads)]

    def one(k, share):
        decode_uniform(records, 0, bits, COLUMNS, True, ids[k][share], out[share])

    def all_shares(k):
        for job in [pool.submit(one, k, share) for share in shares]:
            job.result()

    return all_shares if threads > 1 else lambda k: one(k, shares[0])


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_uniform_beside_torch(bits, ids, threads):
    with ThreadPoolExecutor(threads) as pool:
        own, other = own_lookup(bits, ids, pool, threads), torch_lookup(bits, ids)
        times = []
        for k in range(ROUNDS):
            start = perf_counter()
            own(k % 8)
            middle = perf_counter()
            other(k % 8)
            times.append((middle - start, perf_counter() - middle))
    pairs = times[ROUNDS // 6 :]
    speed = [IDS / median(column) / 1e6 for column in zip(*pairs, strict=True)]
    ratio = median(theirs / ours for ours, theirs in pairs)
    print(
        f"\n{bits} bits, {threads} thread(s): {speed[0]:.0f} M rows/s, "
        f"torch {speed[1]:.0f}, ratio {ratio:.2f}"
    )
