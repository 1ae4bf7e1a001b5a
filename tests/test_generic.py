"""What every method must do, tried on each through the same door as a user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import embcompress
import embcompress.errors
from embcompress.artifact.reader import open_artifact
from embcompress.methods import registry
from embcompress.pipeline.memory import compress
from embcompress.pipeline.run import Job, run
from embcompress.pipeline.settings import Settings
from embcompress.pipeline.verification import verify
from embcompress.progress import Progress
from tests import reader
from tests.variants import by_frequency, groupings, information_files, variants

VARIANTS = dict(variants())
GROUPINGS = dict(groupings())
N, D = 4200, 11
FIELDS = {"small": (0, 3), "middle": (3, 1500), "large": (1500, N)}
SQUEEZED = dict(full_report=False, keep_failed=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of more than one tile with odd rows, its frequencies and its fields."""
    folder = tmp_path_factory.mktemp("generic")
    random = np.random.default_rng(7)
    table = random.standard_normal((N, D)).astype(np.float32)
    table *= np.exp(random.standard_normal((N, 1))).astype(np.float32)
    table[5], table[6], table[7] = 0, 0.25, 0.1
    table[8] = 1e-39
    np.save(folder / "table.npy", table)
    np.save(folder / "frequencies.npy", random.zipf(1.5, N))
    np.save(folder / "gradients.npy", random.random((len(FIELDS), D)))
    sizes = [b - a for a, b in FIELDS.values()]
    (folder / "fields.json").write_text(str(sizes))
    return folder


def compressed(folder: Path, method, output: Path, grouping=None, **settings):
    grouping = grouping or {}
    job = Job(
        input=folder / "table.npy",
        output=output,
        method=method,
        settings=Settings(**grouping, **settings),
        frequencies=folder / "frequencies.npy"
        if "keep_hot" in grouping or by_frequency(method)
        else None,
        # only where they matter: a file keeps where its fields lie, and budgets count that
        fields=folder / "fields.json" if "per_field" in grouping or method.per_field else None,
        grads=folder / "gradients.npy" if method.gradients else None,
        force=True,
        **SQUEEZED,
    )
    return run(job, Progress())


@pytest.fixture(scope="module")
def artifacts(folder):
    """Artifacts by variant and grouping, made once."""
    made = {}

    def get(variant, grouping="whole"):
        key = variant, grouping
        if key not in made:
            path = folder / f"{len(made)}.safetensors"
            outcome = compressed(folder, VARIANTS[variant], path, GROUPINGS[grouping])
            made[key] = path, outcome
        return made[key]

    return get


CASES = [(v, "whole") for v in VARIANTS] + [(m, g) for m in registry() for g in GROUPINGS]
every = pytest.mark.parametrize(("variant", "grouping"), dict.fromkeys(CASES))


@every
def test_file_equals_memory(variant, grouping, artifacts, folder):
    """What a file decodes to is what in-memory compression decodes to, bit for bit."""
    path, _ = artifacts(variant, grouping)
    settings = GROUPINGS[grouping]
    weighted = "keep_hot" in settings or by_frequency(VARIANTS[variant])
    table = compress(
        np.load(folder / "table.npy"),
        VARIANTS[variant],
        frequencies=np.load(folder / "frequencies.npy") if weighted else None,
        gradients=np.load(folder / "gradients.npy") if VARIANTS[variant].gradients else None,
        fields=FIELDS,
        settings=Settings(**settings),
    )
    assert np.array_equal(embcompress.open(path)["table"].restore(), table.restore())


@every
def test_lookup_equals_restore(variant, grouping, artifacts):
    """A row's bits do not depend on the batch it is looked up in."""
    table = embcompress.open(artifacts(variant, grouping)[0])["table"]
    dense = table.restore()
    assert np.isfinite(dense).all()
    random = np.random.default_rng(1)
    ids = random.integers(0, N, 5000)
    assert np.array_equal(table.lookup(ids), dense[ids])
    few = ids[:13]
    one_by_one = np.concatenate([table.lookup([i]) for i in few])
    assert np.array_equal(one_by_one, dense[few])
    assert np.array_equal(table.read(4000, 4150), dense[4000:4150])


