"""Magnitudes above which values are kept: exact ones, from streamed counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.magnitudes import count_digits, near_magnitudes
from embcompress.solvers.sparsity import Above, magnitudes
from embcompress.tables.rows import Rows, Tile

Each = Callable[[Rows, Callable[[Tile], Any], str], Iterator[Any]]
Fits = Callable[[NDArray[np.int64]], bool]

_END = 2**31  # above every magnitude
_ALL_TIES = 2**63 - 1
_DIGITS = ((20, 11), (10, 10), (0, 10))  # shift and bits: magnitudes have 31 bits
_PEEKED = 64  # tiles
_EVERY = 8  # of their rows, one
_FEW = 2**22  # values that are all looked at closely
_CLOSE = 2**23  # magnitudes kept from a pass
_HALF = 0.005  # share of the values to look at closely, on each side of the guess
_COLUMNS = 512  # whose histograms are held together
_STAGE = "thresholds"


@dataclass
class Near:
    """What a pass finds between two magnitudes.

    Args:
        low: Least magnitude looked at.
        high: Those from here on are counted only.
        above: int64 [S], how many, by segment.
        pieces: Segment, tile, ascending magnitudes and how often each occurs.
    """

    low: int
    high: int
    above: NDArray[np.int64]
    pieces: list[tuple[int, int, NDArray[np.uint32], NDArray[np.int64]]] = field(
        default_factory=list
    )

    def by_segment(self) -> NDArray[np.int64]:
        """How many lie between, int64 [S]."""
        counts = np.zeros_like(self.above)
        for segment, _, _, own in self.pieces:
            counts[segment] += own.sum()
        return counts


def joint_threshold(
    segments: Sequence[Rows], fits: Fits, each: Each, *, soft: bool = False
) -> tuple[list[Above], NDArray[np.int64]]:
    """Keep the largest magnitudes of several segments together, as many as fit.

    Some tiles are peeked at to guess the threshold. One pass then counts the magnitudes above a
    range around it and collects those inside, which is exact unless the threshold lies outside;
    then three passes find it digit by digit.

    Args:
        segments: Of one or several tables.
        fits: Whether so many values kept of every segment, int64 [S], fit; a larger number never
            fits where a smaller one does not, and none always do.
        each: Applies a function to every tile of some rows; results in order.
        soft: Whether kept magnitudes shrink by the largest that is not kept.

    Returns:
        What is kept of every segment, and int64 [S] how many values. Of equal magnitudes those
        of earlier segments, rows and columns are kept. Zeros are not.
    """
    low, high = _guess(segments, fits)
    near = _collect(segments, low, high, each)
    if near is None or not _inside(near, fits):
        least = _by_digits(segments, fits, each)
        near = _collect(segments, least, least + 1, each, most=None)
    assert near is not None
    found, kept = _resolved(segments, near, fits)
    return ([_shrinking(above) for above in found] if soft else found), kept


def _shrinking(above: Above) -> Above:
    """Kept magnitudes shrink by the threshold; what equals it would become 0."""
    return replace(above, ties=np.zeros_like(above.ties), shrink=above.least.view(np.float32))


def _values(rows: Rows) -> int:
    n, d = rows.shape
    return n * d


def _guess(segments: Sequence[Rows], fits: Fits) -> tuple[int, int]:
    """A range of magnitudes that holds the threshold, most likely."""
    sizes = np.array([_values(rows) for rows in segments])
    total = int(sizes.sum())
    if total <= _FEW:
        return 1, _END
    counts = np.array([rows.shape[0] for rows in segments])
    places = ((np.arange(_PEEKED) + 0.5) * counts.sum() / _PEEKED).astype(np.int64)
    owners = np.searchsorted(np.cumsum(counts), places, side="right")
    shares = (places - (np.cumsum(counts) - counts)[owners]) / counts[owners]
    tiles = {(int(s), int(x * segments[s].tiles)) for s, x in zip(owners, shares, strict=True)}
    keys, labels = [], []
    for segment, tile in sorted(tiles):
        rows = segments[segment].tile(tile).rows
        keys.append(magnitudes(rows[::_EVERY]).reshape(-1))
        labels.append(np.full(len(keys[-1]), segment))
    key, label = np.concatenate(keys), np.concatenate(labels)
    order = np.argsort(key, kind="stable")[::-1]
    key, label = key[order], label[order]
    drawn = np.bincount(label, minlength=len(segments))
    scale = np.where(drawn > 0, sizes / np.maximum(drawn, 1), 0.0)
    unseen = np.where(drawn > 0, 0, sizes) / len(key)

    def kept(rank: int) -> NDArray[np.int64]:
        seen = np.bincount(label[:rank], minlength=len(segments)) * scale
        return (seen + unseen * rank).astype(np.int64)

    rank = _most(len(key), lambda r: fits(kept(r)))
    half = max(2, int(min(_HALF, _CLOSE / 4 / total) * len(key)))
    low = max(1, int(key[rank + half])) if rank + half < len(key) else 1
    high = int(key[rank - half]) + 1 if rank >= half else _END
    return low, max(high, low + 1)


def _most(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 0 on, up to ``most``, that fits."""
    good, bad = 0, most + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def _collect(
    segments: Sequence[Rows], low: int, high: int, each: Each, most: int | None = _CLOSE
) -> Near | None:
    """One pass; None when more than ``most`` different magnitudes lie in the range."""

    def of(tile: Tile) -> tuple[int, NDArray[np.uint32], NDArray[np.int64]]:
        found = np.empty(tile.rows.size + 1, np.uint32)
        above = np.zeros(1, np.int64)
        count = near_magnitudes(tile.rows.view(np.uint32), low, high, found, above)
        keys, counts = np.unique(found[:count], return_counts=True)
        return int(above[0]), keys, counts

    near = Near(low, high, np.zeros(len(segments), np.int64))
    held = 0
    for segment, rows in enumerate(segments):
        for tile, (above, keys, counts) in enumerate(each(rows, of, _STAGE)):
            near.above[segment] += above
            if len(keys):
                near.pieces.append((segment, tile, keys, counts))
                held += len(keys)
            if most is not None and held > most:
                return None
    return near


