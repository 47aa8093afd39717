"""Run prometheus/tests/*.yml with promtool, and require that they cover every alert and recorded series."""

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

pytestmark = pytest.mark.slow

FILES = sorted(RULE_TESTS.glob("*.yml"))
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(duration: str) -> float:
    return sum(float(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|[smhd])", str(duration)))


@functools.cache
def _groups() -> tuple[dict[str, Any], ...]:
    return tuple(group for path in FILES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"])


def _timelines(rule: Rule) -> list[list[tuple[float, bool]]]:
    """Return, per test, the evaluation times of the alert and whether this severity is expected to fire."""
    timelines = []
    for group in _groups():
        tests = [one for one in group.get("alert_rule_test", ()) if one["alertname"] == rule.alert]
        timeline = [
            (_seconds(one["eval_time"]), any(_is(rule, alert["exp_labels"]) for alert in one["exp_alerts"]))
            for one in tests
        ]
        timelines.append(sorted(timeline))
    return timelines


def _is(rule: Rule, labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in rule.labels.items())


def _name(rule: Rule) -> str:
    return "-".join((rule.alert, *rule.labels.values()))


def test_every_rule_file_is_tested() -> None:
    assert {path.name for path in FILES} == {path.name for path in RULES.glob("*.yml")}


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_promtool_tests_pass(path: Path) -> None:
    result = promtool("test", "rules", path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("rule", ALERTS, ids=_name)
def test_every_alert_fires_and_clears(rule: Rule) -> None:
    """Annotations are compared by promtool."""
    seen = ["".join("X" if fired else "." for _, fired in timeline) for timeline in _timelines(rule)]
    assert any(re.search(r"\.X+\.", timeline) for timeline in seen), seen


@pytest.mark.parametrize("rule", [rule for rule in ALERTS if rule.wait], ids=_name)
def test_every_for_duration_is_tested(rule: Rule) -> None:
    """The alert is tested as not firing less than its `for` duration before it fires."""
    steps = [
        later - earlier
        for timeline in _timelines(rule)
        for (earlier, quiet), (later, fired) in itertools.pairwise(timeline)
        if fired and not quiet
    ]
    assert min(steps) <= min(30.0, _seconds(rule.wait) / 2)


def test_every_recorded_series_is_tested() -> None:
    queries = " ".join(one["expr"] for group in _groups() for one in group.get("promql_expr_test", ()))
    # Buckets are covered by the quantiles computed from them.
    missing = {rule.record for rule in RECORDS if rule.record not in queries and "_bucket:" not in rule.record}
    assert not missing
