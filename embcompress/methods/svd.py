"""Truncated singular value decomposition: few coordinates a row, and any method on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embcompress.codecs.base import Codec
    from embcompress.solvers.coordinates import SampleRows
    from embcompress.solvers.spectrum import Spectrum

_COORDS = {"fp32": "cast --to fp32", "fp16": "cast --to fp16", "int8": "quantize --bits 8"}
_SHARE = 0.25
_SAMPLE = 16_384
_FEWEST_AXES = 256
_LEAST_BYTES = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0, "then": 1 / 16}
"""Bytes of a coordinate at least, which bounds the rank under a budget."""


@dataclass(frozen=True, kw_only=True)
class SVD(Method):
    """Keep r coordinates of each row along the table's strongest axes.

    x ≈ mean + c·B with c of r numbers and B r×D, float32, stored once: no other r axes leave a
    smaller squared error (weighted by frequency, where there is one). The axes are eigenvectors
    of the table's Gram matrix, added up in float64 in one streamed pass; a second pass projects
    the rows. Above 2,048 columns a randomized solver finds the strongest axes in two passes more,
    without that matrix, unless more than half of all axes are asked for.

    --rank says r, --rank-share r as a share of the largest that makes sense, --budget the bytes
    of all tables together, shared out by the error that an axis more removes per byte, and
    --target-error the relative error to stay below with the smallest r: both know each rank's
    error exactly from the eigenvalues, and with coordinates that are rounded, measure on a sample
    what rounding adds.

    Trained tables are close to full rank, so svd alone loses badly to quantization at the same
    bytes: half of GloVe's axes leave half of its length, 8-bit codes leave half a percent. Use it
    in front of a quantizer (--coords int8, --then "quantize --bits 4"), where a table does have
    few directions, or to find out that it has not. Coordinates of falling energy share a row's
    range badly: --then 'rotate --then "quantize --bits 4"' evens them out for r·r numbers more.
    """

    name = "svd"
    family = "decomposition"
    native = True
    source = (
        "Eckart and Young 1936, The approximation of one matrix by another of lower rank; Halko,"
        " Martinsson and Tropp 2011, Finding structure with randomness (wide tables)"
    )
    example = "svd glove.npy -o glove.svd.safetensors --rank 32 --coords int8"

    rank: Annotated[int | None, Option("Coordinates r of a row.", min=1)] = None
    rank_share: Annotated[
        float | None,
        Option(
            "Rank as a share of the smaller of a table's rows and columns, at least 1; 0.25 where"
            " nothing says the rank.",
            min=0,
            max=1,
        ),
    ] = None
    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below: 12MB (10^6 bytes), 8x (an eighth of"
            " the source) or 2.5bpw (bits per weight); ranks are shared out among the tables."
        ),
    ] = None
    target_error: Annotated[
        float | None,
        Option(
            "Relative error of each table to stay below with the smallest rank, weighted by"
            " frequency where there is one.",
            min=0,
            max=1,
        ),
    ] = None
    coords: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        Option("How coordinates are stored, fp32 by default; int8 is 'quantize --bits 8'."),
    ] = None
    then: Annotated[
        str | None, Option("The method that compresses the coordinates: 'VERB options'.")
    ] = None
    center: Annotated[
        Literal["mean", "none"],
        Option("What is taken from each column first; the mean never leaves a larger error."),
    ] = "mean"

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        given = [
            flag
            for flag, value in (
                ("--rank", self.rank),
                ("--rank-share", self.rank_share),
                ("--budget", self.budget),
                ("--target-error", self.target_error),
            )
            if value is not None
        ]
        if len(given) > 1:
            raise UsageError(f"svd: {given[0]} and {given[1]} both say the rank; give one of them")
        if self.coords is not None and self.then is not None:
            raise UsageError(
                "svd: --coords and --then both store the coordinates; give one of them"
            )
        if self.budget is not None:
            parse_budget(self.budget)
        self.inner()

    def inner(self) -> Method:
        """The method that compresses the coordinates.

        Raises:
            UsageError: ``--then`` names no method, or one with a wrong option.
        """
        from embcompress.methods.spelling import parse_method

        return parse_method(self.then or _COORDS[self.coords or "fp32"])

    @property
    def _rounds(self) -> bool:
        """Whether storing coordinates adds an error worth knowing."""
        return self.then is not None or self.coords == "int8"

    @property
    def needs(self) -> frozenset[str]:
        from embcompress.solvers.spectrum import NARROW
        from embcompress.solvers.statistics import gram_up_to, sample_of

        own = {"moments", gram_up_to(NARROW)}
        sized = self.budget is not None or self.target_error is not None
        return frozenset(own | {sample_of(_SAMPLE)} if sized and self._rounds else own)

    def preflight(self, rows: Rows, context: Context) -> None:
        n, d = rows.shape
        most = min(n, d)
        if self.rank is not None and self.rank > most > 0:
            table = rows.name.rpartition("table ")[2]
            raise UsageError(
                f"{rows.name}: --rank {self.rank} is beyond {most}, the smaller of its {n:,} rows"
                f" and {d:,} columns; use {most} or less (for this table alone: --set"
                f" {table[:-1]}:rank={most}')"
            )
        if not self._randomized(rows, self._settled(most)):
            from embcompress.solvers.spectrum import check_gram_room

            check_gram_room(rows.name, d, context.memory)

    def _settled(self, most: int) -> int:
        """The rank that options say without looking at a table; 0 under a budget or target."""
        if self.rank is not None:
            return min(self.rank, most)
        if self.budget is not None or self.target_error is not None:
            return 0
        share = _SHARE if self.rank_share is None else self.rank_share
        return min(most, max(1, round(share * most)))

    @staticmethod
    def _randomized(rows: Rows, rank: int) -> bool:
        from embcompress.solvers.spectrum import NARROW

        d = rows.shape[1]
        return d > NARROW and 2 * _looked_for(rank) <= d

    def _spectrum(self, rows: Rows, rank: int, context: Context) -> Spectrum:
        """Axes of some rows, at least ``rank`` of them."""
        from embcompress.solvers.spectrum import (
            check_gram_room,
            exact_spectrum,
            randomized_spectrum,
        )

        found = context.statistics(rows, self.needs)
        centered = self.center == "mean"
        if self._randomized(rows, rank):
            return randomized_spectrum(
                found,
                lambda function, stage: context.each(rows, function, stage),
                _looked_for(rank),
                context.seed,
                centered=centered,
            )
        if found.gram is None:
            check_gram_room(rows.name, rows.shape[1], context.memory)
            found = context.statistics(rows, self.needs | {"gram"})
        return exact_spectrum(found, centered=centered)

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        if self.budget is not None:
            ranks = self._within(self.budget, tables, context)
        elif self.target_error is not None:
            ranks = {k: self._reaching(self.target_error, r, context) for k, r in tables.items()}
        else:
            ranks = {key: self._settled(min(r.shape)) for key, r in tables.items()}
        return {key: self._of_rank(rank) for key, rank in ranks.items()}

    def _of_rank(self, rank: int) -> SVD:
        return replace(self, rank=rank or None, rank_share=None, budget=None, target_error=None)

    def _within(self, budget: str, tables: Mapping[str, Rows], context: Context) -> dict[str, int]:
        """Ranks that share a budget out."""
        from embcompress.budget import parse_budget
        from embcompress.methods.sizing import accounts_of, share_out

        accounts = accounts_of(self.name, context)
        allowed = parse_budget(budget).bytes_for(accounts.source_bytes, accounts.weights)
        least = _LEAST_BYTES["then" if self.then is not None else self.coords or "fp32"]
        sized: dict[str, Ranked] = {}
        for key, rows in tables.items():
            n, d = rows.shape
            most = min(n, d, int(allowed / least) // max(n, 1) + 1)
            sized[key] = Ranked(self, rows, self._spectrum(rows, most, context), most, context)

        def made(steps: Mapping[str, int]) -> dict[str, tuple[Method, Codec]]:
            ranks = {key: own.rank_after(steps[key]) for key, own in sized.items()}
            return {k: (self._of_rank(r), sized[k].codec(r)) for k, r in ranks.items()}

        gains = {key: own.gains() for key, own in sized.items()}
        while True:
            steps = share_out(self.name, budget, gains, made, context, "rank 1")
            ranks = {key: own.rank_after(steps[key]) for key, own in sized.items()}
            if not self._rounds:
                return ranks
            for key, own in sized.items():
                own.settle(ranks[key])
            if accounts.artifact_bytes(made(steps), context) <= allowed:
                return ranks

    def _reaching(self, target: float, rows: Rows, context: Context) -> int:
        """The smallest rank whose relative error is at most a target."""
        import numpy as np

        most = min(rows.shape)
        rank = min(most, _FEWEST_AXES) if self._randomized(rows, _FEWEST_AXES) else most
        while rank:
            spectrum = self._spectrum(rows, rank, context)
            allowed = target**2 * spectrum.norm
            left = spectrum.left()[: most + 1]
            within = np.flatnonzero(left <= allowed)
            if len(within) and within[0] <= rank:
                rank = max(1, int(within[0]))
                if self._rounds:
                    return Ranked(self, rows, spectrum, most, context).reaching(target, rank)
                if len(spectrum.energies) == rows.shape[1]:
                    return rank
                # a solver for fewer axes finds others: what it leaves is looked at again
                if self._spectrum(rows, rank, context).left()[rank] <= allowed:
                    return rank
                rank += 1 + rank // 16
            else:
                rank = min(most, 2 * rank)
        return 0

    def fit(self, rows: Rows, context: Context) -> Encoder:
        import numpy as np

        from embcompress.codecs.projected import Projected
        from embcompress.solvers.coordinates import Coordinates
        from embcompress.solvers.encoder import ProjectedEncoder
        from embcompress.solvers.spectrum import check_range

        n, d = rows.shape
        rank = self._settled(min(n, d))
        offset, basis = np.zeros(d, np.float32), None
        if rank:
            check_range(rows.name, d, context.statistics(rows, self.needs).largest)
            spectrum = self._spectrum(rows, rank, context)
            offset, basis = spectrum.offset, np.ascontiguousarray(spectrum.axes[:rank])
        inner = context.fit(self.inner(), Coordinates(rows, offset, basis))
        return ProjectedEncoder(Projected(d, offset, basis, inner.codec), inner)


def _looked_for(rank: int) -> int:
    """Axes that the randomized solver looks for to find so many well."""
    return rank + rank // 4 + 32


class Ranked:
    """What each rank of a table costs and leaves, for choices among ranks.

    Args:
        method: Says how coordinates are stored.
        rows: The table.
        spectrum: Its axes.
        most: Largest rank.
        context: Fits coordinates of a sample.
    """

    def __init__(
        self, method: SVD, rows: Rows, spectrum: Spectrum, most: int, context: Context
    ) -> None:
        self._inner = method.inner()
        self._rows, self._context = rows, context
        self._found = context.statistics(rows, method.needs)
        self._spectrum = spectrum
        self._most = min(most, len(spectrum.energies))
        self._known: dict[int, Codec] = {}

    def rank_after(self, steps: int) -> int:
        """The rank after so many steps from rank 1, or 0 for a table of nothing."""
        return min(self._most, 1 + steps)

    def gains(self) -> list[float]:
        """Energy per byte that every rank past 1 adds."""
        n, d = self._rows.shape
        if self._most < 2:
            return []
        first, last = (self._row_bytes(self.codec(rank)) for rank in (1, self._most))
        cost = 4 * d + n * (last - first) / (self._most - 1)
        gains: list[float] = (self._spectrum.energies[1 : self._most] / cost).tolist()
        return gains

    def _row_bytes(self, codec: Codec) -> float:
        layout = codec.layout()
        return layout.record_bytes + sum(p.bits for p in layout.packed) / 8

    def codec(self, rank: int) -> Codec:
        """The codec of a rank: fitted to the table where that is known, else to a sample."""
        if rank not in self._known:
            self._known[rank] = self._projected(rank, self._fit(rank, self._sample(rank)))
        return self._known[rank]

    def settle(self, rank: int) -> None:
        """Fit a rank to the whole table, so that its bytes are known."""
        from embcompress.solvers.coordinates import Coordinates

        axes = self._axes(rank)
        whole = Coordinates(self._rows, self._spectrum.offset, axes)
        self._known[rank] = self._projected(rank, self._fit(rank, whole))

    def reaching(self, target: float, rank: int) -> int:
        """The smallest rank from one on whose error, rounding too, is at most a target.

        Raises:
            UsageError: Rounding alone leaves more; says what can be reached.
        """
        import numpy as np

        allowed = target**2 * self._spectrum.norm
        left = self._spectrum.left()
        rounded = self._rounding(self._most) / self._most
        # past this rank an axis holds less than its rounding adds
        best = max(rank, int((self._spectrum.energies[: self._most] > rounded).sum()))
        reached = left[best] + self._rounding(best)
        if reached > allowed:
            error = np.sqrt(reached / self._spectrum.norm)
            raise UsageError(
                f"{self._rows.name}: --target-error {target:g} is beyond these coordinates, which"
                f" reach {error:.4g} at rank {best}; store them finer, or ask for"
                f" {_above(error):g}"
            )
        while rank < best:
            middle = (rank + best) // 2
            if left[middle] + self._rounding(middle) <= allowed:
                best = middle
            else:
                rank = middle + 1
        return best

    def _rounding(self, rank: int) -> float:
        """Energy that storing a rank's coordinates loses: a sample's and two standard errors."""
        import numpy as np

        from embcompress.solvers.encoder import decoded

        coordinates = self._sample(rank)
        encoder = self._fit(rank, coordinates)
        assert self._found.sample_weights is not None
        weights = self._found.sample_weights
        lost = np.zeros(len(weights))
        for index in range(coordinates.tiles):
            tile = coordinates.tile(index)
            wide = tile.rows.astype(np.float64) - decoded(
                encoder, tile.ids, tile.rows, tile.position
            )
            lost[tile.ids] = np.einsum("ij,ij->i", wide, wide)
        if len(lost) == self._rows.shape[0]:
            return float(weights @ lost)
        return float(lost.mean() + 2 * lost.std() / len(lost) ** 0.5) * self._found.weight

    def _sample(self, rank: int) -> SampleRows:
        import numpy as np

        from embcompress.solvers.coordinates import SampleRows, coordinates_of

        sample = self._found.sample
        if sample is None:  # coordinates that are not rounded need none
            return SampleRows(self._rows.name, np.empty((0, rank), np.float32))
        coordinates = coordinates_of(sample, self._spectrum.offset, self._axes(rank))
        return SampleRows(self._rows.name, coordinates, self._found.sample_weights)

    def _axes(self, rank: int) -> NDArray[np.float32]:
        return self._spectrum.axes[:rank]

    def _fit(self, rank: int, coordinates: Rows) -> Encoder:
        return self._context.fit(self._inner, coordinates)

    def _projected(self, rank: int, inner: Encoder) -> Codec:
        from embcompress.codecs.projected import Projected

        axes = self._axes(rank) if rank else None
        return Projected(self._rows.shape[1], self._spectrum.offset, axes, inner.codec)


def _above(error: float) -> float:
    """An error rounded up to three digits."""
    digits = 2 - math.floor(math.log10(error)) if error > 0 else 0
    return float(math.ceil(error * 10**digits) / 10**digits)
