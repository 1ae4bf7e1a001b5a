"""The codec of entropy-coded rows: every value of a file is checked."""

from __future__ import annotations

import numpy as np
import pytest

from embcompress.codecs.hostile import Config, Shared
from embcompress.codecs.trellis import Trellis
from embcompress.codecs.trellis_basis import Basis, scale_of
from embcompress.errors import BadInput
from tests.goldens import CASES


def golden(name="trellis"):
    return CASES[name]()[1][0].codec


def load(config, model, dim=13):
    return Trellis.load(dim, Config(config, "here"), Shared({"model": model}, "here"), 0)


def test_load_gives_the_same_codec():
    for name in ("trellis", "trellis-plain", "trellis-4"):
        made = golden(name)
        again = load(made.config(), made.shared()["model"])
        assert again.config() == made.config()
        assert np.array_equal(again.shared()["model"], made.shared()["model"])
        assert again.layout() == made.layout()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", 0), ("rows", 5000), ("coordinates", 14), ("basis", 2), ("basis", 0),
        ("states", 16), ("states", 0), ("precision", 13), ("precision", 5), ("lowest", 65),
        ("tables", 2000), ("tables", 11), ("classes", 2**16), ("classes", 4), ("steps", 2),
        ("constant", True), ("raw", "fp8"), ("length_bytes", 3), ("gain_bytes", 4),
        ("widest", 2**16), ("widest", 1.5), ("coordinates", 6),
    ],
)  # fmt: skip
def test_hostile_configs(key, value):
    made = golden()
    with pytest.raises(BadInput, match="here"):
        load(made.config() | {key: value}, made.shared()["model"])


def test_unknown_and_missing_values():
    made = golden()
    model = made.shared()["model"]
    with pytest.raises(BadInput, match="too short"):
        load(made.config(), model[:-1])
    with pytest.raises(BadInput, match="1 bytes too many"):
        load(made.config(), np.append(model, np.uint8(0)))
    with pytest.raises(BadInput, match="is missing"):
        Trellis.load(13, Config(made.config(), "here"), Shared({}, "here"), 0)
    with pytest.raises(BadInput, match="no array of bytes"):
        load(made.config(), model.astype(np.int8))


def test_hostile_models():
    """Any byte of the model may be anything: it loads, or it is refused by name."""
    made = golden()
    model = made.shared()["model"]
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        bad = model.copy()
        bad[random.integers(0, len(bad), random.integers(1, 4))] = random.integers(0, 256)
        try:
            codec = load(made.config(), bad)
        except BadInput:
            refused += 1
            continue
        assert codec.tables.slots.shape[0] == codec.tables.idle + codec.tables.quantizers
        assert (np.sort(codec.order.places, axis=1) == np.arange(7)).all()
    assert 20 < refused < 400


def test_numbers_that_are_not_finite():
    made = golden()
    model = made.shared()["model"].copy()
    model[:4] = np.array([np.nan], "<f4").view(np.uint8)
    with pytest.raises(BadInput, match="NaN"):
        load(made.config(), model)


@pytest.mark.parametrize("width", [2, 3, 7, 12])
def test_basis_comes_back(width):
    random = np.random.default_rng(width)
    codes = random.integers(-(2 ** (width - 1)), 2 ** (width - 1), (5, 11))
    basis = Basis(np.full(5, width, np.uint8), np.arange(5, dtype=np.uint8), codes)
    from embcompress.codecs.hostile import Packing

    raw = np.concatenate([piece.view(np.uint8) for piece in basis.pieces()])
    packing = Packing(Shared({"m": raw}, "here"), "m")
    again = Basis.take(5, 11, packing)
    packing.end()
    assert np.array_equal(again.codes, codes)
    wanted = codes * 2.0 ** (-np.arange(5) / 2)[:, None]
    assert np.allclose(again.matrix, wanted, rtol=1e-6)
    assert scale_of(np.array([0, 1, 4], np.uint8)).tolist() == [1, np.float32(0.70710677), 0.25]
