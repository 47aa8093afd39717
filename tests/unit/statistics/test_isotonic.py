"""Isotonic regression: the fit, its intervals, and the dose at a level, against an independent implementation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import special

from starlight_exporter.statistics.bins import Bins
from starlight_exporter.statistics.isotonic import MAX_GROUPS, IsotonicFit, fit_isotonic

LEVELS = (0.5, 0.95)


def fit(doses: ArrayLike, events: ArrayLike, covers: ArrayLike | None = None) -> IsotonicFit:
    values = np.asarray(doses, np.float64)
    return fit_isotonic(
        values,
        np.asarray(events, np.bool_),
        np.arange(values.size) if covers is None else np.asarray(covers, np.int64),
        LEVELS,
    )


def grouped(counts: Sequence[tuple[float, int, int]]) -> IsotonicFit:
    """Fit (dose, files, events)."""
    doses = [dose for dose, files, _ in counts for _ in range(files)]
    events = [number < positive for _, files, positive in counts for number in range(files)]
    return fit(doses, events)


# An independent implementation, without blocks: the min-max formula.


def min_max(counts: Sequence[tuple[int, int]]) -> list[float]:
    def mean(first: int, last: int) -> float:
        return sum(k for _, k in counts[first : last + 1]) / sum(n for n, _ in counts[first : last + 1])

    size = len(counts)
    return [max(min(mean(a, b) for b in range(j, size)) for a in range(j + 1)) for j in range(size)]


def log_likelihood(counts: Sequence[tuple[int, int]], rates: Sequence[float]) -> float:
    return math.fsum(
        float(special.xlogy(k, p) + special.xlog1py(n - k, -p)) for (n, k), p in zip(counts, rates, strict=True)
    )


def statistic(counts: Sequence[tuple[int, int]], level: float, left: int, right: int) -> float:
    """Return the likelihood-ratio statistic of: at most `level` before `left`, at least `level` from `right` on."""
    rates = [
        *(min(rate, level) for rate in min_max(counts[:left])),
        *(level for _ in range(left, right)),
        *(max(rate, level) for rate in min_max(counts[right:])),
    ]
    return 2 * (log_likelihood(counts, min_max(counts)) - log_likelihood(counts, rates))


COUNTS = st.lists(
    st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=9
)


@settings(max_examples=80, deadline=None)
@given(COUNTS)
def test_fit_agrees_with_the_min_max_formula(counts: list[tuple[int, int]]) -> None:
    found = grouped([(2.0**place, n, k) for place, (n, k) in enumerate(counts)])
    assert [point.rate for point in found.points] == pytest.approx(min_max(counts), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(COUNTS.filter(lambda counts: sum(n for n, _ in counts) > 1))
def test_intervals_are_the_values_that_the_test_does_not_reject(counts: list[tuple[int, int]]) -> None:
    files = sum(n for n, _ in counts)
    found = grouped([(2.0**place, n, k) for place, (n, k) in enumerate(counts)])
    fitted = min_max(counts)
    variance = math.fsum(n * p * (1 - p) for (n, _), p in zip(counts, fitted, strict=True))
    residuals = math.fsum(k * (1 - p) ** 2 + (n - k) * p**2 for (n, k), p in zip(counts, fitted, strict=True))
    effect = max(1.0, residuals * files / (files - 1) / variance) if variance > 0 else 1.0
    critical = float(special.stdtrit(files - 1, 0.975)) ** 2 * effect
    for place, point in enumerate(found.points):
        assert point.lower is not None
        assert point.upper is not None
        assert 0 <= point.lower <= point.rate <= point.upper <= 1
        for bound, outside in ((point.lower, point.lower - 1e-6), (point.upper, point.upper + 1e-6)):
            assert statistic(counts, bound, place, place + 1) <= critical + 1e-6
            assert not 0 < outside < 1 or statistic(counts, outside, place, place + 1) > critical - 1e-6
    for at in found.at_levels:
        accepted = [gap for gap in range(len(counts) + 1) if statistic(counts, at.level, gap, gap) <= critical + 1e-9]
        expected = (
            None if accepted[0] == 0 else 2.0 ** (accepted[0] - 1),
            None if accepted[-1] == len(counts) else 2.0 ** accepted[-1],
        )
        if at.dose is not None:
            expected = (
                None if expected[0] is None else min(expected[0], at.dose),
                None if expected[1] is None else max(expected[1], at.dose),
            )
        assert (at.lower, at.upper) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1e-6, 1e6), st.booleans(), st.integers(0, 5)), min_size=1, max_size=150),
    # Exact in floating point, so that equal doses stay equal and others different.
    st.integers(-10, 10).map(lambda power: 2.0**power),
)
def test_fit_does_not_depend_on_order_or_unit(files: list[tuple[float, bool, int]], factor: float) -> None:
    doses, events, covers = (list(values) for values in zip(*files, strict=True))
    order = np.random.default_rng(len(files)).permutation(len(files))
    one = fit(doses, events, covers)
    other = fit(np.array(doses)[order] * factor, np.array(events)[order], np.array(covers)[order])
    assert len(one.points) <= MAX_GROUPS
    rates = [point.rate for point in one.points]
    assert rates == sorted(rates)
    assert rates == pytest.approx([point.rate for point in other.points])
    for mine, theirs in zip(one.at_levels, other.at_levels, strict=True):
        assert (mine.dose is None) == (mine.reason is not None)
        assert mine.reason == theirs.reason
        for name in ("dose", "lower", "upper"):
            value, scaled = getattr(mine, name), getattr(theirs, name)
            assert (value is None) == (scaled is None)
            assert value is None or value * factor == pytest.approx(scaled)
        if mine.dose is not None:
            assert mine.lower is None or mine.lower <= mine.dose
            assert mine.upper is None or mine.upper >= mine.dose


def test_dose_is_interpolated_on_a_logarithmic_scale() -> None:
    (half, most) = grouped([(1.0, 100, 25), (100.0, 100, 75)]).at_levels
    assert half.dose == pytest.approx(10.0)
    assert half.reason is None
    assert (most.dose, most.reason, most.upper) == (None, "not reached", None)


def test_jump_is_between_the_last_miss_and_the_first_detection() -> None:
    for at in grouped([(1.0, 100, 0), (2.0, 100, 0), (8.0, 100, 100), (9.0, 100, 100)]).at_levels:
        assert at.dose is not None
        assert 2.0 < at.dose <= 8.0
        assert (at.lower, at.upper) == (2.0, 8.0)


@pytest.mark.parametrize(
    ("events", "reason", "bounds"), [(0, "not reached", (4.0, None)), (80, "always above", (None, 1.0))]
)
def test_level_that_is_not_crossed_is_not_measured(
    events: int, reason: str, bounds: tuple[float | None, float | None]
) -> None:
    (half, _) = grouped([(1.0, 80, events), (4.0, 80, events)]).at_levels
    assert (half.dose, half.reason, half.lower, half.upper) == (None, reason, *bounds)


def test_one_cover_has_no_interval() -> None:
    found = fit([1, 2, 3, 4], [False, False, True, True], [7, 7, 7, 7])
    assert {(point.lower, point.upper) for point in found.points} == {(None, None)}
    assert [(at.dose is not None, at.lower, at.upper) for at in found.at_levels] == [(True, None, None)] * 2


def test_shared_covers_widen_intervals() -> None:
    rng = np.random.default_rng(1)
    doses = np.tile(np.geomspace(1, 100, 8), 40)
    covers = np.repeat(np.arange(40), 8)
    events = np.log(doses) + rng.normal(0, 1.5, 40)[covers] > 2.3
    shared, alone = fit(doses, events, covers), fit(doses, events)
    assert shared.at_levels[0].dose == alone.at_levels[0].dose
    widths = [[(point.upper or 1) - (point.lower or 0) for point in found.points] for found in (shared, alone)]
    assert np.mean(widths[0]) > 1.3 * np.mean(widths[1])


@pytest.mark.parametrize(
    ("doses", "events", "covers"),
    [
        ([], [], []),
        ([1.0], [True, False], [1]),
        ([0.0], [True], [1]),
        ([math.nan], [True], [1]),
        ([math.inf], [True], [1]),
    ],
)
def test_rejects_invalid_arrays(doses: list[float], events: list[bool], covers: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected three arrays|is not positive"):
        fit(doses, events, covers)


Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def coverage(  # noqa: PLR0917
    curve: Curve, truth: tuple[float, float], covers: int, per_cover: int, deviation: float, doses: int | None
) -> tuple[list[float], list[float]]:
    """Return the share of 400 samples whose interval contains the truth, and the median error of the log dose."""
    rng = np.random.default_rng(17)
    hits, errors = np.zeros(2), [list[float](), list[float]()]
    samples = 400
    for _ in range(samples):
        size = covers * per_cover
        x = rng.uniform(-3, 3, size) if doses is None else rng.choice(np.linspace(-3, 3, doses), size)
        cover = np.repeat(np.arange(covers), per_cover)
        events = rng.random(size) < curve(x + rng.normal(0, deviation, covers)[cover])
        for place, at in enumerate(fit(np.exp(x), events, cover).at_levels):
            lower = -math.inf if at.lower is None else math.log(at.lower)
            upper = math.inf if at.upper is None else math.log(at.upper)
            hits[place] += lower <= truth[place] <= upper
            if at.dose is not None:
                errors[place].append(math.log(at.dose) - truth[place])
    return (hits / samples).tolist(), [float(np.median(one)) if one else math.nan for one in errors]


def logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return special.expit(2 * x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("covers", "per_cover", "doses"), [(150, 1, None), (300, 1, None), (1_000, 1, None), (300, 1, 13)]
)
def test_interval_contains_the_true_dose(covers: int, per_cover: int, doses: int | None) -> None:
    truth = (0.0, math.log(19) / 2)
    found, bias = coverage(logistic, truth, covers, per_cover, 0.0, doses)
    assert min(found) >= 0.94
    assert abs(bias[0]) < 0.1
    assert abs(bias[1]) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize(("covers", "per_cover"), [(20, 10), (60, 8), (200, 4)])
def test_interval_contains_the_true_dose_of_images_that_share_covers(covers: int, per_cover: int) -> None:
    # A cover shifts the dose by a normal deviate: the curve of all covers is their mean.
    deviation = 1.0
    grid = np.linspace(-4, 8, 4_001)
    deviates = np.linspace(-5, 5, 401)
    weights = np.exp(-(deviates**2) / 2)
    mean = logistic(grid[:, np.newaxis] + deviation * deviates) @ weights / weights.sum()
    truth = (0.0, float(grid[np.searchsorted(mean, 0.95)]))
    found, bias = coverage(logistic, truth, covers, per_cover, deviation, None)
    assert min(found) >= 0.94
    assert abs(bias[0]) < 0.2


def test_bins_have_names_and_half_open_edges() -> None:
    bins = Bins((0.1, 0.2, 5.0))
    assert bins.names == ("below 0.1", "0.1 to 0.2", "0.2 to 5", "5 or more")
    assert bins.index([0.0, 0.1, 0.19, 0.2, 4.9, 5.0, 1e9]).tolist() == [0, 1, 1, 2, 2, 3, 3]
