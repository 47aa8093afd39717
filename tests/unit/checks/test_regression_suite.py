"""The regression suite: outcomes of its tests and exit codes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from starlight_exporter.checks.limits import CHECK_NAMES, CheckName
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import SUITE, exit_code, run_suite
from starlight_exporter.errors import NotMeasuredReason
from support.snapshots import full_evaluation

COMPLETE = replace(full_evaluation(), not_measured=dict.fromkeys(full_evaluation().not_measured, 0))
"""Every image measured."""

PASSED = tuple(CheckResult(name, "x", 0.0, 1.0, True, False, "fine", conclusive=True) for name in CHECK_NAMES)

REQUIRED = tuple(check for checks in SUITE.values() for check in checks)


def with_outcome(name: str, passed: bool | None) -> tuple[CheckResult, ...]:
    return tuple(replace(check, passed=passed) if check.name == name else check for check in PASSED)


def test_exit_code_is_0_if_all_tests_pass() -> None:
    assert exit_code(COMPLETE, run_suite(PASSED)) == 0


@pytest.mark.parametrize("check", REQUIRED)
def test_exit_code_is_1_if_a_test_fails(check: str) -> None:
    assert exit_code(COMPLETE, run_suite(with_outcome(check, passed=False))) == 1


@pytest.mark.parametrize("check", REQUIRED)
def test_exit_code_is_2_if_a_check_was_not_measured(check: str) -> None:
    assert exit_code(COMPLETE, run_suite(with_outcome(check, passed=None))) == 2


@pytest.mark.parametrize("check", REQUIRED)
def test_exit_code_is_2_if_a_test_has_no_slice(check: str) -> None:
    assert exit_code(COMPLETE, run_suite([one for one in PASSED if one.name != check])) == 2


def test_exit_code_is_2_if_every_check_is_skipped() -> None:
    assert exit_code(COMPLETE, run_suite(PASSED, frozenset(CHECK_NAMES))) == 2


@pytest.mark.parametrize("check", sorted(set(CHECK_NAMES) - set(REQUIRED)))
def test_checks_outside_the_suite_do_not_change_the_exit_code(check: str) -> None:
    assert exit_code(COMPLETE, run_suite(with_outcome(check, passed=False))) == 0


def test_regression_takes_precedence_over_not_measured() -> None:
    checks = tuple(replace(c, passed={"negatives": None, "latency_limit": False}.get(c.name, True)) for c in PASSED)
    assert exit_code(COMPLETE, run_suite(checks)) == 1


@pytest.mark.parametrize("reason", sorted(COMPLETE.not_measured))
def test_exit_code_is_2_if_an_image_was_not_measured(reason: NotMeasuredReason) -> None:
    evaluation = replace(COMPLETE, not_measured={**COMPLETE.not_measured, reason: 1})
    tests = run_suite(PASSED)
    assert exit_code(evaluation, tests) == 2
    assert exit_code(evaluation, run_suite(with_outcome("negatives", passed=False))) == 1


@pytest.mark.parametrize("check", REQUIRED)
def test_skipped_check_is_not_required(check: CheckName) -> None:
    for passed in (False, None):
        assert exit_code(COMPLETE, run_suite(with_outcome(check, passed=passed), frozenset({check}))) == 0
    assert exit_code(COMPLETE, run_suite([one for one in PASSED if one.name != check], frozenset({check}))) == 0


def test_test_without_required_checks_is_omitted() -> None:
    tests = run_suite(PASSED, frozenset({"latency_limit", "latency_baseline"}))
    assert [test.name for test in tests] == [
        "fpr_stability",
        "detection_rates",
        "format_consistency",
        "negatives_resistance",
    ]


def test_informational_check_never_fails_the_suite() -> None:
    checks = [replace(one, passed=False, severity="info") if one.name == "negatives" else one for one in PASSED]
    assert exit_code(COMPLETE, run_suite(checks)) == 0


@pytest.mark.parametrize("check", REQUIRED)
def test_exit_code_is_3_for_inconclusive_pass_if_conclusions_are_required(check: str) -> None:
    checks = [replace(one, conclusive=False) if one.name == check else one for one in PASSED]
    assert exit_code(COMPLETE, run_suite(checks)) == 0
    assert exit_code(COMPLETE, run_suite(checks), require_conclusive=True) == 3
    assert exit_code(COMPLETE, run_suite(PASSED), require_conclusive=True) == 0
    failed = [replace(one, passed=False) if one.name == "negatives" else one for one in checks]
    assert exit_code(COMPLETE, run_suite(failed), require_conclusive=True) == 1
    missing = [replace(one, passed=None) if one.name == "negatives" else one for one in checks]
    assert exit_code(COMPLETE, run_suite(missing), require_conclusive=True) == 2
