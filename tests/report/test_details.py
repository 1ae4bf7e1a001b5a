"""Single rows and groups of rows: against numpy on whole tables, and the same in any order."""

import json

import numpy as np
import pytest

from embcompress.report.histograms import LogHistogram
from embcompress.report.limit import gaussian_bound
from embcompress.report.model import Report
from tests.report.making import compared, report, rounded, table


@pytest.fixture(scope="module")
def measured(glove_slice):
    decoded = rounded(glove_slice, 4)
    frequencies = 1000 / np.arange(1.0, len(glove_slice) + 1)
    comparison = compared(glove_slice, decoded, frequencies=frequencies)
    comparison.settle(1)
    return glove_slice.astype(np.float64), decoded.astype(np.float64), frequencies, comparison


def relative(original, decoded):
    return np.linalg.norm(original - decoded, axis=1) / np.linalg.norm(original, axis=1)


def cosines(original, decoded):
    norms = np.linalg.norm(original, axis=1) * np.linalg.norm(decoded, axis=1)
    return np.einsum("ij,ij->i", original, decoded) / norms


def test_distributions(measured):
    original, decoded, _, comparison = measured
    details = comparison.details()
    for found, values in (
        (details.row_error, relative(original, decoded)),
        (details.cosine_distance, 1 - cosines(original, decoded)),
    ):
        assert 24 <= len(found.counts) < 48
        assert found.rows == len(values)
        near = np.isin(np.searchsorted(found.edges, values * (1 + 1e-7)),
                       np.searchsorted(found.edges, values * (1 - 1e-7)))  # fmt: skip
        counts, _ = np.histogram(values, found.edges)
        assert np.abs(counts - found.counts).sum() <= 2 * np.count_nonzero(~near) + 4


def test_worst_rows(measured):
    original, decoded, frequencies, comparison = measured
    errors = relative(original, decoded)
    worst = comparison.details().worst
    assert [w.row for w in worst] == np.argsort(-errors, kind="stable")[:10].tolist()
    for w in worst:
        assert w.relative_error == pytest.approx(errors[w.row], rel=1e-6)
        assert w.norm == pytest.approx(np.linalg.norm(original[w.row]))
        assert w.decoded_norm == pytest.approx(np.linalg.norm(decoded[w.row]))
        assert w.frequency == frequencies[w.row]


def test_frequency_groups(measured):
    original, decoded, frequencies, comparison = measured
    groups = comparison.details().frequency_groups
    assert [g.rows for g in groups] == [2000] * 10
    order = np.argsort(frequencies).reshape(10, -1)
    for g, rows in zip(groups, order, strict=True):
        error = np.linalg.norm(original[rows] - decoded[rows]) / np.linalg.norm(original[rows])
        assert g.relative_error == pytest.approx(error, rel=1e-6)
        assert g.share == pytest.approx(frequencies[rows].sum() / frequencies.sum())
        assert g.least_frequency == frequencies[rows].min()
        assert g.cosine_mean == pytest.approx(cosines(original[rows], decoded[rows]).mean())


def test_equal_frequencies_stay_together():
    rows = np.ones((100, 4), np.float32)
    frequencies = np.r_[np.zeros(60), np.ones(25), np.full(15, 7.0)]
    comparison = compared(rows, rows, frequencies=frequencies)
    comparison.settle(1)
    groups = comparison.details().frequency_groups
    assert [(g.rows, g.least_frequency) for g in groups] == [(60, 0), (25, 1), (15, 7)]
    assert groups[0].share == 0


def test_neighbours(measured):
    original, decoded, _, comparison = measured
    details = comparison.details()
    assert details.neighbour_rows == 20_000
    assert len(details.neighbours) == 6
    for table_rows, side in ((original, "before"), (decoded, "after")):
        normal = table_rows / np.linalg.norm(table_rows, axis=1, keepdims=True)
        for n in details.neighbours:
            scores = normal @ normal[n.row]
            scores[n.row] = -2
            best = np.argsort(-scores)[:10]
            assert len(set(best) & set(getattr(n, side))) >= 9  # float32 may swap the last ones


def test_limit(measured):
    original, _, _, comparison = measured
    moment = original.T @ original / len(original)
    values = np.linalg.eigvalsh(moment)
    limit = comparison.details().limit
    assert [p.bits_per_weight for p in limit][:5] == pytest.approx(
        [0.125, 0.125 * 2**0.25, 0.125 * 2**0.5, 0.125 * 2**0.75, 0.25]
    )
    for p in limit:
        bound = gaussian_bound(values, p.bits_per_weight * 50)
        assert p.relative_error == pytest.approx((bound / values.sum()) ** 0.5, rel=1e-5)


def test_any_order_gives_the_same(measured, glove_slice):
    _, _, frequencies, comparison = measured
    other = compared(glove_slice, rounded(glove_slice, 4), frequencies=frequencies,
                     order=lambda n: np.random.default_rng(3).permutation(n))  # fmt: skip
    other.settle(2)
    assert other.details() == comparison.details()


def test_not_asked_for(glove_slice):
    rows = glove_slice[:100]
    for options in ({"full": False}, {"detailed": False}):
        comparison = compared(rows, rows, **options)
        comparison.settle(1)
        assert comparison.details() is None


def test_odd_tables():
    rows = np.zeros((5, 3), np.float32)
    decoded = rows.copy()
    decoded[2] = 1
    comparison = compared(rows, decoded)
    comparison.settle(1)
    details = comparison.details()
    assert (details.row_error.below, details.row_error.above) == (4, 1)
    assert [(w.row, w.relative_error) for w in details.worst] == [(2, None)]
    assert details.limit == []
    huge = np.full((3, 2), 1e37, np.float32)
    decoded = huge.copy()
    decoded[1] = np.nan
    comparison = compared(huge, decoded)
    comparison.settle(1)
    assert comparison.details().row_error.rows == 2
    assert comparison.details().worst == []


def test_in_json_and_back(measured):
    _, _, _, comparison = measured
    found = report(table(details=comparison.details()))
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Report.from_json(json.loads(text)) == found


@pytest.mark.parametrize("spread", [0.01, 1, 10, 30])
def test_bins(spread):
    values = np.exp(np.random.default_rng(1).uniform(-spread, 0, 5000))
    found = LogHistogram()
    for part in np.array_split(values, 7):
        found.put(part)
    found = found.histogram()
    assert found.rows == 5000
    assert len(found.counts) < 48
    inside = values.astype(np.float32)
    counts, _ = np.histogram(inside, found.edges) if found.counts else ([], None)
    assert sum(counts) + found.below == 5000
    assert np.abs(counts - np.array(found.counts)).sum() <= 2


def test_nothing_and_one_value():
    assert LogHistogram().histogram().rows == 0
    found = LogHistogram()
    found.put(np.array([0.0, 0.1, 0.1, np.inf]))
    found = found.histogram()
    assert (found.below, found.counts, found.above) == (1, [2], 1)
    assert found.edges[0] <= 0.1 < found.edges[1]
