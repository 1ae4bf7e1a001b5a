"""Rows, or single numbers, that hashes of the row number share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from embcompress.errors import IOFailure, UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.solvers.hash_sizes import MOST_HIDDEN
from embcompress.tables.rows import Rows, Tile

if TYPE_CHECKING:
    from embcompress.codecs.base import Codec
    from embcompress.codecs.hashed import Sharing
    from embcompress.solvers.laps import Numbering
    from embcompress.solvers.statistics import Statistics

_NOTE: Final = (
    "hash: a baseline; rows that share numbers cannot be told apart again without training, and"
    " this tool does not train"
)
_SIZES: Final = {
    "naive": "rows", "qr": "rows", "memcom": "rows", "bch": "bits", "robe": "slots",
    "lma": "slots", "dhe": "hidden",
}  # fmt: skip
_ONLY: Final = {
    "rows": ("naive", "qr", "memcom"), "combine": ("qr",), "bits": ("bch", "lma"),
    "slots": ("robe", "lma"), "block": ("robe",), "sign": ("robe",), "hidden": ("dhe",),
    "hashes": ("dhe",),
}  # fmt: skip
_LEAST: Final = {
    "naive": "one shared row", "qr": "as many remainders as quotients",
    "memcom": "one shared row and a scale for each", "bch": "one bit a group",
    "robe": "one slot", "lma": "one slot and a signature a row", "dhe": "one unit",
}  # fmt: skip
_EIGHTH: Final = 8
_BLOCK: Final = 16
_HASHES: Final = 32
_FINEST: Final = 2**40


@dataclass(frozen=True, kw_only=True)
class Hash(Method):
    """Let rows share numbers by a hash of their row number: the baselines that papers train.

    No gradient repairs a collision after training, so these are baselines. For numbers without
    structure, K stored ones in place of n·D leave the relative error √(1 − K/(n·D)), whatever is
    shared; quantization of the same size does far better.

    naive: row i mod m of a table, the weighted mean of its rows. qr: row i mod m of one table and
    row i div m of another, added (two-way least squares: closed form for rows of equal weight,
    else conjugate gradients) or multiplied by column (alternating least squares). memcom: row
    i mod m, times a number that every row stores: the best rank-one fit of each bucket. bch: the
    bits of i in groups of --bits, each group a row number of one table, rows added: sparse least
    squares. robe: columns in blocks, each gathered from a memory of --slots numbers, from a hash
    of i and the block on, around the memory's end: means of what falls on a slot. lma: every
    column by a hash of it and of the row's signature, --bits signs of random projections, which
    each row stores: means again. dhe: a fixed random layer on hashes of i, and an output layer by
    streamed least squares.

    i is the original row number, counted from the first row of the segment, also where hot rows
    or fields are apart. What is fitted is held in memory: 8 to 24 bytes a stored number.
    """

    name = "hash"
    family = "hashing"
    native = False
    source = (
        "Weinberger et al. 2009, Feature hashing (naive); Shi et al. 2020, Compositional embeddings"
        " using complementary partitions (qr); see the presets for the others"
    )
    example = "hash glove.npy -o glove.qr.safetensors --scheme qr --budget 10x"

    scheme: Annotated[
        Literal["naive", "qr", "memcom", "bch", "robe", "lma", "dhe"],
        Option("What rows share."),
    ] = "naive"
    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below: 12MB (10^6 bytes), 8x (an eighth of"
            " the source) or 2.5bpw (bits per weight). By default shared numbers take an eighth of"
            " 32 bits a weight."
        ),
    ] = None
    rows: Annotated[
        int | None, Option("Rows m of the shared table (naive, qr, memcom).", min=1)
    ] = None
    combine: Annotated[
        Literal["sum", "product"] | None,
        Option("How the two rows of qr are combined; by default their sum."),
    ] = None
    bits: Annotated[
        int | None,
        Option(
            "Bits of a group of the row number (bch), or of a row's signature (lma; by default"
            " enough to tell an eighth of the rows apart).",
            min=1,
            max=32,
        ),
    ] = None
    slots: Annotated[int | None, Option("Numbers of the memory (robe, lma).", min=1)] = None
    block: Annotated[
        int | None,
        Option("Columns that lie side by side in the memory (robe); by default up to 16.", min=1),
    ] = None
    sign: Annotated[bool, Option("Give every block a hashed sign (robe).")] = False
    hidden: Annotated[
        int | None,
        Option(
            "Units of the random layer (dhe); 2,048 at most, also under a budget.",
            min=1,
            max=MOST_HIDDEN,
        ),
    ] = None
    hashes: Annotated[
        int | None,
        Option("Hashes of a row number (dhe); by default 32.", min=1, max=4096),
    ] = None
    dtype: Annotated[
        Literal["fp16", "fp32"] | None,
        Option(
            "Of shared numbers; by default fp16, fp32 for dhe; fp32 is taken where fp16 cannot"
            " hold a table's values.",
        ),
    ] = None

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        for option, schemes in _ONLY.items():
            if getattr(self, option) not in (None, False) and self.scheme not in schemes:
                raise UsageError(
                    f"hash: --{option} is for --scheme {' and '.join(schemes)}, not {self.scheme}"
                )
        if self.budget is not None:
            parse_budget(self.budget)
            size = _SIZES[self.scheme]
            if getattr(self, size) is not None:
                raise UsageError(f"hash: --budget and --{size} both say the size; give one")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"moments"} if self.scheme == "lma" else ())

    def preflight(self, rows: Rows, context: Context) -> None:
        n, d = rows.shape
        if self.rows is not None and self.rows > n > 0:
            raise UsageError(
                f"{rows.name}: --rows {self.rows} is more than its {n} rows; use {n} or fewer"
            )
        if self.block is not None and self.block > d > 0:
            raise UsageError(
                f"{rows.name}: --block {self.block} is more than its {d} columns; use {d} or fewer"
            )
        self._check_memory(rows)

    def _check_memory(self, rows: Rows) -> None:
        """Refuse a size that is known and that the machine cannot fit.

        Raises:
            IOFailure: It takes more memory than there is.
        """
        from embcompress.solvers.product import physical_memory

        option, d = _SIZES[self.scheme], rows.shape[1]
        size = getattr(self, option)
        numbers = {"rows": (size or 0) * d, "slots": size or 0}.get(option, 0)
        needed = numbers * {"naive": 8, "memcom": 8}.get(self.scheme, 24)
        if needed > (memory := physical_memory()):
            raise IOFailure(
                f"{rows.name}: {size:,} {option} take {needed:,} bytes to fit, the machine has"
                f" {memory:,}; use a smaller --{option} or --budget"
            )

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        from embcompress.solvers.laps import Numbering

        context.progress.note(_NOTE)
        numberings = {key: Numbering.of(rows) for key, rows in tables.items()}
        settled = {}
        for key, rows in tables.items():
            found = context.statistics(rows, self.needs)
            settled[key] = self._settled(rows, numberings[key].span, found)
        if self.budget is not None:
            settled = self._within(self.budget, tables, numberings, settled, context)
        for key, rows in tables.items():
            settled[key]._check_memory(rows)
        return settled

    def _within(
        self,
        budget: str,
        tables: Mapping[str, Rows],
        numberings: Mapping[str, Numbering],
        settled: Mapping[str, Hash],
        context: Context,
    ) -> dict[str, Hash]:
        """Sizes of one share for all tables, the largest within a budget."""
        from embcompress.methods.sizing import largest_within
        from embcompress.solvers.hash_sizes import size_at, size_range

        spans = {key: numbering.span for key, numbering in numberings.items()}
        kind = self.scheme
        ranges = {key: size_range(kind, rows.shape, spans[key]) for key, rows in tables.items()}
        steps = min(max(high - low for low, high in ranges.values()), _FINEST)

        def shared_out(setting: int) -> dict[str, Hash]:
            sizes = {k: size_at(kind, r.shape, spans[k], setting, steps) for k, r in tables.items()}
            given: dict[str, dict[str, Any]] = {k: {_SIZES[kind]: s} for k, s in sizes.items()}
            return {key: replace(method, **given[key]) for key, method in settled.items()}

        def made(setting: int) -> dict[str, tuple[Method, Codec]]:
            chosen: dict[str, tuple[Method, Codec]] = {}
            for key, method in shared_out(setting).items():
                own = numberings[key]
                codec = method.codec(tables[key].shape[1], own.first, own.span, context.seed)
                chosen[key] = method, codec
            return chosen

        best = largest_within(self.name, budget, steps, made, context, _LEAST[kind])
        return shared_out(best)

    def _settled(self, rows: Rows, span: int, found: Statistics) -> Hash:
        """All options but sizes under a budget."""
        from embcompress.solvers.hash_sizes import bits_of, usual_size
        from embcompress.solvers.product import fits_half

        n, d = rows.shape
        dtype = self.dtype or ("fp32" if self.scheme == "dhe" else "fp16")
        if not fits_half(found, rotated=self.scheme in ("qr", "bch", "dhe")):
            dtype = "fp32"
        share = _EIGHTH // 2 if dtype == "fp16" else _EIGHTH
        own: dict[str, Any] = {"budget": None, "dtype": dtype}
        if self.scheme == "qr":
            own["combine"] = self.combine or "sum"
        if self.scheme == "lma":
            own["bits"] = self.bits or max(1, bits_of(n) - 3)
        if self.scheme == "robe":
            own["block"] = self.block or max(1, min(_BLOCK, d))
        if self.scheme == "dhe":
            own["hashes"] = self.hashes or _HASHES
        size = _SIZES[self.scheme]
        if self.budget is None and getattr(self, size) is None:
            own[size] = usual_size(self.scheme, n, d, span, share)
        if self.scheme == "bch" and self.bits is not None:
            own["bits"] = min(self.bits, bits_of(span))
        return replace(self, **own)

    def codec(self, dim: int, first: int, span: int, seed: int, numbers: Any = None) -> Codec:
        """The codec of settled options.

        Args:
            dim: Columns D.
            first: Original number of the first row.
            span: Numbers of rows.
            seed: Of hashes.
            numbers: What is stored, in its dtype; zeros by default.
        """
        import numpy as np

        from embcompress.codecs.hashed import Hashed
        from embcompress.codecs.hashed_network import HashedNetwork
        from embcompress.codecs.hashed_slots import HashedSlots

        kind = np.float16 if self.dtype == "fp16" else np.float32
        if self.scheme == "dhe":
            assert self.hidden is not None
            assert self.hashes is not None
            given = np.zeros((self.hidden + 1, dim), kind) if numbers is None else numbers
            return HashedNetwork(dim, self.hashes, seed, given)
        if self.scheme in ("robe", "lma"):
            assert self.slots is not None
            given = np.zeros(self.slots, kind) if numbers is None else numbers
            bits = self.bits or 0
            return HashedSlots(dim, bits, self.block or 1, self.sign, seed, given)
        sharing = self.sharing(span)
        given = np.zeros((sharing.rows, dim), kind) if numbers is None else numbers
        scale: Literal["fp16", "none"] = "fp16" if self.scheme == "memcom" else "none"
        return Hashed(dim, sharing, first, self.combine == "product", scale, given)

    def sharing(self, span: int) -> Sharing:
        """Which rows of the table a number has."""
        from embcompress.codecs.hashed import Sharing

        if self.scheme == "bch":
            assert self.bits is not None
            return Sharing("bits", span, self.bits)
        assert self.rows is not None
        return Sharing("quotient" if self.scheme == "qr" else "remainder", span, self.rows)

    def fit(self, rows: Rows, context: Context) -> Encoder:
        from embcompress.solvers.laps import Numbering

        numbering = Numbering.of(rows)
        fits: dict[str, Callable[[Rows, Numbering, Context], Encoder]] = {
            "robe": self._fit_slots, "lma": self._fit_slots, "dhe": self._fit_network,
        }  # fmt: skip
        return fits.get(self.scheme, self._fit_rows)(rows, numbering, context)

    def _fit_rows(self, rows: Rows, numbering: Numbering, context: Context) -> Encoder:
        from embcompress.codecs.hashed import Hashed
        from embcompress.solvers.laps import Laps
        from embcompress.solvers.rank_one import directions, factors
        from embcompress.solvers.shared_rows import (
            HashedEncoder,
            bucket_means,
            even_sums,
            stored,
            summed_rows,
        )

        sharing = self.sharing(numbering.span)
        threads, progress = context.threads, context.progress
        laps = Laps(rows, numbering, sharing.size)
        if self.scheme == "naive":
            table: Any = bucket_means(laps, threads, progress)[0]
        elif self.scheme == "memcom":
            largest = context.statistics(rows, self.needs).largest
            table = directions(laps, largest, threads, progress)
        elif self.combine == "product":
            table = factors(laps, threads, progress)
        elif self.scheme == "qr" and rows.weights is None and not numbering.gaps:
            table = even_sums(laps, threads, progress)
        else:
            pieces = context.each(rows, _numbered(rows, numbering.first), "sums")
            table = summed_rows(pieces, rows, numbering, sharing, threads, progress)
        numbers = stored(table, half=self.dtype == "fp16")
        codec = self.codec(rows.shape[1], numbering.first, numbering.span, context.seed, numbers)
        assert isinstance(codec, Hashed)
        return HashedEncoder(codec)

    def _fit_slots(self, rows: Rows, numbering: Numbering, context: Context) -> Encoder:
        from embcompress.codecs.hashed_slots import HashedSlots
        from embcompress.solvers.laps import counted
        from embcompress.solvers.shared_rows import stored
        from embcompress.solvers.slots import Signatures, SlotsEncoder, slot_means

        assert self.slots is not None
        signatures = None
        pieces: Any
        if self.scheme == "lma":
            found = context.statistics(rows, self.needs)
            assert found.mean is not None
            assert self.bits is not None
            signatures = Signatures.drawn(found.mean, self.bits, found.largest, context.seed)

            def signed(tile: Tile) -> Any:
                assert signatures is not None
                keys = signatures.of(tile.rows)
                return keys, tile.rows.copy(), counted(tile.weights, rows)

            pieces = context.each(rows, signed, "slots")
        else:
            pieces = context.each(rows, _numbered(rows, 0), "slots")
        means = slot_means(pieces, self.slots, context.seed, self.block or 1, signed=self.sign)
        numbers = stored(means, half=self.dtype == "fp16")
        codec = self.codec(rows.shape[1], 0, numbering.span, context.seed, numbers)
        assert isinstance(codec, HashedSlots)
        return SlotsEncoder(codec, signatures)

    def _fit_network(self, rows: Rows, numbering: Numbering, context: Context) -> Encoder:
        from embcompress.codecs.hashed_network import HashedNetwork
        from embcompress.solvers.laps import counted
        from embcompress.solvers.random_features import NetworkEncoder, moments_of, output_layer
        from embcompress.solvers.shared_rows import stored

        assert self.hidden is not None
        d = rows.shape[1]
        found = context.statistics(rows, self.needs)
        scale = 1 / found.largest if found.largest else 1.0
        heaviest = 1.0 if rows.weights is None else float(rows.weights.max(initial=0)) or 1.0
        empty = self.codec(d, 0, numbering.span, context.seed)
        assert isinstance(empty, HashedNetwork)

        def moments(tile: Tile) -> Any:
            weights = counted(tile.weights, rows) / heaviest
            return moments_of(empty, tile.ids, tile.rows, weights, scale)

        pieces = context.each(rows, moments, "output layer")
        table = output_layer(pieces, self.hidden, d, scale)
        numbers = stored(table, half=self.dtype == "fp16")
        codec = self.codec(d, 0, numbering.span, context.seed, numbers)
        assert isinstance(codec, HashedNetwork)
        return NetworkEncoder(codec)


def _numbered(rows: Rows, first: int) -> Callable[[Tile], Any]:
    """Numbers, copied rows and weights of a tile."""
    from embcompress.solvers.laps import counted

    return lambda tile: (tile.ids - first, tile.rows.copy(), counted(tile.weights, rows))
