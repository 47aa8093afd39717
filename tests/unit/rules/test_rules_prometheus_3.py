"""Queries, ranges, names and labels work in both Prometheus 2.42 and 3.

Tests of rules, configuration and notifications run with both (fixture `release`). Differences:
https://prometheus.io/docs/prometheus/latest/migration.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.families import FAMILIES
from support.dashboards import NAMES, plain, queries
from support.rules import (
    ALERTS,
    ROOT,
    RULE_LIST,
    RUNBOOKS,
    nodes,
    promtool,
    selectors,
    template_queries,
)
from support.snapshots import full_snapshot

CONFIG = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))


def _queries() -> set[str]:
    """Return all queries in rules, annotation templates and runbooks."""
    found = {rule.expr for rule in RULE_LIST}
    found |= {query for rule in ALERTS for text in rule.annotations.values() for query in template_queries(text)}
    for page in RUNBOOKS.glob("*.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("promtool query"):
                found.add(shlex.split(line)[-1])
    return found


@pytest.mark.usefixtures("release")
def test_every_query_parses(tmp_path: Path) -> None:
    dashboard_queries = {plain(query.expr) for name in NAMES for query in queries(name)}
    candidates = [*sorted(_queries() | dashboard_queries), "sum(", "last_over_time(a[5m) == 0"]
    for number, query in enumerate(candidates):
        rules = {"groups": [{"name": "test", "rules": [{"record": "test", "expr": query}]}]}
        (tmp_path / f"{number:03}.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    result = promtool("check", "rules", "--lint=none", *sorted(tmp_path.iterdir()))
    rejected = {number for number in range(len(candidates)) if f"{number:03}.yml:" in result.stderr}
    assert [candidates[number] for number in sorted(rejected)] == candidates[-2:], result.stderr


def test_ranges_do_not_depend_on_the_sample_at_their_start() -> None:
    """Every range contains several scrapes, and there are no subqueries."""
    scrape = int(CONFIG["global"]["scrape_interval"].removesuffix("s"))
    ranges = {one.range_seconds for rule in RULE_LIST for one in selectors(rule.expr) if one.range_seconds is not None}
    assert min(ranges) >= 4 * scrape
    kinds = {type(node).__name__ for rule in RULE_LIST for node in nodes(rule.expr)}
    assert "SubqueryExpr" not in kinds


def test_names_need_no_quotes_and_le_and_quantile_are_normalised() -> None:
    """Names are valid without UTF-8 support; the two labels have the form of Prometheus 3: 1.0, not 1."""
    for family in FAMILIES:
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", family.name)
        assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label) for label in family.labels)
    samples = [sample for metric in StarlightCollector(full_snapshot).collect() for sample in metric.samples]
    for label, minimum in (("le", 20), ("quantile", 3)):
        values = {sample.labels[label] for sample in samples if label in sample.labels}
        assert len(values) >= minimum
        assert all(value == "+Inf" or repr(float(value)) == value for value in values)
