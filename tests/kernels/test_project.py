import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.project import project, shift
from tests.kernels.walls import Output, walled


def reference(coords, basis, offset):
    out = np.broadcast_to(offset, (len(coords), len(offset))).astype(np.float32)
    for k in range(len(basis)):
        out = out + coords[:, k : k + 1] * basis[k]
    return out


@settings(deadline=None)  # the first call compiles
@given(
    count=st.integers(0, 20),
    k=st.integers(0, 40),
    d=st.integers(1, 70),
    seed=st.integers(0, 2**32),
)
def test_same_bits_as_numpy(count, k, d, seed):
    rng = np.random.default_rng(seed)
    coords = rng.standard_normal((count, k)).astype(np.float32)
    basis = rng.standard_normal((k, d)).astype(np.float32)
    offset = rng.standard_normal(d).astype(np.float32)
    out = Output(count, d)
    project(walled(coords), walled(basis), walled(offset), out.array)
    assert out.checked().tobytes() == reference(coords, basis, offset).tobytes()


def test_any_batch_gives_the_same_bits():
    rng = np.random.default_rng(0)
    coords = rng.standard_normal((31, 100)).astype(np.float32)
    basis = rng.standard_normal((100, 300)).astype(np.float32)
    offset = rng.standard_normal(300).astype(np.float32)
    whole = np.empty((31, 300), np.float32)
    project(coords, basis, offset, whole)
    assert whole.tobytes() == reference(coords, basis, offset).tobytes()
    for size in (1, 2, 3, 7, 16):
        for start in range(0, 31, size):
            part = np.empty((len(coords[start : start + size]), 300), np.float32)
            project(coords[start : start + size], basis, offset, part)
            assert part.tobytes() == whole[start : start + size].tobytes()


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 20), st.integers(1, 70), st.integers(0, 2**32))
def test_shift(count, d, seed):
    rng = np.random.default_rng(seed)
    coords = rng.standard_normal((count, d)).astype(np.float32)
    offset = rng.standard_normal(d).astype(np.float32)
    out = Output(count, d)
    shift(walled(coords), walled(offset), out.array)
    assert out.checked().tobytes() == (offset + coords).tobytes()
    shift(coords, offset, coords)
    assert coords.tobytes() == out.array.tobytes()
