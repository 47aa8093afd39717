"""Conventions for all rules: names, annotations, links, existing metrics, and limits defined in the checks."""

from __future__ import annotations

import json
import re

import pytest

from starlight_exporter.checks import limits
from starlight_exporter.checks.limits import CheckName
from starlight_exporter.checks.suite import SUITE
from starlight_exporter.publish.families import FAMILIES
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION
from support.rules import (
    ALERT_OF,
    ALERTS,
    RECORDS,
    ROOT,
    RULE_LIST,
    RULES,
    Rule,
    known_metrics,
    link_of,
    mixing,
    nodes,
    numbers,
    promtool,
    selectors,
    template_literals,
    template_queries,
)
from support.rules import functions as functions_of

ROUNDING = 1e-12

CHECK_OF: dict[str, CheckName] = {alert: check for check, alert in ALERT_OF.items()}
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
COMPARING = {">", ">=", "<", "<="}

QUALITY_FILES = {"false_positives.yml", "slices.yml", "detection.yml", "latency.yml"}

# Functions used by the rules, all supported by Prometheus 2.42.
ALLOWED_FUNCTIONS = {
    "absent",
    "histogram_quantile",
    "increase",
    "label_replace",
    "last_over_time",
    "max_over_time",
    "quantile_over_time",
    "time",
}

COMPARISONS: dict[CheckName, tuple[str, str]] = {
    "fpr_baseline": (">", "above"),
    "fpr_stability": (">=", "or more"),
    "fpr_target": (">=", "or more"),
    "detection_baseline": ("<", "below"),
    "detection_floor": ("<=", "or less"),
    "latency_baseline": (">", "above"),
    "latency_limit": (">=", "or more"),
    "format_consistency": (">=", "or more"),
    "negatives": (">=", "or more"),
}
"""Check → operator in its rules, and the words for it in their descriptions."""

EVIDENCE_OF_CAUSE = {
    "false_positives": "class=clean",
    "detection_rate": "class=stego&method={{ $labels.method | urlquery }}",
    "format_false_positives": "class=clean&format={{ $labels.format | urlquery }}",
    "hard_negatives": "class=negative&category={{ $labels.category | urlquery }}",
    "latency": "#latency",
}

ANNOTATIONS = {"summary", "description", "runbook_url", "evidence_url", "model_file", "dashboard_url"}


def _name(rule: Rule) -> str:
    return f"{rule.file}:{rule.alert or rule.record}:{rule.labels.get('severity', '')}{rule.labels.get('class', '')}"


each_alert = pytest.mark.parametrize("rule", ALERTS, ids=_name)
each_quality_alert = pytest.mark.parametrize("rule", [one for one in ALERTS if one.file in QUALITY_FILES], ids=_name)
each_rule = pytest.mark.parametrize("rule", RULE_LIST, ids=_name)


@pytest.mark.usefixtures("release")
def test_promtool_accepts_every_rule() -> None:
    result = promtool("check", "rules", "--lint-fatal", *sorted(RULES.glob("*.yml")))
    assert result.returncode == 0, result.stdout + result.stderr
    found = [int(count) for count in re.findall(r"SUCCESS: (\d+) rules found", result.stdout)]
    assert sum(found) == len(RULE_LIST) == 85
    assert (len(ALERTS), len({rule.alert for rule in ALERTS}), len(RECORDS)) == (65, 41, 20)


@each_alert
def test_alert_has_name_and_annotations(rule: Rule) -> None:
    assert re.fullmatch(r"Starlight([A-Z][a-z]+)+", rule.alert)
    assert rule.severity in {"critical", "warning", "info"}
    assert set(rule.labels) <= {"severity", "class", "cause"}
    summary, description = rule.annotations["summary"], rule.annotations["description"]
    assert re.fullmatch(r"[A-Z][^{}\n]+\.", summary), "one fixed sentence with a full stop"
    assert "{{" in description
    assert description.endswith((".", "}}"))
    assert set(rule.annotations) <= ANNOTATIONS


@each_alert
def test_links_begin_with_the_urls_of_the_exporter_of_the_alert(rule: Rule) -> None:
    """Alerts without an exporter link the runbook on any exporter."""
    has_exporter = rule.file != "monitoring.yml" and rule.alert != "StarlightExporterAbsent"
    assert link_of(rule.annotations["runbook_url"]) == ("external_url", f"runbooks/{rule.alert}.md", has_exporter)
    if "evidence_url" in rule.annotations:
        label, rest, of_own_exporter = link_of(rule.annotations["evidence_url"])
        assert (label, of_own_exporter) == ("external_url", True)
        assert not rest.startswith("/"), "the URL ends in a slash"
    if "dashboard_url" in rule.annotations:
        assert link_of(rule.annotations["dashboard_url"])[::2] == ("grafana_url", True)
    # After five minutes without a scrape, only this alert needs a link.
    for annotation in ("runbook_url", "evidence_url", "dashboard_url"):
        window = "[1d]" if rule.alert == "StarlightExporterDown" or not has_exporter else "[5m]"
        assert window in rule.annotations.get(annotation, window)


