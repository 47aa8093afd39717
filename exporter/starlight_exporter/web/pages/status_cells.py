"""Cells of the status page: one model on one dataset, with its checks grouped by result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlight_exporter.checks.latency_checks import checked_latency
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import NOT_MEASURED, age, integer, words
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.snapshot import ModelState, Pair, RunState, Snapshot
from starlight_exporter.runs.finished_run import FinishedRun
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.web.pages.check_groups import (
    CheckGroup,
    Level,
    failed_checks,
    group_checks,
    unavailable_reasons,
)
from starlight_exporter.web.pages.inconclusive import inconclusive_text
from starlight_exporter.web.pages.provisional import ProvisionalRow, provisional_rows
from starlight_exporter.web.pages.trend import CellTrend, cell_trend

_ROLE_ORDER: Mapping[Role, int] = {"production": 0, "baseline": 1, "research": 2}
_LEVEL_ORDER: Mapping[Level, int] = {"bad": 0, "warn": 1, "quiet": 2, "good": 3}


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One model on one dataset.

    `alerts` is whether failed checks on the dataset alert, otherwise its cells have no colour. `failed`,
    `informational` and `passed` are groups of checks, `unavailable` the reasons of those without a result,
    `inconclusive` a sentence about all inconclusive passes. `load_error` is why the model file cannot be loaded,
    `run_error` why the last run failed, `lowest` the method with the lowest detection rate. The trend is None if the
    evidence is not stored, `provisional` unless a newer evaluation has measured a sample.
    """

    model: ModelState
    dataset: str
    alerts: bool
    run: RunState
    evaluation: Evaluation | None
    level: Level
    state: str
    load_error: str
    run_error: str
    failed: tuple[CheckGroup, ...]
    informational: tuple[CheckGroup, ...]
    passed: tuple[CheckGroup, ...]
    unavailable: tuple[str, ...]
    inconclusive: str
    not_measured: str
    lowest: tuple[str, Proportion] | None
    p95: float | None
    age: str
    trend: CellTrend | None
    provisional: ProvisionalRow | None


def matrix_cells(snapshot: Snapshot, evidence: Evidence, runs: Sequence[FinishedRun]) -> dict[Pair, MatrixCell]:
    """Return the cells of the labelled datasets: production, baseline, research; within a role the most severe first.

    Models with the same severity are sorted by their number of failed checks.
    """
    errors, provisional = last_errors(runs), provisional_rows(snapshot)
    cells = {
        pair: _cell(snapshot, pair, run, evidence, error=errors.get(pair, ""), provisional=provisional.get(pair))
        for pair, run in snapshot.runs.items()
        if snapshot.datasets[pair[1]].labelled
    }
    models = list(snapshot.models)

    def order(cell: MatrixCell) -> tuple[int, int, int, int]:
        row = [one for one in cells.values() if one.model.name == cell.model.name and one.alerts]
        severest = min((_LEVEL_ORDER[one.level] for one in row), default=_LEVEL_ORDER["quiet"])
        failures = sum(len(group.rows) for one in row for group in one.failed)
        return _ROLE_ORDER[cell.model.role], severest, -failures, models.index(cell.model.name)

    return dict(sorted(cells.items(), key=lambda item: order(item[1])))


def _cell(
    snapshot: Snapshot, pair: Pair, run: RunState, evidence: Evidence, *, error: str, provisional: ProvisionalRow | None
) -> MatrixCell:
    model, alerts, evaluation = snapshot.models[pair[0]], snapshot.datasets[pair[1]].alerts, run.evaluation
    checks = () if evaluation is None else run.checks
    load_error = _load_error(model)
    level, state = _state(run, checks, load_error)
    if provisional is not None and provisional.level == "bad":
        level = "bad"
    rates = [] if evaluation is None else [(m, p) for m, p in evaluation.detections.items() if p.ratio is not None]

    def groups(chosen: Sequence[CheckResult]) -> tuple[CheckGroup, ...]:
        return group_checks("" if evaluation is None else evaluation.id, chosen, alerts=alerts)

    return MatrixCell(
        model=model,
        dataset=pair[1],
        alerts=alerts,
        run=run,
        evaluation=evaluation,
        level=level if alerts else "quiet",
        state=state,
        load_error=load_error,
        run_error=error if run.last_run_successful is False else "",
        failed=groups(failed_checks(checks)),
        informational=groups([check for check in checks if check.severity == "info"]),
        passed=groups([check for check in checks if check.passed]),
        unavailable=unavailable_reasons(checks),
        inconclusive="" if evaluation is None else inconclusive_text(evaluation, checks),
        not_measured="" if evaluation is None else _not_measured(evaluation),
        lowest=min(rates, key=lambda entry: (entry[1].ratio or 0.0, entry[1].lower or 0.0), default=None),
        p95=None if evaluation is None or (p95 := checked_latency(evaluation)) is None else p95.seconds,
        age=_age(run),
        trend=None if evaluation is None else cell_trend(evidence, evaluation),
        provisional=provisional,
    )


def _age(run: RunState) -> str:
    """Return the age of the displayed result on the monotonic clock; empty without one."""
    return "" if run.evaluated_monotonic is None else age(time.monotonic() - run.evaluated_monotonic)


def last_errors(runs: Sequence[FinishedRun]) -> dict[Pair, str]:
    """Return the error of the newest run of each model and dataset that was not cancelled."""
    newest: dict[Pair, str] = {}
    for run in runs:
        if run.outcome != "cancelled":
            newest.setdefault(run.pair, run.error)
    return newest


def _load_error(model: ModelState) -> str:
    if model.last_load_successful is not False:
        return ""
    return model.last_failure_detail or words(model.last_failure or "unknown reason")


def _state(run: RunState, checks: Sequence[CheckResult], load_error: str) -> tuple[Level, str]:
    """Return the level of a cell and its text."""
    level, state = _check_state(run, checks)
    if load_error and run.evaluation is None:
        return "warn", f"does not load: {load_error}"
    if load_error:
        state += "; the new file does not load"
    elif run.last_run_successful is False:
        state += "; the last run failed"
    else:
        return level, state
    return ("bad" if level == "bad" else "warn"), state


def _check_state(run: RunState, checks: Sequence[CheckResult]) -> tuple[Level, str]:
    failed, measured = failed_checks(checks), [check for check in checks if check.passed is not None]
    significant = sum(check.conclusion == "fail (significant)" for check in failed)
    if run.evaluation is None:
        return "quiet", "evaluating" if run.in_progress else NOT_MEASURED
    if significant:
        rest = len(failed) - significant
        text = f"{_count(significant)} significantly"
        return "bad", f"{text}, {integer(rest)} not significantly" if rest else text
    if failed:
        return "warn", f"{_count(len(failed))}, not significantly"
    if not measured:
        return "quiet", "no check measured"
    return "good", "all checks pass" if len(measured) == len(checks) else "all measured checks pass"


def _count(number: int) -> str:
    return "1 check fails" if number == 1 else f"{integer(number)} checks fail"


def _not_measured(evaluation: Evaluation) -> str:
    counts = ((reason, count) for reason, count in evaluation.not_measured.items() if count)
    return ", ".join(f"{integer(count)} {words(reason)}" for reason, count in counts)
