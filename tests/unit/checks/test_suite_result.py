"""The result of the regression suite in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from starlight_exporter.checks.limits import CHECK_NAMES, CheckName
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import SUITE, exit_code, run_suite
from starlight_exporter.checks.suite_result import limit_text, result_line, slice_key
from starlight_exporter.evaluation.results import Evaluation
from support.snapshots import full_evaluation, proportion

COMPLETE = replace(
    full_evaluation(),
    not_measured=dict.fromkeys(full_evaluation().not_measured, 0),
    clean=proportion(3, 1_000),
    detections={**full_evaluation().detections, "palette": proportion(57, 160)},
)
SLICES = {
    "detection_baseline": "palette",
    "detection_floor": "palette",
    "latency_baseline": "p95",
    "latency_limit": "p95",
}
SLICES |= {"format_consistency": "png", "negatives": "screenshots"}


def check(name: CheckName, **changes: object) -> CheckResult:
    passed = CheckResult(name, SLICES.get(name, ""), 0.003, 0.95, True, False, "fine", conclusive=True)
    return replace(passed, **changes)  # type: ignore[arg-type]


PASSED = tuple(check(name) for name in CHECK_NAMES)


def line(
    checks: tuple[CheckResult, ...], evaluation: Evaluation = COMPLETE, *, require_conclusive: bool = False
) -> str:
    tests = run_suite(checks)
    return result_line(evaluation, tests, exit_code(evaluation, tests, require_conclusive=require_conclusive))


def replaced(*others: CheckResult) -> tuple[CheckResult, ...]:
    found = {one.name: one for one in others}
    return tuple(found.get(one.name, one) for one in PASSED)


def test_pass_states_the_number_of_checks() -> None:
    assert line(PASSED) == "PASSED 8 of 8"


def test_pass_counts_inconclusive_checks() -> None:
    assert line(replaced(check("negatives", conclusive=False))) == "PASSED 8 of 8 (1 inconclusive)"


def test_failure_states_value_limit_and_counts() -> None:
    failed = check("detection_floor", value=57 / 160, limit=0.95, passed=False, severity="warning")
    assert line(replaced(failed)) == "FAILED 1 of 8: detection_floor palette 35.62% (limit 95%, 57 of 160)"


def test_failed_latencies_have_units() -> None:
    ratio = check("latency_baseline", value=1.3456, limit=1.2, passed=False, severity="warning")
    absolute = check("latency_limit", value=0.00752, limit=0.005, passed=False, severity="warning")
    assert line(replaced(ratio, absolute)) == (
        "FAILED 2 of 8: latency_baseline p95 1.346 × (limit 1.2 ×); latency_limit p95 7.52 ms (limit 5 ms)"
    )


def test_significant_failures_come_first_and_others_are_counted() -> None:
    names: tuple[CheckName, ...] = ("fpr_baseline", "fpr_stability", "detection_baseline", "negatives")
    failed = [check(name, passed=False, severity="warning") for name in names[:3]]
    text = line(replaced(*failed, check("negatives", passed=False, severity="critical", slice="x\ny")))
    assert text.startswith(
        "FAILED 4 of 8: negatives x y 0.30% (limit 95%); fpr_baseline 0.30% (limit 95%, 3 of 1,000); "
    )
    assert text.endswith("; 1 more")


def test_failure_counts_checks_without_a_result() -> None:
    missing = check("latency_limit", passed=None, unavailable="machine_busy", detail="machine busy")
    text = line(replaced(missing, check("fpr_baseline", passed=False, severity="warning")))
    assert text.endswith("; 1 not measured or not comparable")


def test_missing_result_states_its_reason() -> None:
    missing = check("latency_limit", passed=None, unavailable="machine_busy", detail="machine busy")
    assert line(replaced(missing)) == "NOT MEASURED 1 of 8: latency_limit p95: machine busy"


def test_not_comparable_baseline_is_stated() -> None:
    other = check("fpr_baseline", passed=None, unavailable="different_images", detail="other images")
    assert line(replaced(other)) == "NOT COMPARABLE 1 of 8: fpr_baseline: other images"


def test_test_without_slices_is_not_measured() -> None:
    checks = tuple(one for one in PASSED if one.name != "negatives")
    assert line(checks) == "NOT MEASURED 1 of 8: negatives_resistance: the dataset has no slice of this test"


def test_images_without_a_verdict_are_not_measured() -> None:
    evaluation = replace(COMPLETE, not_measured={**COMPLETE.not_measured, "unreadable": 2})
    expected = f"NOT MEASURED: 2 of {COMPLETE.images} images were not measured: 2 unreadable"
    assert line(PASSED, evaluation) == expected


def test_inconclusive_result_with_required_conclusions() -> None:
    checks = replaced(check("fpr_baseline", conclusive=False, value=0.003, limit=0.011))
    assert line(checks, require_conclusive=True) == ("INCONCLUSIVE 1 of 8: fpr_baseline 0.30% (limit 1.1%, 3 of 1,000)")


def test_result_without_checks() -> None:
    tests = run_suite(PASSED, frozenset(CHECK_NAMES))
    assert result_line(COMPLETE, tests, 2) == "NOT MEASURED: no check is required"


@pytest.mark.parametrize(("limit", "text"), [(0.95, "95%"), (0.0005, "0.05%"), (0.0002 + 0.001, "0.12%")])
def test_limit_has_only_its_digits(limit: float, text: str) -> None:
    assert limit_text(check("fpr_baseline", limit=limit)) == text


@pytest.mark.parametrize("name", [name for names in SUITE.values() for name in names])
def test_every_check_has_a_slice_key_unless_it_is_a_latency(name: CheckName) -> None:
    assert (slice_key(check(name)) is None) == name.startswith("latency_")
