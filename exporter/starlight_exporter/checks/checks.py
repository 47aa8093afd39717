"""Regression checks: compare one evaluation with the baseline and with the configured limits.

A check passes or fails by its value. Whether a failure is significant is decided by an exact test: against the
baseline on the pairs of verdicts, against a constant on the counts, at the effective sample size of shared covers.
Against a baseline without stored verdicts, nothing is significant.
The p-values are adjusted for all accuracy checks of the evaluation (Holm), at 1%, or at 0.8% if a sample of the images
was checked before. A failure has severity *warning*, a
significant one *critical*, that of an informational check *info*.

Comparisons are exact: a rate is the fraction of its two counts, and a float stands for the decimal that it is written
as (0.0001 + 0.0002 is 0.0003). Expressions in other languages have to allow for their own rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from starlight_exporter.checks.accuracy_rules import AccuracyRule, MeasuredRates, accuracy_rules
from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.counts import PairedCounts, SliceCounts
from starlight_exporter.checks.latency_checks import latency_checks
from starlight_exporter.checks.limits import BASELINE_CHECKS, CHECK_NAMES, DEFAULT_LIMITS, CheckLimits
from starlight_exporter.checks.results import CheckResult, Severity, Unavailable
from starlight_exporter.checks.significance import (
    Hypothesis,
    adjusted_p_values,
    below_with_confidence,
    error_rate_at_limit,
    not_worse_than_baseline,
    significance_level,
    within_with_confidence,
)
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import fraction, integer, p_value_equation, percent, percent_range

NO_IMAGES = Unavailable("no_images", "no image of this slice was measured")


def run_checks(
    evaluation: Evaluation, basis: CheckBasis, limits: CheckLimits = DEFAULT_LIMITS
) -> tuple[CheckResult, ...]:
    """Run every enabled check, in the order of CHECK_NAMES, on every slice of the evaluation or the baseline."""
    level = significance_level(after_provisional=evaluation.after_provisional)
    checks = (*accuracy_checks(evaluation, basis, limits, level=level), *latency_checks(evaluation, basis, limits))
    return in_order(checks, limits)


def in_order(checks: Iterable[CheckResult], limits: CheckLimits) -> tuple[CheckResult, ...]:
    """Return the enabled checks in the order of CHECK_NAMES; failures of informational checks have severity info."""
    ordered = sorted(checks, key=lambda one: CHECK_NAMES.index(one.name))
    return tuple(_informational(one, limits) for one in ordered if one.name not in limits.disabled)


def accuracy_checks(
    rates: MeasuredRates, basis: CheckBasis, limits: CheckLimits, *, level: float
) -> tuple[CheckResult, ...]:
    """Run the checks of false positives and detections, and adjust their p-values for each other.

    A failure is significant if its adjusted p-value is at most `level`.
    """
    rules = [rule for rule in accuracy_rules(rates, basis, limits) if rule.name not in limits.disabled]
    measured = [_Measured(rule, basis, level) for rule in rules]
    hypotheses = {
        (one.rule.name, one.rule.slice): hypothesis for one in measured if (hypothesis := one.hypothesis()) is not None
    }
    adjusted = adjusted_p_values(hypotheses)
    return tuple(one.result(adjusted.get((one.rule.name, one.rule.slice))) for one in measured)


@dataclass(frozen=True, slots=True)
class _Measured:
    """One accuracy check with the counts of its slice."""

    rule: AccuracyRule
    basis: CheckBasis
    level: float

    @property
    def counts(self) -> SliceCounts | None:
        return self.basis.counts.get(self.rule.counts_key)

    @property
    def pairs(self) -> PairedCounts | None:
        """The pairs that a test against the baseline uses; None if there are none, or the check has no such test."""
        return self.counts.paired if self.rule.against_baseline and self.counts is not None else None

    @property
    def unavailable(self) -> Unavailable | None:
        if self.rule.rate is None or not self.rule.rate.total:
            return NO_IMAGES
        return self.rule.unavailable

    def hypothesis(self) -> Hypothesis | None:
        """Return the hypothesis that the check tests; None if it has no result, no pairs or no sample size.

        The rate of a baseline is an estimate, not a constant: without pairs, a limit that depends on it is not tested.
        """
        rule, counts = self.rule, self.counts
        if self.unavailable is not None or counts is None:
            return None
        if self.pairs is not None:
            return not_worse_than_baseline(rule.counts_key, self.pairs)
        if rule.margin is not None:
            return None
        return error_rate_at_limit(rule.counts_key, counts, float(rule.error_limit))

    def result(self, p: float | None) -> CheckResult:
        """Return the result, given the adjusted p-value."""
        rule, rate, unavailable = self.rule, self.rule.rate, self.unavailable
        limit = None if rule.limit is None else float(rule.limit)
        if rate is None or unavailable is not None or rule.limit is None:
            reason = unavailable or NO_IMAGES
            value = None if rate is None else rate.ratio
            counted = "" if value is None or rate is None else f"{percent(value)} ({fraction(rate)}); "
            return CheckResult(
                rule.name, rule.slice, value, limit, None, None, f"{counted}{reason.text}", unavailable=reason.reason
            )
        passed = not rule.fails(rate)
        significant = not passed and p is not None and p <= self.level
        severity: Severity | None = None if passed else "critical" if significant else "warning"
        interval = percent_range(rate.lower, rate.upper)
        detail = (
            f"{percent(rate.ratio)} ({fraction(rate)}; 95% CI {interval}); fails if {rule.operator} {percent(limit)}"
        )
        return CheckResult(
            name=rule.name,
            slice=rule.slice,
            value=rate.ratio,
            limit=limit,
            passed=passed,
            significant=significant,
            detail=f"{detail}{self._pairs()}{'' if passed else self._significance(p, significant=significant)}",
            severity=severity,
            conclusive=self._conclusive() if passed else significant,
            p_value=p,
            paired=p is not None and self.pairs is not None,
        )

    def _conclusive(self) -> bool:
        rule, counts, baseline = self.rule, self.counts, self.basis.baseline
        if rule.margin is not None and baseline is not None and baseline.same_verdicts:
            return True
        if counts is None:
            return False
        if rule.margin is not None:
            pairs = counts.paired
            return pairs is not None and within_with_confidence(pairs, rule.factor, float(rule.margin))
        return below_with_confidence(counts, float(rule.error_limit))

    def _pairs(self) -> str:
        if self.pairs is None:
            return ""
        return f"; {integer(self.pairs.broken)} broken and {integer(self.pairs.fixed)} fixed compared with the baseline"

    def _significance(self, p: float | None, *, significant: bool) -> str:
        if p is None and self.rule.margin is not None:
            return "; not significant: the verdicts of the baseline are not available"
        if p is None:
            return "; not significant: the effective sample size is unknown"
        if not significant:
            return f"; not significant ({p_value_equation(p)})"
        if self.pairs is not None:
            return f"; worse than the baseline ({p_value_equation(p)})"
        return f"; significant ({p_value_equation(p)})"


def _informational(result: CheckResult, limits: CheckLimits) -> CheckResult:
    if result.severity is None or result.name not in limits.informational:
        return result
    return replace(result, severity="info")


def baseline_regressions(results: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """Return the failed checks among BASELINE_CHECKS."""
    return tuple(result for result in results if result.name in BASELINE_CHECKS and result.passed is False)
