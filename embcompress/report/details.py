"""What a report tells of single rows and groups of rows, beside the figures of a whole table."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How many rows have a figure within each of some ranges.

    Args:
        edges: Borders of the bins, ascending: one more than there are bins.
        counts: Rows from one edge up to, not including, the next.
        below: Rows under the first edge, 0 included.
        above: Rows from the last edge on, infinity included.
    """

    edges: list[float]
    counts: list[int]
    below: int
    above: int

    @property
    def rows(self) -> int:
        """All rows that were counted."""
        return self.below + sum(self.counts) + self.above


@dataclass(frozen=True, kw_only=True)
class FrequencyGroup:
    """Rows of about the same frequency: a tenth of the rows, or more where frequencies are equal.

    Args:
        rows: How many.
        least_frequency: Their least frequency.
        share: Their part of all uses.
        relative_error: ‖E - Ê‖F / ‖E‖F over them; None when only the norm is 0.
        cosine_mean: Mean cosine of a row and its reconstruction.
    """

    rows: int
    least_frequency: float
    share: float
    relative_error: float | None
    cosine_mean: float


@dataclass(frozen=True, kw_only=True)
class WorstRow:
    """One of the rows that lost most.

    Args:
        row: Its number.
        relative_error: ‖e - ê‖ / ‖e‖; None when e is zero and ê is not.
        cosine: Of the row and its reconstruction.
        norm: ‖e‖.
        decoded_norm: ‖ê‖.
        frequency: How often it is used, when that is known.
    """

    row: int
    relative_error: float | None
    cosine: float
    norm: float
    decoded_norm: float
    frequency: float | None = None


@dataclass(frozen=True, kw_only=True)
class RowNeighbours:
    """The nearest rows of one row by cosine, best first, before and after.

    Args:
        row: Its number.
        before: Row numbers in the source.
        after: Row numbers among the decoded rows.
    """

    row: int
    before: list[int]
    after: list[int]


@dataclass(frozen=True, kw_only=True)
class LimitPoint:
    """A point of the Gaussian rate-distortion bound.

    Args:
        bits_per_weight: The rate.
        relative_error: The least relative error at that rate.
    """

    bits_per_weight: float
    relative_error: float


@dataclass(frozen=True, kw_only=True)
class Details:
    """Rows of a table, counted, grouped and picked out.

    Args:
        row_error: Distribution of ‖e - ê‖ / ‖e‖.
        cosine_distance: Distribution of 1 - cosine.
        worst: The rows with the largest relative error, worst first.
        frequency_groups: Rows by rising frequency; [] when frequencies are not known.
        neighbours: Of some rows, spread over the table.
        neighbour_rows: Rows searched for them: all, or a random sample.
        limit: The rate-distortion bound at rising rates.
        keys: Tokens or other keys of the rows named here, by row number, where they are known.
    """

    row_error: Histogram
    cosine_distance: Histogram
    worst: list[WorstRow] = field(default_factory=list)
    frequency_groups: list[FrequencyGroup] = field(default_factory=list)
    neighbours: list[RowNeighbours] = field(default_factory=list)
    neighbour_rows: int | None = None
    limit: list[LimitPoint] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[int]:
        """Every row that is named, ascending."""
        found = {w.row for w in self.worst}
        for n in self.neighbours:
            found |= {n.row, *n.before, *n.after}
        return sorted(found)
