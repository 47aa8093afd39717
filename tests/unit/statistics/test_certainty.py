"""What is said about the certainty of a rate, against counts made independently."""

from __future__ import annotations

import pytest
from scipy import stats

from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.sample_sizes import Verdict, against_limit, images_needed_to_confirm, precision


@pytest.mark.parametrize(
    ("count", "total", "limit", "wanted", "expected"),
    [
        (0, 10_000, 0.0005, "below", "met"),
        (0, 1_000, 0.0005, "below", "cannot tell"),
        (30, 10_000, 0.0005, "below", "missed"),
        (1, 1_000, 0.0005, "below", "cannot tell"),
        (400, 400, 0.99, "above", "met"),
        (100, 100, 0.99, "above", "cannot tell"),
        (300, 400, 0.95, "above", "missed"),
        (0, 0, 0.95, "above", "not measured"),
    ],
)
def test_only_a_whole_interval_on_one_side_tells(
    count: int, total: int, limit: float, wanted: str, expected: str
) -> None:
    assert against_limit(proportion(count, total), limit, wanted).standing == expected  # type: ignore[arg-type]


def test_how_many_more_images_it_takes() -> None:
    told = against_limit(proportion(0, 1_000), 0.0005, "below")
    assert told.more_images == images_needed_to_confirm(0.0005) - 1_000
    # Two in a thousand against one in a thousand, by an independent implementation on whole counts.
    more = against_limit(proportion(2, 1_000), 0.001, "below").more_images
    assert more is not None
    for factor, tells in ((1.1, True), (0.9, False)):
        images = round((1_000 + more) * factor)
        low = stats.binomtest(round(0.002 * images), images).proportion_ci(0.95, "exact").low
        assert bool(low > 0.001) is tells


def test_a_rate_that_sits_on_its_limit_is_never_told_apart() -> None:
    assert against_limit(proportion(5, 10_000), 0.0005, "below") == Verdict("cannot tell", None)


def test_precision_at_a_base_rate() -> None:
    # 985 of 1,000 found, 7 of 10,000 false alarms, one stego image in 10,000.
    found = precision(proportion(7, 10_000), proportion(985, 1_000), 0.0001)
    assert found is not None
    assert found.value == pytest.approx(0.985e-4 / (0.985e-4 + 0.0007 * 0.9999))
    low = stats.binomtest(985, 1_000).proportion_ci(0.975, "exact").low
    high = stats.binomtest(7, 10_000).proportion_ci(0.975, "exact").high
    assert found.lower == pytest.approx(low * 1e-4 / (low * 1e-4 + high * 0.9999))
    assert found.value is not None
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < found.value < found.upper < 1


def test_precision_where_nothing_was_seen() -> None:
    never = precision(proportion(0, 100), proportion(0, 100), 0.5)
    assert never is not None
    assert (never.value, never.lower, never.upper) == (None, 0.0, 1.0)
    perfect = precision(proportion(0, 100), proportion(100, 100), 0.5)
    assert perfect is not None
    assert perfect.value == perfect.upper == 1.0
    assert 0.9 < perfect.lower < 1.0
    assert precision(proportion(0, 0), proportion(1, 2), 0.5) is None
    with pytest.raises(ValueError, match="prevalence"):
        precision(proportion(0, 1), proportion(1, 2), 0.0)


def test_benjamini_hochberg_is_that_of_scipy() -> None:
    p_values = [0.001, 0.04, 0.03, 0.5, 0.04, 1.0, 0.0001]
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values))
    assert benjamini_hochberg([None, 0.02, None, 0.04]) == pytest.approx((None, 0.04, None, 0.04))
    assert benjamini_hochberg([]) == ()
