"""Top of the status page: one sentence about the production models, and the failed checks that alert."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlight_exporter.checks.alerts import ALERT_NAMES
from starlight_exporter.formatting import integer
from starlight_exporter.web.pages.check_groups import CheckGroup, Level
from starlight_exporter.web.pages.page import SitePath
from starlight_exporter.web.pages.status_cells import MatrixCell


@dataclass(frozen=True, slots=True)
class StatusSummary:
    """The state of the production models on the datasets with alerts; `level` is that of the worst one."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class AlertingChecks:
    """A check of a production model that fails on one or more slices of a dataset with alerts."""

    alert: str
    cell: MatrixCell
    group: CheckGroup

    @property
    def runbook(self) -> SitePath:
        """Path of the page with the runbook of the alert."""
        return SitePath(f"/runbooks/{self.alert}.md")


def status_summary(cells: Iterable[MatrixCell]) -> StatusSummary:
    """Return the summary of all production models."""
    production = [cell for cell in cells if cell.model.role == "production"]
    if not production:
        return StatusSummary("warn", "No production model is configured.")
    alerting = [cell for cell in production if cell.alerts]
    if not alerting:
        return StatusSummary("quiet", "No dataset has alerts, so no check alerts.")
    levels = [cell.level for cell in alerting]
    level: Level = next(one for one in ("bad", "warn", "quiet", "good") if one in levels)
    return StatusSummary(level, "; ".join(_clause(cell) for cell in alerting) + ".")


def alerting_checks(cells: Iterable[MatrixCell]) -> tuple[AlertingChecks, ...]:
    """Return the failed checks that alert, significant failures first."""
    found = [
        AlertingChecks(ALERT_NAMES[group.first.name], cell, group)
        for cell in cells
        if cell.model.role == "production" and cell.alerts
        for group in cell.failed
        if group.first.name in ALERT_NAMES
    ]
    return tuple(sorted(found, key=lambda one: one.group.first.severity != "critical"))


def _clause(cell: MatrixCell) -> str:
    """Return the state of one model on one dataset without a full stop."""
    name, dataset = cell.model.name, cell.dataset
    significant = [group for group in cell.failed if group.first.conclusion == "fail (significant)"]
    rest = [group for group in cell.failed if group not in significant]
    if cell.evaluation is None and cell.load_error:
        return f"{name} does not load: {cell.load_error}"
    if cell.evaluation is None:
        clause = f"{name} is not measured on {dataset}"
    elif significant:
        clause = f"{name} fails significantly on {dataset}: {_texts(significant)}"
        if rest:
            count = sum(len(group.rows) for group in rest)
            clause += f"; {integer(count)} more {'check fails' if count == 1 else 'checks fail'}, not significantly"
    elif rest:
        clause = f"{name} fails on {dataset}, not significantly: {_texts(rest)}"
    elif not cell.passed:
        clause = f"no check of {name} on {dataset} is measured"
    else:
        passed = integer(sum(len(group.rows) for group in cell.passed))
        checks = f"all {passed} measured checks" if cell.unavailable else "all checks"
        clause = f"{name} passes {checks} on {dataset}"
        if cell.inconclusive:
            # The sample sizes are in the cell.
            clause += f"; {cell.inconclusive.partition(' (')[0]}"
    if cell.provisional is not None:
        clause += f"; newer {cell.provisional.text}"
        if cell.provisional.failed:
            clause += f": {_texts(cell.provisional.failed)}"
    if cell.load_error:
        clause += f"; its new file does not load: {cell.load_error}"
    elif cell.run.last_run_successful is False:
        clause += f"; its last run failed: {cell.run_error}" if cell.run_error else "; its last run failed"
    return clause


def _texts(groups: Iterable[CheckGroup]) -> str:
    return ", ".join(group.describe() for group in groups)
