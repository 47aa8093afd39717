"""Metrics of checks, of the baseline in use, and of datasets without alerts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.results import CheckResult, Unavailable, UnavailableReason
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.families import data
from starlight_exporter.publish.families.checks import alert_samples, baseline_samples, check_samples
from starlight_exporter.publish.families.family import MetricSample
from starlight_exporter.publish.snapshot import DatasetState, Snapshot
from support.snapshots import BASELINE, basis_of, full_evaluation, full_snapshot, model_state, run_state

PAIR = ("production", "reference")
LABELS = (*PAIR, "fpr_target", "")
PASS = CheckResult("fpr_target", "", 0.0001, 0.0005, True, False, "", conclusive=True, p_value=0.5)


def named(samples: Iterable[MetricSample]) -> dict[str, tuple[tuple[str, ...], float]]:
    return {sample.family.name.removeprefix("starlight_"): (sample.labels, sample.value) for sample in samples}


def of_check(check: CheckResult) -> dict[str, tuple[tuple[str, ...], float]]:
    snapshot = full_snapshot().with_run(*PAIR, run_state(full_evaluation(), checks=(check,)))
    return named(check_samples(snapshot))


@pytest.mark.parametrize(
    ("check", "passed", "conclusive", "significant"),
    [
        (PASS, 1, 1, 0),
        (replace(PASS, conclusive=False), 1, 0, 0),
        (replace(PASS, passed=False, conclusive=False), 0, 0, 0),
        (replace(PASS, passed=False, significant=True), 0, 1, 1),
        # Stored by 0.1.0.
        (replace(PASS, conclusive=None, significant=None), 1, 1, 0),
    ],
)
def test_check_with_a_result(check: CheckResult, passed: int, conclusive: int, significant: int) -> None:
    assert of_check(check) == {
        "check_limit": (LABELS, 0.0005),
        "regression_check_passed": (LABELS, passed),
        "regression_check_conclusive": (LABELS, conclusive),
        "regression_check_significant": (LABELS, significant),
        "regression_check_p_value": (LABELS, 0.5),
    }


def test_check_without_p_value_has_no_sample_of_it() -> None:
    assert "regression_check_p_value" not in of_check(replace(PASS, p_value=None))


@pytest.mark.parametrize("reason", ["no_images", "machine_busy", "different_images"])
def test_check_without_a_result_has_its_limit_and_a_reason(reason: UnavailableReason) -> None:
    check = replace(PASS, passed=None, significant=None, conclusive=None, p_value=None, unavailable=reason)
    assert of_check(check) == {
        "check_limit": (LABELS, 0.0005),
        "regression_check_unavailable": ((*LABELS, reason), 1),
    }
    assert "check_limit" not in of_check(replace(check, limit=None))


@pytest.mark.parametrize("paired", [True, False])
def test_p_value_states_what_it_tests(paired: bool) -> None:
    snapshot = full_snapshot().with_run(*PAIR, run_state(full_evaluation(), checks=(replace(PASS, paired=paired),)))
    assert named(alert_samples(snapshot))["regression_check_paired"] == (LABELS, int(paired))
    without = full_snapshot().with_run(*PAIR, run_state(full_evaluation(), checks=(replace(PASS, p_value=None),)))
    assert "regression_check_paired" not in named(alert_samples(without))


@pytest.mark.parametrize(
    ("role", "alerts", "check", "expected"),
    [
        ("production", True, PASS, 1),
        ("baseline", True, PASS, 0),
        ("research", True, PASS, 0),
        ("production", False, PASS, 0),
        ("production", True, replace(PASS, passed=None, unavailable="no_images"), 0),
        ("production", True, replace(PASS, name="detection_target"), 0),
    ],
)
def test_check_alerts(role: Role, alerts: bool, check: CheckResult, expected: int) -> None:
    snapshot = full_snapshot().with_model(model_state(role=role)).with_dataset(DatasetState("reference", alerts=alerts))
    snapshot = snapshot.with_run(*PAIR, run_state(full_evaluation(), checks=(check,)))
    assert named(alert_samples(snapshot))["check_alerts"] == ((*PAIR, check.name, ""), expected)


def with_basis(basis: CheckBasis | None) -> Snapshot:
    return full_snapshot().with_run(*PAIR, run_state(full_evaluation(), basis=basis))


def test_baseline_has_the_labels_of_the_evaluation() -> None:
    found = list(baseline_samples(with_basis(basis_of(full_evaluation()))))
    assert {sample.labels[:2] for sample in found} == {PAIR}
    values = {(sample.family.name, *sample.labels[2:]): sample.value for sample in found}
    assert values["starlight_baseline_false_positive_ratio",] == 0.0032
    assert values["starlight_baseline_detection_ratio", "palette"] == 0.98
    assert values["starlight_baseline_latency_seconds", "0.95"] == 0.0034
    assert values["starlight_baseline_format_false_positive_ratio", "png"] == 0.005


def test_values_of_a_baseline_that_is_not_comparable_are_absent() -> None:
    other_images = replace(BASELINE, obstacle=Unavailable("different_images", "other images"))
    basis = replace(basis_of(full_evaluation()), baseline=other_images)
    assert list(baseline_samples(with_basis(basis))) == []
    assert list(baseline_samples(with_basis(replace(basis, baseline=None)))) == []
    assert list(baseline_samples(with_basis(None))) == []
    other_machine = replace(BASELINE, latency_obstacle=Unavailable("different_machine", "another machine"))
    found = named(baseline_samples(with_basis(replace(basis, baseline=other_machine))))
    assert "baseline_latency_seconds" not in found
    assert "baseline_false_positive_ratio" in found


@pytest.mark.parametrize("alerts", [True, False])
def test_dataset_states_whether_it_alerts(alerts: bool) -> None:
    snapshot = full_snapshot().with_dataset(DatasetState("field", alerts=alerts))
    found = {s.labels: s.value for s in data.samples(snapshot) if s.family is data.DATASET_ALERTS}
    assert found[("field",)] == int(alerts)
    assert found[("reference",)] == 1
