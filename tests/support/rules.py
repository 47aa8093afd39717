"""The rule files as Python values, and what stands in their expressions: selectors, numbers, functions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml

from starlight_exporter.checks.limits import CheckName
from starlight_exporter.publish.families import FAMILIES

ROOT = Path(__file__).parents[2]
RULES = ROOT / "prometheus" / "rules"
RULE_TESTS = ROOT / "prometheus" / "tests"
RUNBOOKS = ROOT / "alerting" / "runbooks"

SCRAPED_BY_PROMETHEUS = frozenset({"job", "instance"})

# Not the exporter's: Prometheus writes `up` itself, the others are of the two servers that prometheus.yml scrapes too.
FOREIGN: dict[str, frozenset[str]] = {
    "up": frozenset(),
    "prometheus_config_last_reload_successful": frozenset(),
    "prometheus_rule_evaluation_failures_total": frozenset({"rule_group"}),
    "alertmanager_config_last_reload_successful": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "model", "dataset"}),
    "scrape_duration_seconds": frozenset(),
}

ALERT_OF: Mapping[CheckName, str] = {
    "fpr_baseline": "StarlightFalsePositivesAboveBaseline",
    "fpr_stability": "StarlightFalsePositivesUnstable",
    "fpr_target": "StarlightFalsePositiveTargetMissed",
    "detection_baseline": "StarlightDetectionBelowBaseline",
    "detection_floor": "StarlightDetectionBelowFloor",
    "latency_baseline": "StarlightLatencyAboveBaseline",
    "latency_limit": "StarlightLatencyAboveLimit",
    "format_consistency": "StarlightFormatInconsistent",
    "negatives": "StarlightHardNegativeFalsePositives",
}
"""The alert of each regression check; the detection target has none."""

SLICE_LABEL: Mapping[str, str] = {"detection": "method", "format": "format", "negatives": "category"}
"""First word of a check's name → the label that its alert names the slice by."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: an alert or, with `record`, a recorded series."""

    file: str
    group: str
    alert: str
    record: str
    expr: str
    wait: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def severity(self) -> str:
        """What Alertmanager routes by."""
        return self.labels["severity"]


def rules() -> tuple[Rule, ...]:
    """Every rule of every file, in order."""
    found = []
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                found.append(
                    Rule(
                        file=path.name,
                        group=group["name"],
                        alert=rule.get("alert", ""),
                        record=rule.get("record", ""),
                        expr=rule["expr"],
                        wait=rule.get("for", ""),
                        labels=rule.get("labels", {}),
                        annotations=rule.get("annotations", {}),
                    )
                )
    return tuple(found)


RULE_LIST = rules()
ALERTS = tuple(rule for rule in RULE_LIST if rule.alert)
RECORDS = tuple(rule for rule in RULE_LIST if rule.record)


class Selector(NamedTuple):
    """A metric in an expression, the labels it is selected by, and the range in seconds (None: an instant)."""

    metric: str
    labels: frozenset[str]
    range_seconds: float | None


def _children(node: Any) -> Iterator[Any]:
    for name in ("lhs", "rhs", "expr", "param"):
        child = getattr(node, name, None)
        if child is not None:
            yield child
    yield from getattr(node, "args", ()) or ()


def nodes(expression: str) -> Iterator[Any]:
    """Every node of the parsed expression; ValueError where it does not parse."""
    pending: list[Any] = [promql_parser.parse(expression)]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(_children(node))


def selectors(expression: str) -> list[Selector]:
    """Every metric that the expression reads."""
    found = []
    for node in nodes(expression):
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(_selector(node.vector_selector, node.range.total_seconds()))
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(_selector(node, None))
    return found


def _selector(selector: Any, range_seconds: float | None) -> Selector:
    return Selector(selector.name, frozenset(one.name for one in selector.matchers.matchers), range_seconds)


def numbers(expression: str) -> set[float]:
    """Every number literal, without those of ranges."""
    return {node.val for node in nodes(expression) if isinstance(node, promql_parser.NumberLiteral)}


def functions(expression: str) -> set[str]:
    """Every function that the expression calls."""
    return {node.func.name for node in nodes(expression) if isinstance(node, promql_parser.Call)}


def known_metrics() -> dict[str, frozenset[str]]:
    """Every metric name that may stand in an expression, and its labels."""
    known: dict[str, frozenset[str]] = {}
    for family in FAMILIES:
        labels = frozenset(family.labels) | SCRAPED_BY_PROMETHEUS
        if family.kind == "histogram":
            known |= {
                family.name + "_bucket": labels | {"le"},
                family.name + "_sum": labels,
                family.name + "_count": labels,
            }
        else:
            known[family.name] = labels
    known |= {name: labels | SCRAPED_BY_PROMETHEUS for name, labels in FOREIGN.items()}
    for rule in RECORDS:
        # The level names the labels that are left.
        levels = frozenset(rule.record.split(":")[0].split("_"))
        known[rule.record] = levels | {"format", "method"} | SCRAPED_BY_PROMETHEUS
    return known


_LOOKUP = re.compile(r'(?:query|printf) "((?:[^"\\]|\\.)*)"')


def template_queries(annotation: str) -> list[str]:
    """The PromQL that an annotation looks values up with; labels that are filled in at run time are given a value."""
    found = []
    for match in _LOOKUP.finditer(annotation):
        text = match[1].replace('\\"', '"').replace("%q", '"x"').replace("%s", '{job="x"}')
        if not text.startswith(("%", "{")):
            found.append(text)
    return found


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs promtool; its output is text, its exit code is the caller's to judge."""
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
