"""Regression suite: the gate before a deployment, five tests over the results of the checks.

A required check without a result is not a pass: an empty slice, a missing or not comparable baseline, too few timings.
Neither is an image without a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from starlight_exporter.checks.limits import CheckName
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.exit_codes import CHECK_FAILED, INCONCLUSIVE, NOT_MEASURED, OK

TestName = Literal["fpr_stability", "detection_rates", "inference_speed", "format_consistency", "negatives_resistance"]
TestOutcome = Literal["passed", "failed", "not measured"]

SUITE: Final[Mapping[TestName, tuple[CheckName, ...]]] = MappingProxyType(
    {
        "fpr_stability": ("fpr_baseline", "fpr_stability"),
        "detection_rates": ("detection_baseline", "detection_floor"),
        "inference_speed": ("latency_baseline", "latency_limit"),
        "format_consistency": ("format_consistency",),
        "negatives_resistance": ("negatives",),
    }
)
"""Maps each test to the checks that it consists of."""


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """One test: failed if any check fails; else not measured if any has no result or no slice; else passed."""

    name: TestName
    outcome: TestOutcome
    checks: tuple[CheckResult, ...]


def run_suite(results: Sequence[CheckResult], skipped: frozenset[CheckName] = frozenset()) -> tuple[SuiteTest, ...]:
    """Return the tests over the check results of one evaluation, without tests whose checks are all skipped."""
    required = {name: [one for one in checks if one not in skipped] for name, checks in SUITE.items()}
    return tuple(_test(name, checks, results) for name, checks in required.items() if checks)


def exit_code(evaluation: Evaluation, tests: Sequence[SuiteTest], *, require_conclusive: bool = False) -> int:
    """Return 1 if a test failed, else 2 if a check or an image has no result, or if no test is required, else 3 or 0.

    3 is for a pass that is inconclusive, if `require_conclusive`.
    """
    outcomes = {test.outcome for test in tests}
    if "failed" in outcomes:
        return CHECK_FAILED
    if not tests or "not measured" in outcomes or missing_images(evaluation):
        return NOT_MEASURED
    inconclusive = any(check.conclusion == "pass (inconclusive)" for test in tests for check in test.checks)
    return INCONCLUSIVE if require_conclusive and inconclusive else OK


def missing_images(evaluation: Evaluation) -> str:
    """Return how many images were not measured, by reason; empty if all were measured."""
    missing = {reason: count for reason, count in evaluation.not_measured.items() if count}
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in missing.items())
    return f"{sum(missing.values())} of {evaluation.images} images were not measured: {reasons}" if missing else ""


def _test(name: TestName, required: Sequence[CheckName], results: Sequence[CheckResult]) -> SuiteTest:
    found = tuple(result for result in results if result.name in required)
    # A failed informational check does not fail the test.
    if any(result.passed is False and result.severity != "info" for result in found):
        return SuiteTest(name, "failed", found)
    if {result.name for result in found} != set(required) or any(result.passed is None for result in found):
        return SuiteTest(name, "not measured", found)
    return SuiteTest(name, "passed", found)
