"""Conventions for all rules: names, annotations, links, existing metrics, and limits defined in the checks."""

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

# Functions used by the rules, all supported by Prometheus 2.42.
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

# Alert → numbers in its expressions. 0.025 and 1 are part of the sample size formula.
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

# Alert → limit as written in its description.
LIMIT_TEXTS: dict[str, str] = {
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
def test_promtool_accepts_every_rule() -> None:
    result = promtool("check", "rules", "--lint-fatal", *sorted(RULES.glob("*.yml")))
    assert result.returncode == 0, result.stdout + result.stderr
    found = [int(count) for count in re.findall(r"SUCCESS: (\d+) rules found", result.stdout)]
    assert sum(found) == len(RULE_LIST) == 74
    assert (len(ALERTS), len({rule.alert for rule in ALERTS}), len(RECORDS)) == (54, 32, 20)


@each_alert
def test_alert_has_name_and_annotations(rule: Rule) -> None:
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


def test_severities_have_different_summaries() -> None:
    summaries = [(rule.alert, rule.annotations["summary"]) for rule in ALERTS if rule.alert != "StarlightSliceEmpty"]
    assert len(summaries) == len(set(summaries))


@each_rule
def test_expressions_use_existing_metrics_and_labels(rule: Rule) -> None:
    known = known_metrics()
    queries = [rule.expr, *(query for text in rule.annotations.values() for query in template_queries(text))]
    for query in queries:
        used = selectors(query)
        assert used or "vector(" in query
        for selector in used:
            assert selector.metric in known, f"{selector.metric} is not in publish/families"
            assert selector.labels <= known[selector.metric], selector


@each_rule
def test_expressions_support_prometheus_2_42(rule: Rule) -> None:
    assert functions_of(rule.expr) <= ALLOWED_FUNCTIONS
    # Prometheus 3 normalises le="1" to le="1.0", so a matcher would work in only one version.
    assert not any("le" in selector.labels for selector in selectors(rule.expr))


@each_alert
def test_gauges_are_read_over_a_range(rule: Rule) -> None:
    """A failed scrape must neither raise nor clear an alert, except those on `up`."""
    for selector in selectors(rule.expr):
        assert selector.range_seconds is not None or selector.metric == "up", selector.metric
    if rule.file in QUALITY_FILES:
        assert {selector.range_seconds for selector in selectors(rule.expr)} == {300.0}


@each_alert
def test_quality_alerts_select_production_models_without_for(rule: Rule) -> None:
    if rule.file not in QUALITY_FILES:
        return
    assert 'and on (job, instance, model)\nlast_over_time(starlight_model_info{role="production"}[5m])\n' in re.sub(
        r"\n +", "\n", rule.expr
    )
    assert rule.wait == ("20m" if rule.file == "latency.yml" and rule.severity == "critical" else "")


def test_every_quality_alert_has_a_limit() -> None:
    assert {rule.alert for rule in ALERTS if rule.file in QUALITY_FILES} == set(NUMBERS) == set(LIMIT_TEXTS)


@pytest.mark.parametrize("alert", NUMBERS)
def test_limits_equal_those_of_the_checks(alert: str) -> None:
    of_alert = [rule for rule in ALERTS if rule.alert == alert]
    assert set().union(*(numbers(rule.expr) for rule in of_alert)) == NUMBERS[alert]
    for rule in of_alert:
        # Each severity contains the limit itself.
        assert len(numbers(rule.expr) - {ROUNDING, PAIRED_TEST_LEVEL, 0, 1}) >= 1
        assert LIMIT_TEXTS[alert] in rule.annotations["description"]


def test_latency_alerts_use_the_quantile_of_the_checks() -> None:
    for rule in ALERTS:
        if rule.file == "latency.yml":
            assert re.findall(r'quantile="([^"]+)"', rule.expr), rule.expr
            assert set(re.findall(r'quantile="([^"]+)"', rule.expr)) == {f"{limits.LATENCY_QUANTILE:g}"}


def test_suite_alert_selects_existing_checks() -> None:
    (rule,) = (rule for rule in ALERTS if rule.alert == "StarlightRegressionSuiteFailing")
    (selected,) = set(re.findall(r'check=~\\?"([^"\\]+)', rule.expr + rule.annotations["description"]))
    assert set(selected.split("|")) <= set(limits.CHECK_NAMES)
    assert "target" not in selected


@pytest.mark.parametrize("rule", RECORDS, ids=_name)
def test_recorded_series_are_named_level_metric_operations(rule: Rule) -> None:
    level, metric, operations = rule.record.split(":")
    names = {family.name for family in FAMILIES}
    assert metric in names or metric.removesuffix("_bucket") in names
    assert re.fullmatch(r"[a-z0-9_]+", operations)
    assert re.fullmatch(
        r"(model|dataset|method|format|category|class|stage|le)(_(?1))*".replace("(?1)", "[a-z]+"), level
    )
