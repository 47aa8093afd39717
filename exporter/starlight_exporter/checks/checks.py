"""Regression checks: compare one evaluation with the baseline file and with the limits of `limits.py`.

A check passes or fails by its value. A failure has severity *warning*, and *critical* if it is significant: if the
exact 95% confidence bound exceeds the limit as well, or a paired test against a baseline model on the same images is
significant. A missed FPR target has severity *info* while the sample is too small to confirm the target.

Comparisons are exact: a rate is the fraction of its two counts, and a float stands for the decimal that it is written
as (0.0001 + 0.0002 is 0.0003). Expressions in other languages have to allow for their own rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from starlight_exporter.analysis.comparison import Comparison, PairedSlice
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.limits import (
    BASELINE_CHECKS,
    DETECTION_BASELINE_FACTOR,
    DETECTION_FLOOR,
    DETECTION_TARGET,
    FORMAT_DEFAULT_BASELINE,
    FORMAT_MARGIN,
    FPR_BASELINE_FACTOR,
    FPR_STABILITY_MARGIN,
    FPR_TARGET,
    LATENCY_BASELINE_FACTOR,
    LATENCY_LIMIT_SECONDS,
    LATENCY_QUANTILE,
    NEGATIVES_LIMIT,
    PAIRED_TEST_LEVEL,
    CheckName,
)
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation, LatencyQuantile
from starlight_exporter.formatting import fraction, integer, milliseconds, percent
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.sample_sizes import images_needed_to_confirm

Severity = Literal["info", "warning", "critical"]
Operator = Literal[">", ">=", "<", "<="]

_FAILS: Mapping[Operator, Callable[[Fraction, Fraction], bool]] = MappingProxyType(
    {
        ">": lambda value, limit: value > limit,
        ">=": lambda value, limit: value >= limit,
        "<": lambda value, limit: value < limit,
        "<=": lambda value, limit: value <= limit,
    }
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check on one slice; `value` and `limit` are ratios or seconds.

    `passed` compares the value with the limit, `significant` the exact 95% confidence bound. Both are None if the
    value or the baseline was not measured; `detail` states which. `severity` is None unless the check failed.
    """

    name: CheckName
    slice: str
    value: float | None
    limit: float | None
    passed: bool | None
    significant: bool | None
    detail: str
    severity: Severity | None = None


def run_checks(
    evaluation: Evaluation, baseline: Baseline | None, comparisons: Sequence[Comparison] = ()
) -> tuple[CheckResult, ...]:
    """Run every check, in the order of CHECK_NAMES, on every slice of the evaluation or the baseline.

    `comparisons` compare this evaluation with baseline models; one significant paired test makes a failure critical.
    """
    base = baseline if baseline is not None else Baseline()
    absent = "no baseline" if baseline is None else "not in the baseline"
    fpr, rates, latency = evaluation.clean, evaluation.detections, checked_latency(evaluation)
    fpr_base, latency_base = base.false_positive_ratio, base.latency_seconds.get(LATENCY_QUANTILE)
    formats = dict.fromkeys((*evaluation.clean_by_format, *base.false_positive_ratio_by_format))
    results = (
        _ratio("fpr_baseline", "", fpr, _Limit(">", _times(fpr_base, FPR_BASELINE_FACTOR), absent)),
        _ratio("fpr_stability", "", fpr, _Limit(">=", _plus(fpr_base, FPR_STABILITY_MARGIN), absent)),
        _target(_ratio("fpr_target", "", fpr, _Limit(">=", _decimal(FPR_TARGET))), fpr.total),
        *(
            _ratio("detection_baseline", method, rates.get(method), _Limit("<", limit, absent))
            for method in METHODS
            for limit in (_times(base.detection_ratios.get(method), DETECTION_BASELINE_FACTOR),)
        ),
        *(_ratio("detection_floor", m, rates.get(m), _Limit("<=", _decimal(DETECTION_FLOOR))) for m in METHODS),
        *(_ratio("detection_target", m, rates.get(m), _Limit("<=", _decimal(DETECTION_TARGET))) for m in METHODS),
        _latency("latency_baseline", latency, _Limit(">", _times(latency_base, LATENCY_BASELINE_FACTOR), absent)),
        _latency("latency_limit", latency, _Limit(">=", _decimal(LATENCY_LIMIT_SECONDS))),
        *(
            _ratio("format_consistency", name, evaluation.clean_by_format.get(name), _Limit(">=", limit))
            for name in formats
            for limit in (_plus(base.false_positive_ratio_by_format.get(name, FORMAT_DEFAULT_BASELINE), FORMAT_MARGIN),)
        ),
        *(
            _ratio("negatives", category, negatives, _Limit(">=", _decimal(NEGATIVES_LIMIT)))
            for category, negatives in evaluation.negatives.items()
        ),
    )
    return tuple(_with_paired_tests(result, comparisons) for result in results)


