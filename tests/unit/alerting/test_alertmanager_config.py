"""The shipped Alertmanager configurations, checked with amtool."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.alertmanager import ALERTING
from support.rules import SLICE_LABEL
from support.servers import run_tool

DEFAULT = ALERTING / "alertmanager.yml"
EXAMPLES = sorted((ALERTING / "examples").glob("*.yml"))
CONFIGS = [DEFAULT, *EXAMPLES]
SECRET_KEYS = {
    "api_key",
    "api_url",
    "auth_password",
    "auth_secret",
    "bearer_token",
    "credentials",
    "password",
    "slack_api_url",
    "smtp_auth_password",
    "smtp_auth_secret",
    "client_secret",
}
DEPRECATED_KEYS = {"match", "match_re", "source_match", "source_match_re", "target_match", "target_match_re"}
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def load(path: Path) -> dict[str, Any]:
    config = yaml.safe_load(path.read_text())
    assert isinstance(config, dict)
    return config


def keys(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys(value)


def seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", duration)
    assert found, duration
    return int(found[1]) * UNITS[found[2]]


def test_examples_exist() -> None:
    assert [path.name for path in EXAMPLES] == [
        "alertmanager.deployments.yml",
        "alertmanager.mail-slack.yml",
        "alertmanager.webhook.yml",
    ]


@pytest.mark.usefixtures("release")
@every_config
def test_amtool_accepts_configuration(path: Path) -> None:
    code, output = run_tool(["amtool", "check-config", str(path)])
    assert code == 0, output
    for found in ("5 inhibit rules", "4 receivers", "1 templates"):
        assert f" - {found}" in output


@every_config
def test_template_globs_match_files(path: Path) -> None:
    # amtool and Alertmanager accept a glob without matches and fail only when sending.
    for glob in load(path)["templates"]:
        folder, _, pattern = glob.rpartition("/")
        names = {found.name for found in (path.parent / folder).glob(pattern)}
        assert names == {"mail.tmpl", "slack.tmpl", "starlight.tmpl"}


@every_config
def test_referenced_templates_are_defined(path: Path) -> None:
    defined = {
        name
        for file in (ALERTING / "templates").glob("*.tmpl")
        for name in re.findall(r'define "([^"]+)"', file.read_text())
    }
    assert set(re.findall(r'template "([^"]+)"', path.read_text())) <= defined


@every_config
def test_has_no_deprecated_keys_or_secrets(path: Path) -> None:
    config = load(path)
    assert "mute_time_intervals" not in config
    assert not DEPRECATED_KEYS & set(keys(config))
    assert not SECRET_KEYS & set(keys(config))


@pytest.mark.usefixtures("release")
@every_config
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["severity=critical", "alertname=StarlightDetectionBelowFloor", "model=production"], "critical"),
        (["severity=warning", "alertname=StarlightDetectionBelowFloor", "model=production"], "warning"),
        (["severity=info", "alertname=StarlightDatasetChanged", "dataset=reference"], "info"),
        (["severity=critical", "alertname=StarlightExporterAbsent"], "critical"),
        (["alertname=SomethingElse"], "unclassified"),
        (["alertname=SomethingElse", "severity=page"], "unclassified"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_routes_alert_to_receiver_of_severity(path: Path, labels: list[str], receiver: str) -> None:
    code, output = run_tool(
        ["amtool", "config", "routes", "test", f"--config.file={path}", f"--verify.receivers={receiver}", *labels]
    )
    assert code == 0, output


@every_config
def test_every_receiver_sends_resolved_alerts(path: Path) -> None:
    for receiver in load(path)["receivers"]:
        integrations = [entry for kind, entries in receiver.items() if kind != "name" for entry in entries]
        assert integrations
        # The default for mail and Slack is false.
        assert all(entry["send_resolved"] is True for entry in integrations), receiver["name"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_has_routes_and_inhibition_of_default(path: Path) -> None:
    default, example = load(DEFAULT), load(path)
    for route in example["route"]["routes"]:
        route.pop("mute_time_intervals", None)
    assert example["route"] == default["route"]
    assert example["inhibit_rules"] == default["inhibit_rules"]


def test_groups_by_exporter_model_and_dataset() -> None:
    route = load(DEFAULT)["route"]
    assert route["group_by"] == ["job", "instance", "model", "dataset"]
    assert not any("group_by" in child for child in route["routes"])


def test_critical_alert_delay_fits_requirement() -> None:
    critical = load(DEFAULT)["route"]["routes"][0]
    assert critical["matchers"] == ['severity="critical"']
    # At most one scrape interval, one rule interval and group_wait, in addition to the evaluation.
    prometheus = load(ALERTING.parent / "prometheus" / "prometheus.yml")["global"]
    delay = seconds(prometheus["scrape_interval"]) + seconds(prometheus["evaluation_interval"])
    assert delay + seconds(critical["group_wait"]) <= 50
    # Later alerts of a group wait for group_interval.
    assert seconds(critical["group_interval"]) <= 30


def test_group_wait_covers_one_rule_interval() -> None:
    route = load(DEFAULT)["route"]
    prometheus = load(ALERTING.parent / "prometheus" / "prometheus.yml")["global"]
    for child in (route, *route["routes"]):
        # One third of the interval as reserve for sending and a busy machine.
        assert seconds(child["group_wait"]) >= seconds(prometheus["evaluation_interval"]) * 4 / 3


def test_repeat_interval_is_below_default_retention() -> None:
    route = load(DEFAULT)["route"]
    for child in (route, *route["routes"]):
        assert seconds(child["repeat_interval"]) < seconds("5d")
        assert seconds(child["repeat_interval"]) % seconds(child["group_interval"]) == 0


def test_default_sends_to_notification_log_only() -> None:
    receivers = load(DEFAULT)["receivers"]
    assert {receiver["name"] for receiver in receivers} == {"critical", "warning", "info", "unclassified"}
    for receiver in receivers:
        assert set(receiver) == {"name", "webhook_configs"}
        assert [entry["url"] for entry in receiver["webhook_configs"]] == ["http://127.0.0.1:9876/notifications"]


@every_config
def test_inhibition_concerns_alerts_of_starlight_only(path: Path) -> None:
    for rule in load(path)["inhibit_rules"]:
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            assert any(matcher.startswith(('alertname=~"Starlight', 'alertname="Starlight')) for matcher in matchers)


def test_critical_inhibits_warnings_about_the_same_problem_only() -> None:
    """Two alerts of one cause and slice have different names; a missing cause must not match a missing cause."""
    rule, provisional = (
        one for one in load(DEFAULT)["inhibit_rules"] if "cause" in one["equal"] and "alertname" not in one["equal"]
    )
    own = 'alertname=~"Starlight.+"'
    assert rule["source_matchers"] == [own, 'severity="critical"', 'cause=~".+"']
    assert rule["target_matchers"] == [own, 'severity="warning"', 'cause=~".+"']
    slices = set(SLICE_LABEL.values())
    assert set(rule["equal"]) == {"cause", "job", "instance", "model", "dataset", *slices}
    # The alerts of a complete result, but not one provisional alert another.
    assert 'alertname!="StarlightProvisionalRegression"' in provisional["source_matchers"]
    assert provisional["target_matchers"] == ['alertname="StarlightProvisionalRegression"']
    assert provisional["equal"] == rule["equal"]


def test_inhibition_compares_all_labels_of_the_rules() -> None:
    """With a missing label an alert of one slice would inhibit that of another slice."""
    compared = set(load(DEFAULT)["inhibit_rules"][0]["equal"])
    rules = "".join(file.read_text() for file in (ALERTING.parent / "prometheus" / "rules").glob("*.yml"))
    used = set(re.findall(r"\$labels\.([a-z0-9_]+)", rules))
    # These occur in alerts of one severity only, or depend on the model.
    assert used - {"sha256", "model_sha256", "against", "rule_group", "section", "url"} <= compared
