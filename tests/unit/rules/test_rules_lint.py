"""What every rule has to be: named, explained, linked, and made of metrics and numbers that exist elsewhere."""

from __future__ import annotations

import re

import pytest

from starlight_exporter.checks import limits
from starlight_exporter.publish.families import FAMILIES
from starlight_exporter.statistics.intervals import CONFIDENCE
from support.rules import (
    ALERTS,
    RECORDS,
    RULE_LIST,
    RULES,
    Rule,
    known_metrics,
    numbers,
    promtool,
    selectors,
    template_queries,
)
from support.rules import functions as functions_of

ROUNDING = 1e-12
PAIRED_TEST_LEVEL = limits.PAIRED_TEST_LEVEL

QUALITY_FILES = {"false_positives.yml", "slices.yml", "detection.yml", "latency.yml"}

# Every function that the rules call, all known to Prometheus 2.42.
ALLOWED_FUNCTIONS = {
    "absent",
    "ceil",
    "histogram_quantile",
    "increase",
    "label_replace",
    "last_over_time",
    "ln",
    "max_over_time",
    "scalar",
    "time",
    "vector",
}

# Alert → the numbers that its expressions hold, from the one place where each stands. 0.025 and 1 make the sample size.
NUMBERS: dict[str, set[float]] = {
    "StarlightFalsePositivesAboveBaseline": {limits.FPR_BASELINE_FACTOR, ROUNDING, PAIRED_TEST_LEVEL},
    "StarlightFalsePositivesUnstable": {limits.FPR_STABILITY_MARGIN, ROUNDING, PAIRED_TEST_LEVEL},
    "StarlightFalsePositiveTargetMissed": {limits.FPR_TARGET, round((1 - CONFIDENCE) / 2, 12), 1},
    "StarlightFormatInconsistent": {limits.FORMAT_MARGIN, limits.FORMAT_DEFAULT_BASELINE, ROUNDING, 0},
    "StarlightHardNegativeFalsePositives": {limits.NEGATIVES_LIMIT},
    "StarlightDetectionBelowBaseline": {limits.DETECTION_BASELINE_FACTOR, ROUNDING, PAIRED_TEST_LEVEL},
    "StarlightDetectionBelowFloor": {limits.DETECTION_FLOOR},
    "StarlightLatencyAboveBaseline": {limits.LATENCY_BASELINE_FACTOR, ROUNDING},
    "StarlightLatencyAboveLimit": {limits.LATENCY_LIMIT_SECONDS},
}

# Alert → how its description tells the threshold to a person.
TOLD: dict[str, str] = {
    "StarlightFalsePositivesAboveBaseline": f"above {limits.FPR_BASELINE_FACTOR:g} × the baseline",
    "StarlightFalsePositivesUnstable": f"at {limits.FPR_STABILITY_MARGIN * 100:g} pp or more above the baseline",
    "StarlightFalsePositiveTargetMissed": f"target is below {limits.FPR_TARGET * 100:g}%",
    "StarlightFormatInconsistent": f"at {limits.FORMAT_MARGIN * 100:g} pp or more above",
    "StarlightHardNegativeFalsePositives": f"fails at {limits.NEGATIVES_LIMIT * 100:g}% or more",
    "StarlightDetectionBelowBaseline": f"below {limits.DETECTION_BASELINE_FACTOR:g} × the baseline",
    "StarlightDetectionBelowFloor": f"fails at {limits.DETECTION_FLOOR * 100:g}% or less",
    "StarlightLatencyAboveBaseline": f"above {limits.LATENCY_BASELINE_FACTOR:g} × the baseline",
    "StarlightLatencyAboveLimit": f"at {limits.LATENCY_LIMIT_SECONDS * 1000:g} ms or more",
}


def _name(rule: Rule) -> str:
    return f"{rule.file}:{rule.alert or rule.record}:{rule.labels.get('severity', '')}{rule.labels.get('class', '')}"


each_alert = pytest.mark.parametrize("rule", ALERTS, ids=_name)
each_rule = pytest.mark.parametrize("rule", RULE_LIST, ids=_name)


@pytest.mark.usefixtures("release")
def test_promtool_finds_every_rule_and_nothing_to_object_to() -> None:
    result = promtool("check", "rules", "--lint-fatal", *sorted(RULES.glob("*.yml")))
    assert result.returncode == 0, result.stdout + result.stderr
    found = [int(count) for count in re.findall(r"SUCCESS: (\d+) rules found", result.stdout)]
    assert sum(found) == len(RULE_LIST) == 74
    assert (len(ALERTS), len({rule.alert for rule in ALERTS}), len(RECORDS)) == (54, 32, 20)


