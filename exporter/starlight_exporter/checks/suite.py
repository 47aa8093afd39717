"""Regression suite: the gate before a deployment, five tests over the results of the checks.

Anything not measured is not a pass: an empty slice, a missing baseline, too few timings, an image without a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from starlight_exporter.checks.checks import CheckResult
from starlight_exporter.checks.limits import CheckName
from starlight_exporter.evaluation.results import Evaluation

TestName = Literal["fpr_stability", "detection_rates", "inference_speed", "format_consistency", "negatives_resistance"]
TestOutcome = Literal["passed", "failed", "not measured"]

SUITE: Final[Mapping[TestName, CheckName]] = MappingProxyType(
    {
        "fpr_stability": "fpr_stability",
        "detection_rates": "detection_floor",
        "inference_speed": "latency_limit",
        "format_consistency": "format_consistency",
        "negatives_resistance": "negatives",
    }
)
"""Maps each test to the check whose slices it consists of."""


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """One test: failed if any slice fails; else not measured if any slice was not, or there is none; else passed."""

    name: TestName
    outcome: TestOutcome
    checks: tuple[CheckResult, ...]


def run_suite(results: Sequence[CheckResult]) -> tuple[SuiteTest, ...]:
    """Return the five tests over the check results of one evaluation."""
    return tuple(
        _test(name, tuple(result for result in results if result.name == check)) for name, check in SUITE.items()
    )


def exit_code(evaluation: Evaluation, tests: Sequence[SuiteTest]) -> int:
    """Return 0 if all tests passed, 1 if one failed, 2 if none failed but a slice or an image was not measured."""
    outcomes = {test.outcome for test in tests}
    if "failed" in outcomes:
        return 1
    return 2 if "not measured" in outcomes or missing_images(evaluation) else 0


def missing_images(evaluation: Evaluation) -> str:
    """Return how many images were not measured, by reason; empty if all were measured."""
    missing = {reason: count for reason, count in evaluation.not_measured.items() if count}
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in missing.items())
    return f"{sum(missing.values())} of {evaluation.images} images were not measured: {reasons}" if missing else ""


def _test(name: TestName, results: tuple[CheckResult, ...]) -> SuiteTest:
    if any(result.passed is False for result in results):
        return SuiteTest(name, "failed", results)
    if not results or any(result.passed is None for result in results):
        return SuiteTest(name, "not measured", results)
    return SuiteTest(name, "passed", results)
