"""Golden artifacts: for each storage form, parts made of given numbers, so that no fit matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from embcompress.artifact.form import MEASURED, Form, Segment
from embcompress.artifact.rowmap import Labels, Ranges, Whole
from embcompress.artifact.table import CompressedTable
from embcompress.artifact.writer import ArtifactWriter, Plan
from embcompress.codecs.additive import Additive, ranges
from embcompress.codecs.base import PackedRows
from embcompress.codecs.binary import Binary
from embcompress.codecs.centroids import Centroids
from embcompress.codecs.columns import Columns
from embcompress.codecs.combination import Combination
from embcompress.codecs.dense import Dense
from embcompress.codecs.hashed import Hashed, Sharing
from embcompress.codecs.hashed_network import HashedNetwork
from embcompress.codecs.hashed_slots import HashedSlots
from embcompress.codecs.product import Product
from embcompress.codecs.projected import Projected
from embcompress.codecs.scalar_codebook import ScalarCodebook
from embcompress.codecs.sparse import Sparse
from embcompress.codecs.stream import StreamPiece
from embcompress.codecs.tensor_train import TensorTrain
from embcompress.codecs.trellis import CONSTANT, Trellis
from embcompress.codecs.trellis_basis import Basis
from embcompress.codecs.trellis_tables import Classes, Family, Tables
from embcompress.codecs.uniform import Uniform
from embcompress.kernels.bits import pack_codes
from embcompress.kernels.product import pack_product
from embcompress.kernels.rans import write_records
from embcompress.kernels.stream_records import copy_bits
from embcompress.solvers.sparsity import SparseEncoder

N, D = 70, 13


def _numbers(*shape):
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)


def _basis():
    return np.ascontiguousarray(np.linalg.qr(_numbers(D, D).astype(np.float64))[0][:7], np.float32)


def _product(segments, bits, codewords=None, numbers="fp16"):
    books = _numbers(codewords or 2**bits, D).astype(np.dtype(numbers.replace("fp", "float")))
    return Product(D, segments, bits, books)


def _additive(books, splits, bits, numbers="fp16"):
    size = sum(r.size for r in ranges(D, books, splits, 2**bits))
    return Additive(D, books, splits, bits, _numbers(size).astype(numbers.replace("fp", "float")))


def _nested():
    """Tiers of one codebook: the first uses 3 of its codewords, the second all 20."""
    books = _numbers(20, D).astype(np.float16)
    labels = (np.arange(N) % 3 != 0).astype(np.uint8)
    many = int(labels.sum())
    rowmap = Labels.build(labels, [Whole(N - many), Whole(many, 1)])
    few, all_words = Product(D, 5, 2, books), Product(D, 5, 5, books)
    return rowmap, (Segment(N - many, few), Segment(many, all_words))


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


def _strings():
    """Hot rows and two fields, all bit strings of other widths, one behind an offset."""
    labels = (np.arange(N) % 7 != 0).astype(np.uint8)
    cold = int(labels.sum())
    rowmap = Labels.build(labels, [Whole(N - cold), Ranges(cold, 1, np.array([23, cold]))])
    hot = Segment(N - cold, Centroids(D, False, _numbers(9, D)))
    shifted = Projected(D, _numbers(D), None, Centroids(D, True, _halves(300, D)))
    return rowmap, (
        hot,
        Segment(23, shifted),
        Segment(cold - 23, Centroids(D, True, _halves(5, D))),
    )


def _hashed(scheme, size, first=0, span=N, combine="sum", scale="none", half=True):
    sharing = Sharing(scheme, span, size)
    table = _numbers(sharing.rows, D).astype(np.float16 if half else np.float32)
    return Hashed(D, sharing, first, combine == "product", scale, table)


def _fields_hashed():
    """Hot rows dense, the rest hashed by original number in two fields, one behind a basis."""
    labels = (np.arange(N) % 5 != 0).astype(np.uint8)
    cold = int(labels.sum())
    ids = np.flatnonzero(labels)
    rowmap = Labels.build(labels, [Whole(N - cold), Ranges(cold, 1, np.array([20, cold]))])
    memory = _numbers(50).astype(np.float16)
    own = HashedSlots(7, 0, 3, True, 5, memory)
    turned = Projected(D, _numbers(D), _basis(), own)
    span = int(ids[-1] - ids[20] + 1)
    quotient = _hashed("quotient", 8, int(ids[20]), span)
    segments = (Segment(N - cold, Dense(D, "fp16")), Segment(20, turned))
    return rowmap, (*segments, Segment(cold - 20, quotient))


def _frequencies(count, precision):
    """Whole numbers that fall by a third each and sum to 2**precision."""
    found = [1]
    for _ in range(count):
        found.append(found[-1] * 3 // 2 + 1)
    found = np.array(found[::-1], np.int64) << 40
    found = np.maximum(found * 2**precision // found.sum(), 1)
    found[0] += 2**precision - found.sum()
    return found


def _trellis(states, r, numbers, *, with_basis, own_steps, constant, rule=False):
    """Classes of spread on both sides of those that leave raw bits."""
    random = np.random.default_rng(states)
    n, lowest, quantizers = (7 if with_basis else D), 11, 1 + (states > 1)
    count = 6 * quantizers
    tables = Tables(
        states, 9, lowest, tuple(_frequencies(5 + t % 4, 9) for t in range(count)),
        random.integers(-127, 128, (count, 3)),
    )  # fmt: skip
    if rule:
        tables = Family(3, 20, 14).tables(states, 9, lowest, count)
    widths = random.integers(2, 13, n)
    codes = random.integers(-(2**11), 2**11, (n, D)) >> (12 - widths)[:, None]
    basis = Basis(widths.astype(np.uint8), random.integers(4, 9, n).astype(np.uint8), codes)
    units = np.array([0.001, 0.125, 0.0001], np.float32)
    steps = np.array([0.5, 0.25, 0.75], np.float32) if own_steps else np.full(3, units[1])
    gains = random.integers(-30, 20, (3, r)) * (20 if own_steps else 1)
    classes = Classes(gains, steps, np.array([0, 70, 170 * r], np.int64))
    return Trellis(
        D, r, units, random.integers(-300, 300, D).astype(np.int16), basis if with_basis else None,
        130, random.integers(0, 60, n).astype(np.uint8), tables, classes, own_steps, constant,
        numbers,
    )  # fmt: skip


def _masks():
    """Three fields: no column kept, some of them before a bit string, all of them."""
    some = Columns(D, np.array([0, 3, 4, 12]), _numbers(D - 4), Centroids(4, True, _halves(9, 4)))
    codecs = (
        Columns(D, np.empty(0, np.int64), _numbers(D), Dense(0, "fp32")),
        some,
        Columns(D, np.arange(D), None, Uniform(D, 4, D, True)),
    )
    rows = (20, 30, N - 50)
    segments = tuple(Segment(n, codec) for n, codec in zip(rows, codecs, strict=True))
    return Ranges(N, 0, np.cumsum(rows)), segments


def _train(rows, columns, ranks, bits=0):
    around = (1, *ranks, 1)
    sizes = zip(rows, around, columns, around[1:], strict=False)
    return TensorTrain(D, bits, tuple(_numbers(*size) for size in sizes))


def _train_tiers():
    """Hot rows dense, the rest by two fields: each a train in its own slots."""
    labels = (np.arange(N) % 5 != 0).astype(np.uint8)
    cold = int(labels.sum())
    rowmap = Labels.build(labels, [Whole(N - cold), Ranges(cold, 1, np.array([20, cold]))])
    turned = Projected(D, _numbers(D), None, _train((5, 8), (7, 2), (4,), 6))
    hot = Segment(N - cold, Dense(D, "fp16"))
    return rowmap, (hot, Segment(20, _train((4, 5), (2, 7), (3,))), Segment(cold - 20, turned))


def _halves(*shape):
    return _numbers(*shape).astype(np.float16).astype(np.float32)


def _sparse(index, numbers, nonzeros=None, scale=None):
    return _whole(Sparse(D, index, numbers, nonzeros, scale))


CASES = {
    "trellis": lambda: _whole(
        _trellis(8, 1, "fp16", with_basis=True, own_steps=False, constant=True)
    ),
    "trellis-plain": lambda: _whole(
        _trellis(1, 3, "fp32", with_basis=False, own_steps=True, constant=False)
    ),
    "trellis-inner": lambda: _whole(
        Projected(
            D,
            _numbers(D),
            None,
            _trellis(32, 4, "fp16", with_basis=True, own_steps=False, constant=True),
        )
    ),
    "trellis-rule": lambda: _whole(
        _trellis(8, 2, "fp16", with_basis=False, own_steps=False, constant=True, rule=True)
    ),
    "trellis-4": lambda: _whole(
        _trellis(4, 2, "fp16", with_basis=False, own_steps=False, constant=True)
    ),
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
    **{f"product-{b}": lambda b=b: _whole(_product(4, b)) for b in (0, 1, 2, 3, 4, 8, 9, 12)},
    "product-fp32": lambda: _whole(_product(13, 5, 19, "fp32")),
    "product-rotated": lambda: _whole(
        Projected(D, _numbers(D), _basis(), Product(7, 3, 6, _numbers(64, 7)))
    ),
    "product-tiers": _nested,
    "centroids-1": lambda: _whole(Centroids(D, True, _halves(1, D))),
    "centroids-5": lambda: _whole(Centroids(D, True, _halves(5, D))),
    "centroids-300-fp32": lambda: _whole(Centroids(D, False, _numbers(300, D))),
    "strings": _strings,
    "train-3": lambda: _whole(_train((6, 3, 4), (2, 2, 4), (5, 7))),
    "train-wide": lambda: _whole(_train((2, 36), (1, 20), (2,))),
    "train-four": lambda: _whole(_train((3, 2, 4, 3), (2, 7, 1, 1), (3, 17, 2))),
    "train-slots": lambda: _whole(_train((9, 8), (13, 1), (6,), 7)),
    "train-tiers": _train_tiers,
    "columns-zero": lambda: _whole(Columns(D, np.arange(1, D, 2), None, Dense(6, "fp16"))),
    "columns-fill": lambda: _whole(Columns(D, np.arange(5), _numbers(D - 5), Dense(5, "fp32"))),
    "columns-fields": _masks,
    **{f"additive-{b}": lambda b=b: _whole(_additive(3, 1, b)) for b in (1, 2, 3, 4, 8, 10)},
    "additive-ranges": lambda: _whole(_additive(5, 3, 4)),
    "additive-fp32": lambda: _whole(_additive(4, 2, 5, "fp32")),
    "combination-fp16": lambda: _whole(Combination(D, 3, "fp16", _halves(20, D).astype("f2"))),
    "combination-uint8": lambda: _whole(Combination(D, 5, "uint8", _numbers(300, D))),
    "combination-one": lambda: _whole(Combination(D, 1, "fp16", _numbers(1, D))),
    "hashed-remainder": lambda: _whole(_hashed("remainder", 9, half=False)),
    "hashed-quotient": lambda: _whole(_hashed("quotient", 11)),
    "hashed-product": lambda: _whole(_hashed("quotient", 11, combine="product", half=False)),
    "hashed-bits": lambda: _whole(_hashed("bits", 3)),
    "hashed-scale": lambda: _whole(_hashed("remainder", 9, scale="fp16")),
    "hashed-scale-fp32": lambda: _whole(_hashed("remainder", 9, scale="fp32")),
    "hashed-slots": lambda: _whole(HashedSlots(D, 0, 4, True, 3, _numbers(29))),
    "hashed-slots-signature": lambda: _whole(
        HashedSlots(D, 11, 1, False, 3, _numbers(29).astype(np.float16))
    ),
    "hashed-network": lambda: _whole(HashedNetwork(D, 5, 9, _numbers(21, D).astype(np.float16))),
    "hashed-fields": _fields_hashed,
    "shards": _tiers,
    **{
        f"sparse-{i}-{t}": lambda i=i, t=t: _sparse(i, t)
        for i in ("bitmap", "list")
        for t in ("fp32", "fp16", "int8")
    },
    "sparse-bitmap-fixed": lambda: _sparse("bitmap", "int8", 5),
    "sparse-list-fixed": lambda: _sparse("list", "fp16", 3),
    "sparse-scale-table": lambda: _sparse("list", "int8", None, np.array([0.03], np.float32)),
    "sparse-projected": lambda: _whole(
        Projected(D, _numbers(D), _basis(), Sparse(7, "bitmap", "fp16"))
    ),
    "additive-rotated": lambda: _whole(Projected(D, _numbers(D), None, _additive(2, 1, 6))),
}


def records(segment: Segment) -> np.ndarray:
    """Records of a segment: random codes, groups and moderate numbers."""
    layout, n = segment.codec.layout(), segment.rows
    innermost = segment.codec
    while isinstance(innermost, Projected | Columns):
        innermost = innermost.inner
    parts = sparse_parts(segment)
    random = np.random.default_rng(n)
    for f in layout.fields:
        if f.name in parts:
            continue
        if f.name.endswith("group"):
            parts[f.name] = random.integers(0, len(innermost.books), (n, 1))
        elif isinstance(innermost, Additive):
            codes = random.integers(0, 2**innermost.bits, (n, innermost.books))
            parts[f.name] = pack_product(codes.astype(np.uint16), innermost.bits)
        elif isinstance(innermost, Combination) and f.name == "codes":
            codes = random.integers(0, len(innermost.anchors), (n, innermost.nonzeros))
            parts[f.name] = pack_product(codes.astype(np.uint16), innermost.bits)
        elif f.dtype == "u1" and f.name == "values":
            parts[f.name] = random.integers(0, 256, (n, f.count))
        elif isinstance(innermost, Product):
            most = min(2**innermost.bits, len(innermost.codebook))
            codes = random.integers(0, most, (n, innermost.segments))
            parts[f.name] = pack_product(codes.astype(np.uint16), innermost.bits)
        elif f.name.endswith("codes"):
            bits = getattr(innermost, "bits", 1)
            codes = random.integers(0, 2**bits, (n, innermost.dim))
            parts[f.name] = pack_codes(codes.astype(np.uint8), bits)
        elif f.dtype in ("<i2", "<u2"):
            parts[f.name] = random.integers(0, 16384, (n, f.count))
        else:
            parts[f.name] = random.standard_normal((n, f.count))
    return layout.pack(parts, n)


def sparse_parts(segment: Segment) -> dict[str, Any]:
    """Encoded rows of a sparse codec, for random numbers of which it keeps random ones."""
    innermost, prefix = segment.codec, ""
    while isinstance(innermost, Projected | Columns):
        innermost, prefix = innermost.inner, prefix + "inner."
    if not isinstance(innermost, Sparse):
        return {}
    n, d = segment.rows, innermost.dim
    order = np.random.default_rng([n, d]).random((n, d)).argsort(axis=1)
    kept = order < (np.arange(n)[:, None] % (d + 1))
    if innermost.nonzeros is not None:
        kept = order < innermost.nonzeros
    encoder = SparseEncoder(innermost, Masked(kept))
    return {prefix + k: v for k, v in encoder.encode(np.arange(n), _numbers(n, d)).items()}


class Masked:
    """Keeps the values that a mask says."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def kept(self, ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self.mask[ids]

    def shrinking(self, rows: np.ndarray) -> None:
        return None