def test_no_rule_depends_on_the_configuration_of_prometheus() -> None:
    for file in (*RULES.glob("*.yml"), *(ROOT / "alerting" / "templates").glob("*.tmpl")):
        text = file.read_text(encoding="utf-8")
        assert "$externalLabels" not in text
        assert not re.search(r"127\.0\.0\.1|localhost|job=\"", text), file


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
def test_no_expression_mixes_exporters(rule: Rule) -> None:
    if rule.alert != "StarlightExporterAbsent":
        assert mixing(rule.expr) == []


def test_mixing_is_detected() -> None:
    for expression in ("sum(a)", "sum by (job) (a)", "sum without (instance) (a)", "a * on (job) b", "a or on () b"):
        assert len(mixing(expression)) == 1, expression
    for expression in ("sum without (method) (a)", "a / b", "a / ignoring (method) b", "a and on (job, instance) b"):
        assert mixing(expression) == [], expression
    assert mixing("a unless ignoring (job) (max(b))") == ["unless ignoring (job)", "max"]


@each_alert
def test_annotations_query_only_the_exporter_of_the_alert(rule: Rule) -> None:
    for name, annotation in rule.annotations.items():
        for text in template_literals(annotation):
            of_own = re.findall(r"starlight_\w+(?::\w+)?(%s|\{job=%q,instance=%q)?", text)
            if rule.file != "monitoring.yml" and rule.alert != "StarlightExporterAbsent":
                assert all(of_own), (name, text)
            if text.startswith("{"):
                assert text.startswith("{job=%q,instance=%q"), (name, text)


@each_rule
def test_expressions_support_prometheus_2_42(rule: Rule) -> None:
    assert functions_of(rule.expr) <= ALLOWED_FUNCTIONS
    # Prometheus 3 normalises le="1" to le="1.0", so a matcher would work in only one version.
    assert not any("le" in selector.labels for selector in selectors(rule.expr))


@each_alert
def test_gauges_are_read_over_a_range(rule: Rule) -> None:
    """A failed scrape must neither raise nor clear an alert, except those on `up` and one that waits with `for`."""
    instant = {"up"} | (
        {"starlight_exporter_build_info", "ALERTS"} if rule.alert == "StarlightExporterAbsent" else set()
    )
    for selector in selectors(rule.expr):
        assert selector.range_seconds is not None or selector.metric in instant, selector.metric
    if rule.file in QUALITY_FILES:
        assert {selector.range_seconds for selector in selectors(rule.expr)} == {300.0}


@each_quality_alert
def test_quality_alert_compares_with_the_limit_of_its_check(rule: Rule) -> None:
    """The exporter decides which limit applies, whether the check alerts, and what is significant."""
    check = CHECK_OF[rule.alert]
    operator, words = COMPARISONS[check]
    assert set(re.findall(r'check="([^"]+)"', rule.expr)) == {check}
    assert re.search(rf"\n +{operator} on \(job, instance, model, dataset[^)]*\)\n", rule.expr)
    assert [str(one.op) for one in nodes(rule.expr) if str(getattr(one, "op", "")) in COMPARING].count(operator) == 1
    assert numbers(rule.expr) == {1} | ({ROUNDING} if check == "latency_baseline" else set())
    metrics = {one.metric for one in selectors(rule.expr)}
    assert {"starlight_check_limit", "starlight_check_alerts"} <= metrics
    assert ("starlight_regression_check_significant" in metrics) == (rule.severity == "critical")
    assert not any("comparison" in metric or metric.endswith(("_lower", "_upper")) for metric in metrics)
    description = rule.annotations["description"]
    assert re.findall(r'check=\\"([^"\\]+)', description) == [check]
    # Notifications split it here.
    assert description.count("The check fails ") == 1
    assert words in description.partition("The check fails ")[2]
    assert "starlight_check_limit" in description.partition("The check fails ")[2]


@each_quality_alert
def test_quality_alert_needs_no_wait(rule: Rule) -> None:
    assert rule.wait == ""


