"""A trained DeepFM with its embedding tables compressed: outputs before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
et = pytest.importorskip("embcompress.torch")
deepfm = pytest.importorskip("tests.deepfm.model")

TRAINED = Path(__file__).parents[2] / "fixtures" / "deepfm.safetensors"


def fresh(state):
    categories = {
        name.split(".")[1]: len(tensor)
        for name, tensor in state.items()
        if name.startswith("embedding.")
    }
    torch.manual_seed(0)
    return deepfm.DeepFM(categories).eval(), categories


@pytest.mark.parametrize(
    ("words", "drift"), [(("--bits", "8"), 0.05), (("--bits", "4"), 0.5)], ids=str
)
def test_logits_before_and_after(words, drift, tmp_path, run):
    from safetensors.torch import load_file

    state = load_file(TRAINED)
    before, categories = fresh(state)
    before.load_state_dict(state)
    path = tmp_path / "deepfm.small.safetensors"
    code, _, err = run("quantize", TRAINED, "-o", path, "-q", "--keep-failed", *words)
    assert code in (0, 1), err
    after, _ = fresh(state)
    found = et.load_model(after, path)
    assert {n for n in found.compressed if n.startswith("embedding.")} == {
        f"embedding.{name}.weight" for name in categories
    }
    assert (found.restored, found.missing, found.unexpected) == ([], [], [])
    random = np.random.default_rng(0)
    ids = np.stack([random.integers(0, n, 4000) for n in categories.values()], axis=1)
    with torch.inference_mode():
        one, other = before(torch.from_numpy(ids)), after(torch.from_numpy(ids))
    spread = float((one - other).abs().mean() / one.std())
    alike = float(np.corrcoef(one, other)[0, 1])
    print(f"\nDeepFM, {' '.join(words)}: mean change {spread:.4f} of the logits' spread,"
          f" correlation {alike:.5f}")  # fmt: skip
    assert spread < drift / 2
    assert alike > 1 - drift / 4
