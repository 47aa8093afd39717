"""Runs prometheus/tests/*.yml through promtool, and sees to it that every alert is walked through there."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.rules import ALERTS, RECORDS, RULE_TESTS, RULES, Rule, promtool

FILES = sorted(RULE_TESTS.glob("*.yml"))
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(duration: str) -> float:
    return sum(float(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|[smhd])", str(duration)))


@functools.cache
def _groups() -> tuple[dict[str, Any], ...]:
    return tuple(group for path in FILES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"])


def _walks(rule: Rule) -> list[list[tuple[float, bool]]]:
    """Per test group that asks for the alert: the times asked at, and whether this severity was expected to fire."""
    walks = []
    for group in _groups():
        asked = [one for one in group.get("alert_rule_test", ()) if one["alertname"] == rule.alert]
        walk = [
            (_seconds(one["eval_time"]), any(_is(rule, alert["exp_labels"]) for alert in one["exp_alerts"]))
            for one in asked
        ]
        walks.append(sorted(walk))
    return walks


def _is(rule: Rule, labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in rule.labels.items())


def _name(rule: Rule) -> str:
    return "-".join((rule.alert, *rule.labels.values()))


def test_every_rule_file_is_tested() -> None:
    assert {path.name for path in FILES} == {path.name for path in RULES.glob("*.yml")}


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_promtool_agrees(path: Path) -> None:
    result = promtool("test", "rules", path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("rule", ALERTS, ids=_name)
def test_every_alert_is_seen_quiet_then_firing_then_quiet_again(rule: Rule) -> None:
    """The annotations need no check here: promtool compares them whole with what a test expects."""
    seen = ["".join("X" if fired else "." for _, fired in walk) for walk in _walks(rule)]
    assert any(re.search(r"\.X+\.", walk) for walk in seen), seen


@pytest.mark.parametrize("rule", [rule for rule in ALERTS if rule.wait], ids=_name)
def test_every_waiting_time_is_seen_to_be_waited(rule: Rule) -> None:
    """Between "not yet" and firing lies less than the waiting time: the condition held already, the alert did not."""
    steps = [
        later - earlier
        for walk in _walks(rule)
        for (earlier, quiet), (later, fired) in itertools.pairwise(walk)
        if fired and not quiet
    ]
    assert min(steps) <= min(30.0, _seconds(rule.wait) / 2)


def test_every_recorded_series_is_queried() -> None:
    asked = " ".join(one["expr"] for group in _groups() for one in group.get("promql_expr_test", ()))
    # The buckets are what the quantiles are made of.
    missing = {rule.record for rule in RECORDS if rule.record not in asked and "_bucket:" not in rule.record}
    assert not missing
