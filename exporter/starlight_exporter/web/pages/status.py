"""The status page: a matrix of models and datasets with failed checks, and the recent runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlight_exporter.checks.latency_checks import checked_latency
from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.errors import StarlightError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.formatting import NOT_MEASURED, age, integer, words
from starlight_exporter.publish.changes import SliceChange, changes
from starlight_exporter.publish.charts import sparkline
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import ModelState, Pair, RunState, Snapshot
from starlight_exporter.runs.finished_run import FinishedRun
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.sample_sizes import LimitComparison, compare_with_limit
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.page import Page, Table

TREND_LENGTH = 20
SHOWN_RUNS = 40


@dataclass(frozen=True, slots=True)
class CellTrend:
    """False positive rates of the last evaluations of the same images, and changes since the previous model file."""

    points: str
    evaluations: int
    before: Entry | None
    changes: tuple[SliceChange, ...]

    @property
    def significant(self) -> list[SliceChange]:
        """Return the slices with a significant change."""
        return [change for change in self.changes if change.conclusion in ("better", "worse")]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One model on one dataset.

    `level` is good, warn, bad or quiet; `failed` are the failed checks with the URLs of their images; `lowest` is the
    method with the lowest detection rate; `stored` is whether the evidence of this evaluation exists.
    """

    model: ModelState
    dataset: str
    run: RunState
    evaluation: Evaluation | None
    level: str
    state: str
    failed: tuple[tuple[CheckResult, str], ...]
    not_measured: str
    load_failures: str
    lowest: tuple[str, Proportion] | None
    false_positives_target: LimitComparison
    lowest_target: LimitComparison
    p95: float | None
    age: str
    trend: CellTrend | None
    stored: bool


def status_page(snapshot: Snapshot, evidence: Evidence, runs: list[FinishedRun], not_ready: str) -> Page:
    """Return the status of each model on each dataset."""
    cells = {pair: _cell(snapshot.models[pair[0]], pair, run, evidence) for pair, run in snapshot.runs.items()}
    return Page(
        template="status.html",
        path="/",
        values={
            "not_ready": not_ready,
            "config": snapshot.config,
            "storage_failures": {store: count for store, count in snapshot.storage_failures.items() if count},
            "models": list(snapshot.models.values()),
            "datasets": list(snapshot.datasets),
            "cells": cells,
            "runs": runs[:SHOWN_RUNS],
            "fpr_target": DEFAULT_LIMITS.fpr_target,
            "detection_target": DEFAULT_LIMITS.detection_target,
        },
        content={
            "ready": not not_ready,
            "not_ready": not_ready,
            "configuration_loaded": snapshot.config.successful,
            "cells": [_content(cell) for cell in cells.values()],
            "runs": [_run_content(run) for run in runs],
        },
        tables={"matrix": _matrix(list(cells.values())), "runs": _runs(runs)},
    )


def _cell(model: ModelState, pair: Pair, run: RunState, evidence: Evidence) -> MatrixCell:
    evaluation = run.evaluation
    failed = [check for check in run.checks if check.passed is False and check.severity != "info"]
    level, state = _state(run, failed)
    not_measured = (
        {} if evaluation is None else {reason: count for reason, count in evaluation.not_measured.items() if count}
    )
    rates = [] if evaluation is None else [(m, p) for m, p in evaluation.detections.items() if p.ratio is not None]
    lowest = min(rates, key=lambda entry: (entry[1].ratio or 0.0, entry[1].lower or 0.0), default=None)
    trend, stored = (None, False) if evaluation is None else _trend(evidence, evaluation)
    none = LimitComparison("not measured")
    return MatrixCell(
        model=model,
        dataset=pair[1],
        run=run,
        evaluation=evaluation,
        level=level,
        state=state,
        failed=() if evaluation is None else tuple((check, check_link(evaluation.id, check)) for check in failed),
        not_measured=", ".join(f"{integer(count)} {words(reason)}" for reason, count in not_measured.items()),
        load_failures=", ".join(f"{reason} {count}" for reason, count in model.load_failures.items()) or "missing",
        lowest=lowest,
        false_positives_target=none
        if evaluation is None
        else compare_with_limit(evaluation.clean, DEFAULT_LIMITS.fpr_target, "below"),
        lowest_target=none
        if lowest is None
        else compare_with_limit(lowest[1], DEFAULT_LIMITS.detection_target, "above"),
        p95=None if evaluation is None else _p95(evaluation),
        age="" if evaluation is None else age(time.time() - evaluation.finished_at),
        trend=trend,
        stored=stored,
    )