def _inside(near: Near, fits: Fits) -> bool:
    """Whether the threshold lies in the range that was looked at."""
    return fits(near.above) and (near.low == 1 or not fits(near.above + near.by_segment()))


def _by_digits(segments: Sequence[Rows], fits: Fits, each: Each) -> int:
    """The largest magnitude of which not all fit, or 1 when all do: 11, 10 and 10 bits a pass."""
    prefix = 0
    above = np.zeros(len(segments), np.int64)
    for shift, bits in _DIGITS:
        counts = np.stack(
            [_histogram(rows, None, np.array([prefix]), shift, bits, each)[0] for rows in segments]
        )
        highest = np.cumsum(counts[:, ::-1], axis=1) + above[:, None]  # by 1, 2, … digits
        highest = np.concatenate([above[:, None], highest], axis=1)
        whole = _most_fitting(highest, fits)
        if whole == 2**bits:
            return 1
        above = highest[:, whole]
        prefix = prefix << bits | (2**bits - 1 - whole)
    return prefix


def _most_fitting(kept: NDArray[np.int64], fits: Fits) -> int:
    """The last column of some numbers of values, int64 [S, m], that fits."""
    return _most(kept.shape[1] - 1, lambda column: fits(kept[:, column]))


def _histogram(
    rows: Rows,
    columns: slice | None,
    prefixes: NDArray[Any],
    shift: int,
    bits: int,
    each: Each,
) -> NDArray[np.int64]:
    """Counts of a digit in one pass: int64 [1, 2**bits], or a row for each of some columns."""

    def of(tile: Tile) -> NDArray[np.int64]:
        own = tile.rows if columns is None else np.ascontiguousarray(tile.rows[:, columns])
        d = own.shape[1]
        units = np.zeros(d, np.int64) if columns is None else np.arange(d)
        counts = np.zeros((len(prefixes), 2**bits), np.int64)
        count_digits(own.view(np.uint32), units, prefixes.astype(np.uint32), shift, bits, counts)
        return counts

    counts = np.zeros((len(prefixes), 2**bits), np.int64)
    for piece in each(rows, of, _STAGE):
        counts += piece
    return counts


def _resolved(
    segments: Sequence[Rows], near: Near, fits: Fits
) -> tuple[list[Above], NDArray[np.int64]]:
    """The threshold among collected magnitudes, and how its ties are shared out."""
    owner = np.concatenate(
        [np.empty(0, np.int64), *(np.full(len(k), s) for s, _, k, _ in near.pieces)]
    )
    keys = np.concatenate([np.empty(0, np.uint32), *(k for _, _, k, _ in near.pieces)])
    counts = np.concatenate([np.empty(0, np.int64), *(c for *_, c in near.pieces)])
    order = np.argsort(keys, kind="stable")[::-1]
    owner, keys, counts = owner[order].astype(np.int64), keys[order], counts[order]
    edges = np.append(np.flatnonzero(np.diff(keys, prepend=keys[:1] + 1)), len(keys))

    def kept(whole: int) -> NDArray[np.int64]:
        end = edges[whole]
        own = np.bincount(owner[:end], counts[:end], minlength=len(segments))
        return near.above + own.astype(np.int64)

    different = len(edges) - 1
    whole = _most(different, lambda number: fits(kept(number)))
    found = kept(whole)
    if whole == different:  # all but zeros fit
        nothing = [_above(rows, 0, 0) for rows in segments]
        return nothing, found
    least = int(keys[edges[whole]])
    tied = kept(whole + 1) - found
    numbers = np.arange(len(segments))
    filled = _most(len(segments), lambda m: fits(found + tied * (numbers < m)))
    found = found + tied * (numbers < filled)
    cuts = np.where(numbers < filled, _ALL_TIES, 0)
    if filled < len(segments):
        count = _most(int(tied[filled]), lambda m: fits(found + m * (numbers == filled)))
        found = found + count * (numbers == filled)
        cuts[filled] = _place_of_tie(segments[filled], filled, near, least, count)
    return [_above(r, least, int(cut)) for r, cut in zip(segments, cuts, strict=True)], found


