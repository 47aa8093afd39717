"""The rule tests pass in vmalert-tool, which evaluates the rules with MetricsQL in VictoriaMetrics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.rules import RULE_TESTS, RULES
from support.servers import put_prometheus_3_first, run_tool

pytestmark = [pytest.mark.slow, pytest.mark.integration]

KNOWN_EXCEPTIONS = {
    ("evaluations", "failing"): "MetricsQL counts the first sample of a counter as an increase from zero",
}
"""File and test that differ from Prometheus, with the reason (docs/long-term-storage.md)."""

FILES = sorted(RULE_TESTS.glob("*.yml"))


def translated(file: Path, *, exceptions: bool) -> dict[str, Any]:
    """Return the tests of a file in the format of vmalert-tool: those with a known exception, or the others."""
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["rule_files"] = [str(RULES / Path(name).name) for name in content["rule_files"]]
    content["tests"] = [
        test for test in content["tests"] if ((file.stem, test.get("name")) in KNOWN_EXCEPTIONS) == exceptions
    ]
    for test in content["tests"]:
        queries = test["metricsql_expr_test"] = test.pop("promql_expr_test", [])
        for query in queries:
            # Unlike PromQL, MetricsQL keeps the name of the metric in round().
            query["expr"] = re.sub(r"^round\(.*\)$", r'label_del(\g<0>, "__name__")', query["expr"])
    return content


def unittest(folder: Path, content: dict[str, Any]) -> tuple[int, str]:
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return run_tool(["vmalert-tool", "unittest", "--disableAlertgroupLabel", f"--files={file}"], timeout=240.0)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    put_prometheus_3_first(monkeypatch)
    # Most of its time is garbage collection.
    monkeypatch.setenv("GOGC", "800")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_rule_tests_pass(file: Path, tmp_path: Path) -> None:
    code, output = unittest(tmp_path, translated(file, exceptions=False))
    assert code == 0, output


@pytest.mark.parametrize("name", sorted(KNOWN_EXCEPTIONS))
def test_known_exception_still_differs(name: tuple[str, str], tmp_path: Path) -> None:
    content = translated(RULE_TESTS / f"{name[0]}.yml", exceptions=True)
    assert len(content["tests"]) == 1
    code, output = unittest(tmp_path, content)
    assert code != 0
    assert "1 × error" in output
