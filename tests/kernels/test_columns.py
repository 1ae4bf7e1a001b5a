import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.columns import spread
from tests.kernels.walls import Output, walled


def reference(coords, kept, fill):
    out = np.repeat(fill[None], len(coords), axis=0)
    out[:, kept] = coords
    return out


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 20), st.integers(0, 70), st.floats(0, 1), st.integers(0, 2**32))
def test_same_bits_as_numpy(count, d, share, seed):
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(d) < share).astype(np.int64)
    coords = rng.standard_normal((count, len(kept))).astype(np.float32)
    fill = rng.standard_normal(d).astype(np.float32)
    out = Output(count, d)
    spread(walled(coords), walled(kept), walled(fill), out.array)
    assert out.checked().tobytes() == reference(coords, kept, fill).tobytes()
