"""The regression checks: every threshold of this project in one place, as decimal constants.

Point values decide *warning*. Chance decides the rest: *critical* only where it does not explain the failure, since the
exact 95 % bound is past the threshold too or the paired test against the baseline model's verdicts on the same images
rejects at 1 %; *info* where a target is so small that the sample cannot tell.

Comparisons are exact. A ratio is the fraction of its two counts; a decimal from a file or of this module is the decimal
that was written, not the binary number beside it (0.0001 + 0.0002 is 0.0003 here). A value that sits on a threshold
falls on the side that the table says. Expressions in other languages have to allow for their own rounding.

| check               | slice    | fails when                                                     |
|---------------------|----------|----------------------------------------------------------------|
| fpr_baseline        |          | FPR > baseline × 1.1                                           |
| fpr_stability       |          | FPR >= baseline + 0.0002                                       |
| fpr_target          |          | FPR >= 0.0005                                                  |
| detection_baseline  | method   | rate < baseline × 0.95                                         |
| detection_floor     | method   | rate <= 0.95                                                   |
| detection_target    | method   | rate <= 0.99                                                   |
| latency_baseline    | p95      | p95 > baseline × 1.2                                           |
| latency_limit       | p95      | p95 >= 0.005 s                                                 |
| format_consistency  | format   | FPR of the format >= its baseline (0.001 without) + 0.0002     |
| negatives           | category | FPR of the category >= 0.005                                   |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from starlight_exporter.analysis.comparison import Comparison as PairedComparison
from starlight_exporter.analysis.comparison import PairedSlice
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation, LatencyQuantile
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.sample_sizes import images_needed_to_confirm

FPR_BASELINE_FACTOR = 1.1
FPR_STABILITY_MARGIN = 0.0002
FPR_TARGET = 0.0005
DETECTION_BASELINE_FACTOR = 0.95
DETECTION_FLOOR = 0.95
DETECTION_TARGET = 0.99
LATENCY_QUANTILE = 0.95
LATENCY_BASELINE_FACTOR = 1.2
LATENCY_LIMIT_SECONDS = 0.005
FORMAT_MARGIN = 0.0002
FORMAT_DEFAULT_BASELINE = 0.001
NEGATIVES_LIMIT = 0.005
PAIRED_TEST_LEVEL = 0.01
"""Highest p value of the exact McNemar test (exclusive) at which chance does not explain what a model broke."""

CheckName = Literal[
    "fpr_baseline",
    "fpr_stability",
    "fpr_target",
    "detection_baseline",
    "detection_floor",
    "detection_target",
    "latency_baseline",
    "latency_limit",
    "format_consistency",
    "negatives",
]
CHECK_NAMES: tuple[CheckName, ...] = (
    "fpr_baseline",
    "fpr_stability",
    "fpr_target",
    "detection_baseline",
    "detection_floor",
    "detection_target",
    "latency_baseline",
    "latency_limit",
    "format_consistency",
    "negatives",
)
BASELINE_CHECKS: tuple[CheckName, ...] = ("fpr_baseline", "detection_baseline", "latency_baseline")
"""What monitor_performance.py calls a regression."""

Severity = Literal["info", "warning", "critical"]
Comparison = Literal[">", ">=", "<", "<="]

_FAILS: Mapping[Comparison, Callable[[Fraction, Fraction], bool]] = MappingProxyType(
    {
        ">": lambda value, limit: value > limit,
        ">=": lambda value, limit: value >= limit,
        "<": lambda value, limit: value < limit,
        "<=": lambda value, limit: value <= limit,
    }
)


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table for one slice. `value` and `limit` are ratios or seconds.

    `passed` is by point value, `significant` whether the exact 95 % bound is past the threshold too; both are None
    where something was not measured, and `detail` then says what. `severity` is None unless the check failed.
    """

    name: CheckName
    slice: str
    value: float | None
    limit: float | None
    passed: bool | None
    significant: bool | None
    detail: str
    severity: Severity | None = None


def check(
    evaluation: Evaluation, baseline: Baseline | None, paired: Sequence[PairedComparison] = ()
) -> tuple[Check, ...]:
    """Every check of the table, in its order, for every slice that the evaluation or the baseline has.

    `paired` are the comparisons of this evaluation with models of role baseline; one that rejects is enough.
    """
    return tuple(_beyond_chance(one, paired) for one in _by_bounds(evaluation, baseline))


def worse_beyond_chance(pairs: PairedSlice) -> bool:
    """More images broken than fixed, and the paired test rejects that it is chance."""
    return pairs.broken > pairs.fixed and pairs.p_value is not None and pairs.p_value < PAIRED_TEST_LEVEL