def strings(segment: Segment) -> dict[str, np.ndarray]:
    """Codes of the parts that are bit strings, random."""
    innermost = segment.codec
    while isinstance(innermost, Projected | Columns):
        innermost = innermost.inner
    random = np.random.default_rng(segment.rows)
    packed = segment.codec.layout().packed
    if isinstance(innermost, TensorTrain):
        most = int(np.prod(innermost.rows))
        return {p.name: random.integers(0, most, segment.rows) for p in packed}
    book = getattr(innermost, "book", ())
    return {p.name: random.integers(0, len(book) or 2**p.bits, segment.rows) for p in packed}


def stream_pieces(segment: Segment) -> dict[str, list[StreamPiece]]:
    """Records of streams: random codes in the trellis classes, random numbers in the others."""
    innermost = segment.codec
    while isinstance(innermost, Projected | Columns):
        innermost = innermost.inner
    return {
        stream.name: [
            _records(innermost, count, start)
            for start, count in ((0, 40), (40, stream.records(segment.rows) - 40))
            if count > 0
        ]
        if stream.records(segment.rows) > 40
        else [_records(innermost, stream.records(segment.rows), 0)]
        for stream in segment.codec.layout().streams
    }


def _records(codec: Trellis, count: int, start: int) -> StreamPiece:
    random = np.random.default_rng([count, start])
    tables, order, stream = codec.tables, codec.order, codec.stream
    classes = random.integers(0, len(stream.lengths), count)
    plain = np.where(classes < 3, classes, -1)
    codes = np.zeros((count, codec.rows * codec.coordinates), np.int32)
    bits = np.zeros(count)
    for i, g in enumerate(plain):
        s = 0
        for q in range(order.counts[g] if g >= 0 else 0):
            t = order.tables[g, q] + (s & 1 if tables.states > 1 else 0)
            m = int(random.integers(0, 4)) if random.random() < 0.9 else int(tables.most[t] + 7)
            m = (m << int(tables.low[t])) + int(tables.low[t] > 0)
            high = min(m >> int(tables.low[t]), tables.most[t])
            raw_bits = tables.low[t] + 8 * (high == tables.most[t]) + (m > 0)
            bit_count = 9 - np.log2(tables.wide[t, high]) + raw_bits
            if bits[i] + bit_count > stream.lengths[g] - 12:
                m = 0  # what follows costs next to nothing
                bit_count = 9 - np.log2(tables.wide[t, 0])
            if bits[i] + bit_count > stream.lengths[g] - 3:
                plain[i], classes[i] = -1, codec.raw_class
                break
            codes[i, q] = m if random.random() < 0.5 else -m
            bits[i] += bit_count
            s = tables.moves[s, m & 1]
    lengths = np.array(stream.lengths)[classes]
    begins = np.cumsum(lengths) - lengths
    data = np.zeros(int(lengths.sum()) // 8 + 17, np.uint8)
    came = np.zeros(count, np.uint8)
    write_records(
        codes, plain, order.tables, order.counts, codec.classes.lengths, bits, tables.moves,
        tables.most, tables.low, tables.wide, tables.first, tables.ranked, tables.precision,
        begins, data, came,
    )  # fmt: skip
    assert (came == (plain >= 0)).all()
    for i in np.flatnonzero(plain < 0):
        if codec.raw == "fp32" or classes[i] == codec.constant_class:
            raw = random.standard_normal(lengths[i] // 32).astype("<f4").view(np.uint8)
        else:
            halves = random.standard_normal((codec.rows, D)).astype("<f2").view("<u2")
            halves[0, :3] = CONSTANT, *np.array([0.1], "<f4").view("<u2")
            raw = halves.reshape(-1).view(np.uint8)
        copy_bits(np.append(raw, np.zeros(8, np.uint8)), 0, int(lengths[i]), data, int(begins[i]))
    total = int(lengths.sum())
    return StreamPiece(classes, data[: (total + 7) // 8 + 8], total)


SHARD_BYTES = {"shards": 500}
"""Cases that are a folder of shards, with the most bytes of tensors in one."""


def place_of(name: str, folder: Path) -> Path:
    """Where the artifact of a case lies in its folder."""
    return folder / ("artifact" if name in SHARD_BYTES else "artifact.safetensors")


def artifact(name: str, folder: Path) -> np.ndarray:
    """Write the artifact of a case; gives the rows it decodes to, float32 [N, D]."""
    import embcompress

    rowmap, segments = CASES[name]()
    path = place_of(name, folder)
    form = Form("emb.weight", (N, D), "F32", rowmap, segments, {"name": "golden"})
    with ArtifactWriter(path, Plan((form,), (), {}, "golden", SHARD_BYTES.get(name)), 1) as writer:
        for i, segment in enumerate(segments):
            sink, fixed, codes = writer.sink(form), records(segment), strings(segment)
            if fixed.size:
                sink.put_records(i, 0, fixed)
            for part in segment.codec.layout().packed:
                for start in range(0, segment.rows, 9):
                    some = codes[part.name][start : start + 9]
                    rows = PackedRows.build(some, part.bits, start)
                    sink.put_packed(i, part.name, start, rows)
            parts = sparse_parts(segment)
            for name_of_part in segment.codec.layout().ragged:
                sink.put_ragged(i, name_of_part, parts[name_of_part])
            for name_of_stream, pieces in stream_pieces(segment).items():
                for piece in pieces:
                    sink.put_stream(i, name_of_stream, piece)
        writer.close_ragged()
        writer.finish({form.name: np.zeros(len(MEASURED))})
        writer.commit()
    table: CompressedTable = embcompress.open(path)["emb.weight"]
    return table.restore()
