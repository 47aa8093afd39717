"""Each alert has a runbook, each runbook an alert, and what a runbook asks to be pasted works when pasted."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from support.rules import ALERTS, ROOT, RUNBOOKS, known_metrics, selectors

PAGES = sorted(RUNBOOKS.glob("*.md"))
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]

PROMETHEUS = "http://127.0.0.1:9090"
ADDRESSES = {PROMETHEUS, "http://127.0.0.1:9877", "http://127.0.0.1:9093"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def _commands(page: Path) -> list[str]:
    """The lines of the shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def _queries(page: Path) -> list[list[str]]:
    return [words for line in _commands(page) if (words := shlex.split(line))[:2] == ["promtool", "query"]]


def test_alerts_and_runbooks_pair_up() -> None:
    assert {page.stem for page in PAGES} == {rule.alert for rule in ALERTS}


@each_page
def test_a_runbook_has_its_four_parts_and_each_says_something(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    parts = re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]
    assert all(len(part.split()) >= 8 for part in parts)
    assert len(text.splitlines()) <= 90, "somebody just woken up has to read it"


@each_page
def test_a_runbook_tells_each_severity_that_its_alert_has(page: Path) -> None:
    severities = {rule.severity for rule in ALERTS if rule.alert == page.stem}
    text = page.read_text(encoding="utf-8")
    if len(severities) > 1:
        assert all(f"`{severity}`" in text for severity in severities)


@each_page
def test_queries_parse_and_read_what_exists(page: Path) -> None:
    known = known_metrics()
    queries = _queries(page)
    for _, _, kind, address, query in queries:
        assert (kind, address) == ("instant", PROMETHEUS)
        for selector in selectors(query):
            assert selector.metric in known, selector.metric
            assert selector.labels <= known[selector.metric], selector
    assert queries or page.stem in {"StarlightExporterAbsent"}


@each_page
def test_metrics_in_the_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![:\w])starlight_[a-z_]+[a-z]\b", text)) <= set(known_metrics())


@each_page
def test_commands_are_shell_and_name_files_that_exist(page: Path) -> None:
    commands = _commands(page)
    assert commands
    checked = subprocess.run(["bash", "-n"], input="\n".join(commands), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"http://[\d.:]+", text)) <= ADDRESSES
    for name in set(re.findall(r"(?<!/)\b(?:scripts|prometheus|alerting|tests)/[\w./*-]*\w", text)):
        assert list(ROOT.glob(name)), name


@each_page
def test_links_lead_to_runbooks(page: Path) -> None:
    for shown, target in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert target == f"{shown}.md"
        assert (RUNBOOKS / target).exists()