@every
def test_numpy_reader(variant, grouping, artifacts):
    """The reader written from docs/format.md gives the same bits."""
    path, _ = artifacts(variant, grouping)
    theirs = reader.read(path)["table"]
    assert np.array_equal(theirs, embcompress.open(path)["table"].restore())


@every
def test_threads_and_memory_leave_bytes_alone(variant, grouping, artifacts, folder, tmp_path):
    path, _ = artifacts(variant, grouping)
    again = tmp_path / "again.safetensors"
    method, settings = VARIANTS[variant], GROUPINGS[grouping]
    compressed(folder, method, again, settings, threads=1, memory="700MB")
    assert again.read_bytes() == path.read_bytes()


@every
def test_dry_run_bytes_are_real_bytes(variant, grouping, artifacts, folder):
    path, outcome = artifacts(variant, grouping)
    dry = compressed(folder, VARIANTS[variant], None, GROUPINGS[grouping])
    assert dry.report.file_bytes == outcome.report.file_bytes == path.stat().st_size
    assert dry.report.tables[0].parts == outcome.report.tables[0].parts
    assert sum(outcome.report.tables[0].parts.values()) == path.stat().st_size


@every
def test_kept_errors_are_the_errors(variant, grouping, artifacts, folder):
    path, _ = artifacts(variant, grouping)
    with open_artifact(path) as artifact:
        kept = artifact.measured("table")
        dense = artifact["table"].restore().astype(np.float64)
    table = np.load(folder / "table.npy").astype(np.float64)
    assert kept["squared_error"] == pytest.approx(((table - dense) ** 2).sum(), rel=1e-9)
    assert kept["rows"] == N


@pytest.mark.parametrize("method", registry())
def test_every_flipped_byte_is_noticed(method, artifacts, tmp_path):
    """One flipped bit anywhere in the file: it cannot be opened, or verify names it."""
    path, _ = artifacts(method, "hot" if method != "rotate" else "fields")
    good = path.read_bytes()
    assert verify(path, 1, Progress()).problems == []
    random = np.random.default_rng(3)
    spots = {*random.integers(0, len(good), 60), *range(0, 40, 7), len(good) - 1}
    bad = tmp_path / "bad.safetensors"
    for spot in spots:
        raw = bytearray(good)
        raw[spot] ^= 1 << int(random.integers(8))
        bad.write_bytes(raw)
        try:
            problems = verify(bad, 1, Progress()).problems
        except embcompress.errors.BadInput:
            continue
        assert problems, f"a flipped bit in byte {spot} went unnoticed"


@pytest.mark.parametrize("method", registry())
def test_lookup_refuses_damaged_rows(method, artifacts, tmp_path):
    path, _ = artifacts(method)
    with open_artifact(path) as artifact:
        tensors = artifact.header.tensors
        places = ("table::rows", "table::codes.bits", "table::records.data")
        info = next((tensors[place] for place in places if place in tensors), None)
        if info is None:
            pytest.skip("no part: shared arrays are checked when the file is opened")
        spot = artifact.header.data_start + (info.begin + info.end) // 2
        mine = np.flatnonzero(artifact["table"].form.rowmap.locate(np.arange(N))[0] == 0)
    raw = bytearray(path.read_bytes())
    raw[spot] ^= 16
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(raw)
    with pytest.raises(embcompress.errors.BadInput, match="is damaged between"):
        embcompress.open(bad)["table"].lookup([mine[len(mine) // 2]])


SHAPES = [(0, 5), (5, 0), (1, 1), (3, 1), (1, 9), (2, 7), (70, 33)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("method", registry())
def test_small_shapes(method, shape, tmp_path):
    """Any shape gives a sound artifact whose rows come back."""
    table = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    np.save(tmp_path / "t.npy", table)
    output = tmp_path / "t.safetensors"
    made = registry()[method]()
    job = Job(
        input=tmp_path / "t.npy",
        output=output,
        method=made,
        **information_files(made, shape, tmp_path),
        keep_failed=True,
    )
    report = run(job, Progress()).report
    assert verify(output, 1, Progress()).problems == []
    dense = embcompress.open(output)["t"].restore()
    assert dense.shape == shape
    assert np.array_equal(reader.read(output)["t"], dense)
    errors = report.tables[0].errors
    if table.size == 0:
        assert errors.relative_error in (0.0, None)
    else:
        assert np.isfinite(errors.relative_error)
