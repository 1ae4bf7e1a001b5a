"""xLightFM: product codes with a number of codewords for each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

if TYPE_CHECKING:
    from embcompress.codecs.base import Codec
    from embcompress.solvers.knapsack import Offer

_TRIES = 40


@dataclass(frozen=True, kw_only=True)
class XLightFM(Method):
    """Store product codes, with as many codewords for each field as a budget is best spent on.

    Every field of --fields, or every table without them, has codebooks of its own. For each, the
    error is measured at 1, 2, 4, … codewords by short fits to a sample; then fields take more
    codewords in the order of error drop per byte, codes and codebooks counted, over all fields
    and tables together, while everything (header, maps and checksums too) stays within --budget.
    Errors add up over fields, so this choice along convex hulls is the best for the bytes it takes,
    up to the measured errors; the paper searches during training. Frequencies weight fits and
    errors.
    """

    name = "xlightfm"
    family = "vector quantization"
    native = False
    source = (
        "Jiang et al. 2021, xLightFM: extremely memory-efficient factorization machine (the number"
        " of codewords of each field)"
    )
    example = "xlightfm glove.npy -o glove.xl.safetensors --budget 8x --fields fields.json"

    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below: 12MB (10^6 bytes), 8x (an eighth of"
            " the source) or 2.5bpw (bits per weight); by default every field has the most"
            " codewords."
        ),
    ] = None
    subquantizers: Annotated[
        int | None,
        Option("Segments S of a row; by default one for every two columns.", min=1),
    ] = None
    max_codewords: Annotated[
        int, Option("Most codewords that a field may have.", min=1, max=4096)
    ] = 256
    codewords: Annotated[
        int | None,
        Option("Codewords of every field, instead of a choice under --budget.", min=1, max=4096),
    ] = None
    codebook_dtype: Annotated[
        Literal["fp16", "fp32"],
        Option("Of the codewords; fp32 is taken where fp16 cannot hold a field's values."),
    ] = "fp16"
    sample: Annotated[
        int | None,
        Option("Rows of a field to train on; by default 256 a codeword, at least 65,536.", min=256),
    ] = None

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        if self.budget is not None:
            parse_budget(self.budget)

    @property
    def per_field(self) -> bool:
        return True

    @property
    def _rows(self) -> int:
        from embcompress.solvers.product import training_rows

        return self.sample or training_rows(self.codewords or self.max_codewords)

    @property
    def needs(self) -> frozenset[str]:
        from embcompress.solvers.statistics import sample_of

        return frozenset({sample_of(self._rows)})

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.product import check_memory, check_segments

        check_segments(rows, self.subquantizers)
        check_memory(rows, self._rows)

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        from embcompress.solvers.product import fits_half, settled_segments

        settled = {}
        for key, rows in tables.items():
            half = fits_half(context.statistics(rows, self.needs), rotated=False)
            settled[key] = replace(
                self,
                subquantizers=settled_segments(rows, self.subquantizers),
                codebook_dtype=self.codebook_dtype if half else "fp32",
                sample=self._rows,
            )
        if self.codewords is not None or self.budget is None:
            count = self.codewords or self.max_codewords
            return {key: replace(method, codewords=count) for key, method in settled.items()}
        return self._within(self.budget, tables, settled, context)

    def _within(
        self,
        budget: str,
        tables: Mapping[str, Rows],
        settled: Mapping[str, XLightFM],
        context: Context,
    ) -> Mapping[str, XLightFM]:
        from embcompress.budget import parse_budget
        from embcompress.solvers.codeword_counts import counts_up_to
        from embcompress.solvers.knapsack import choose

        accounts = context.accounting
        if accounts is None:
            raise UsageError("xlightfm: --budget is of whole tables; give --codewords instead")
        allowed = parse_budget(budget).bytes_for(accounts.source_bytes, accounts.weights)
        counts = {k: counts_up_to(r.shape[0], self.max_codewords) for k, r in tables.items()}
        chosen = {key: replace(method, codewords=1) for key, method in settled.items()}
        least = accounts.artifact_bytes(_made(chosen, tables), context)
        if least > allowed:
            raise UsageError(
                f"xlightfm: --budget {budget} is {allowed:,} bytes, but one codeword a field"
                f" takes {least:,} with header and maps"
            )
        with context.progress.stage("codewords", sum(map(len, counts.values()))):
            offers = [
                method.offers(tables[key], counts[key], context) for key, method in settled.items()
            ]
        room = allowed - least + sum(own[0].size for own in offers)
        for _ in range(_TRIES):
            taken = choose(offers, room)
            if taken is None:
                break
            found = {
                key: replace(settled[key], codewords=counts[key][i])
                for key, i in zip(settled, taken, strict=True)
            }
            over = accounts.artifact_bytes(_made(found, tables), context) - allowed
            if over <= 0:
                return found
            room -= over
        return chosen

    def offers(self, rows: Rows, counts: list[int], context: Context) -> list[Offer]:
        """Bytes and errors of a field by its codewords."""
        from embcompress.solvers.codeword_counts import offers_of

        found = context.statistics(rows, self.needs)
        assert found.sample is not None
        assert found.sample_weights is not None
        return offers_of(
            found.sample, found.sample_weights, counts, self.subquantizers or 0,
            found.root_mean_square, (rows.shape[0], found.weight),
            2 if self.codebook_dtype == "fp16" else 4,
            context.seed, context.threads, context.progress,
        )  # fmt: skip

    def fit(self, rows: Rows, context: Context) -> Encoder:
        from embcompress.solvers.product import Tier, fit_product

        found = context.statistics(rows, self.needs)
        assert found.sample is not None
        assert found.sample_weights is not None
        tier = Tier(found.sample, found.sample_weights, self.codewords or 1)
        half = self.codebook_dtype == "fp16"
        return fit_product(
            [tier], self.subquantizers or 0, found.root_mean_square, half, context.seed,
            context.threads, context.progress,
        )[0]  # fmt: skip


def _made(
    methods: Mapping[str, XLightFM], tables: Mapping[str, Rows]
) -> dict[str, tuple[Method, Codec]]:
    """Settled methods with the codecs they will fit, codewords left out."""
    import numpy as np

    from embcompress.codecs.product import Product
    from embcompress.solvers.product import bits_for

    made: dict[str, tuple[Method, Codec]] = {}
    for key, method in methods.items():
        d, k = tables[key].shape[1], method.codewords or 1
        numbers = np.zeros((k, d), np.float16 if method.codebook_dtype == "fp16" else np.float32)
        made[key] = method, Product(d, method.subquantizers or 0, bits_for(k), numbers)
    return made
