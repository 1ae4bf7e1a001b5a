"""Golden artifacts: for each storage form, parts made of given numbers, so that no fit matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from embcompress.artifact.form import MEASURED, Form, Segment
from embcompress.artifact.rowmap import Labels, Ranges, Whole
from embcompress.artifact.table import CompressedTable
from embcompress.artifact.writer import ArtifactWriter, Plan
from embcompress.codecs.binary import Binary
from embcompress.codecs.dense import Dense
from embcompress.codecs.projected import Projected
from embcompress.codecs.scalar_codebook import ScalarCodebook
from embcompress.codecs.uniform import Uniform
from embcompress.kernels.bits import pack_codes

N, D = 70, 13


def _numbers(*shape):
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)


def _basis():
    return np.ascontiguousarray(np.linalg.qr(_numbers(D, D).astype(np.float64))[0][:7], np.float32)


def _whole(codec):
    return Whole(N), (Segment(N, codec),)


def _tiers():
    """Hot rows dense, the rest by two fields, rotated and quantized: maps and codecs together."""
    labels = (np.arange(N) % 5 != 0).astype(np.uint8)
    cold = int(labels.sum())
    rotated = Projected(D, _numbers(D), _basis(), Uniform(7, 3, 4, True))
    rowmap = Labels.build(labels, [Whole(N - cold), Ranges(cold, 1, np.array([20, cold]))])
    plain = Uniform(D, 4, D, True)
    segments = (Segment(N - cold, Dense(D, "fp16")), Segment(20, rotated))
    return rowmap, (*segments, Segment(cold - 20, plain))


CASES = {
    **{f"uniform-{b}": lambda b=b: _whole(Uniform(D, b, D, True)) for b in range(1, 9)},
    "uniform-groups-fp32": lambda: _whole(Uniform(D, 4, 5, False)),
    "codebook-row": lambda: _whole(ScalarCodebook(D, 3, True, None)),
    "codebook-row-fp32": lambda: _whole(ScalarCodebook(D, 4, False, None)),
    "codebook-table": lambda: _whole(ScalarCodebook(D, 5, False, _numbers(1, 32))),
    "codebook-groups": lambda: _whole(
        ScalarCodebook(D, 2, True, _numbers(3, 4).astype(np.float16).astype(np.float32))
    ),
    "codebook-groups-300": lambda: _whole(ScalarCodebook(D, 1, False, _numbers(300, 2))),
    "binary-none": lambda: _whole(Binary(D, "none", None)),
    "binary-row16": lambda: _whole(Binary(D, "row16", None)),
    "binary-row32": lambda: _whole(Binary(D, "row32", None)),
    "binary-column": lambda: _whole(Binary(D, "column", np.abs(_numbers(D)))),
    "binary-table": lambda: _whole(Binary(D, "table", np.abs(_numbers(1)))),
    **{f"dense-{t}": lambda t=t: _whole(Dense(D, t)) for t in ("fp32", "fp16", "bf16", "int16")},
    "projected-offset": lambda: _whole(Projected(D, _numbers(D), None, Binary(D, "row16", None))),
    "projected-basis": lambda: _whole(Projected(D, _numbers(D), _basis(), Uniform(7, 4, 7, True))),
    "tiers": _tiers,
}


def records(segment: Segment) -> np.ndarray:
    """Records of a segment: random codes, groups and moderate numbers."""
    layout, n = segment.codec.layout(), segment.rows
    innermost = segment.codec
    while isinstance(innermost, Projected):
        innermost = innermost.inner
    parts = {}
    random = np.random.default_rng(n)
    for f in layout.fields:
        if f.name.endswith("group"):
            parts[f.name] = random.integers(0, len(innermost.books), (n, 1))
        elif f.name.endswith("codes"):
            bits = getattr(innermost, "bits", 1)
            codes = random.integers(0, 2**bits, (n, innermost.dim))
            parts[f.name] = pack_codes(codes.astype(np.uint8), bits)
        elif f.dtype in ("<i2", "<u2"):
            parts[f.name] = random.integers(0, 16384, (n, f.count))
        else:
            parts[f.name] = random.standard_normal((n, f.count))
    return layout.pack(parts, n)


def artifact(case, path: Path) -> np.ndarray:
    """Write the artifact of a case; gives the rows it decodes to, float32 [N, D]."""
    import embcompress

    rowmap, segments = case()
    form = Form("emb.weight", (N, D), "F32", rowmap, segments, {"name": "golden"})
    with ArtifactWriter(path, Plan((form,), (), {}, "golden"), 1) as writer:
        for i, segment in enumerate(segments):
            writer.sink(form).put_records(i, 0, records(segment))
        writer.close_ragged()
        writer.finish({form.name: np.zeros(len(MEASURED))})
        writer.commit()
    table: CompressedTable = embcompress.open(path)["emb.weight"]
    return table.restore()
