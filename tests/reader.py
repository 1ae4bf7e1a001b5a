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


FEEDBACK = {4: (0o5, 0o2), 8: (0o13, 0o4), 32: (0o45, 0o10)}


class Packing:
    """Takes arrays off the front of a string of bytes."""

    def __init__(self, raw):
        self.left = raw

    def take(self, dtype, count):
        size = np.dtype(dtype).itemsize * count
        own, self.left = self.left[:size], self.left[size:]
        return own.copy().view(dtype)


def machine(states):
    moves = np.zeros((states, 2), int)
    for s in range(states if states > 1 else 0):
        h0, h1 = FEEDBACK[states]
        for parity in (0, 1):
            z0, z1 = s & 1, parity ^ (s & 1)
            moves[s, parity] = (s >> 1) ^ (h0 >> 1) * z0 ^ (h1 >> 1) * z1
    return moves


def trellis_basis(model, n, d):
    bits, scales = model.take("u1", n).astype(int), model.take("u1", n).astype(int)
    raw = model.take("u1", -(-int(bits.sum()) * d // 8))
    string, at = np.unpackbits(raw, bitorder="little"), 0
    basis = np.empty((n, d), np.float32)
    for t in range(n):
        some = string[at : at + bits[t] * d].reshape(d, bits[t]).astype(int)
        codes = (some << np.arange(bits[t])).sum(axis=1)
        codes -= (codes >> (bits[t] - 1)) << bits[t]
        scale = np.float32(2.0 ** -(scales[t] // 2))
        if scales[t] % 2:
            scale = scale * np.float32(0.70710677)
        basis[t] = codes.astype(np.float32) * scale
        at += bits[t] * d
    return basis


def slots(frequencies, precision):
    """Magnitude, frequency and rank of every slot of a table."""
    size = 1 << precision
    first = np.cumsum(frequencies) - frequencies
    m = np.repeat(np.arange(len(frequencies)), frequencies)
    rank = np.arange(size) - first[m]
    order = np.argsort((2 * rank + 1) / (2 * frequencies[m]), kind="stable")
    return m[order], frequencies[m][order], rank[order]


def family(c, z, config):
    """Frequencies by the rule of a small table."""
    spread = (65536, 82570, 104032)[c % 3]
    octaves = c // 3 - max(0, c // 3 - 4)
    spread = spread << octaves if octaves >= 0 else spread >> -octaves
    count = min(100, (12 * spread // 5 + 163840) >> 16)
    square = max((spread * config["width"] >> 4) ** 2 >> 16, 1)
    shares = []
    for m in range(count + 1):
        level = 2 * m - z if m else 0
        share = 65536
        for _ in range(config["shape"]):
            share = share * ((square << 16) // (square + (level**2 << 16))) >> 16
        shares.append(share)
    shares[0] = shares[0] * config["zero"] >> 4
    size = 2 ** config["precision"]
    found = [1 + share * (size - len(shares)) // sum(shares) for share in shares]
    found[0] += size - sum(found)
    return np.array(found)


class Bits:
    """States of many records, decoded side by side."""

    def __init__(self, data, begins, length):
        self.data = data
        self.at = begins
        words = (length - 32) // 32 if length >= 32 else 0
        width = length - 32 * words
        low, high = self.word(begins), self.word(begins + 32)
        whole = low | high << np.uint64(32)
        if width < 64:
            whole &= np.uint64((1 << width) - 1)
        self.x = whole | np.uint64(1 << width)
        self.at = begins + width
        self.left = np.full(len(begins), words)

    def word(self, at):
        found = np.zeros(len(at), np.uint64)
        for k in range(8):
            found |= self.data[at // 8 + k].astype(np.uint64) << np.uint64(8 * k)
        return found >> (at % 8).astype(np.uint64) & np.uint64(2**32 - 1)

    def refill(self, mask=True):
        short = (self.x < 2**32) & (self.left > 0) & mask
        self.x[short] = self.x[short] << np.uint64(32) | self.word(self.at[short])
        self.at[short] += 32
        self.left[short] -= 1

    def raw(self, bits, mask):
        found = self.x & np.uint64((1 << bits) - 1)
        self.x[mask] >>= np.uint64(bits)
        self.refill(mask)
        return found.astype(int)


def trellis(config, d, fields, shared):
    r, n, states = config["rows"], config["coordinates"], config["states"]
    count, g, z_count = config["tables"], config["classes"], 1 + (states > 1)
    model = Packing(shared["model"])
    numbers = model.take("<f4", 3)
    offset = model.take("<i2", d) if config["offset"] else np.zeros(d)
    offset = offset.astype(np.float32) * numbers[0]
    narrower = np.zeros(n) if config["even"] else model.take("u1", n)
    spreads = config["widest"] - narrower.astype(int)
    lengths = model.take(f"<u{config['length_bytes']}", g).astype(int).tolist()
    gains = model.take(f"<i{config['gain_bytes']}", g * r).astype(int).reshape(g, r)
    steps = model.take("<f4", g) if config["steps"] else np.full(g, numbers[1])
    shifts = np.zeros((count, 4), np.float32)
    if config["shape"]:
        found = [family(config["lowest"] + t // z_count, t % z_count, config) for t in range(count)]
        symbols = np.array([len(f) - 1 for f in found], int)
    else:
        symbols = model.take("u1", count).astype(int)
        shifts[:, 1:] = model.take("i1", 3 * count).reshape(count, 3) * np.float32(1 / 128)
        found = [model.take("<u2", m + 1).astype(int) for m in symbols]
    tables = [slots(f, config["precision"]) for f in found]
    basis = trellis_basis(model, n, d) if config["basis"] else None
    if config["constant"]:
        lengths.append(32 * r)
    lengths.append({"fp16": 16, "fp32": 32}[config["raw"]] * d * r)

    rows = len(fields.left)
    records = -(-rows // r)
    bits = max(1, (len(lengths) - 1).bit_length())
    string = np.unpackbits(fields.strings["records.classes"], bitorder="little")[: records * bits]
    classes = (string.reshape(records, bits).astype(int) << np.arange(bits)).sum(axis=1)
    own = np.array(lengths)[classes]
    begins = np.cumsum(own) - own
    blocks = begins[::64]
    bases = fields.strings["records.bases"].astype(int)
    apart = 1024 if max(lengths) < 2**16 else 1
    relative = fields.strings["records.addresses"].astype(int)
    assert np.array_equal(bases[np.arange(len(blocks)) // apart] + relative, blocks)

    data = np.concatenate((fields.strings["records.data"], np.zeros(8, np.uint8)))
    y = np.zeros((records, r * n), np.float32)
    moves = machine(states)
    wide = [config["lowest"] + t // z_count for t in range(count)]
    for k in range(g):
        mine = np.flatnonzero(classes == k)
        if not len(mine):
            continue
        spread = (gains[k][:, None] + spreads[None]).reshape(-1)
        thirds = (spread + 4) // 8 - config["lowest"]
        coded = np.flatnonzero(thirds >= 0)
        state = Bits(data, begins[mine], lengths[k])
        s = np.zeros(len(mine), int)
        for q in coded:
            z = s % 2 if states > 1 else 0 * s
            table = min(thirds[q], count // z_count - 1) * z_count + z
            m = np.empty(len(mine), int)
            for t in np.unique(table):
                some = table == t
                found = tables[t]
                slot = (state.x[some] & np.uint64(2 ** config["precision"] - 1)).astype(int)
                m[some] = found[0][slot]
                high = state.x[some] >> np.uint64(config["precision"])
                high *= found[1][slot].astype(np.uint64)
                state.x[some] = high + found[2][slot].astype(np.uint64)
            state.refill()
            escaped = m == symbols[table]
            m = np.where(escaped, m + state.raw(8, escaped), m)
            low = max(0, wide[table[0]] // 3 - 4)
            if low:
                m = m << low | state.raw(low, np.ones(len(m), bool))
            value = (2 * m - z).astype(np.float32) - shifts[table, np.minimum(m, 3)]
            y[mine, q] = np.where(m > 0, value, 0)
            s = moves[s, m % 2]
        for q in coded:
            some = y[mine, q] != 0
            negative = state.raw(1, some) == 1
            size = y[mine, q] * steps[k]
            y[mine, q] = np.where(some, np.where(negative, -size, size), 0)
    y = y.reshape(records * r, n)
    if basis is None:
        out = offset + y
    else:
        out = np.tile(offset, (len(y), 1))
        for i in range(n):
            out = out + y[:, i : i + 1] * basis[i]
    bytes_at = np.packbits  # records of other classes hold numbers, at any bit
    flat = np.unpackbits(data, bitorder="little")
    for i in np.flatnonzero(classes >= g):
        raw = bytes_at(flat[begins[i] : begins[i] + own[i]], bitorder="little")
        target = out[i * r : (i + 1) * r]
        if config["constant"] and classes[i] == g:
            target[:] = raw.view("<f4")[:, None]
        elif config["raw"] == "fp32":
            target[:] = raw.view("<f4").reshape(r, d)
        else:
            halves = raw.view("<u2").reshape(r, d)
            target[:] = halves.view("<f2").astype(np.float32) * numbers[2]
            for j in np.flatnonzero(halves[:, 0] == 0x7FFF):
                target[j] = halves[j, 1:3].copy().view("<f4")[0]
    return out[:rows]


CODECS = {
    "trellis": trellis,
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
