"""tt beside tensorly's TT-SVD on the same shape, of all GloVe."""

from __future__ import annotations

import numpy as np
import pytest

import embcompress
from embcompress.solvers.train_shape import parse_shape
from tests.benchmarks.pairs import command, medians, pairs, times_faster
from tests.methods.test_quantize import relative_error
from tests.methods.test_tt import dense, tensor

tensorly = pytest.importorskip("tensorly")

pytestmark = pytest.mark.bench

RANK = 64


@pytest.mark.parametrize("shape", ["64x5,79x5,80x2", "136x2,55x5,54x5", "74x1,74x1,74x1,1x50"])
def test_command_beside_tensorly(shape, glove, tmp_path):
    from tensorly.decomposition import tensor_train

    np.save(tmp_path / "glove.npy", glove)
    output = tmp_path / "o.safetensors"
    whole = tensor(glove, parse_shape(shape)).astype(np.float32)
    found = {}

    def theirs():
        cuts = len(whole.shape) - 1
        found["train"] = tensor_train(whole, [1, *[RANK] * cuts, 1])

    words = ["--rank", RANK, "--shape", shape, "--no-report", "-q", "--force"]
    times = pairs(command("tt", tmp_path / "glove.npy", "-o", output, *words), theirs, 1)
    ours, peer = medians(times)
    factors = [np.asarray(f) for f in found["train"].factors]
    peers_error = relative_error(glove, dense(factors, parse_shape(shape), glove))
    error = relative_error(glove, embcompress.open(output)["glove"].restore())
    print(
        f"\ntt {shape} rank {RANK}: error {error:.4f}, tensorly {peers_error:.4f} (bar 1.01×);"
        f" whole command {ours:.1f} s, tensorly {peer:.1f} s, ratio {times_faster(times):.1f}"
        " (bar 3)"
    )
    assert error <= 1.01 * peers_error