def _state(run: RunState, failed: Sequence[CheckResult]) -> tuple[str, str]:
    """Return the level of a cell and its text."""
    significant = sum(check.severity == "critical" for check in failed)
    if run.evaluation is None:
        level, state = "quiet", "evaluating" if run.in_progress else NOT_MEASURED
    elif failed:
        level = "bad" if significant else "warn"
        state = f"{len(failed)} check{'s' if len(failed) != 1 else ''} failed, {significant or 'none'} significant"
    else:
        level, state = "good", "no failed checks"
    return ("bad", f"{state}; the last run failed") if run.last_run_successful is False else (level, state)


def check_link(evaluation_id: str, check: CheckResult) -> str:
    """Return the URL of the images of a check, or of the latency for a check without images."""
    match check.name:
        case "fpr_baseline" | "fpr_stability" | "fpr_target":
            return links.misclassified(evaluation_id, file_class="clean")
        case "detection_baseline" | "detection_floor" | "detection_target":
            return links.misclassified(evaluation_id, file_class="stego", method=check.slice)
        case "format_consistency":
            return links.misclassified(evaluation_id, file_class="clean", format=check.slice)
        case "negatives":
            return links.misclassified(evaluation_id, file_class="negative", category=check.slice)
        case _:
            return f"{links.evaluation(evaluation_id)}#latency"


def _p95(evaluation: Evaluation) -> float | None:
    measured = checked_latency(evaluation)
    return None if measured is None else measured.seconds


def _trend(evidence: Evidence, evaluation: Evaluation) -> tuple[CellTrend | None, bool]:
    """Return the trend, and whether the evidence of this evaluation is stored."""
    try:
        entry = evidence.find(evaluation.id)
        if entry is None:
            return None, False
        same = [
            other
            for other in evidence.entries(entry.model, entry.dataset)
            if not differences(other.spec, entry.spec, "images") and other.finished_at <= entry.finished_at
        ][:TREND_LENGTH]
        ratios = [other.clean.ratio for other in reversed(same) if other.clean.ratio is not None]
        before = evidence.previous(entry)
        found = () if before is None else _changes(evidence, before, entry)
    except StarlightError:
        # The page shows the results without evidence as well.
        return None, False
    return CellTrend(sparkline(ratios), len(ratios), before, found), True


@lru_cache(maxsize=512)
def _changes(evidence: Evidence, before: Entry, after: Entry) -> tuple[SliceChange, ...]:
    # Cached, because stored evaluations never change and this page is reloaded most often.
    return changes(evidence, before, after)


def _content(cell: MatrixCell) -> dict[str, object]:
    evaluation, trend = cell.evaluation, cell.trend
    return {
        "model": cell.model.name,
        "role": cell.model.role,
        "dataset": cell.dataset,
        "level": cell.level,
        "state": cell.state,
        "in_progress": cell.run.in_progress,
        "evaluation": None if evaluation is None else evaluation.id,
        "finished_at": None if evaluation is None else evaluation.finished_at,
        "false_positives": None if evaluation is None else evaluation.clean,
        "false_positive_target": cell.false_positives_target,
        "worst_method": None if cell.lowest is None else {"method": cell.lowest[0], "detections": cell.lowest[1]},
        "p95_seconds": cell.p95,
        "failed_checks": [{"check": check, "images": link} for check, link in cell.failed],
        "significant_changes": [] if trend is None else [_change(change) for change in trend.significant],
        "compared_with": None if trend is None or trend.before is None else trend.before.id,
    }


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
            "state",
            "false_positive_ratio",
            "lower",
            "upper",
            "false_positives",
            "clean_images",
            "worst_method",
            "worst_detection_ratio",
            "p95_seconds",
            "finished_at",
            "evaluation",
        ),
        [
            (
                cell.model.name,
                cell.model.role,
                cell.dataset,
                cell.state,
                *(
                    (None,) * 5
                    if e is None
                    else (e.clean.ratio, e.clean.lower, e.clean.upper, e.clean.count, e.clean.total)
                ),
                *((None, None) if cell.lowest is None else (cell.lowest[0], cell.lowest[1].ratio)),
                cell.p95,
                *((None, None) if e is None else (e.finished_at, e.id)),
            )
            for cell in cells
            for e in (cell.evaluation,)
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
