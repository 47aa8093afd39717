"""The states on dashboards are the conclusions of the checks, for every check of a scraped exporter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from grafana.source.check_states import CHECK_STATES, check_states, worst_state
from grafana.source.style import BAD, GOOD
from starlight_exporter.checks.results import CONCLUSIONS, CheckResult
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.exposition import label_text
from starlight_exporter.publish.families import checks, models
from starlight_exporter.publish.families.family import MetricSample
from starlight_exporter.publish.snapshot import DatasetState, Snapshot
from support.dashboards import NAMES, load, panels, plain
from support.servers import put_prometheus_3_first, run_tool
from support.snapshots import full_evaluation, full_snapshot, model_state, run_state

PASS = CheckResult("fpr_target", "", 0.0001, 0.0005, True, False, "", conclusive=True, p_value=0.5)
FAIL = replace(PASS, passed=False, conclusive=False)
SIGNIFICANT = replace(FAIL, significant=True, conclusive=True)
NOT_MEASURED = replace(PASS, passed=None, significant=None, conclusive=None, unavailable="no_images")
CHECKS = (
    PASS,
    replace(PASS, name="fpr_baseline", conclusive=False),
    replace(FAIL, name="fpr_stability"),
    replace(SIGNIFICANT, name="detection_floor", slice="lsb"),
    replace(PASS, name="detection_floor", slice="eoi"),
    replace(FAIL, name="detection_target", slice="lsb"),
    replace(SIGNIFICANT, name="detection_target", slice="eoi"),
    replace(NOT_MEASURED, name="negatives", slice="patterns"),
    replace(NOT_MEASURED, name="detection_baseline", slice="lsb", unavailable="different_rule"),
    replace(NOT_MEASURED, name="latency_baseline", slice="p95", unavailable="different_machine"),
    replace(NOT_MEASURED, name="latency_limit", slice="p95", unavailable="machine_busy"),
)


def snapshot(*, role: Role = "production", alerts: bool = True) -> Snapshot:
    result = full_evaluation()
    states = full_snapshot().with_model(model_state(role=role)).with_dataset(DatasetState("reference", alerts=alerts))
    return states.with_run(result.model, result.dataset, run_state(result, checks=CHECKS))


def state_of(check: CheckResult, role: Role, *, alerts: bool) -> str:
    informational = role == "production" and (check.name == "detection_target" or not alerts)
    return "fail (informational)" if check.passed is False and informational else check.conclusion


def series(found: Iterable[MetricSample]) -> list[dict[str, str]]:
    return [
        {
            "series": _name(sample.family.name, dict(zip(sample.family.labels, sample.labels, strict=True))),
            "values": f"{float(sample.value)}x5",
        }
        for sample in found
    ]


def _name(metric: str, labels: Mapping[str, str]) -> str:
    return f"{metric}{label_text({name: value for name, value in labels.items() if value})}"


def assert_result(
    tmp_path: Path, expression: str, expected: Mapping[str, int], scraped: Snapshot | None = None
) -> None:
    """Compare the result of an expression in promtool with the expected values by labels."""
    scraped = scraped or snapshot()
    samples_expected = [{"labels": labels, "value": value} for labels, value in expected.items()]
    test = {
        "interval": "15s",
        "input_series": series((*checks.samples(scraped), *models.samples(scraped))),
        "promql_expr_test": [{"expr": plain(expression), "eval_time": "30s", "exp_samples": samples_expected}],
    }
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"tests": [test]}))
    code, output = run_tool(["promtool", "test", "rules", str(file)])
    assert code == 0, output


CODES = {text: code for code, (text, _) in CHECK_STATES.items()}


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize(("role", "alerts"), [("production", True), ("production", False), ("research", True)])
def test_state_is_the_conclusion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role, alerts: bool, newest: bool
) -> None:
    if newest:
        put_prometheus_3_first(monkeypatch)
    assert {check.conclusion for check in CHECKS} == set(CONCLUSIONS)
    expected = {
        _name("", {"check": check.name, "slice": check.slice, "reason": check.unavailable or ""}): CODES[
            state_of(check, role, alerts=alerts)
        ]
        for check in CHECKS
    }
    expression = f"max by (check, slice, reason) ({check_states()})"
    assert_result(tmp_path, expression, expected, snapshot(role=role, alerts=alerts))


@pytest.mark.parametrize(
    ("pattern", "worst"),
    [
        ("fpr_.+", "fail (not significant)"),
        ("detection_.+", "fail (significant)"),
        ("latency_.+", "not comparable"),
        ("fpr_target|negatives", "pass"),
        ("negatives", "not measured"),
    ],
)
def test_worst_state_of_several_checks(tmp_path: Path, pattern: str, worst: str) -> None:
    expected = {'{dataset="reference"}': CODES[worst]}
    assert_result(tmp_path, worst_state("dataset", pattern), expected)


def test_slice_becomes_the_label_of_a_table(tmp_path: Path) -> None:
    expected = {'{method="lsb"}': CODES["fail (significant)"], '{method="eoi"}': CODES["fail (informational)"]}
    expression = worst_state("method", "detection_.+", slices="method", slice="~$method")
    assert_result(tmp_path, expression, expected)


def test_only_a_significant_failure_is_red_and_every_pass_is_green() -> None:
    assert [text for text, colour in CHECK_STATES.values() if colour == BAD] == ["fail (significant)"]
    assert [text for text, colour in CHECK_STATES.values() if colour == GOOD] == ["pass", "pass (inconclusive)"]
    assert {text for text, _ in CHECK_STATES.values()} == {*CONCLUSIONS, "fail (informational)"}


@pytest.mark.parametrize("name", sorted({*NAMES} - {"exporter"}))
def test_no_query_contains_the_limit_of_a_check(name: str) -> None:
    """Reference lines and targets are queries of the limits in use."""
    expressions = [target["expr"] for panel in panels(load(name)) for target in panel["targets"]]
    assert not [expr for expr in expressions if re.search(r"vector\((?!0\))|\d\.\d*[1-9]\b(?!\")", expr)]
