"""Rows near the rate-distortion limit: entropy-coded, with random access."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from embcompress.errors import UsageError
from embcompress.methods.base import Context, Encoder, Method
from embcompress.options import Option
from embcompress.tables.rows import Rows

_MOST_ROWS = 256
_BITS = 4.0
_MOST_BITS = 16
_LEAST_BYTES = 64


@dataclass(frozen=True, kw_only=True)
class Limit(Method):
    """Store rows near the rate-distortion limit: entropy-coded, each still decoded alone.

    Rows are turned into principal axes; one step serves all coordinates, so that rows and axes
    share the bits as they need them. Dependent quantization and a static range coder turn a row
    into a record whose class says both its gain and its exact length: that is what lets any row
    be found.
    """

    name = "limit"
    family = "low precision"
    native = True
    source = (
        "Fischer and Wang 1992, Entropy-constrained trellis-coded quantization; Duda 2013,"
        " Asymmetric numeral systems; records of classes of exact length are ours"
    )
    example = "limit glove.npy -o glove.limit.safetensors --budget 2bpw"

    budget: Annotated[
        str | None,
        Option(
            "Size of all compressed tables, met from below within 64 bytes: 12MB (10^6 bytes), 8x"
            " (an eighth of the source) or 2bpw (bits per weight)."
        ),
    ] = None
    bits: Annotated[
        float | None,
        Option(
            "Bits per weight of every table's own parts, without header and checksums, 64 bytes at"
            " least; 4 unless another size is given.",
            min=0.1,
            max=16,
        ),
    ] = None
    target_error: Annotated[
        float | None,
        Option(
            "Relative error of every table, reached with as few bytes as can be.", min=1e-4, max=1
        ),
    ] = None
    states: Annotated[
        Literal["1", "4", "8", "32"] | None,
        Option(
            "States of dependent quantization; 1 is a plain quantizer. 32 by default, 8 with"
            " --effort fast."
        ),
    ] = None
    effort: Annotated[
        Literal["fast", "normal", "best"],
        Option(
            "How hard the encoder searches. best takes about four times as long as normal, for a"
            " tenth of a dB at most, and next to nothing where records are short."
        ),
    ] = "normal"
    rows_per_record: Annotated[
        str,
        Option(
            "Rows that are decoded together, at most 256; auto tries up to 64 weights a record, and"
            " up to 256 in tables of at most 16,384 rows. More are smaller and slower to look up."
        ),
    ] = "auto"

    weight: Annotated[
        Literal["none", "frequency", "row-norm"],
        Option(
            "What a row's squared error counts: its frequency (needs --frequencies), or 1 / its"
            " squared norm, so that short rows come out as exact as long ones."
        ),
    ] = "none"

    def __post_init__(self) -> None:
        from embcompress.budget import parse_budget

        super().__post_init__()
        if self.budget is not None:
            parse_budget(self.budget)
        text = self.rows_per_record
        if text != "auto" and not (text.isdecimal() and 1 <= int(text) <= _MOST_ROWS):
            raise UsageError(
                f"limit: --rows-per-record is auto or a whole number from 1 to {_MOST_ROWS},"
                f" not '{text}'"
            )

    @property
    def needs(self) -> frozenset[str]:
        from embcompress.solvers.trellis_sampling import needs_of

        return needs_of(self.effort)

    @property
    def budgeted(self) -> str | None:
        return self.budget

    @property
    def _states(self) -> int:
        from embcompress.solvers.trellis_encoder import EFFORTS

        return int(self.states or EFFORTS[self.effort].states)

    def preflight(self, rows: Rows, context: Context) -> None:
        from embcompress.solvers.rotation import check_room

        if sum(v is not None for v in (self.budget, self.bits, self.target_error)) > 1:
            raise UsageError("limit: give one of --budget, --bits and --target-error")
        check_room(rows.name, rows.shape[1], context.memory)
        if self.weight != "none" and self.target_error is not None:
            raise UsageError(
                "limit: --target-error is of all rows alike; give --weight with --budget or --bits"
            )
        if self.weight == "frequency" and rows.weights is None:
            raise UsageError(
                f"{rows.name}: limit --weight frequency needs frequencies; give --frequencies"
            )
        if self.budget is not None:
            accounts = context.accounting
            if accounts is None or not accounts.holds(rows):
                raise UsageError(
                    "limit: --budget is of whole tables; give --bits for coordinates of another"
                    " method"
                )

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        from embcompress.budget import parse_budget
        from embcompress.methods.sizing import accounts_of
        from embcompress.solvers.trellis_fit import empty_codec

        if self.budget is None:
            return dict.fromkeys(tables, self)
        accounts = accounts_of(self.name, context)
        allowed = parse_budget(self.budget).bytes_for(accounts.source_bytes, accounts.weights)
        made = {key: (self, empty_codec(*rows.shape)) for key, rows in tables.items()}
        room = allowed - accounts.artifact_bytes(made, context)
        # classes and addresses count as bits of the records
        room += sum(made[k][1].stream.nbytes(rows.shape[0], 0) for k, rows in tables.items())
        whole = sum(math.prod(rows.shape) for rows in tables.values())
        # about what each table's own parts may take; it is settled to the byte once all are fitted
        share = 8 * room / max(whole, 1)
        return dict.fromkeys(tables, replace(self, bits=round(min(max(share, 0.1), _MOST_BITS), 4)))

    def fit(self, rows: Rows, context: Context) -> Encoder:
        from embcompress.solvers.trellis_fit import TrellisFit
        from embcompress.solvers.trellis_sampling import Wish

        n, d = rows.shape
        count = None if self.rows_per_record == "auto" else int(self.rows_per_record)
        nbytes = max(n * d * (self.bits or _BITS) / 8, _LEAST_BYTES)
        budgeted = self.budget is not None
        size = None if self.target_error is not None else nbytes
        wish = Wish(self._states, self.effort, count, budgeted, size, self.target_error)
        fit = TrellisFit(rows, replace(wish, weight=self.weight), context)
        if size is None:
            fit.reach_error()
        elif not budgeted:
            fit.fill_own(int(size))
        return fit
