"""The rule files, and the selectors, numbers and functions of their expressions."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml

from starlight_exporter.checks.alerts import ALERT_NAMES
from starlight_exporter.checks.limits import CheckName
from starlight_exporter.publish.families import FAMILIES

ROOT = Path(__file__).parents[2]
RULES = ROOT / "prometheus" / "rules"
RULE_TESTS = ROOT / "prometheus" / "tests"
RUNBOOKS = ROOT / "alerting" / "runbooks"

TARGET_LABELS = frozenset({"job", "instance"})

# Metrics of Prometheus and Alertmanager; `up` is written by Prometheus.
FOREIGN: dict[str, frozenset[str]] = {
    "up": frozenset(),
    "prometheus_config_last_reload_successful": frozenset(),
    "prometheus_rule_evaluation_failures_total": frozenset({"rule_group"}),
    "prometheus_remote_storage_highest_timestamp_in_seconds": frozenset(),
    "prometheus_remote_storage_queue_highest_sent_timestamp_seconds": frozenset({"remote_name", "url"}),
    "prometheus_remote_storage_samples_failed_total": frozenset({"remote_name", "url"}),
    "prometheus_remote_storage_samples_pending": frozenset({"remote_name", "url"}),
    "prometheus_remote_storage_samples_retried_total": frozenset({"remote_name", "url"}),
    "alertmanager_config_last_reload_successful": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "model", "dataset"}),
    "scrape_duration_seconds": frozenset(),
}

ALERT_OF: Mapping[CheckName, str] = ALERT_NAMES
"""The alert of each regression check; the detection target has none."""

SLICE_LABEL: Mapping[str, str] = {"detection": "method", "format": "format", "negatives": "category"}
"""First word of a check name → slice label of its alert."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An alerting rule or, with `record`, a recording rule."""

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
        """The severity label."""
        return self.labels["severity"]


def rules() -> tuple[Rule, ...]:
    """Return the rules of all files, in order."""
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
    """A selector in an expression: metric, labels, and range in seconds (None for an instant vector)."""

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
    """Return all nodes of the parsed expression. Raise ValueError if it is invalid."""
    pending: list[Any] = [promql_parser.parse(expression)]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(_children(node))


def selectors(expression: str) -> list[Selector]:
    """Return all selectors of an expression."""
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
    """Return all number literals, without durations."""
    return {node.val for node in nodes(expression) if isinstance(node, promql_parser.NumberLiteral)}


def functions(expression: str) -> set[str]:
    """Return the names of all functions that the expression calls."""
    return {node.func.name for node in nodes(expression) if isinstance(node, promql_parser.Call)}


def mixing(expression: str) -> list[str]:
    """Return the matchings and aggregations of an expression that drop job or instance, and so mix exporters."""
    found = []
    for node in nodes(expression):
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql_parser.AggregateExpr):
            if modifier is None or _drops_target(modifier, promql_parser.AggModifierType.By):
                found.append(f"{node.op}")
        elif isinstance(node, promql_parser.BinaryExpr):
            matching = modifier and modifier.matching
            if matching and _drops_target(matching, promql_parser.LabelModifierType.Include):
                found.append(f"{node.op} {modifier}")
    return found


def _drops_target(modifier: Any, including: Any) -> bool:
    labels = set(modifier.labels)
    return not labels >= TARGET_LABELS if modifier.type == including else bool(labels & TARGET_LABELS)


def known_metrics() -> dict[str, frozenset[str]]:
    """Return all metric names that expressions may use, with their labels."""
    known: dict[str, frozenset[str]] = {}
    for family in FAMILIES:
        labels = frozenset(family.labels) | TARGET_LABELS
        if family.kind == "histogram":
            known |= {
                family.name + "_bucket": labels | {"le"},
                family.name + "_sum": labels,
                family.name + "_count": labels,
            }
        else:
            known[family.name] = labels
    known |= {name: labels | TARGET_LABELS for name, labels in FOREIGN.items()}
    for rule in RECORDS:
        # The level part of the name consists of the remaining labels.
        levels = frozenset(rule.record.split(":")[0].split("_"))
        known[rule.record] = levels | {"format", "method"} | TARGET_LABELS
    return known


class Link(NamedTuple):
    """A link in an annotation: the label whose value it begins with, and the rest, with the labels of the alert."""

    label: str
    rest: str
    of_own_exporter: bool


_INFO = "last_over_time(starlight_exporter_build_info{"
_LINK = re.compile(
    r'{{ with (?:query|printf) "' + re.escape(_INFO) + r'(job=%q,instance=%q,)?(?P<label>\w+)!=\\"\\"}\[(?:5m|1d)\]\)"'
    r"(?: \$labels\.job \$labels\.instance \| query)? }}"
    r'{{ \. \|(?: sortByLabel "\w+" \|)? first \| label "(?P=label)" }}(?P<rest>.*){{ end }}'
)


def link_of(annotation: str) -> Link:
    """Return the link of an annotation. Raises AssertionError if it has another form."""
    match = _LINK.fullmatch(annotation)
    assert match, annotation
    return Link(match["label"], match["rest"], match[1] is not None)


_LOOKUP = re.compile(r'(?:query|printf) "((?:[^"\\]|\\.)*)"')


def template_literals(annotation: str) -> list[str]:
    """Return the texts from which an annotation template builds its queries."""
    return [match[1] for match in _LOOKUP.finditer(annotation)]


def template_queries(annotation: str) -> list[str]:
    """Return the PromQL queries of an annotation template, with sample values for its placeholders."""
    found = []
    for match in _LOOKUP.finditer(annotation):
        text = match[1].replace('\\"', '"').replace("%q", '"x"').replace("%s", '{job="x"}')
        if not text.startswith(("%", "{")):
            found.append(text)
    return found


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; return its exit code and text output."""
    command = ["promtool", *map(str, arguments)]
    # Most of its time is garbage collection.
    environment = {**os.environ, "GOGC": "800"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
