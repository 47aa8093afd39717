"""Checks of the gate in the terminal: a table as wide as the terminal, or one line per check in a log."""

from __future__ import annotations

import sys

from rich.markup import escape
from rich.table import Column, Table

from starlight_exporter.checks.suite import missing_images
from starlight_exporter.checks.suite_result import check_title
from starlight_exporter.cli.console import Console
from starlight_exporter.publish.gate.report import GateReport

STYLES = {"passed": "green", "failed": "bold red", "not measured": "yellow"}
_WIDTH = len("fail (not significant)")


def print_checks(report: GateReport) -> None:
    """Print every test with its checks, and the number of images without a verdict."""
    if sys.stdout.isatty():
        Console().print(checks_table(report))
    else:
        print("\n".join(check_lines(report)))


def check_lines(report: GateReport) -> list[str]:
    """Return one line per test and check, of any width: logs wrap or scroll long lines, and can be searched."""
    lines = []
    for test in report.tests:
        lines.append(f"{test.name}: {test.outcome}")
        lines += [f"  {one.conclusion:<{_WIDTH}}  {check_title(one)}: {one.detail}" for one in test.checks]
    if missing := missing_images(report.evaluation):
        lines.append(f"images: not measured: {missing}")
    return lines


def checks_table(report: GateReport) -> Table:
    """Return the same as a table that uses the full width of the terminal."""
    table = Table(Column("test", no_wrap=True), "slice", "result", Column("detail", ratio=1), expand=True)
    for test in report.tests:
        table.add_section()
        style = STYLES[test.outcome]
        table.add_row(f"[bold]{test.name}[/bold]", "", f"[{style}]{test.outcome}[/{style}]", "")
        for one in test.checks:
            table.add_row(f"  {one.name}", escape(one.slice), escape(one.conclusion), escape(one.detail))
    if missing := missing_images(report.evaluation):
        table.add_section()
        table.add_row("[bold]images[/bold]", "", f"[{STYLES['not measured']}]not measured[/]", missing)
    return table