@each_quality_alert
def test_alerts_of_one_cause_have_the_same_evidence(rule: Rule) -> None:
    """Notifications show them as one entry."""
    cause = rule.labels["cause"]
    assert (
        re.split(r"[&](?=class=)|(?=#)", link_of(rule.annotations["evidence_url"]).rest)[1] == EVIDENCE_OF_CAUSE[cause]
    )
    assert {one.labels.get("cause") for one in ALERTS if one.alert == rule.alert} == {cause}
    assert {"model_file", "dashboard_url"} <= set(rule.annotations)


def test_only_quality_alerts_have_a_cause() -> None:
    provisional = "StarlightProvisionalRegression"
    assert {rule.alert for rule in ALERTS if "cause" in rule.labels} == {*ALERT_OF.values(), provisional}
    causes = {rule.labels["cause"] for rule in ALERTS if rule.file in QUALITY_FILES - {"latency.yml"}}
    assert {rule.labels["cause"] for rule in ALERTS if rule.alert == provisional} == causes


def test_every_check_with_an_alert_has_a_warning_and_where_it_can_be_significant_a_critical_rule() -> None:
    assert {rule.alert for rule in ALERTS if rule.file in QUALITY_FILES} == set(CHECK_OF)
    severities = {alert: [rule.severity for rule in ALERTS if rule.alert == alert] for alert in CHECK_OF}
    assert severities.pop("StarlightLatencyAboveLimit") == ["warning"]
    assert set(map(tuple, severities.values())) == {("warning", "critical")}


def test_accuracy_alerts_state_p_value_and_covers() -> None:
    for rule in ALERTS:
        if rule.file in QUALITY_FILES - {"latency.yml"}:
            metrics = {
                one.metric for text in template_queries(rule.annotations["description"]) for one in selectors(text)
            }
            assert {"starlight_regression_check_p_value", "starlight_regression_check_paired"} <= metrics
            assert any(metric.endswith("_covers") for metric in metrics)
            assert "Worse than the baseline" in rule.annotations["description"]


def test_dashboard_links_name_existing_dashboards_and_variables() -> None:
    for rule in ALERTS:
        if link := rule.annotations.get("dashboard_url"):
            path, *values = re.split(r"[?&]var-\w+=", link_of(link).rest)
            uid = path.removeprefix("d/")
            (file,) = (one for one in DASHBOARDS if json.loads(one.read_text(encoding="utf-8"))["uid"] == uid)
            variables = json.loads(file.read_text(encoding="utf-8"))["templating"]["list"]
            names = re.findall(r"[?&]var-(\w+)=", link)
            assert names == ["job", "instance", "model", "dataset"]
            assert set(names) <= {one["name"] for one in variables}
            assert values == [f"{{{{ $labels.{name} | urlquery }}}}" for name in names]


def test_data_alerts_respect_the_datasets_setting() -> None:
    for rule in ALERTS:
        if rule.file in {"data.yml", "unlabelled.yml"} or rule.alert == "StarlightBaselineMissing":
            assert "and on (job, instance, dataset)\n(last_over_time(starlight_dataset_alerts[5m]) == 1)" in re.sub(
                r"\n +", "\n", rule.expr
            )


def test_latency_alerts_use_the_quantile_of_the_checks() -> None:
    for rule in ALERTS:
        if rule.file == "latency.yml":
            assert re.findall(r'quantile="([^"]+)"', rule.expr), rule.expr
            assert set(re.findall(r'quantile="([^"]+)"', rule.expr)) == {f"{limits.LATENCY_QUANTILE:g}"}
            assert f"contention_ratio%s[5m]) > {BUSY_CONTENTION:g}" in rule.annotations["description"] or (
                rule.alert == "StarlightLatencyAboveLimit"
            )


def test_suite_alert_selects_the_checks_of_the_suite() -> None:
    for rule in (rule for rule in ALERTS if rule.alert == "StarlightRegressionSuiteFailing"):
        for text in (rule.expr, rule.annotations["description"]):
            (selected,) = set(re.findall(r'check=~\\?"([^"\\]+)', text))
            assert selected.split("|") == [check for checks in SUITE.values() for check in checks]


@pytest.mark.parametrize("rule", RECORDS, ids=_name)
def test_recorded_series_are_named_level_metric_operations(rule: Rule) -> None:
    level, metric, operations = rule.record.split(":")
    names = {family.name for family in FAMILIES}
    assert metric in names or metric.removesuffix("_bucket") in names
    assert re.fullmatch(r"[a-z0-9_]+", operations)
    assert re.fullmatch(
        r"(model|dataset|method|format|category|class|stage|le)(_(?1))*".replace("(?1)", "[a-z]+"), level
    )
