"""Every alert has a runbook with the standard sections, existing metrics and valid commands."""

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
    """Return the lines of the shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def _queries(page: Path) -> list[list[str]]:
    return [words for line in _commands(page) if (words := shlex.split(line))[:2] == ["promtool", "query"]]


def test_every_alert_has_a_runbook() -> None:
    assert {page.stem for page in PAGES} == {rule.alert for rule in ALERTS}


@each_page
def test_runbook_has_four_sections(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    parts = re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]
    assert all(len(part.split()) >= 8 for part in parts)
    assert len(text.splitlines()) <= 90, "too long for an on-call engineer"


@each_page
def test_runbook_describes_each_severity(page: Path) -> None:
    severities = {rule.severity for rule in ALERTS if rule.alert == page.stem}
    text = page.read_text(encoding="utf-8")
    if len(severities) > 1:
        assert all(f"`{severity}`" in text for severity in severities)


@each_page
def test_queries_use_existing_metrics(page: Path) -> None:
    known = known_metrics()
    queries = _queries(page)
    for _, _, kind, address, query in queries:
        assert (kind, address) == ("instant", PROMETHEUS)
        for selector in selectors(query):
            assert selector.metric in known, selector.metric
            assert selector.labels <= known[selector.metric], selector
    assert queries or page.stem in {"StarlightExporterAbsent"}


@each_page
def test_metrics_in_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![:\w])starlight_[a-z_]+[a-z]\b", text)) <= set(known_metrics())


@each_page
def test_commands_are_valid_and_refer_to_existing_files(page: Path) -> None:
    commands = _commands(page)
    assert commands
    checked = subprocess.run(["bash", "-n"], input="\n".join(commands), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"http://[\d.:]+", text)) <= ADDRESSES
    for name in set(re.findall(r"(?<!/)\b(?:scripts|prometheus|alerting|tests)/[\w./*-]*\w", text)):
        assert list(ROOT.glob(name)), name


@each_page
def test_links_refer_to_runbooks(page: Path) -> None:
    for shown, target in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert target == f"{shown}.md"
        assert (RUNBOOKS / target).exists()
