"""Evaluate the recording and alert rules over a stored history, as Prometheus would have done while recording it.

promtool can backfill recording rules only, and no rules that read other recorded series.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
from preview.history import SCRAPE_SECONDS, Sample, write_samples

from support.rules import ALERTS, RECORDS, Rule, selectors
from support.servers import Prometheus

STEP_SECONDS: Final = SCRAPE_SECONDS
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}

Points = list[tuple[float, float]]


def write_rule_history(config: Path, data: Path, *, start: int, end: int) -> None:
    """Add recorded series and ALERTS between two times (UTC seconds) to the storage of a stopped Prometheus server."""
    for rules in (*_levels(), ALERTS):
        with Prometheus(config, data, log=data.with_suffix(".log")) as prometheus:
            samples = [sample for rule in rules for sample in _evaluate(prometheus, rule, start=start, end=end)]
        write_samples(data, samples)


def _levels() -> tuple[Sequence[Rule], Sequence[Rule]]:
    """Return the recording rules that read only scraped series, then those that read recorded ones."""
    names = {rule.record for rule in RECORDS}
    dependent = [rule for rule in RECORDS if any(selector.metric in names for selector in selectors(rule.expr))]
    return [rule for rule in RECORDS if rule not in dependent], dependent


def _evaluate(prometheus: Prometheus, rule: Rule, *, start: int, end: int) -> Iterator[Sample]:
    answer = httpx.post(
        f"{prometheus.url}/api/v1/query_range",
        data={"query": rule.expr, "start": str(start), "end": str(end), "step": str(STEP_SECONDS)},
        timeout=600.0,
    )
    content: Any = answer.json()
    if content["status"] != "success":
        raise RuntimeError(f"{rule.alert or rule.record}: {content['error']}")
    for result in content["data"]["result"]:
        labels = {name: value for name, value in result["metric"].items() if name != "__name__"} | rule.labels
        points = [(float(at), float(value)) for at, value in result["values"]]
        if rule.record:
            yield from (((rule.record, tuple(sorted(labels.items()))), at, value) for at, value in points)
        else:
            yield from _alert_samples({**labels, "alertname": rule.alert}, points, _seconds(rule.wait))


def _alert_samples(labels: dict[str, str], points: Points, wait: float) -> Iterator[Sample]:
    """Yield ALERTS and ALERTS_FOR_STATE of one alert; it is pending until its condition has held for `wait` seconds."""
    active_since = previous = float("-inf")
    for at, _ in points:
        if at - previous > STEP_SECONDS:
            active_since = at
        previous = at
        state = "firing" if at - active_since >= wait else "pending"
        yield ("ALERTS", tuple(sorted({**labels, "alertstate": state}.items()))), at, 1.0
        yield ("ALERTS_FOR_STATE", tuple(sorted(labels.items()))), at, active_since


def _seconds(duration: str) -> float:
    return float(sum(int(count) * _UNIT_SECONDS[unit] for count, unit in re.findall(r"(\d+)([smh])", duration)))