@each_alert
def test_an_alert_is_named_and_explained(rule: Rule) -> None:
    assert re.fullmatch(r"Starlight([A-Z][a-z]+)+", rule.alert)
    assert rule.severity in {"critical", "warning", "info"}
    assert set(rule.labels) <= {"severity", "class"}
    summary, description = rule.annotations["summary"], rule.annotations["description"]
    assert re.fullmatch(r"[A-Z][^{}\n]+\.", summary), "one fixed sentence with a full stop"
    assert "{{" in description
    assert description.endswith((".", "}}"))
    assert rule.annotations["runbook_url"] == f"{{{{ $externalLabels.runbook_base }}}}/{rule.alert}.md"
    assert rule.annotations.get("evidence_url", "{{ $externalLabels.exporter_url }}/").startswith(
        "{{ $externalLabels.exporter_url }}/"
    )
    assert set(rule.annotations) <= {"summary", "description", "runbook_url", "evidence_url"}


def test_two_severities_of_one_alert_have_different_summaries() -> None:
    told = [(rule.alert, rule.annotations["summary"]) for rule in ALERTS if rule.alert != "StarlightSliceEmpty"]
    assert len(told) == len(set(told))


@each_rule
def test_expressions_read_metrics_and_labels_that_exist(rule: Rule) -> None:
    known = known_metrics()
    queries = [rule.expr, *(query for text in rule.annotations.values() for query in template_queries(text))]
    for query in queries:
        read = selectors(query)
        assert read or "vector(" in query
        for selector in read:
            assert selector.metric in known, f"{selector.metric} is not in publish/families"
            assert selector.labels <= known[selector.metric], selector


@each_rule
def test_expressions_use_what_prometheus_2_42_knows(rule: Rule) -> None:
    assert functions_of(rule.expr) <= ALLOWED_FUNCTIONS
    # 3.x writes le="1" as le="1.0": a matcher on it would hold for one of the two only.
    assert not any("le" in selector.labels for selector in selectors(rule.expr))


@each_alert
def test_gauges_are_read_over_a_window(rule: Rule) -> None:
    """A failed scrape neither fires nor clears an alert; `up` itself is what a failed scrape is told by."""
    for selector in selectors(rule.expr):
        assert selector.range_seconds is not None or selector.metric == "up", selector.metric
    if rule.file in QUALITY_FILES:
        assert {selector.range_seconds for selector in selectors(rule.expr)} == {300.0}


@each_alert
def test_quality_alerts_are_for_production_models_and_do_not_wait(rule: Rule) -> None:
    if rule.file not in QUALITY_FILES:
        return
    assert 'and on (job, instance, model)\nlast_over_time(starlight_model_info{role="production"}[5m])\n' in re.sub(
        r"\n +", "\n", rule.expr
    )
    assert rule.wait == ("20m" if rule.file == "latency.yml" and rule.severity == "critical" else "")


def test_every_quality_alert_has_its_numbers_listed() -> None:
    assert {rule.alert for rule in ALERTS if rule.file in QUALITY_FILES} == set(NUMBERS) == set(TOLD)


@pytest.mark.parametrize("alert", NUMBERS)
def test_numbers_are_those_of_the_regression_checks(alert: str) -> None:
    of_alert = [rule for rule in ALERTS if rule.alert == alert]
    assert set().union(*(numbers(rule.expr) for rule in of_alert)) == NUMBERS[alert]
    for rule in of_alert:
        # Each severity holds the threshold itself, not only one of them.
        assert len(numbers(rule.expr) - {ROUNDING, PAIRED_TEST_LEVEL, 0, 1}) >= 1
        assert TOLD[alert] in rule.annotations["description"]


def test_latency_alerts_look_at_the_quantile_of_the_regression_checks() -> None:
    for rule in ALERTS:
        if rule.file == "latency.yml":
            assert re.findall(r'quantile="([^"]+)"', rule.expr), rule.expr
            assert set(re.findall(r'quantile="([^"]+)"', rule.expr)) == {f"{limits.LATENCY_QUANTILE:g}"}


def test_the_suite_alert_asks_for_checks_that_exist() -> None:
    (rule,) = (rule for rule in ALERTS if rule.alert == "StarlightRegressionSuiteFailing")
    (asked,) = set(re.findall(r'check=~\\?"([^"\\]+)', rule.expr + rule.annotations["description"]))
    assert set(asked.split("|")) <= set(limits.CHECK_NAMES)
    assert "target" not in asked


@pytest.mark.parametrize("rule", RECORDS, ids=_name)
def test_recorded_names_are_level_metric_operations(rule: Rule) -> None:
    level, metric, operations = rule.record.split(":")
    names = {family.name for family in FAMILIES}
    assert metric in names or metric.removesuffix("_bucket") in names
    assert re.fullmatch(r"[a-z0-9_]+", operations)
    assert re.fullmatch(
        r"(model|dataset|method|format|category|class|stage|le)(_(?1))*".replace("(?1)", "[a-z]+"), level
    )
