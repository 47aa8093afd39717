"""What is written for Prometheus 2.42 and 3 alike: queries, ranges, names and labels.

That rules, configuration and notifications do the same on both is shown where they are tested (fixture `release`).
What 3 does otherwise: https://prometheus.io/docs/prometheus/latest/migration.
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
    """Every PromQL of rules, of the look-ups in their annotations, and of runbooks."""
    found = {rule.expr for rule in RULE_LIST}
    found |= {query for rule in ALERTS for text in rule.annotations.values() for query in template_queries(text)}
    for page in RUNBOOKS.glob("*.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("promtool query"):
                found.add(shlex.split(line)[-1])
    return found


@pytest.mark.usefixtures("release")
def test_every_query_is_one(tmp_path: Path) -> None:
    drawn = {plain(query.expr) for name in NAMES for query in queries(name)}
    asked = [*sorted(_queries() | drawn), "sum(", "last_over_time(a[5m) == 0"]
    for number, query in enumerate(asked):
        rules = {"groups": [{"name": "asked", "rules": [{"record": "asked", "expr": query}]}]}
        (tmp_path / f"{number:03}.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    told = promtool("check", "rules", "--lint=none", *sorted(tmp_path.iterdir()))
    refused = {number for number in range(len(asked)) if f"{number:03}.yml:" in told.stderr}
    assert [asked[number] for number in sorted(refused)] == asked[-2:], told.stderr


def test_no_range_or_lookback_hangs_on_a_sample_at_its_very_start() -> None:
    """Every range holds several scrapes, and no subquery is aligned with its own start."""
    scrape = int(CONFIG["global"]["scrape_interval"].removesuffix("s"))
    ranges = {one.range_seconds for rule in RULE_LIST for one in selectors(rule.expr) if one.range_seconds is not None}
    assert min(ranges) >= 4 * scrape
    kinds = {type(node).__name__ for rule in RULE_LIST for node in nodes(rule.expr)}
    assert "SubqueryExpr" not in kinds


def test_no_name_needs_quotes_and_no_le_or_quantile_is_rewritten() -> None:
    """Names are valid without UTF-8 support; the two labels have the form that 3.x brings them into: 1.0, not 1."""
    for family in FAMILIES:
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", family.name)
        assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label) for label in family.labels)
    samples = [sample for metric in StarlightCollector(full_snapshot).collect() for sample in metric.samples]
    for label, least in (("le", 20), ("quantile", 3)):
        values = {sample.labels[label] for sample in samples if label in sample.labels}
        assert len(values) >= least
        assert all(value == "+Inf" or repr(float(value)) == value for value in values)
