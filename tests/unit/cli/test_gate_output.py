"""Checks of the gate on a terminal and in a log."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from starlight_exporter.checks.limits import CHECK_NAMES
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import run_suite
from starlight_exporter.cli.console import Console
from starlight_exporter.cli.gate_output import check_lines, checks_table, print_checks
from starlight_exporter.publish.gate.report import GateReport
from support.gate import gate_report
from support.snapshots import full_evaluation

DETAIL = "12.34% (5 of 40; 95% CI 4.00–26.00%); fails if >= 0.50%; 5 broken and 0 fixed compared with the baseline"
FAILED = replace(
    CheckResult("negatives", "[b]odd[/b]", 0.1, 0.005, False, True, DETAIL, conclusive=True), severity="critical"
)


@pytest.fixture
def report() -> GateReport:
    passed = (
        CheckResult(name, "", 0.0, 1.0, True, False, "fine", conclusive=True)
        for name in CHECK_NAMES
        if name != FAILED.name
    )
    return gate_report(full_evaluation(), run_suite([*passed, FAILED]))


def test_log_has_one_line_per_test_and_check(report: GateReport) -> None:
    lines = check_lines(report)
    assert "negatives_resistance: failed" in lines
    assert f"  fail (significant)      negatives [b]odd[/b]: {DETAIL}" in lines
    assert len(lines) == len(report.tests) + len(report.checks) + 1
    assert lines[-1].startswith("images: not measured: ")


@pytest.mark.parametrize("width", [80, 200])
def test_table_is_as_wide_as_the_terminal(report: GateReport, width: int) -> None:
    stream = io.StringIO()
    Console(file=stream, width=width).print(checks_table(report))
    lines = stream.getvalue().splitlines()
    assert {len(line) for line in lines} == {width}
    assert "…" not in stream.getvalue()
    shown = " ".join("".join(line.split("│")[4:5]).strip() for line in lines)
    assert DETAIL in " ".join(shown.split())


def test_output_that_is_not_a_terminal_has_no_table(report: GateReport, capsys: pytest.CaptureFixture[str]) -> None:
    print_checks(report)
    assert capsys.readouterr().out.splitlines() == check_lines(report)
