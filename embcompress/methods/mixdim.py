"""Mixed dimension: groups of rows have as many coordinates as they are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.methods.grouping import parse_shares
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    from embcompress.codecs.base import Codec
    from embcompress.solvers.group_dimensions import Group
    from embcompress.solvers.knapsack import Level

    Made = Mapping[str, tuple[Method, Codec]]

_COORDS = {"fp32": "cast --to fp32", "fp16": "cast --to fp16", "int8": "quantize --bits 8"}
_ALPHA = 0.3
_STEPS = 2**12  # of alpha
_SAMPLE = 4096
_TRIES = 40


@dataclass(frozen=True, kw_only=True)
class MixDim(Method):
    """Give groups of rows different dimensions, each with a projection of its own.

    --by says what a group is: a field of --fields (every table, without them), or rows of like
    frequency, cut by --groups. A group of dimension d keeps d coordinates a row along its own
    strongest axes (SVD weighted by frequency) with the d×D basis stored once, or with
    --projection columns its d strongest columns, in blocks of --block, and the mean in the
    others. Dimension 0 is the group's mean row, dimension D the rows as they are.

    --rule says which dimensions: power, the largest one (--rank) times (p / largest p)^alpha with
    p = 1/rows of a field, or the mean frequency of a group; alpha is given, or found for a
    --budget. budget: those that leave the least error for the bytes, over all groups of all
    tables together. monotone: likewise, and never smaller for rows that are used more. Errors of
    all dimensions are known exactly from the eigenvalues or column energies of each group, and
    add up over groups, so that a knapsack finds what papers search for with controllers,
    reinforcement learning or evolution.
    """

    name = "mixdim"
    family = "mixed dimension"
    native = False
    source = (
        "Ginart et al. 2021, Mixed dimension embeddings (power); Sun et al. 2020, A generic network"
        " compression framework for sequential recommender systems (CpRec); Sinha and Zoltners"
        " 1979, The multiple-choice knapsack problem (budget)"
    )
    example = "mixdim glove.npy -o glove.mix.safetensors --rule budget --budget 4x --fields f.json"

    by: Annotated[
        Literal["field", "frequency"],
        Option("What rows of a group share; frequency needs --frequencies."),
    ] = "field"
    rule: Annotated[
        Literal["power", "budget", "monotone"], Option("What says the dimension of each group.")
    ] = "power"
    dims: Annotated[
        str | None, Option("Dimensions that a group may have, such as 0,4,8,16; all by default.")
    ] = None
    groups: Annotated[
        str,
        Option(
            "Shares of the rows that are groups by frequency, most frequent first; the rest is one"
            " more."
        ),
    ] = "0.05,0.15,0.3"
    alpha: Annotated[
        float | None,
        Option("Exponent of --rule power, 0.3 where no --budget says it.", min=0, max=1),
    ] = None
    rank: Annotated[
        int | None, Option("Largest dimension; the columns of the table by default.", min=1)
    ] = None
    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below: 12MB (10^6 bytes), 8x (an eighth of"
            " the source) or 2.5bpw (bits per weight)."
        ),
    ] = None
    projection: Annotated[
        Literal["svd", "columns"], Option("What coordinates are: along own axes, or of columns.")
    ] = "svd"
    block: Annotated[
        int, Option("Columns kept or left together, with --projection columns.", min=1)
    ] = 1
    coords: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        Option("How coordinates are stored, fp32 by default; int8 is 'quantize --bits 8'."),
    ] = None
    then: Annotated[
        str | None, Option("The method that compresses the coordinates: 'VERB options'.")
    ] = None

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        if self.dims is not None:
            parse_dims(self.dims)
        parse_shares(self.name, self.groups)
        if self.budget is not None:
            parse_budget(self.budget)
        elif self.rule != "power" and (self.dims is None or "," in self.dims):
            raise UsageError(f"mixdim: --rule {self.rule} needs --budget")
        if self.rule == "monotone" and self.by != "frequency":
            raise UsageError("mixdim: --rule monotone is by frequency; add --by frequency")
        if self.alpha is not None and (self.rule != "power" or self.budget is not None):
            raise UsageError("mixdim: --alpha is of --rule power without --budget")
        if self.block > 1 and self.projection != "columns":
            raise UsageError("mixdim: --block is of --projection columns")
        if self.coords is not None and self.then is not None:
            raise UsageError("mixdim: --coords and --then both say how; give one of them")
        self.inner()

    def inner(self) -> Method:
        """The method that compresses the coordinates.

        Raises:
            UsageError: ``--then`` names no method, or one with a wrong option.
        """
        from embcompress.methods.spelling import parse_method

        return parse_method(self.then or _COORDS[self.coords or "fp32"])

    @property
    def per_field(self) -> bool:
        return self.by == "field"

    @property
    def tiers(self) -> tuple[float, ...]:
        return parse_shares(self.name, self.groups) if self.by == "frequency" else ()

    @property
    def needs(self) -> frozenset[str]:
        from embcompress.solvers.statistics import sample_of

        own = {"moments", "gram"}
        sized = self.budget is not None and (self.then is not None or self.coords == "int8")
        return frozenset(own | {sample_of(_SAMPLE)} if sized else own)

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.spectrum import check_gram_room

        d = rows.shape[1]
        if self.by == "frequency" and context.accounting is None:
            raise UsageError(
                f"{rows.name}: mixdim --by frequency groups a table's rows; it cannot compress"
                " coordinates"
            )
        if self.rank is not None and self.rank > d > 0:
            raise UsageError(f"{rows.name}: --rank {self.rank} is beyond its {d:,} columns")
        if self.dims is not None and d and not self._wanted(d):
            raise UsageError(
                f"{rows.name}: --dims {self.dims} are beyond"
                f" {self.rank or d:,}, the largest dimension it can have"
            )
        check_gram_room(rows.name, d, context.memory)

    def _wanted(self, d: int) -> list[int]:
        """Dimensions that options allow to a table of D columns."""
        least = 0 if self.rule != "power" else 1
        dims = range(least, d + 1) if self.dims is None else parse_dims(self.dims)
        return [dim for dim in dims if dim <= (self.rank or d)]

    def _group(self, rows: Rows, context: Context) -> Group:
        from embcompress.solvers.group_dimensions import Group

        inner = self.inner()
        found = context.statistics(rows, self.needs)
        return Group(
            rows,
            found,
            self._wanted(rows.shape[1]),
            self.block if self.projection == "columns" else None,
            lambda coordinates: context.fit(inner, coordinates),
        )

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        groups = {key: self._group(rows, context) for key, rows in tables.items()}
        if self.budget is not None:
            chosen = self._within(self.budget, groups, context)
        elif self.rule == "power":
            chosen = self._by_power(groups, _ALPHA if self.alpha is None else self.alpha)
        else:
            chosen = {key: group.dims[-1] for key, group in groups.items()}
        if self.rule == "power" and len(groups) == 1 and context.accounting is not None:
            context.progress.note(
                "mixdim: there is one group only, so that it has the largest dimension; give"
                " --fields, or --by frequency"
            )
        return {key: self._of_dim(dim) for key, dim in chosen.items()}

    def _of_dim(self, dim: int) -> MixDim:
        """This method with one dimension to choose from."""
        return replace(self, dims=str(dim), budget=None, alpha=None)

    def _by_power(self, groups: Mapping[str, Group], alpha: float) -> dict[str, int]:
        """The largest dimension times a power of how small or how popular a group is."""
        if self.by == "field":
            p = {key: 1 / max(group.rows.shape[0], 1) for key, group in groups.items()}
        else:
            p = {key: group.popularity for key, group in groups.items()}
        most = max((p[key] for key, group in groups.items() if group.rows.shape[0]), default=0.0)
        return {
            key: group.nearest(
                max(1.0, (self.rank or group.rows.shape[1]) * (p[key] / most) ** alpha)
                if most
                else self.rank or group.rows.shape[1]
            )
            for key, group in groups.items()
        }

    def _within(self, budget: str, groups: Mapping[str, Group], context: Context) -> dict[str, int]:
        """Dimensions whose file stays within a budget."""
        from embcompress.budget import parse_budget
        from embcompress.methods.sizing import accounts_of

        accounts = accounts_of(self.name, context)
        allowed = parse_budget(budget).bytes_for(accounts.source_bytes, accounts.weights)

        def taken(dims: Mapping[str, int]) -> int:
            made = {k: (self._of_dim(d), groups[k].codec(d)) for k, d in dims.items()}
            return accounts.artifact_bytes(made, context)

        levels = {key: self._levels(group) for key, group in groups.items()}
        smallest = {
            key: min(own, key=lambda level: level.offer.size).level for key, own in levels.items()
        }
        if self.rule == "monotone":
            smallest = {key: own[0].level for key, own in levels.items()}
        least = taken(smallest)
        if self.rule == "power":
            smallest = self._by_power(groups, 1.0)
            least = taken(smallest)
        if least > allowed:
            by = " (alpha 1; a smaller --rank has smaller ones)" if self.rule == "power" else ""
            raise UsageError(
                f"mixdim: --budget {budget} is {allowed:,} bytes, but the smallest dimensions{by}"
                f" take {least:,} with header and maps"
            )
        choose = self._chooser(groups, levels, smallest, taken)
        aim = allowed
        for _ in range(_TRIES):
            dims = choose(aim)
            if self.then is not None or self.coords == "int8":
                for key, dim in dims.items():
                    groups[key].settle(dim)
            over = taken(dims) - allowed
            if over <= 0:
                return dims
            aim -= over
        return smallest

    def _chooser(
        self,
        groups: Mapping[str, Group],
        levels: Mapping[str, list[Level]],
        smallest: dict[str, int],
        taken: Callable[[Mapping[str, int]], int],
    ) -> Callable[[int], dict[str, int]]:
        """Dimensions for so many bytes of the whole file, as far as those of offers tell."""
        if self.rule == "power":

            def by_alpha(aim: int) -> dict[str, int]:
                low, high = 0, _STEPS  # alpha in steps: the highest fits
                while low < high:
                    middle = (low + high) // 2
                    if taken(self._by_power(groups, middle / _STEPS)) <= aim:
                        high = middle
                    else:
                        low = middle + 1
                return self._by_power(groups, high / _STEPS)

            return by_alpha
        sizes = {key: {o.level: o.offer.size for o in own} for key, own in levels.items()}
        fixed = taken(smallest) - sum(sizes[key][dim] for key, dim in smallest.items())

        def by_error(aim: int) -> dict[str, int]:
            return self._least_error(groups, levels, aim - fixed) or smallest

        return by_error

    def _least_error(
        self, groups: Mapping[str, Group], levels: Mapping[str, list[Level]], room: int
    ) -> dict[str, int] | None:
        """Dimensions that leave least, for bytes of rows and projections."""
        from embcompress.solvers.knapsack import choose, choose_rising

        chains: dict[str, list[str]] = {}
        for key in groups:
            table = key.rpartition("::")[0] if self.rule == "monotone" else key
            chains.setdefault(table, []).append(key)
        ordered = [sorted(own, key=lambda key: groups[key].popularity) for own in chains.values()]
        found = choose_rising([[levels[key] for key in own] for own in ordered], room)
        if self.rule == "budget":
            keys = list(groups)
            quick = choose([[o.offer for o in levels[key]] for key in keys], room)
            # many groups have bytes without a common unit: the hull may then be nearer
            if quick is not None:
                other = {k: levels[k][i].level for k, i in zip(keys, quick, strict=True)}
                if found is None or self._left(groups, other) < self._left(
                    groups, _dims(ordered, found, levels)
                ):
                    return other
        return None if found is None else _dims(ordered, found, levels)

    @staticmethod
    def _left(groups: Mapping[str, Group], dims: Mapping[str, int]) -> float:
        return sum(float(groups[k].left[groups[k].dims.index(d)]) for k, d in dims.items())

    def _levels(self, group: Group) -> list[Level]:
        """What every dimension of a group costs and leaves."""
        n = group.rows.shape[0]
        width = {"fp32": 4.0, "fp16": 2.0}.get(self.coords or "fp32")
        if self.then is None and width is not None:
            return group.levels(lambda dim: width * n * dim)
        known = [dim for dim in (min(group.dims[1:], default=0), group.dims[-1]) if dim]
        sizes = [n * a + b for a, b in (group.inner_bytes(dim) for dim in known)]
        return group.levels(lambda dim: _between(known, sizes, dim) if dim else 0.0)

    def fit(self, rows: Rows, context: Context) -> Encoder:
        from embcompress.solvers.spectrum import check_range

        if self.projection == "svd":
            found = context.statistics(rows, self.needs)
            check_range(rows.name, rows.shape[1], found.largest)
        group = self._group(rows, context)
        return group.encoder(group.dims[-1])


def _between(places: list[int], values: list[float], place: int) -> float:
    """The value at a place on the line through the first and last."""
    if not places:
        return 0.0
    span = places[-1] - places[0]
    slope = (values[-1] - values[0]) / span if span else 0.0
    return values[0] + slope * (place - places[0])


def _dims(
    keys: list[list[str]], found: list[list[int]], levels: Mapping[str, list[Level]]
) -> dict[str, int]:
    """Dimensions by key, of the offers taken along chains."""
    return {
        key: levels[key][i].level
        for own, taken in zip(keys, found, strict=True)
        for key, i in zip(own, taken, strict=True)
    }


def parse_dims(text: str) -> list[int]:
    """Dimensions as typed, ascending.

    Raises:
        UsageError: Another form than 0,4,8,16.
    """
    try:
        dims = sorted({int(part) for part in text.split(",")})
    except ValueError:
        dims = []
    if not dims or dims[0] < 0:
        raise UsageError(f"mixdim: --dims '{text}' are not dimensions such as 0,4,8,16")
    return dims
