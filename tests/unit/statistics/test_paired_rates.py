"""Differences of rates on the same files: exact test, interval, shared covers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from starlight_exporter.statistics.intervals import clopper_pearson
from starlight_exporter.statistics.paired_rates import rate_difference


def verdicts(only_first: int, only_second: int, both: int = 5, neither: int = 50) -> tuple[list[bool], list[bool]]:
    counts = ((True, False, only_first), (False, True, only_second), (True, True, both), (False, False, neither))
    pairs = [(one, other) for one, other, count in counts for _ in range(count)]
    return [one for one, _ in pairs], [other for _, other in pairs]


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 1), (3, 9), (9, 3), (40, 0), (7, 7)])
def test_p_value_with_own_covers_is_that_of_mcnemar(only_first: int, only_second: int) -> None:
    first, second = verdicts(only_first, only_second)
    found = rate_difference(first, second, np.arange(len(first)))
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.value == pytest.approx((only_first - only_second) / len(first))
    assert found.p_value == pytest.approx(stats.binomtest(only_first, only_first + only_second).pvalue)
    assert found.lower <= found.value <= found.upper


def test_identical_verdicts_have_p_1_and_an_interval_around_0() -> None:
    first, _ = verdicts(0, 0)
    found = rate_difference(first, first, np.arange(len(first)))
    limit = clopper_pearson(0, len(first))[1]
    assert (found.value, found.p_value) == (0.0, 1.0)
    assert (found.lower, found.upper) == pytest.approx((-limit, limit))


def test_exchanged_models_reverse_the_difference() -> None:
    first, second = verdicts(3, 9)
    covers = np.arange(len(first)) // 2
    found, other = rate_difference(first, second, covers), rate_difference(second, first, covers)
    assert (other.value, other.lower, other.upper) == pytest.approx((-found.value, -found.upper, -found.lower))
    assert other.p_value == pytest.approx(found.p_value)


def test_files_of_one_cover_count_once_in_the_test() -> None:
    # Ten covers with four files each; all files of eight covers are positive for the first model only.
    first = np.repeat(np.arange(10) < 8, 4)
    found = rate_difference(first, np.zeros(40, dtype=bool), np.repeat(np.arange(10), 4))
    assert found.p_value == pytest.approx(2 / 2**8)
    independent = rate_difference(first, np.zeros(40, dtype=bool), np.arange(40))
    assert independent.p_value < 1e-9
    assert found.lower < independent.lower


@pytest.mark.parametrize("files", [0, 1, 3])
def test_one_cover_is_an_error(files: int) -> None:
    with pytest.raises(ValueError, match="at least 2 covers"):
        rate_difference([True] * files, [False] * files, np.zeros(files, dtype=np.int64))
