"""Tensor train by singular values of cuts, last core first, without holding the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import IOFailure, UsageError
from embcompress.solvers.encoder import Encoder
from embcompress.solvers.rotation import signed
from embcompress.solvers.train_shape import TrainShape
from embcompress.tables.rows import Rows, Tile
from embcompress.threads import one_blas_thread, ordered

Each = Callable[[Rows, Callable[[Tile], Any], str], Iterator[Any]]

_PANEL = 256
_FULL = 512
"""Eigenproblems up to this size are solved whole; larger ones for few wanted values only."""
_NOTHING = 1e-15
"""Singular values squared, below the largest by this much, are rounding."""
_CUT = 8192
_BATCH = 2048


class Cut(Protocol):
    """Chooses the rank of each cut, asked for from the last to the first."""

    def limit(self, cut: int) -> int | None:
        """The largest rank it may choose, or None if it wants to see all singular values."""
        ...

    def rank(self, cut: int, energies: NDArray[np.float64], whole: float) -> int:
        """The rank of a cut.

        Args:
            cut: Its number, from 0 on.
            energies: Squared singular values, largest first.
            whole: Sum of all, of those not given too.
        """
        ...


@dataclass(frozen=True)
class Fixed:
    """Given ranks; keeps the squared singular values it was shown.

    Args:
        ranks: One a cut.
        seen: Squared singular values by cut, filled in.
    """

    ranks: tuple[int, ...]
    seen: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def limit(self, cut: int) -> int | None:
        """The rank."""
        return self.ranks[cut]

    def rank(self, cut: int, energies: NDArray[np.float64], whole: float) -> int:
        """The rank."""
        self.seen[cut] = energies
        return self.ranks[cut]


@dataclass
class Within:
    """The smallest ranks that together leave out at most a share of the squared norm.

    Every cut may leave out an equal part of what the cuts before it have not used.

    Args:
        share: Of the squared norm: the squared relative error.
        left: Squared norm that may still be left out; None before the first cut.
    """

    share: float
    left: float | None = None

    def limit(self, cut: int) -> int | None:
        """None."""
        return None

    def rank(self, cut: int, energies: NDArray[np.float64], whole: float) -> int:
        """The smallest rank that this cut may have."""
        if self.left is None:
            self.left = self.share * whole
        gone = np.concatenate([np.cumsum(energies[::-1])[::-1], [0.0]])
        rank = max(1, int(np.argmax(gone <= self.left / (cut + 1))))
        self.left -= float(gone[rank])
        return rank


@dataclass(frozen=True)
class Train:
    """A fitted tensor train.

    Args:
        cores: float32 [n, r, d, r'] each.
        lost: Share of the squared norm that the ranks left out.
    """

    cores: tuple[NDArray[np.float32], ...]
    lost: float


@dataclass(frozen=True, eq=False)
class TrainEncoder(Encoder):
    """Gives rows their slots; all else is in the cores.

    Args:
        codec: Holds the cores.
        slots: int64 [n], the slot of every row of the segment, or None.
        ids: int64 [n], their original row numbers, ascending; None with ``slots``.
    """

    codec: Any
    slots: NDArray[np.int64] | None = None
    ids: NDArray[np.int64] | None = None

    def encode(self, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> dict[str, Any]:
        if self.slots is None or self.ids is None or not self.codec.bits:
            return {}
        return {"slots": self.slots[np.searchsorted(self.ids, ids)]}


def fit_train(
    rows: Rows, shape: TrainShape, largest: float, choose: Cut, each: Each, threads: int,
    memory: int,
) -> Train:  # fmt: skip
    """Fit a tensor train to rows in the order of their slots, in two passes.

    The first adds up the Gram matrix of the last core's n·d columns, whose eigenvectors are that
    core; the second projects the rows on them. What is left, smaller by n·d over the rank, is
    held, and cut again from its last core on with its singular values in it: the smaller side's
    Gram matrix gives the next core.

    Args:
        rows: The table; rows and columns beyond it are zeros.
        shape: Factors of rows and columns.
        largest: Largest magnitude of a value.
        choose: Gives each cut its rank.
        each: Applies a function to every tile of some rows; results in order.
        threads: Cores to use.
        memory: Bytes to stay below.

    Raises:
        IOFailure: What is held is too much for the memory.

    Source: Oseledets 2011, Tensor-train decomposition, algorithm 1, mirrored.
    """
    exponent = int(np.frexp(largest)[1]) if largest > 0 else 0
    last = shape.sizes[-1]
    groups = math.prod(shape.rows[:-1])
    across = math.prod(shape.columns[:-1])
    _check_memory(rows.name, "the last core's Gram matrix", 5 * 8 * last * last, memory)
    view = _View(rows, shape, exponent, each)
    gram = _gram(view, last, threads)
    norm = float(np.trace(gram))
    with one_blas_thread():
        lost, _, axes = _eigen(gram, choose, len(shape.rows) - 2, shape.most[-1])
    del gram
    rank = axes.shape[1]
    held = 4 * groups * across * rank
    _check_memory(rows.name, f"rank {rank} at the last cut", 2 * held, memory)
    values: NDArray[Any] = np.zeros((groups, across, rank), np.float32)
    for first, part in view.each(lambda matrix: matrix @ axes, "projecting"):
        values[first : first + len(part) // across] = part.reshape(-1, across, rank)
    n, d = shape.rows[-1], shape.columns[-1]
    cores = [np.ascontiguousarray(axes.reshape(n, d, rank).transpose(0, 2, 1))[..., None]]
    with one_blas_thread():
        for k in range(len(shape.rows) - 2, 0, -1):
            values, core, gone = _peel(rows.name, values, shape, k, choose)
            cores.append(core)
            lost += gone
    n, d = shape.rows[0], shape.columns[0]
    cores.append(values.reshape(n, 1, d, -1).astype(np.float64))
    return Train(_scaled(cores[::-1], exponent), lost / norm if norm > 0 else 0.0)


def _check_memory(name: str, what: str, need: int, memory: int) -> None:
    if need > memory:
        raise IOFailure(
            f"{name}: {what} needs {need:,} bytes; raise --memory, or give a lower rank or another"
            " --shape"
        )


@dataclass(frozen=True)
class _View:
    """Rows as matrices of the last cut: [groups of n_K slots times other columns, n_K·d_K]."""

    rows: Rows
    shape: TrainShape
    exponent: int
    source: Each

    def each(
        self, function: Callable[[NDArray[np.float64]], Any], stage: str
    ) -> Iterator[tuple[int, Any]]:
        """Apply a function to runs of whole groups: the first group and the result, in order.

        A tile's whole groups are done on the thread that read it; those that tiles share, here.
        """
        height = self.shape.rows[-1]

        def one(tile: Tile) -> tuple[NDArray[np.float32], int, Any, NDArray[np.float32]]:
            start, stop = tile.position, tile.position + len(tile.rows)
            begin, end = -(-start // height) * height, stop // height * height
            if begin >= end:
                return tile.rows.copy(), 0, None, tile.rows[:0]
            head, tail = tile.rows[: begin - start].copy(), tile.rows[end - start :].copy()
            done = function(self.matrix(tile.rows[begin - start : end - start]))
            return head, (end - begin) // height, done, tail

        group = 0
        pending = np.empty((0, self.rows.shape[1]), np.float32)
        for head, count, done, tail in self.source(self.rows, one, stage):
            pending = np.concatenate([pending, head])
            shared = len(pending) // height
            if shared:
                yield group, function(self.matrix(pending[: shared * height]))
                group, pending = group + shared, pending[shared * height :]
            if count:
                yield group, done
                group, pending = group + count, tail
        if len(pending):
            yield group, function(self.matrix(pending))

    def matrix(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows of whole groups, or the table's last ones, scaled to at most 1 and padded."""
        height, d = self.shape.rows[-1], self.shape.columns[-1]
        across = math.prod(self.shape.columns[:-1])
        groups = -(-len(rows) // height)
        padded = np.zeros((groups * height, across * d))
        inside = padded[: len(rows), : rows.shape[1]]
        np.multiply(rows, 2.0**-self.exponent, out=inside, dtype=np.float64)
        turned = padded.reshape(groups, height, across, d).transpose(0, 2, 1, 3)
        return turned.reshape(groups * across, height * d)


def _gram(view: _View, size: int, threads: int) -> NDArray[np.float64]:
    """XᵀX of the last cut, float64 [size, size], added up in batches and panels."""
    total = np.zeros((size, size))
    batch: list[NDArray[np.float64]] = []

    def add() -> None:
        matrix = np.concatenate(batch)

        def panel(start: int) -> NDArray[np.float64]:
            product: NDArray[np.float64] = matrix[:, start : start + _PANEL].T @ matrix[:, start:]
            return product

        starts = range(0, size, _PANEL)
        for start, part in zip(starts, ordered(panel, starts, threads), strict=True):
            total[start : start + _PANEL, start:] += part

    for _, matrix in view.each(lambda matrix: matrix, "last cut"):
        batch.append(matrix)
        if sum(map(len, batch)) >= _BATCH:
            add()
            batch.clear()
    if batch:
        with one_blas_thread():
            add()
    upper: NDArray[np.float64] = np.triu(total)
    return upper + np.triu(upper, 1).T


def _eigen(
    gram: NDArray[np.float64], choose: Cut, cut: int, most: int
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """What a chosen rank leaves out, its squared singular values, and its axes [size, rank]."""
    size, whole = len(gram), float(np.trace(gram))
    limit = min(choose.limit(cut) or most, most)
    if size > _FULL and 2 * limit < size and choose.limit(cut):
        from scipy.linalg import eigh

        values, axes = eigh(gram, subset_by_index=[size - limit, size - 1])
    else:
        values, axes = np.linalg.eigh(gram)
    energies = np.maximum(values[::-1], 0.0)
    real = int((energies > _NOTHING * energies[0]).sum())
    rank = max(1, min(choose.rank(cut, energies, whole), most, real))
    left = max(0.0, whole - float(energies[:rank].sum()))
    return left, energies[:rank], signed(axes[:, ::-1][:, :rank].T).T


def _peel(
    name: str, values: NDArray[Any], shape: TrainShape, k: int, choose: Cut
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Cut core k off values [slots, columns, r] of cores 0 … k.

    Returns:
        The values of cores 0 … k - 1, core k as [n, r', d, r], and what its rank left out.
    """
    n, d, rank = shape.rows[k], shape.columns[k], values.shape[2]
    slots, columns = values.shape[0] // n, values.shape[1] // d
    blocks = values.reshape(slots, n, columns, d * rank)
    left, right = slots * columns, n * d * rank
    if min(left, right) > _CUT:
        raise UsageError(
            f"{name}: --shape {shape} leaves a cut of {left:,} by {right:,} at rank {rank}; its"
            f" smaller side can be {_CUT:,} at most, so make the cores more even"
        )
    if left <= right:
        gram = np.zeros((left, left))
        for i in range(n):
            block = blocks[:, i].reshape(left, d * rank).astype(np.float64)
            gram += block @ block.T
        gone, energies, axes = _eigen(gram, choose, k - 1, min(left, right))
        sizes = np.sqrt(energies)
        inverse = np.where(sizes > 0, 1 / np.where(sizes > 0, sizes, 1), 0)
        core = np.empty((n, len(sizes), d, rank))
        for i in range(n):
            block = blocks[:, i].reshape(left, d * rank).astype(np.float64)
            core[i] = ((axes * inverse).T @ block).reshape(len(sizes), d, rank)
        return (axes * sizes).reshape(slots, columns, -1), core, gone
    matrix = blocks.transpose(0, 2, 1, 3).reshape(left, right)
    step = max(1, 2**22 // right)
    gram = np.zeros((right, right))
    for start in range(0, left, step):
        part = matrix[start : start + step].astype(np.float64)
        gram += part.T @ part
    gone, energies, axes = _eigen(gram, choose, k - 1, min(left, right))
    core = axes.reshape(n, d, rank, -1).transpose(0, 3, 1, 2)
    kept = np.concatenate(
        [matrix[start : start + step].astype(np.float64) @ axes for start in range(0, left, step)]
    )
    return kept.reshape(slots, columns, -1), core, gone


def _scaled(cores: list[NDArray[np.float64]], exponent: int) -> tuple[NDArray[np.float32], ...]:
    """Cores times 2^exponent in all, of about equal magnitude, so that float32 holds them."""
    own = [int(np.frexp(np.abs(core).max(initial=0))[1]) for core in cores]
    share, more = divmod(sum(own) + exponent, len(cores))
    return tuple(
        (core * 2.0 ** (share + (k < more) - e)).astype(np.float32)
        for k, (core, e) in enumerate(zip(cores, own, strict=True))
    )
