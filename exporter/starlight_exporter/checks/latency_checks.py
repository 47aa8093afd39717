"""Checks of the latency: against the baseline model in the same run, and against the absolute limit.

A latency ratio is significant only in two consecutive evaluations, because one unchanged model drifts within minutes. A
recorded baseline and the absolute limit depend on the machine, so they never raise more than a warning.
"""

from __future__ import annotations

from starlight_exporter.checks.accuracy_rules import NOT_IN_BASELINE, decimal
from starlight_exporter.checks.comparison_basis import BaselineInUse, CheckBasis
from starlight_exporter.checks.limits import LATENCY_QUANTILE, CheckLimits, CheckName
from starlight_exporter.checks.results import CheckResult, Unavailable
from starlight_exporter.evaluation.results import Evaluation, LatencyQuantile
from starlight_exporter.formatting import integer, milliseconds
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION, LatencyRatio

SLICE = f"p{LATENCY_QUANTILE * 100:.0f}"

NO_TIMINGS = Unavailable("no_timings", "too few timings for this quantile")
NOT_TIMED_TOGETHER = Unavailable("no_timings", "the baseline model was not timed in the same run")
MACHINE_BUSY = Unavailable("machine_busy", "machine busy: wall times are not reliable")


def latency_checks(evaluation: Evaluation, basis: CheckBasis, limits: CheckLimits) -> tuple[CheckResult, CheckResult]:
    """Run both latency checks."""
    return _against_baseline(evaluation, basis, limits), _against_limit(evaluation, limits)


def checked_latency(evaluation: Evaluation) -> LatencyQuantile | None:
    """Return the quantile of the latency checks (LATENCY_QUANTILE); None if it was not measured."""
    quantiles = evaluation.latency.quantiles if evaluation.latency is not None else ()
    return next((entry for entry in quantiles if entry.quantile == LATENCY_QUANTILE), None)


def contention(evaluation: Evaluation) -> float | None:
    """Return the share of the latency run in which the timed thread waited for a core; None if it is unknown."""
    if evaluation.latency_ratio is not None:
        return evaluation.latency_ratio.contention
    return None if evaluation.latency is None else evaluation.latency.contention


def _against_baseline(evaluation: Evaluation, basis: CheckBasis, limits: CheckLimits) -> CheckResult:
    if evaluation.latency_ratio is not None:
        return _paired(evaluation.latency_ratio, basis.previous_latency, limits.latency_baseline)
    baseline, measured = basis.baseline, checked_latency(evaluation)
    if baseline is None:
        return _unavailable("latency_baseline", basis.no_baseline, limits.latency_baseline)
    if measured is None:
        return _unavailable("latency_baseline", NO_TIMINGS, limits.latency_baseline)
    return _recorded(measured, baseline, limits.latency_baseline)


def _paired(ratio: LatencyRatio, previous: LatencyRatio | None, limit: float) -> CheckResult:
    value, exceeds = (ratio.cpu if ratio.busy else ratio.wall), ratio.exceeds(limit)
    passed = decimal(value.value) <= decimal(limit)
    significant = not passed and exceeds and previous is not None and previous.exceeds(limit)
    detail = (
        f"p95 is {_times(value.value)} that of the baseline model, timed in one run by"
        f" {'CPU' if ratio.busy else 'wall'} time ({integer(ratio.timings)} timings each, 99% CI"
        f" {value.lower:.2f}–{value.upper:.2f};"
        f" contention {ratio.contention:.0%}{', machine busy' if ratio.busy else ''}); fails if > {_times(limit)}"
    )
    if not passed and not significant:
        detail += "; not significant: " + (
            "requires two consecutive evaluations"
            if exceeds
            else "the interval includes the limit"
            if ratio.enough
            else "too few timings"
        )
    return CheckResult(
        "latency_baseline",
        SLICE,
        value.value,
        limit,
        passed,
        significant,
        detail,
        severity=None if passed else "critical" if significant else "warning",
        conclusive=(ratio.enough and value.upper < limit) if passed else significant,
    )


def _recorded(measured: LatencyQuantile, baseline: BaselineInUse, limit: float) -> CheckResult:
    recorded = baseline.latency_seconds.get(LATENCY_QUANTILE)
    if not baseline.is_recorded:
        return _unavailable("latency_baseline", NOT_TIMED_TOGETHER, limit)
    if obstacle := baseline.obstacle or baseline.latency_obstacle:
        return _unavailable("latency_baseline", obstacle, limit)
    if not recorded:
        return _unavailable("latency_baseline", NOT_IN_BASELINE, limit)
    value = decimal(measured.seconds) / decimal(recorded)
    passed = value <= decimal(limit)
    detail = (
        f"{milliseconds(measured.seconds)} is {_times(float(value))} the recorded {milliseconds(recorded)};"
        f" fails if > {_times(limit)}{'' if passed else '; never significant, because latency drifts'}"
    )
    return CheckResult(
        "latency_baseline",
        SLICE,
        float(value),
        limit,
        passed,
        False,
        detail,
        severity=None if passed else "warning",
        conclusive=False,
    )


def _against_limit(evaluation: Evaluation, limits: CheckLimits) -> CheckResult:
    measured, limit, share = checked_latency(evaluation), limits.latency_limit, contention(evaluation)
    if measured is None:
        return _unavailable("latency_limit", NO_TIMINGS, limit)
    if share is not None and share > BUSY_CONTENTION:
        return _unavailable("latency_limit", MACHINE_BUSY, limit, measured=f"{milliseconds(measured.seconds)}; ")
    passed = decimal(measured.seconds) < decimal(limit)
    detail = f"{milliseconds(measured.seconds)} from file to verdict; fails if >= {milliseconds(limit)}"
    return CheckResult(
        "latency_limit",
        SLICE,
        measured.seconds,
        limit,
        passed,
        False,
        detail if passed else f"{detail}; never significant, because the limit does not depend on the machine",
        severity=None if passed else "warning",
        conclusive=passed and measured.upper is not None and measured.upper < limit,
    )


def _unavailable(name: CheckName, why: Unavailable, limit: float, *, measured: str = "") -> CheckResult:
    return CheckResult(name, SLICE, None, limit, None, None, f"{measured}{why.text}", unavailable=why.reason)


def _times(factor: float) -> str:
    return f"{factor:.4g} ×"
