"""Intervals and tests of files that share covers, against reference values and statsmodels."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from starlight_exporter.statistics.clustered import (
    ClusterCounts,
    binomial_p_value_high,
    clustered_proportion,
    effective_sample_size,
)
from starlight_exporter.statistics.intervals import clopper_pearson, proportion

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).resolve().parents[2] / "resources" / "vectors" / "statistics.json").read_text()
)


def counts_of(case: dict[str, Any]) -> ClusterCounts:
    files, events = zip(*case["covers"], strict=True)
    return ClusterCounts.of(files, events)


@pytest.mark.parametrize("case", VECTORS["korn_graubard"], ids=range(len(VECTORS["korn_graubard"])))
def test_korn_graubard_interval_matches_reference(case: dict[str, Any]) -> None:
    counts = counts_of(case)
    size = effective_sample_size(counts)
    assert size is not None
    assert size == pytest.approx(case["n_eff"], rel=1e-12)
    bounds = clopper_pearson(case["p"] * size, size, 0.025)
    assert bounds == pytest.approx((case["lower"], case["upper"]), rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("case", VECTORS["binomial_on_n_eff"], ids=range(len(VECTORS["binomial_on_n_eff"])))
def test_binomial_tests_at_the_effective_sample_size_match_reference(case: dict[str, Any]) -> None:
    counts = counts_of(case)
    size = effective_sample_size(counts)
    assert size is not None
    events = counts.events.sum() / counts.files.sum() * size
    # A detection rate is tested by its misses.
    assert binomial_p_value_high(size - events, size, 1 - case["limit"]) == pytest.approx(case["p_low"], rel=1e-10)
    assert binomial_p_value_high(events, size, case["limit"]) == pytest.approx(case["p_high"], rel=1e-10)


def test_one_file_per_cover_gives_the_exact_interval() -> None:
    counts = ClusterCounts.of([1] * 80, [1] * 44 + [0] * 36)
    assert clustered_proportion(counts) == proportion(44, 80)


def test_single_cover_has_no_interval() -> None:
    assert effective_sample_size(ClusterCounts.of([6], [3])) is None
    found = clustered_proportion(ClusterCounts.of([6], [3]))
    assert (found.ratio, found.lower, found.upper) == (0.5, None, None)


def test_shared_covers_widen_the_interval() -> None:
    generator = np.random.default_rng(1)
    events = np.where(generator.random(60) < 0.9, 6, 0)
    clustered = clustered_proportion(ClusterCounts.of(np.full(60, 6), events))
    exact = proportion(int(events.sum()), 360)
    assert clustered.lower is not None
    assert exact.lower is not None
    assert clustered.lower < exact.lower


def test_groups_files_by_cover() -> None:
    counts = ClusterCounts.by_cover(["b", "a", "b", "c"], [True, False, True, True])
    assert counts.files.tolist() == [1, 2, 1]
    assert counts.events.tolist() == [0, 2, 1]


@pytest.mark.parametrize(("files", "events"), [([1, 2], [1]), ([0], [0]), ([2], [3]), ([2], [-1])])
def test_rejects_impossible_counts(files: list[int], events: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ClusterCounts.of(files, events)


@pytest.mark.parametrize(("count", "total", "limit"), [(0, 1000, 0.0005), (3, 1000, 0.0005), (140, 160, 0.95)])
def test_binomial_tests_match_the_exact_sum(count: int, total: int, limit: float) -> None:
    def mass(k: int) -> float:
        return math.comb(total, k) * limit**k * (1 - limit) ** (total - k)

    assert binomial_p_value_high(count, total, limit) == pytest.approx(
        math.fsum(mass(k) for k in range(count, total + 1)), rel=1e-9
    )
    assert binomial_p_value_high(total - count, total, 1 - limit) == pytest.approx(
        math.fsum(mass(k) for k in range(count + 1)), rel=1e-9
    )
