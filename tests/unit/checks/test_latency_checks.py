"""Latency checks: ratio to the baseline model in one run, recorded baseline, absolute limit, busy machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.comparison_basis import BaselineInUse
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.statistics.latency_ratio import LatencyRatio
from starlight_exporter.statistics.resampling import QuantileRatio
from support.checks import basis_for, one
from support.results import empty_evaluation, p95_latency

SLOWER = QuantileRatio(1.4, 1.3, 1.5)
"""Significantly above the limit of 1.2."""
PERHAPS = QuantileRatio(1.3, 1.1, 1.5)
EQUAL = QuantileRatio(1.0, 0.95, 1.05)
UNCERTAIN = QuantileRatio(1.0, 0.8, 1.3)


def ratio(wall: QuantileRatio, cpu: QuantileRatio, *, contention: float = 0.01, timings: int = 1000) -> LatencyRatio:
    return LatencyRatio(timings, wall, cpu, contention, "b" * 64)


def check(now: LatencyRatio, before: LatencyRatio | None = None) -> CheckResult:
    evaluation = empty_evaluation(latency=p95_latency(0.004), latency_ratio=now)
    return one(run_checks(evaluation, basis_for(evaluation, previous_latency=before)), "latency_baseline", "p95")


@pytest.mark.parametrize(
    ("now", "before", "conclusion"),
    [
        (ratio(EQUAL, EQUAL), None, "pass"),
        (ratio(UNCERTAIN, UNCERTAIN), None, "pass (inconclusive)"),
        (ratio(EQUAL, EQUAL, timings=999), None, "pass (inconclusive)"),
        (ratio(SLOWER, SLOWER), None, "fail (not significant)"),
        (ratio(SLOWER, SLOWER), ratio(EQUAL, EQUAL), "fail (not significant)"),
        (ratio(SLOWER, SLOWER), ratio(SLOWER, SLOWER), "fail (significant)"),
        (ratio(PERHAPS, SLOWER), ratio(SLOWER, SLOWER), "fail (not significant)"),
        (ratio(SLOWER, PERHAPS), ratio(SLOWER, SLOWER), "fail (not significant)"),
        (ratio(SLOWER, SLOWER, timings=999), ratio(SLOWER, SLOWER), "fail (not significant)"),
        # On a busy machine only CPU time counts.
        (ratio(SLOWER, EQUAL, contention=0.3), ratio(SLOWER, SLOWER), "pass"),
        (ratio(EQUAL, SLOWER, contention=0.3), ratio(SLOWER, SLOWER), "fail (significant)"),
        (ratio(EQUAL, SLOWER, contention=0.3), ratio(SLOWER, SLOWER, contention=0.3), "fail (significant)"),
        (ratio(EQUAL, SLOWER), ratio(SLOWER, SLOWER), "pass"),
    ],
)
def test_ratio_is_significant_in_two_consecutive_evaluations(
    now: LatencyRatio, before: LatencyRatio | None, conclusion: str
) -> None:
    found = check(now, before)
    assert found.conclusion == conclusion
    severity = {"fail (significant)": "critical", "fail (not significant)": "warning"}.get(conclusion)
    assert found.severity == severity


def test_detail_names_clock_timings_and_contention() -> None:
    assert check(ratio(EQUAL, EQUAL)).detail == (
        "p95 is 1 × that of the baseline model, timed in one run by wall time (1,000 timings each, 99% CI 0.95–1.05;"
        " contention 1%); fails if > 1.2 ×"
    )
    assert "by CPU time" in check(ratio(EQUAL, EQUAL, contention=0.3)).detail
    assert "contention 30%, machine busy" in check(ratio(EQUAL, EQUAL, contention=0.3)).detail


def test_ratio_at_the_limit_passes() -> None:
    exact = QuantileRatio(1.2, 1.19, 1.21)
    assert check(ratio(exact, exact)).passed is True


def test_recorded_latency_is_never_significant() -> None:
    evaluation = empty_evaluation(latency=p95_latency(0.1, lower=0.09, upper=0.2))
    found = one(run_checks(evaluation, basis_for(evaluation)), "latency_baseline", "p95")
    assert (found.conclusion, found.severity) == ("fail (not significant)", "warning")


def test_baseline_model_that_was_not_timed_in_the_same_run_is_not_measured() -> None:
    evaluation = empty_evaluation(latency=p95_latency(0.1))
    model = BaselineInUse("baseline", latency_seconds={0.95: 0.003})
    found = one(run_checks(evaluation, basis_for(evaluation, model)), "latency_baseline", "p95")
    assert (found.conclusion, found.unavailable) == ("not measured", "no_timings")


@pytest.mark.parametrize(
    ("seconds", "upper", "contention", "conclusion"),
    [
        (0.004, 0.0045, 0.0, "pass"),
        (0.004, 0.0055, 0.0, "pass (inconclusive)"),
        (0.004, None, 0.0, "pass (inconclusive)"),
        (0.005, 0.006, 0.0, "fail (not significant)"),
        (0.5, 0.6, 0.05, "fail (not significant)"),
        (0.5, 0.6, 0.051, "not measured"),
    ],
)
def test_absolute_limit_is_never_more_than_a_warning(
    seconds: float, upper: float | None, contention: float, conclusion: str
) -> None:
    latency = replace(p95_latency(seconds, lower=seconds * 0.99, upper=upper), contention=contention)
    evaluation = empty_evaluation(latency=latency)
    found = one(run_checks(evaluation, basis_for(evaluation)), "latency_limit", "p95")
    assert found.conclusion == conclusion
    assert found.severity == ("warning" if conclusion.startswith("fail") else None)
    assert (found.unavailable == "machine_busy") is (conclusion == "not measured")


def test_contention_of_the_paired_run_takes_precedence() -> None:
    evaluation = empty_evaluation(
        latency=replace(p95_latency(0.5), contention=0.0), latency_ratio=ratio(EQUAL, EQUAL, contention=0.2)
    )
    found = one(run_checks(evaluation, basis_for(evaluation)), "latency_limit", "p95")
    assert found.detail == "500.00 ms; machine busy: wall times are not reliable"
