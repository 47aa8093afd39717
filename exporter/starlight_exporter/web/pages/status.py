"""The status page: summary, failed checks that alert, models × datasets, and the recent runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Final

from starlight_exporter.checks.results import CheckResult, Conclusion
from starlight_exporter.publish.changes import SliceChange
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.runs.finished_run import FinishedRun
from starlight_exporter.web.pages.check_groups import check_content
from starlight_exporter.web.pages.inconclusive import sample_for_check
from starlight_exporter.web.pages.page import Page, Table
from starlight_exporter.web.pages.status_cells import MatrixCell, last_errors, matrix_cells
from starlight_exporter.web.pages.status_summary import AlertingChecks, alerting_checks, status_summary
from starlight_exporter.web.pages.status_unlabelled import row_content, unlabelled_rows, unlabelled_table

SHOWN_RUNS = 40

_CONCLUSION_COLUMNS: Final[dict[Conclusion, str]] = {
    "pass": "pass",
    "pass (inconclusive)": "pass_inconclusive",
    "fail (not significant)": "fail_not_significant",
    "fail (significant)": "fail_significant",
    "not measured": "not_measured",
    "not comparable": "not_comparable",
}


def status_page(snapshot: Snapshot, evidence: Evidence, runs: list[FinishedRun], not_ready: str) -> Page:
    """Return the status of each model on each dataset."""
    cells = matrix_cells(snapshot, evidence, runs)
    unlabelled = unlabelled_rows(snapshot, evidence, last_errors(runs))
    labelled = [name for name, dataset in snapshot.datasets.items() if dataset.labelled]
    first = [name for name in labelled if snapshot.datasets[name].comes_first] or labelled
    summary, alerting = status_summary(cells.values()), alerting_checks(cells.values())
    return Page(
        template="status.html",
        path="/",
        values={
            "not_ready": not_ready,
            "config": snapshot.config,
            "storage_failures": {store: count for store, count in snapshot.storage_failures.items() if count},
            "summary": summary,
            "alerting": alerting,
            "exporter": snapshot,
            "models": [snapshot.models[name] for name in dict.fromkeys([*(m for m, _ in cells), *snapshot.models])],
            "datasets": first,
            "other_datasets": [name for name in labelled if name not in first],
            "unlabelled": unlabelled,
            "cells": cells,
            "runs": runs[:SHOWN_RUNS],
        },
        content={
            "ready": not not_ready,
            "not_ready": not_ready,
            "configuration_loaded": snapshot.config.successful,
            "summary": summary,
            "alerts": [content for one in alerting for content in _alerts(one)],
            "cells": [_content(cell) for cell in cells.values()],
            "unlabelled": [row_content(row) for row in unlabelled],
            "exporter": {
                "worker_memory_limit_bytes": snapshot.worker_memory_bytes,
                "worker_network_isolated": snapshot.worker_network_isolated,
                "worker_memory_group": snapshot.worker_memory_group,
                "engine": None if snapshot.engine is None else asdict(snapshot.engine),
                "pending_results": snapshot.storage_pending,
                "clock_steps": snapshot.clock_steps,
            },
            "runs": [_run_content(run) for run in runs],
        },
        tables={
            "matrix": _matrix(list(cells.values())),
            "alerts": _alert_table(alerting),
            "unlabelled": unlabelled_table(unlabelled),
            "runs": _runs(runs),
        },
    )


def _alerts(alerting: AlertingChecks) -> list[dict[str, object]]:
    cell, checks = alerting.cell, [(row.check, row.link) for row in alerting.group.rows]
    return [
        {
            "alert": alerting.alert,
            "severity": check.severity,
            "model": cell.model.name,
            "dataset": cell.dataset,
            "check": check.name,
            "slice": check.slice,
            "value": check.value,
            "limit": check.limit,
            "adjusted_p_value": check.p_value,
            "images": link,
            "runbook": alerting.runbook,
        }
        for check, link in checks
    ]


def _content(cell: MatrixCell) -> dict[str, object]:
    evaluation, trend, checks = cell.evaluation, cell.trend, cell.run.checks
    return {
        "model": cell.model.name,
        "role": cell.model.role,
        "dataset": cell.dataset,
        "alerts": cell.alerts,
        "level": cell.level,
        "state": cell.state,
        "load_error": cell.load_error or None,
        "run_error": cell.run_error or None,
        "quarantine": cell.model.quarantine,
        "in_progress": cell.run.in_progress,
        "provisional": None if cell.provisional is None else cell.provisional.link,
        "provisional_failure": cell.run.provisional_failure or None,
        "evaluation": None if evaluation is None else evaluation.id,
        "finished_at": None if evaluation is None else evaluation.finished_at,
        "false_positives": None if evaluation is None else evaluation.clean,
        "false_positive_target": _false_positive_target(cell),
        "worst_method": None if cell.lowest is None else {"method": cell.lowest[0], "detections": cell.lowest[1]},
        "p95_seconds": cell.p95,
        "conclusions": {} if evaluation is None else _conclusions(checks),
        "failed_checks": [
            {"check": check_content(row.check), "images": row.link} for group in cell.failed for row in group.rows
        ],
        "unavailable": list(cell.unavailable),
        "significant_changes": [] if trend is None else [_change(change) for change in trend.significant],
        "compared_with": None if trend is None or trend.before is None else trend.before.id,
    }


def _false_positive_target(cell: MatrixCell) -> dict[str, object]:
    """Return the conclusion of the check, and the number of additional images for a conclusive pass."""
    check = next((one for one in cell.run.checks if one.name == "fpr_target"), None)
    evaluation = cell.evaluation
    if evaluation is None or check is None:
        return {"result": "not measured", "more_images": None}
    sample = sample_for_check(evaluation, check)
    more = None if sample is None else sample.images - evaluation.clean.total
    return {"result": check.conclusion, "more_images": more}


def _conclusions(checks: Iterable[CheckResult]) -> dict[str, int]:
    """Return the number of checks by conclusion; informational ones are included."""
    counts = Counter(check.conclusion for check in checks)
    return {conclusion: counts[conclusion] for conclusion in _CONCLUSION_COLUMNS}


def _change(change: SliceChange) -> dict[str, object]:
    return {
        "class": change.file_class,
        "method": change.method,
        "format": change.image_format,
        "category": change.category,
        "conclusion": change.conclusion,
        "fixed": change.fixed,
        "broken": change.broken,
        "adjusted_p_value": change.adjusted,
    }


def _run_content(run: FinishedRun) -> dict[str, object]:
    return {
        "id": run.id,
        "model": run.model,
        "dataset": run.dataset,
        "trigger": run.trigger,
        "outcome": run.outcome,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "error": run.error,
    }


def _matrix(cells: list[MatrixCell]) -> Table:
    return Table(
        (
            "model",
            "role",
            "dataset",
            "alerts",
            "state",
            "load_error",
            "quarantine",
            "false_positive_ratio",
            "lower",
            "upper",
            "false_positives",
            "clean_images",
            "worst_method",
            "worst_detection_ratio",
            "p95_seconds",
            *_CONCLUSION_COLUMNS.values(),
            "finished_at",
            "evaluation",
        ),
        [
            (
                cell.model.name,
                cell.model.role,
                cell.dataset,
                cell.alerts,
                cell.state,
                cell.load_error or None,
                None if cell.model.quarantine is None else cell.model.quarantine.reason,
                *(
                    (None,) * 5
                    if e is None
                    else (e.clean.ratio, e.clean.lower, e.clean.upper, e.clean.count, e.clean.total)
                ),
                *((None, None) if cell.lowest is None else (cell.lowest[0], cell.lowest[1].ratio)),
                cell.p95,
                *((None,) * len(_CONCLUSION_COLUMNS) if e is None else _conclusions(cell.run.checks).values()),
                *((None, None) if e is None else (e.finished_at, e.id)),
            )
            for cell in cells
            for e in (cell.evaluation,)
        ],
    )


def _alert_table(alerting: Sequence[AlertingChecks]) -> Table:
    return Table(
        ("alert", "severity", "model", "dataset", "check", "slice", "value", "limit", "adjusted_p_value"),
        [
            (
                one.alert,
                row.check.severity,
                one.cell.model.name,
                one.cell.dataset,
                row.check.name,
                row.check.slice,
                row.check.value,
                row.check.limit,
                row.check.p_value,
            )
            for one in alerting
            for row in one.group.rows
        ],
    )


def _runs(runs: list[FinishedRun]) -> Table:
    return Table(
        ("ended_at", "model", "dataset", "trigger", "outcome", "seconds", "evaluation", "error"),
        [
            (r.ended_at, r.model, r.dataset, r.trigger, r.outcome, r.ended_at - r.started_at, r.id, r.error)
            for r in runs
        ],
    )
