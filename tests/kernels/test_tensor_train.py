import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.tensor_train import decode_train
from tests.kernels.walls import Output, walled


def reference(cores, slots, d):
    out = np.empty((len(slots), d), np.float32)
    for i, slot in enumerate(slots):
        digits = np.unravel_index(slot, [len(core) for core in cores])
        x = cores[0][digits[0]].reshape(-1, cores[0].shape[3])
        for core, digit in zip(cores[1:], digits[1:], strict=True):
            y = np.zeros((len(x), *core.shape[2:]), np.float32)
            for rho in range(core.shape[1]):
                y = y + x[:, rho, None, None] * core[digit, rho]
            x = y.reshape(-1, core.shape[3])
        out[i] = x.ravel()[:d]
    return out


sizes = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 20)), max_size=3)


@settings(deadline=None)  # the first call compiles
@given(sizes, st.integers(0, 12), st.integers(0, 2**32))
def test_same_bits_as_numpy(sizes, count, seed):
    sizes = [*sizes, (3, 2, 1)]
    rng = np.random.default_rng(seed)
    around = [1, *(r for *_, r in sizes[:-1]), 1]
    cores = [
        rng.standard_normal((n, around[k], d, around[k + 1])).astype(np.float32)
        for k, (n, d, _) in enumerate(sizes)
    ]
    columns = np.array([c.shape[2] for c in cores])
    d = int(rng.integers(1, columns.prod() + 1))
    rows = np.array([len(c) for c in cores])
    slots = rng.integers(0, rows.prod(), count)
    slots = np.sort(slots) if seed % 2 else slots
    starts = np.cumsum([0, *(c.size for c in cores[:-1])])
    out = Output(count, d)
    flat = np.concatenate([c.ravel() for c in cores])
    decode_train(
        walled(flat), starts, rows, columns, np.array(around), slots.astype(np.int64), out.array
    )
    assert out.checked().tobytes() == reference(cores, slots, d).tobytes()


def test_a_slot_past_the_end_stays_inside():
    cores = np.arange(6, dtype=np.float32)
    out = Output(1, 1)
    one = np.ones(1, np.int64)
    decode_train(
        walled(cores), 0 * one, 6 * one, one, np.ones(2, np.int64), np.array([2**40]), out.array
    )
    assert out.checked()[0, 0] in cores
