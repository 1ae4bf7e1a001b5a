"""Gains of records, and the classes that stand for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.codecs.trellis_tables import OCTAVE

_TINY = 1e-12
_LEAST_RECORDS = 8
"""Records of a sample for each class of a grade."""


def log_gains(
    records: NDArray[np.float32], rows: int, spreads: NDArray[np.float64], active: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Gain of every row of records over the spreads, in 1/24 octave, float64 [s, r].

    Args:
        records: float32 [s, r·n].
        rows: r.
        spreads: float64 [n].
        active: bool [n], coordinates that count.
    """
    n = len(spreads)
    scaled = records.reshape(len(records) * rows, n)[:, active] / spreads[active].astype(np.float32)
    squares = np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64) / max(int(active.sum()), 1)
    logs: NDArray[np.float64] = 0.5 * OCTAVE * np.log2(np.maximum(squares, _TINY))
    return logs.reshape(-1, rows)


def nearest_gains(
    logs: NDArray[np.float64], gains: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The classes with the nearest gains, int64 [s, count], nearest first; -1 beyond all."""
    found = np.full((len(logs), count), -1, np.int64)
    kept = min(count, len(gains))
    for start in range(0, len(logs), 4096):
        some = logs[start : start + 4096]
        away = np.zeros((len(some), len(gains)), np.float32)
        for j in range(gains.shape[1]):
            away += (some[:, j, None].astype(np.float32) - gains[:, j].astype(np.float32)) ** 2
        if kept < len(gains):
            near = np.argpartition(away, kept - 1, axis=1)[:, :kept]
        else:
            near = np.tile(np.arange(kept), (len(some), 1))
        order = np.argsort(np.take_along_axis(away, near, axis=1), axis=1, kind="stable")
        found[start : start + len(some), :kept] = np.take_along_axis(near, order, axis=1)
    return found


def nearest_classes(
    logs: NDArray[np.float64],
    grades: NDArray[np.int64],
    gains: NDArray[np.int64],
    own: NDArray[np.int64],
    count: int,
) -> NDArray[np.int64]:
    """The classes of a record's grade with the nearest gains, as `nearest_gains` has them.

    Args:
        logs: float64 [s, r], gains of records.
        grades: int64 [s], of records.
        gains: int64 [G, r], of classes.
        own: int64 [G], grades of classes; every grade has one.
        count: Classes at most.
    """
    if not own.any():
        return nearest_gains(logs, gains, count)
    found = np.full((len(logs), count), -1, np.int64)
    for grade in np.unique(grades):
        mine, theirs = np.flatnonzero(grades == grade), np.flatnonzero(own == grade)
        near = nearest_gains(logs[mine], gains[theirs], count)
        found[mine] = np.where(near >= 0, theirs[near], -1)
    return found


def graded_classes(
    logs: NDArray[np.float64], grades: NDArray[np.int64], count: int, floor: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gains and grades of classes: clusters within grades, more where gains differ more.

    Args:
        logs: float64 [s, r].
        grades: int64 [s].
        count: Classes at most, but each grade has one.
        floor: Gains below are all alike.

    Returns:
        int64 [G, r], int64 [G].
    """
    if not grades.any():
        gains = gain_classes(logs, count, floor)
        return gains, np.zeros(len(gains), np.int64)
    each = [np.maximum(logs[grades == g], floor) for g in range(int(grades.max()) + 1)]
    each = [e if len(e) else np.zeros((1, logs.shape[1])) for e in each]
    # what clusters lose falls as a power -2/r of their number
    power = logs.shape[1] / (logs.shape[1] + 2)
    shares = np.array([(len(e) * float(e.var(axis=0).sum())) ** power for e in each])
    counts = np.ones(len(each), np.int64)
    for _ in range(count - len(each)):
        room = counts * _LEAST_RECORDS < [len(e) for e in each]
        if not room.any():
            break
        counts[np.where(room, shares / counts, -1).argmax()] += 1
    found = [gain_classes(e, int(c), floor) for e, c in zip(each, counts, strict=True)]
    return np.concatenate(found), np.repeat(np.arange(len(each)), [len(g) for g in found])


def gain_classes(logs: NDArray[np.float64], count: int, floor: float) -> NDArray[np.int64]:
    """Gains of classes: clusters of the records' gains.

    Args:
        logs: float64 [s, r].
        count: Classes at most.
        floor: Gains below are all alike.

    Returns:
        int64 [G, r], without repetition, ascending.
    """
    points = np.maximum(logs, floor)
    random = np.random.Generator(np.random.PCG64(count))
    if points.shape[1] == 1:
        low, high = np.quantile(points, [0.002, 0.998])
        centres = np.linspace(low, high, count)[:, None]
    else:
        centres = points[random.choice(len(points), min(count, len(points)), replace=False)]
    for _ in range(8 if points.shape[1] > 1 else 3):
        own = nearest_gains(points, centres.astype(np.float64), 1)[:, 0]
        sums = np.zeros_like(centres)
        np.add.at(sums, own, points)
        times = np.bincount(own, minlength=len(centres))[:, None]
        centres = np.where(times > 0, sums / np.maximum(times, 1), centres)
    return np.unique(np.rint(centres).astype(np.int64), axis=0)
