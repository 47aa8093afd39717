"""Results of the regression checks: what one check concludes about one slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from starlight_exporter.checks.limits import CheckName

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

NotMeasuredCause = Literal["no_images", "no_timings", "machine_busy", "no_baseline", "not_in_baseline"]
NotComparableCause = Literal["different_images", "different_rule", "different_machine"]
UnavailableReason = NotMeasuredCause | NotComparableCause
"""Why a check has no result."""
UNAVAILABLE_REASONS: Final[tuple[UnavailableReason, ...]] = (*get_args(NotMeasuredCause), *get_args(NotComparableCause))
NOT_COMPARABLE_REASONS: Final[frozenset[str]] = frozenset(get_args(NotComparableCause))

Conclusion = Literal[
    "pass",
    "pass (inconclusive)",
    "fail (not significant)",
    "fail (significant)",
    "not measured",
    "not comparable",
]
CONCLUSIONS: Final[tuple[Conclusion, ...]] = get_args(Conclusion)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a check has no result: a reason for programs and a text for people."""

    reason: UnavailableReason
    text: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check on one slice; `value` and `limit` are ratios, seconds, or a ratio of two latencies.

    `passed` compares the value with the limit; None if the check is `unavailable`. A failure is `significant` if its
    test rejects after the adjustment of `p_value` for all checks of the evaluation (Holm), at the level of the result:
    1%, or 0.2% for a provisional result and 0.8% for the complete result that follows it. A pass is `conclusive` if the
    whole confidence interval is within the limit, a failure if it is significant. `severity` is None unless the check
    failed. `paired` is whether `p_value` compares the verdicts with those of the baseline; otherwise it tests the
    limit.
    """

    name: CheckName
    slice: str
    value: float | None
    limit: float | None
    passed: bool | None
    significant: bool | None
    detail: str
    severity: Severity | None = None
    conclusive: bool | None = None
    p_value: float | None = None
    unavailable: UnavailableReason | None = None
    paired: bool = False

    @property
    def conclusion(self) -> Conclusion:
        """The result in one of the six terms that pages, reports and mails use."""
        if self.passed is None:
            return "not comparable" if self.unavailable in NOT_COMPARABLE_REASONS else "not measured"
        if self.passed:
            # Results stored by 0.1.0 do not state whether they are conclusive.
            return "pass (inconclusive)" if self.conclusive is False else "pass"
        return "fail (significant)" if self.significant else "fail (not significant)"
