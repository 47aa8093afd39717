"""Dashboard queries parse and use existing metrics; every metric is used on a dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from grafana.source.health import MONITORING
from starlight_exporter.publish.families import FAMILIES, provisional
from support.dashboards import NAMES, DashboardQuery, load, plain, queries
from support.rules import promtool, rules

ALL_QUERIES = [query for name in NAMES for query in queries(name)]

# Metrics of Prometheus, of every scrape target, and of the exporter's process.
FOREIGN = {
    "ALERTS": {"alertname", "alertstate", "severity", "model", "dataset"},
    "ALERTS_FOR_STATE": {"alertname", "severity", "model", "dataset"},
    "up": set[str](),
    "scrape_duration_seconds": set[str](),
    "scrape_samples_scraped": set[str](),
    "process_resident_memory_bytes": set[str](),
    "process_cpu_seconds_total": set[str](),
    "process_open_fds": set[str](),
    "process_start_time_seconds": set[str](),
}
SCRAPE_LABELS = {"job", "instance"}

EXCLUDED = {
    "starlight_dataset_shortcut_ratio_lower": "the panel shows the limits of Youden's J",
    "starlight_dataset_shortcut_ratio_upper": "the panel shows the limits of Youden's J",
    "starlight_regression_check_paired": "states what a p-value tests, for the texts of alerts and documents",
    "starlight_evaluation_age_seconds": "for alerts; panels show the time of the evaluation, which survives a restart",
    "starlight_model_quarantined": "an alert and the status page have the reason",
    "starlight_worker_memory_limit_bytes": "the status page shows the configured value",
    "starlight_worker_network_isolated": "does not change while the exporter runs; on the status page",
    "starlight_engine_failing": "an alert fires when evaluations fail; the status page has the reason",
    "starlight_worker_memory_group": "does not change while the exporter runs; on the status page",
    "starlight_storage_pending_results": "an alert fires while results wait; on the status page",
    "starlight_web_config_last_reload_successful": "absent without a web configuration; an alert fires on 0",
    "starlight_web_config_last_reload_success_timestamp_seconds": "an alert fires on a failed reload; times are logged",
    "starlight_clock_steps_total": "explains gaps in time series; the log has each step, the status page the number",
    "starlight_history_last_compaction_successful": "absent unless configured; no result is lost if it fails",
    "starlight_storage_removed_results_total": "explains the size of history and evidence, which is on a panel",
    "starlight_evaluation_execution_info": "changes only with the configuration; on the page of the evaluation",
    "starlight_dataset_ignored_files": "changes only with the files of the dataset; the number is for a review of them",
    "starlight_payload_unknown_images": "changes only with the labels of the dataset; on the page of the evaluation",
    "starlight_dataset_labelled": "does not change; the row of unlabelled data has their metrics",
    "starlight_drift_reference_info": "does not change; the page of the evaluation names the reference",
    "starlight_drift_unavailable": "the table has “not measured”, the page of the evaluation has the reason",
    **{
        family.name: "the page of the provisional result, which the panel links, has every slice and check"
        for family in provisional.GROUP.families
        if family
        not in (
            provisional.TIMESTAMP,
            provisional.IMAGES,
            provisional.DATASET_IMAGES,
            provisional.CLEAN.ratio,
            provisional.CLEAN.lower,
            provisional.CLEAN.upper,
            provisional.STEGO.ratio,
            provisional.CHECK_SIGNIFICANT,
            provisional.CHECK_ALERTS,
        )
    },
    "starlight_model_file_info": "differs from the file in use for seconds; an alert fires if it continues to differ",
}
"""Families without a dashboard panel, with the reason."""


def samples() -> dict[str, set[str]]:
    """Return every scraped sample name with its labels."""
    found = {name: set(labels) for name, labels in FOREIGN.items()}
    for family in FAMILIES:
        labels = {*family.labels}
        if family.kind == "histogram":
            found |= {f"{family.name}{suffix}": labels for suffix in ("_sum", "_count")}
            found[f"{family.name}_bucket"] = labels | {"le"}
        else:
            found[family.name] = labels
    return found


def recorded() -> dict[str, set[str]]:
    """Return every recorded series with the labels in its name."""
    return {rule.record: set(rule.record.split(":")[0].split("_")) for rule in rules() if rule.record}


KNOWN = samples() | recorded()


def selectors(node: Any) -> Iterator[Any]:
    """Yield every vector selector of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    if isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from selectors(argument)
    for name in ("expr", "lhs", "rhs", "param", "vs", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from selectors(child)


def parsed(query: DashboardQuery) -> list[Any]:
    return list(selectors(promql_parser.parse(plain(query.expr))))


@pytest.mark.parametrize("query", ALL_QUERIES, ids=lambda query: f"{query.dashboard}: {query.place}")
def test_query_parses_and_uses_existing_metrics(query: DashboardQuery) -> None:
    for selector in parsed(query):
        assert selector.name in KNOWN, f"no such metric: {selector.name}"
        labels = {matcher.name for matcher in selector.matchers.matchers} - SCRAPE_LABELS
        assert labels <= KNOWN[selector.name], f"{selector.name} has no label {labels - KNOWN[selector.name]}"


OF_EXPORTER = {("job", "=", "$job"), ("instance", "=", "$instance")}
OF_CHOICE = {"variable job": set[Any](), "variable instance": {("job", "=", "$job")}}
"""The variables that select the exporter list all jobs, and the instances of a job."""


def matchers(selector: Any) -> set[tuple[str, str, str]]:
    operators = [(promql_parser.MatchOp.Equal, "="), (promql_parser.MatchOp.Re, "=~")]
    return {
        (one.name, next((text for op, text in operators if one.op == op), "!"), one.value)
        for one in selector.matchers.matchers
    }


@pytest.mark.parametrize("query", ALL_QUERIES, ids=lambda query: f"{query.dashboard}: {query.place}")
def test_no_query_mixes_exporters(query: DashboardQuery) -> None:
    """Every selector is limited to the selected exporter, except that of alerts about the monitoring."""
    for selector in selectors(promql_parser.parse(re.sub(r"\$__\w+", "1m", query.expr))):
        found = matchers(selector)
        if selector.name in ("ALERTS", "ALERTS_FOR_STATE") and ("alertname", "=~", MONITORING) in found:
            continue
        assert OF_CHOICE.get(query.place, OF_EXPORTER) <= found, selector.name


def test_variables_select_one_exporter() -> None:
    for name in NAMES:
        variables = {one["name"]: one for one in load(name)["templating"]["list"]}
        assert list(variables)[:3] == ["datasource", "job", "instance"]
        for selecting in ("job", "instance"):
            assert (variables[selecting]["multi"], variables[selecting]["includeAll"]) == (False, False)
        assert all(one["type"] != "textbox" for one in variables.values())
        assert variables["exporter"]["hide"] == 2


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ('job="a",instance="b:1",external_url="https://b.example/x/"', "https://b.example/x/"),
        ('job="a",instance="b:1"', "http://b:1/"),
    ],
)
def test_links_begin_with_the_external_url_or_the_scraped_address(tmp_path: Path, labels: str, expected: str) -> None:
    """Grafana takes the URL from the text of the series with the regular expression of the variable."""
    (variable,) = (one for one in load("overview")["templating"]["list"] if one["name"] == "exporter")
    expression = next(one.expr for one in queries("overview") if one.place == "variable exporter")
    others = [f'{labels},version="1"'.replace("b:1", "c:1"), f'{labels},version="1"'.replace('"a"', '"z"')]
    test = {
        "interval": "15s",
        "input_series": [
            {"series": f"starlight_exporter_build_info{{{one}}}", "values": "1x9"} for one in (labels, *others)
        ],
        "promql_expr_test": [
            {
                "expr": expression.replace("$job", "a").replace("$instance", "b:1"),
                "eval_time": "1m",
                "exp_samples": [
                    {
                        "labels": f'starlight_exporter_build_info{{job="a",instance="b:1",external_url="{expected}"}}',
                        "value": 1,
                    }
                ],
            }
        ],
    }
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"tests": [test]}))
    result = promtool("test", "rules", tmp_path / "tests.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    pattern = variable["regex"]
    series = f'starlight_exporter_build_info{{external_url="{expected}",instance="b:1",job="a"}} 1 1700000000000'
    assert re.findall(pattern[1:-1], series) == [expected]
    assert pattern[0] == pattern[-1] == "/"


@pytest.mark.parametrize("query", ALL_QUERIES, ids=lambda query: f"{query.dashboard}: {query.place}")
def test_counters_are_wrapped_in_rate_or_increase(query: DashboardQuery) -> None:
    if not re.search(r"\w_total\b", query.expr) or query.place.startswith(
        ("Evaluations since", "Analyses", "variable")
    ):
        return
    assert re.search(r"(increase|rate)\(", query.expr)
    for window in re.findall(r"rate\([^\[]+\[([^\]]+)\]", query.expr):
        assert window == "$__rate_interval"


def test_every_metric_is_on_a_dashboard_or_excluded() -> None:
    queried = {selector.name for query in ALL_QUERIES for selector in parsed(query)}
    through_rules = {
        selector.name
        for rule in rules()
        if rule.record in queried
        for selector in selectors(promql_parser.parse(rule.expr))
    }
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in queried | through_rules} | queried
    families = {family.name for family in FAMILIES}
    assert families - shown - set(EXCLUDED) == set()
    assert set(EXCLUDED) & shown == set(), "no longer excluded"
    assert set(EXCLUDED) <= families, "no longer exposed"
