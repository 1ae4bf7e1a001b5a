import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.kernels.nearest import NONE, in_order, keep_best


@pytest.mark.parametrize("sign", [1.0, -1.0])
@settings(deadline=None)  # the first call compiles
@given(
    n=st.integers(0, 400),
    k=st.integers(0, 30),
    q=st.integers(0, 4),
    levels=st.integers(1, 500),
    block=st.integers(1, 150),
    seed=st.integers(0, 2**32),
)
def test_keeps_the_best_in_any_order_of_blocks(sign, n, k, q, levels, block, seed):
    """As sorting by score, then by row number; scores that are not numbers come last."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (q, n)).astype(np.float32)
    scores[rng.random((q, n)) < rng.choice([0, 0.02, 0.95])] = np.nan
    scores[rng.random((q, n)) < 0.02] = np.inf
    own = rng.integers(-1, max(n, 1), q)
    keys = np.full((q, k), -np.inf, np.float32)
    ids = np.full((q, k), NONE)
    for start in rng.permutation(np.arange(0, n, block)):
        part = np.ascontiguousarray(scores[:, start : start + block])
        keep_best(part, sign, start, own, keys, ids)
    for i in range(q):
        key = np.nan_to_num(sign * scores[i], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        wanted = np.lexsort((np.arange(n), -key))
        wanted = wanted[wanted != own[i]][:k]
        found_keys, found = in_order(keys[i : i + 1], ids[i : i + 1], len(wanted))
        assert np.array_equal(found[0], wanted)
        assert np.array_equal(found_keys[0], key[wanted])