def _beyond_chance(one: Check, paired: Sequence[PairedComparison]) -> Check:
    """The check as the paired test sees it, where it compares with the baseline and the test covers its images."""
    images = {"fpr_baseline": "clean", "fpr_stability": "clean", "detection_baseline": one.slice}.get(one.name)
    if one.severity != "warning" or images is None:
        return one
    pairs = [found.slices[images] for found in paired if images in found.slices]
    if not any(worse_beyond_chance(one_pair) for one_pair in pairs):
        return one
    return replace(one, severity="critical", detail=f"{one.detail}; the paired test rejects chance")


def _by_bounds(evaluation: Evaluation, baseline: Baseline | None) -> tuple[Check, ...]:
    base = baseline if baseline is not None else Baseline()
    absent = "no baseline" if baseline is None else "the baseline does not hold it"
    fpr, rates, latency = evaluation.clean, evaluation.detections, limited_quantile(evaluation)
    fpr_base, latency_base = base.false_positive_ratio, base.latency_seconds.get(LATENCY_QUANTILE)
    formats = dict.fromkeys((*evaluation.clean_by_format, *base.false_positive_ratio_by_format))
    return (
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


def baseline_regressions(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """The failed checks among BASELINE_CHECKS."""
    return tuple(one for one in checks if one.name in BASELINE_CHECKS and one.passed is False)


@dataclass(frozen=True, slots=True)
class _Limit:
    """A check fails by this comparison with `value`, which is None for the reason `absent`."""

    fails: Comparison
    value: Fraction | None
    absent: str = ""

    @property
    def shown(self) -> float | None:
        return None if self.value is None else float(self.value)

    def bound(self, lower: float | None, upper: float | None) -> float | None:
        """The end of the interval that is past the limit last."""
        return lower if self.fails in (">", ">=") else upper


def _ratio(name: CheckName, of: str, value: Proportion | None, limit: _Limit) -> Check:
    if value is None or value.total == 0:
        return Check(name, of, None, limit.shown, None, None, "no image of this slice was measured")
    told = f"{value.count} of {value.total}"
    bound = limit.bound(value.lower, value.upper)
    return _decide(Check(name, of, value.ratio, limit.shown, None, None, told), limit, _fraction(value), bound, _plain)


def _latency(name: CheckName, value: LatencyQuantile | None, limit: _Limit) -> Check:
    of = f"p{LATENCY_QUANTILE * 100:.0f}"
    if value is None:
        return Check(name, of, None, limit.shown, None, None, "too few timings for this quantile")
    pending = Check(name, of, value.seconds, limit.shown, None, None, _milliseconds(value.seconds))
    bound = limit.bound(value.lower, value.upper)
    return _decide(pending, limit, _decimal(value.seconds), bound, _milliseconds)


def _plain(number: float) -> str:
    return f"{number:.10g}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"


def _decide(
    pending: Check, limit: _Limit, value: Fraction, bound: float | None, written: Callable[[float], str]
) -> Check:
    if limit.value is None:
        return replace(pending, detail=f"{pending.detail}; {limit.absent}")
    past = _FAILS[limit.fails]
    failed = past(value, limit.value)
    significant = None if bound is None else past(_decimal(bound), limit.value)
    return replace(
        pending,
        passed=not failed,
        significant=significant,
        severity=("critical" if significant else "warning") if failed else None,
        detail=f"{pending.detail}; fails when {limit.fails} {written(float(limit.value))}",
    )


def _target(target: Check, images: int) -> Check:
    """Below this many images not even zero failures confirm the target, and one failure misses it by chance."""
    needed = images_needed_to_confirm(FPR_TARGET)
    if target.passed is None or images >= needed:
        return target
    return replace(
        target,
        severity="info" if target.severity == "warning" else target.severity,
        detail=f"{target.detail}; {needed} images are needed to confirm it",
    )


def limited_quantile(evaluation: Evaluation) -> LatencyQuantile | None:
    """The latency quantile that has a limit, LATENCY_QUANTILE; None where it was not measured."""
    quantiles = evaluation.latency.quantiles if evaluation.latency is not None else ()
    return next((entry for entry in quantiles if entry.quantile == LATENCY_QUANTILE), None)


def _fraction(value: Proportion) -> Fraction:
    return Fraction(value.count, value.total)


def _decimal(value: float) -> Fraction:
    """The shortest decimal that is this float: the one that somebody wrote."""
    return Fraction(repr(float(value)))


def _times(value: float | None, factor: float) -> Fraction | None:
    return None if value is None else _decimal(value) * _decimal(factor)


def _plus(value: float | None, margin: float) -> Fraction | None:
    return None if value is None else _decimal(value) + _decimal(margin)
