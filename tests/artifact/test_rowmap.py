"""Row maps against plain counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embcompress.artifact.rowmap import Labels, Ranges, Whole, load_rowmap
from embcompress.errors import BadInput


def brute(labels, children):
    """Segment and position of every row, counted one by one."""
    seen = [0] * len(children)
    found = []
    for label in labels:
        child, k = children[label], seen[label]
        seen[label] += 1
        if isinstance(child, Ranges):
            r = next(i for i, stop in enumerate(child.stops) if k < stop)
            found.append((child.first + r, k - (int(child.stops[r - 1]) if r else 0)))
        else:
            found.append((child.segment, k))
    return np.array(found, np.int64).reshape(-1, 2)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), rows=st.integers(0, 3000), kinds=st.integers(1, 5))
def test_labels(data, rows, kinds):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    labels = random.integers(0, kinds, rows)
    children, first = [], 0
    for label in range(kinds):
        count = int((labels == label).sum())
        if label % 2 and count > 2:
            stops = np.array([count // 3, count // 3, count])
            children.append(Ranges(count, first, stops))
            first += 3
        else:
            children.append(Whole(count, first))
            first += 1
    rowmap = Labels.build(labels, children)
    wanted = brute(labels, children)
    ids = random.integers(0, rows, 200) if rows else np.empty(0, np.int64)
    segments, positions = rowmap.locate(ids)
    assert np.array_equal(np.stack([segments, positions], 1), wanted[ids])
    start, stop = sorted(random.integers(0, rows + 1, 2))
    covered = {}
    for span in rowmap.spans(int(start), int(stop)):
        for i, row in enumerate(span.rows):
            covered[int(row)] = (span.segment, span.position + i)
    assert covered == {i: tuple(wanted[i]) for i in range(start, stop)}
    again = load_rowmap(rows, rowmap.json(), rowmap.arrays(), "test")
    assert np.array_equal(again.locate(ids)[1], positions)
    assert rowmap.sound()


def test_ranges_with_empty_fields():
    rowmap = Ranges(10, 0, np.array([0, 4, 4, 10]))
    segments, positions = rowmap.locate(np.arange(10))
    assert segments.tolist() == [1] * 4 + [3] * 6
    assert positions.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    assert [s.segment for s in rowmap.spans(2, 6)] == [1, 3]
    assert rowmap.counts() == {0: 0, 1: 4, 2: 0, 3: 6}


HOSTILE = [
    ({"kind": "other"}, {}),
    ({"kind": "whole"}, {}),
    ({"kind": "whole", "segment": -1}, {}),
    ({"kind": "whole", "segment": 0, "more": 1}, {}),
    ({"kind": "whole", "segment": True}, {}),
    ({"kind": "ranges", "first": 0, "ranges": 2}, {}),
    ({"kind": "ranges", "first": 0, "ranges": 2}, {"stops": np.array([4, 9])}),
    ({"kind": "ranges", "first": 0, "ranges": 2}, {"stops": np.array([14, 10])}),
    ({"kind": "ranges", "first": 0, "ranges": 2**40}, {"stops": np.array([10])}),
    ({"kind": "labels", "labels": []}, {}),
    ({"kind": "labels", "labels": [[11, {"kind": "whole", "segment": 0}]]}, {}),
    ({"kind": "labels", "labels": [[10, {"kind": "labels", "labels": []}]]}, {}),
    ({"kind": "labels", "labels": [[10, {"kind": "whole", "segment": 0}]]}, {}),
    ([], {}),
    (None, {}),
]


@pytest.mark.parametrize(("values", "arrays"), HOSTILE, ids=lambda v: str(v)[:60])
def test_hostile_maps(values, arrays):
    with pytest.raises(BadInput):
        load_rowmap(10, values, arrays, "file")
