"""What Prometheus 3 does otherwise than 2.42, and that it changes nothing about these rules and their configuration.

Only 2.42 runs here. Each test takes one item of the migration guide (https://prometheus.io/docs/prometheus/latest/migration)
and either asks 2.42 in the way in which 3.x would read the same rule, or shows that the item is not met with.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from exporter.publish.collector import StarlightCollector
from exporter.publish.exposition import CONTENT_TYPES, negotiate
from exporter.publish.metrics import FAMILIES
from support.dashboards import NAMES, plain, queries
from support.publishing import full_snapshot
from support.rules import (
    ALERTS,
    ROOT,
    RULE_LIST,
    RULE_TESTS,
    RULES,
    RUNBOOKS,
    nodes,
    promtool,
    selectors,
    template_queries,
)
from support.servers import program

GRAMMAR = ROOT / "tests" / "preview"
CONFIG = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))

ACCEPT = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 asks a target for."""


def _queries() -> set[str]:
    """Every PromQL of rules, of the look-ups in their annotations, and of runbooks."""
    found = {rule.expr for rule in RULE_LIST}
    found |= {query for rule in ALERTS for text in rule.annotations.values() for query in template_queries(text)}
    for page in RUNBOOKS.glob("*.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("promtool query"):
                found.add(shlex.split(line)[-1])
    return found


def test_every_query_is_one_in_the_grammar_of_prometheus_3() -> None:
    if not (GRAMMAR / "node_modules" / "@prometheus-io" / "lezer-promql").exists():
        pytest.skip("the Node packages of tests/preview are not installed")
    drawn = {plain(query.expr) for name in NAMES for query in queries(name)}
    asked = [*sorted(_queries() | drawn), "sum(", "last_over_time(a[5m) == 0"]
    done = subprocess.run(
        [program("node"), "promql.mjs"],
        cwd=GRAMMAR,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == asked[-2:]


def _left_open(text: str) -> str:
    """Every range without its first millisecond, the resolution of timestamps: (t - 5m, t] is [t - 4m59s999ms, t]."""

    def shortened(match: re.Match[str]) -> str:
        milliseconds = int(match[1]) * {"m": 60_000, "h": 3_600_000, "d": 86_400_000}[match[2]] - 1
        return f"[{milliseconds}ms]"

    assert not re.search(r"\[[^]]*(?:[0-9][smhdwy]){2}|\[\d+[swy]\]|\[[^]]*:", text), "a range of another form"
    return re.sub(r"\[(\d+)([mhd])\]", shortened, text)


@pytest.mark.parametrize("path", sorted(RULE_TESTS.glob("*.yml")), ids=lambda path: path.stem)
def test_ranges_that_are_open_on_the_left_give_the_same_alerts(path: Path, tmp_path: Path) -> None:
    """The whole walk of every alert again, rendered text included, as 3.x selects the samples of a range."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    for file in RULES.glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        assert "[" in text
        (tmp_path / "rules" / file.name).write_text(_left_open(text), encoding="utf-8")
    shutil.copy(path, tmp_path / "tests")
    result = promtool("test", "rules", tmp_path / "tests" / path.name)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_range_or_lookback_hangs_on_a_sample_at_its_very_start() -> None:
    """Every range holds several scrapes, and no subquery is aligned with its own start."""
    scrape = int(CONFIG["global"]["scrape_interval"].removesuffix("s"))
    ranges = {one.range_seconds for rule in RULE_LIST for one in selectors(rule.expr) if one.range_seconds is not None}
    assert min(ranges) >= 4 * scrape
    kinds = {type(node).__name__ for rule in RULE_LIST for node in nodes(rule.expr)}
    assert "SubqueryExpr" not in kinds


def test_no_regular_expression_tells_a_line_feed_from_another_character() -> None:
    """In 3.x a dot matches a line feed too."""
    matched = {
        (label, pattern)
        for rule in RULE_LIST
        for text in (rule.expr, *rule.annotations.values())
        for label, pattern in re.findall(r'(\w+)[=!]~\\?"([^"\\]+)', text)
    }
    # Prometheus' own label: the path of a rule file, a semicolon, the name of a group.
    assert {(label, pattern) for label, pattern in matched if "." in pattern} == {("rule_group", ".+;starlight-.+")}
    # label_replace takes whole values over: of labels that are names from the configuration or hashes.
    replaced = {match for rule in RULE_LIST for match in re.findall(r'"(\w+)", "([^"]*)"\s*\)', rule.expr)}
    assert replaced == {("class", "(.+)"), ("model", "(.+)"), ("sha256", "(.+)")}


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


def test_the_exporter_names_the_format_that_it_answers_with() -> None:
    """3.x refuses a scrape without a content type that it knows."""
    assert negotiate(ACCEPT) == "openmetrics"
    assert CONTENT_TYPES["openmetrics"].startswith("application/openmetrics-text; version=1.0.0;")
    assert CONTENT_TYPES["text"].startswith("text/plain; version=0.0.4;")


def test_the_configuration_says_what_3_x_no_longer_guesses() -> None:
    """Ports of targets; no `$` in external labels, which would be a variable; no key or flag that 3.x has dropped."""
    targets = [
        target
        for job in (*CONFIG["scrape_configs"], *CONFIG["alerting"]["alertmanagers"])
        for entry in job["static_configs"]
        for target in entry["targets"]
    ]
    assert targets
    assert all(re.fullmatch(r"[\w.-]+:\d+", target) for target in targets)
    assert not any("$" in value for value in CONFIG["global"]["external_labels"].values())
    text = (ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    assert not re.search(r"scrape_classic_histograms|api_version|remote_write", text)
    started = (ROOT / "docker-compose.yml").read_text() + (ROOT / "stack" / "__main__.py").read_text()
    assert "--enable-feature" not in started