def significantly_worse(pairs: PairedSlice) -> bool:
    """Return whether more images were broken than fixed and the paired test is significant."""
    return pairs.broken > pairs.fixed and pairs.p_value is not None and pairs.p_value < PAIRED_TEST_LEVEL


def baseline_regressions(results: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """Return the failed checks among BASELINE_CHECKS."""
    return tuple(result for result in results if result.name in BASELINE_CHECKS and result.passed is False)


def checked_latency(evaluation: Evaluation) -> LatencyQuantile | None:
    """Return the quantile of the latency checks (LATENCY_QUANTILE); None if it was not measured."""
    quantiles = evaluation.latency.quantiles if evaluation.latency is not None else ()
    return next((entry for entry in quantiles if entry.quantile == LATENCY_QUANTILE), None)


def _with_paired_tests(result: CheckResult, comparisons: Sequence[Comparison]) -> CheckResult:
    """Raise a warning to critical if the check compares with the baseline and a paired test on its slice agrees."""
    name = {"fpr_baseline": "clean", "fpr_stability": "clean", "detection_baseline": result.slice}.get(result.name)
    if result.severity != "warning" or name is None:
        return result
    pairs = [one.slices[name] for one in comparisons if name in one.slices]
    if not any(significantly_worse(one) for one in pairs):
        return result
    return replace(result, severity="critical", detail=f"{result.detail}; the paired test is significant")


@dataclass(frozen=True, slots=True)
class _Limit:
    """Limit of a check, and the operator by which a value fails it; `absent` is why `value` is None."""

    fails: Operator
    value: Fraction | None
    absent: str = ""

    def as_float(self) -> float | None:
        return None if self.value is None else float(self.value)

    def significance_bound(self, lower: float | None, upper: float | None) -> float | None:
        """Return the confidence bound that exceeds the limit only if the whole interval does."""
        return lower if self.fails in (">", ">=") else upper


def _ratio(name: CheckName, slice_: str, value: Proportion | None, limit: _Limit) -> CheckResult:
    if value is None or value.total == 0:
        return CheckResult(name, slice_, None, limit.as_float(), None, None, "no image of this slice was measured")
    text = f"{percent(value.ratio)} ({fraction(value)})"
    bound = limit.significance_bound(value.lower, value.upper)
    pending = CheckResult(name, slice_, value.ratio, limit.as_float(), None, None, text)
    return _decide(pending, limit, Fraction(value.count, value.total), bound, percent)


def _latency(name: CheckName, value: LatencyQuantile | None, limit: _Limit) -> CheckResult:
    slice_ = f"p{LATENCY_QUANTILE * 100:.0f}"
    if value is None:
        return CheckResult(name, slice_, None, limit.as_float(), None, None, "too few timings for this quantile")
    pending = CheckResult(name, slice_, value.seconds, limit.as_float(), None, None, milliseconds(value.seconds))
    bound = limit.significance_bound(value.lower, value.upper)
    return _decide(pending, limit, _decimal(value.seconds), bound, milliseconds)


def _decide(
    pending: CheckResult, limit: _Limit, value: Fraction, bound: float | None, to_text: Callable[[float], str]
) -> CheckResult:
    if limit.value is None:
        return replace(pending, detail=f"{pending.detail}; {limit.absent}")
    fails = _FAILS[limit.fails]
    failed = fails(value, limit.value)
    significant = None if bound is None else fails(_decimal(bound), limit.value)
    return replace(
        pending,
        passed=not failed,
        significant=significant,
        severity=("critical" if significant else "warning") if failed else None,
        detail=f"{pending.detail}; fails if {limit.fails} {to_text(float(limit.value))}",
    )


def _target(result: CheckResult, images: int) -> CheckResult:
    """Lower a warning to info if not even zero false positives in this many images would confirm the target."""
    needed = images_needed_to_confirm(FPR_TARGET)
    if result.passed is None or images >= needed:
        return result
    return replace(
        result,
        severity="info" if result.severity == "warning" else result.severity,
        detail=f"{result.detail}; {integer(needed)} images are needed to confirm {percent(FPR_TARGET)}",
    )


def _decimal(value: float) -> Fraction:
    """Return the shortest decimal that reads as this float."""
    return Fraction(repr(float(value)))


def _times(value: float | None, factor: float) -> Fraction | None:
    return None if value is None else _decimal(value) * _decimal(factor)


def _plus(value: float | None, margin: float) -> Fraction | None:
    return None if value is None else _decimal(value) + _decimal(margin)