def _above(rows: Rows, least: int, ties: int) -> Above:
    d = rows.shape[1]
    return Above(np.full(d, least, np.uint32), np.full(d, ties, np.int64))


def _place_of_tie(rows: Rows, segment: int, near: Near, least: int, number: int) -> int:
    """Row times D plus column of a value among those of one magnitude, counted from 0."""
    for owner, tile, keys, counts in near.pieces:
        at = int(np.searchsorted(keys, least))
        if owner != segment or at == len(keys) or keys[at] != least:
            continue
        if number < counts[at]:
            return int(_places(rows, tile, np.full(rows.shape[1], least))[number])
        number -= int(counts[at])
    raise AssertionError("a tie was counted that no tile has")


def _places(rows: Rows, tile: int, least: NDArray[Any]) -> NDArray[np.int64]:
    """Places of the values of a tile that equal the magnitude of their column, ascending."""
    found = rows.tile(tile)
    row, column = np.nonzero(magnitudes(found.rows) == least)
    places: NDArray[np.int64] = found.ids[row] * rows.shape[1] + column
    return places


def column_thresholds(rows: Rows, count: int, each: Each, *, soft: bool = False) -> Above:
    """Keep the largest magnitudes of every column, in three passes, or four to share out ties.

    Args:
        rows: A segment.
        count: How many of each column; zeros are not kept.
        each: Applies a function to every tile of some rows; results in order.
        soft: Whether kept magnitudes shrink by the largest of their column that is not kept.
    """
    d = rows.shape[1]
    least, ties = np.zeros(d, np.uint32), np.zeros(d, np.int64)
    left = np.zeros(d, np.int64)  # of those that equal the threshold, how many are kept
    for first in range(0, d, _COLUMNS):
        some = slice(first, min(first + _COLUMNS, d))
        width = some.stop - first
        prefix, above = np.zeros(width, np.int64), np.zeros(width, np.int64)
        all_fit = np.zeros(width, bool)
        for shift, bits in _DIGITS:
            counts = _histogram(rows, some, prefix, shift, bits, each)
            upward = np.cumsum(counts[:, ::-1], axis=1) + above[:, None]
            whole = (upward <= count).sum(axis=1)
            if shift == _DIGITS[0][0]:
                all_fit = whole == 2**bits
            whole = np.minimum(whole, 2**bits - 1)
            column = np.arange(width)
            above = np.where(whole > 0, upward[column, whole - 1], above)
            prefix = prefix << bits | (2**bits - 1 - whole)
        least[some] = np.where(all_fit, 0, prefix)
        left[some] = np.where(all_fit, 0, count - above)
    split = np.flatnonzero(left)
    if len(split):
        ties[split] = _places_of_ties(rows, least, left, split, each)
    return _shrinking(Above(least, ties)) if soft else Above(least, ties)


def _places_of_ties(
    rows: Rows,
    least: NDArray[np.uint32],
    numbers: NDArray[np.int64],
    columns: NDArray[np.int64],
    each: Each,
) -> list[int]:
    """For each of some columns, the place of a value among those of its threshold."""

    def of(tile: Tile) -> NDArray[np.int64]:
        equal = magnitudes(tile.rows) == least
        found: NDArray[np.int64] = equal[:, columns].sum(axis=0, dtype=np.int64)
        return found

    upto = np.cumsum(np.stack(list(each(rows, of, _STAGE))), axis=0)
    tiles = (upto <= numbers[columns]).sum(axis=0)
    places = []
    for i, (column, tile) in enumerate(zip(columns.tolist(), tiles.tolist(), strict=True)):
        before = int(upto[tile - 1, i]) if tile else 0
        own = _places(rows, tile, least)
        own = own[own % rows.shape[1] == column]
        places.append(int(own[int(numbers[column]) - before]))
    return places
