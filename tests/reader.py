"""A reader written from docs/format.md with numpy alone; it imports nothing of embcompress."""

import json
import struct
from pathlib import Path

import numpy as np

DTYPES = {"U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "I64": "<i8"}
DTYPES |= {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
NUMBERS = {"fp16": "<f2", "fp32": "<f4", "bf16": "<u2", "int16": "<i2"}


def read(path):
    """All tables of an artifact, a file or a folder of shards: name -> float32 [N, D]."""
    path = Path(path)
    files = [path]
    if path.is_dir():
        index = path / "model.safetensors.index.json"
        names = ["model.safetensors"]
        if index.exists():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        files = [path / name for name in names]
    tensors, document = {}, None
    for file in files:
        document = read_file(file, tensors) or document
    assert document["format"] == 1
    return {name: table(name, t, tensors) for name, t in document["tables"].items()}


def read_file(path, tensors):
    """Put a file's tensors to the others; gives the document if it is in this file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    for name, info in header.items():
        begin, end = (8 + length + x for x in info["data_offsets"])
        if info["dtype"] in DTYPES:
            raw = np.frombuffer(data[begin:end], DTYPES[info["dtype"]])
            tensors[name] = raw.reshape(info["shape"])
    return json.loads(metadata["embcompress"]) if "embcompress" in metadata else None


def table(name, entry, tensors):
    n, d = entry["shape"]
    prefix = f"{name}::map."
    maps = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
    segments, positions = locate(entry["map"], n, maps)
    out = np.empty((n, d), np.float32)
    for i, segment in enumerate(entry["segments"]):
        tensor = f"{name}::{i}::rows" if i else f"{name}::rows"
        records = tensors.get(tensor, np.empty((segment["rows"], 0), np.uint8))
        shared = {part: tensors[t] for part, t in segment["shared"].items()}
        begin = tensor.removesuffix("rows")
        strings = {t[len(begin) :]: a for t, a in tensors.items() if t.startswith(begin)}
        mine = segments == i
        ids = np.empty(segment["rows"], np.int64)
        ids[positions[mine]] = np.flatnonzero(mine)
        rows, _ = decode(segment, d, records, shared, strings, ids)
        out[mine] = rows[positions[mine]]
    return out


def locate(entry, rows, arrays):
    ids = np.arange(rows)
    if entry["kind"] == "whole":
        return np.full(rows, entry["segment"]), ids
    if entry["kind"] == "ranges":
        stops = arrays["stops"]
        index = np.searchsorted(stops, ids, side="right")
        starts = np.concatenate(([0], stops))
        return index + entry["first"], ids - starts[index]
    planes = arrays["planes"]
    labels = np.zeros(rows, int)
    for p, plane in enumerate(planes):
        bits = np.unpackbits(plane.view(np.uint8), bitorder="little")[:rows]
        labels += bits.astype(int) << p
    segments, positions = np.empty(rows, int), np.empty(rows, int)
    for label, (count, inner) in enumerate(entry["labels"]):
        mine = labels == label
        assert mine.sum() == count
        nested = {k[2:]: v for k, v in arrays.items() if k.startswith(f"{label}.")}
        segments[mine], positions[mine] = locate(inner, count, nested)
    return segments, positions


def unpack(raw, d, b):
    h = -(-d * b // 8)
    j = np.arange(d)
    if b in (1, 2, 4, 8):
        return raw[:, j % h] >> (j // h * b).astype(np.uint8) & (2**b - 1)
    bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : d * b].reshape(len(raw), d, b)
    return (bits << np.arange(b, dtype=np.uint8)).sum(axis=2, dtype=np.uint8)


class Fields:
    """Takes fields off the front of records, in order, and parts that are bit strings."""

    def __init__(self, records, strings, ids):
        self.left = records
        self.strings = strings
        self.ids = ids

    def string(self, part, b):
        n = len(self.left)
        bits = np.unpackbits(self.strings[f"{part}.bits"], bitorder="little")[: n * b]
        return (bits.reshape(n, b).astype(np.int64) << np.arange(b)).sum(axis=1)

    def take(self, dtype, count):
        size = np.dtype(dtype).itemsize * count
        raw, self.left = self.left[:, :size], self.left[:, size:]
        return np.ascontiguousarray(raw).view(dtype).reshape(len(raw), count)


def decode(segment, d, records, shared, strings, ids):
    """Rows of a segment, and what is left of its records."""
    config, fields = segment["config"], Fields(records, strings, ids)
    assert segment["version"] == 1
    rows = CODECS[segment["codec"]](config, d, fields, shared)
    return rows, fields.left


def uniform(config, d, fields, shared):
    b, g, number = config["bits"], config["group"], NUMBERS[config["numbers"]]
    groups = -(-d // g)
    q = unpack(fields.take("u1", -(-d * b // 8)), d, b).astype(np.float32)
    scale = fields.take(number, groups).astype(np.float32)
    bias = fields.take(number, groups).astype(np.float32)
    group = np.arange(d) // g
    return q * scale[:, group] + bias[:, group]


def scalar_codebook(config, d, fields, shared):
    b, m, number = config["bits"], config["books"], NUMBERS[config["numbers"]]
    q = unpack(fields.take("u1", -(-d * b // 8)), d, b)
    if m == 0:
        books = fields.take(number, 2**b).astype(np.float32)
        return np.take_along_axis(books, q.astype(int), axis=1)
    books = shared["codebook"].astype(np.float32)
    group = np.zeros(len(q), int)
    if m > 1:
        group = fields.take("u1" if m <= 256 else "<u2", 1)[:, 0].astype(int)
    return books[group[:, None], q]


def binary(config, d, fields, shared):
    signs = unpack(fields.take("u1", -(-d // 8)), d, 1).astype(bool)
    kind = config["scale"]
    if kind in ("row16", "row32"):
        alpha = fields.take("<f2" if kind == "row16" else "<f4", 1).astype(np.float32)
    else:
        alpha = np.float32(1) if kind == "none" else shared["scales"]
    return np.where(signs, alpha, np.float32(0) - alpha)


def dense(config, d, fields, shared):
    kind = config["numbers"]
    values = fields.take(NUMBERS[kind], d)
    if kind == "bf16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    if kind == "int16":
        return values.astype(np.float32) * fields.take("<f4", 1)
    return values.astype(np.float32)


def projected(config, d, fields, shared):
    k = config["coordinates"]
    inner_shared = {n[6:]: a for n, a in shared.items() if n.startswith("inner.")}
    strings = {n[6:]: a for n, a in fields.strings.items() if n.startswith("inner.")}
    c, fields.left = decode(config["inner"], k or d, fields.left, inner_shared, strings, fields.ids)
    if not k:
        return shared["offset"] + c
    out = np.tile(shared["offset"], (len(c), 1))
    for i in range(k):
        out = out + c[:, i : i + 1] * shared["basis"][i]
    return out


def columns(config, d, fields, shared):
    kept = np.unpackbits(shared["kept"], bitorder="little")[:d].astype(bool)
    inner_shared = {n[6:]: a for n, a in shared.items() if n.startswith("inner.")}
    strings = {n[6:]: a for n, a in fields.strings.items() if n.startswith("inner.")}
    c, fields.left = decode(
        config["inner"], int(kept.sum()), fields.left, inner_shared, strings, fields.ids
    )
    out = np.zeros((len(c), d), np.float32)
    out[:, kept] = c
    if config["fill"] == "values":
        out[:, ~kept] = shared["fill"]
    return out


def centroids(config, d, fields, shared):
    k = config["rows"]
    b = (k - 1).bit_length()
    codes = fields.string("codes", b) if b else np.zeros(len(fields.left), int)
    return shared["codebook"].astype(np.float32)[codes]


def wide_codes(raw, s, b):
    if b in (0, 1, 2, 4, 8):
        return unpack(raw, s, b).astype(int) if b else np.zeros((len(raw), s), int)
    bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : s * b].reshape(len(raw), s, b)
    return (bits.astype(int) << np.arange(b)).sum(axis=2)


def additive(config, d, fields, shared):
    s, r, b = config["books"], config["ranges"], config["bits"]
    codes = wide_codes(fields.take("u1", -(-s * b // 8)), s, b)
    numbers = shared["codebook"].astype(np.float32)
    out = np.empty((len(codes), d), np.float32)
    column = book = at = 0
    for i in range(r):
        width, count = d // r + (i < d % r), s // r + (i < s % r)
        for m in range(count):
            words = numbers[at : at + 2**b * width].reshape(2**b, width)[codes[:, book + m]]
            here = out[:, column : column + width]
            here[:] = here + words if m else words
            at += 2**b * width
        column, book = column + width, book + count
    return out


def product(config, d, fields, shared):
    s, b = config["segments"], config["bits"]
    raw = fields.take("u1", -(-s * b // 8))
    codes = wide_codes(raw, s, b)
    widths = [d // s + (i < d % s) for i in range(s)]
    segment = np.repeat(np.arange(s), widths)
    return shared["codebook"].astype(np.float32)[codes[:, segment], np.arange(d)]


def combination(config, d, fields, shared):
    k, s, kind = config["anchors"], config["nonzeros"], config["values"]
    b = (k - 1).bit_length()
    codes = wide_codes(fields.take("u1", -(-s * b // 8)), s, b)
    if kind == "fp16":
        values = fields.take("<f2", s).astype(np.float32)
    else:
        values = fields.take("u1", s).astype(np.float32)
        values = values * fields.take("<f2", 1).astype(np.float32)
    anchors = shared["anchors"].astype(np.float32)
    out = values[:, :1] * anchors[codes[:, 0]]
    for t in range(1, s):
        out = out + values[:, t : t + 1] * anchors[codes[:, t]]
    return out


def tensor_train(config, d, fields, shared):
    n, columns = config["rows"], config["columns"]
    b = config["slots"]
    rest = fields.string("slots", b) if b else np.arange(len(fields.left))
    digits = []
    for size in reversed(n):
        digits.insert(0, rest % size)
        rest = rest // size
    row = shared["core0"][digits[0]][:, 0]
    for k in range(1, len(n)):
        slabs = shared[f"core{k}"][digits[k]]
        left = row.reshape(len(row), int(np.prod(columns[:k])), slabs.shape[1])
        row = np.zeros((len(row), left.shape[1], *slabs.shape[2:]), np.float32)
        for i in range(slabs.shape[1]):
            row = row + left[:, :, i, None, None] * slabs[:, i, None]
    return row.reshape(len(row), int(np.prod(columns)))[:, :d]


def hashed(config, d, fields, shared):
    i, size = fields.ids - config["first"], config["size"]
    scheme, span = config["scheme"], config["span"]
    if scheme == "bits":
        groups = max(1, -(-(span - 1).bit_length() // size))
        picks = [i >> (size * k) & 2**size - 1 for k in range(groups)]
    else:
        picks = [i % size] + ([size + i // size] if scheme == "quotient" else [])
    table = shared["shared"].astype(np.float32)
    out = table[picks[0]]
    for pick in picks[1:]:
        out = out * table[pick] if config["combine"] == "product" else out + table[pick]
    if config["scale"] != "none":
        out = out * fields.take(NUMBERS[config["scale"]], 1).astype(np.float32)
    return out


def hashes(seed, keys, count):
    def mix(x):
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return x ^ x >> np.uint64(31)

    step = np.uint64(0x9E3779B97F4A7C15)
    seeds = np.full((1, 1), seed, np.uint64)
    keys = np.asarray(keys, np.uint64)[:, None]
    streams = mix(mix(seeds + step) + step * (keys + np.uint64(1)))
    return mix(streams + step * (np.arange(count, dtype=np.uint64) + np.uint64(1)))


def hashed_slots(config, d, fields, shared):
    bits, block, m = config["bits"], config["block"], config["slots"]
    keys = fields.string("signature", bits) if bits else fields.ids
    words = hashes(config["seed"], keys, -(-d // block))
    j = np.arange(d)
    slots = (words >> np.uint64(1)) % np.uint64(m)
    at = (slots[:, j // block].astype(np.int64) + j % block) % m
    out = shared["memory"].astype(np.float32)[at]
    if config["signs"] == "none":
        return out
    return np.where((words & np.uint64(1))[:, j // block] == 1, -out, out)


def units(seed, keys, count):
    high = (hashes(seed, keys, count) >> np.uint64(40)).astype(np.int64) - 2**23
    return high.astype(np.float32) * np.float32(2.0**-23)


def chain(start, left, right):
    out = np.tile(start, (len(left), 1))
    for k in range(left.shape[1]):
        out = out + left[:, k : k + 1] * right[k]
    return out


def hashed_network(config, d, fields, shared):
    k, h, seed = config["hashes"], config["hidden"], config["seed"]
    layer = units(seed + 1, np.arange(k + 1), h)
    z = chain(layer[k], units(seed, fields.ids, k), layer)
    output = shared["output"].astype(np.float32)
    return chain(output[h], np.where(z > 0, z, np.float32(0)), output)


def narrowest(largest):
    return "u1" if largest < 2**8 else "<u2" if largest < 2**16 else "<u4"


def sparse(config, d, fields, shared):
    number = {**NUMBERS, "int8": "i1"}[config["numbers"]]
    k, listed = config["nonzeros"], config["index"] == "list"
    n, bitmap = len(fields.left), None
    if k != "ragged":
        index = fields.take(narrowest(d - 1), k) if listed else fields.take("u1", -(-d // 8))
        values = list(fields.take(number, k))
        lists = list(index) if listed else []
        bitmap = None if listed else index
    elif listed:
        counts = fields.take(narrowest(d), 1)[:, 0].astype(int)
    else:
        bitmap = fields.take("u1", -(-d // 8))
    scales = np.ones((n, 1), np.float32)
    if config.get("scale") == "row":
        scales = fields.take("<f4", 1)
    elif config.get("scale") == "table":
        scales = np.full((n, 1), shared["scale"][0])
    if bitmap is not None:
        bits = np.unpackbits(bitmap, axis=1, bitorder="little")[:, :d]
        lists = [np.flatnonzero(row) for row in bits]
        counts = np.array([len(columns) for columns in lists], int)
    if k == "ragged":
        part = "entries" if listed else "values"
        data = fields.strings[f"{part}.data"]
        wide = np.dtype(narrowest(d - 1)).itemsize * listed
        sizes = counts * (wide + np.dtype(number).itemsize)
        begins = np.cumsum(sizes) - sizes
        assert (fields.strings[f"{part}.addresses"] == begins[::64]).all()
        spans = [data[b : b + s].tobytes() for b, s in zip(begins, sizes, strict=True)]
        if listed:
            cuts = counts * wide
            lists = [
                np.frombuffer(s[:c], narrowest(d - 1)) for s, c in zip(spans, cuts, strict=True)
            ]
            spans = [s[c:] for s, c in zip(spans, cuts, strict=True)]
        values = [np.frombuffer(s, number) for s in spans]
    out = np.zeros((n, d), np.float32)
    for row, columns, own, scale in zip(out, lists, values, scales, strict=True):
        row[columns] = own.astype(np.float32) * scale if number == "i1" else own
    return out


CODECS = {
    "combination": combination,
    "tensor-train": tensor_train,
    "hashed": hashed,
    "hashed-slots": hashed_slots,
    "hashed-network": hashed_network,
    "additive": additive,
    "product": product,
    "centroids": centroids,
    "columns": columns,
    "uniform": uniform,
    "scalar-codebook": scalar_codebook,
    "binary": binary,
    "dense": dense,
    "projected": projected,
    "sparse": sparse,
}
