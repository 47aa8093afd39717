"""Rows of the status page about unlabelled datasets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.unlabelled import UnlabelledResult
from starlight_exporter.formatting import age
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.snapshot import ModelState, Pair, RunState, Snapshot
from starlight_exporter.web.pages.page import Table
from starlight_exporter.web.pages.unlabelled import DriftConclusion, drift_conclusion


@dataclass(frozen=True, slots=True)
class UnlabelledRow:
    """One model on one unlabelled dataset; `result` and `drift` are None without a result, `age` is empty then.

    `stored` is whether the evidence has the pages of the result. `alerts` is whether a jump of the alarm rate and drift
    alert: on a production model, and a dataset with alerts.
    """

    model: ModelState
    dataset: str
    alerts: bool
    run: RunState
    evaluation: Evaluation | None
    result: UnlabelledResult | None
    drift: DriftConclusion | None
    not_measured: int
    age: str
    run_error: str
    stored: bool


def unlabelled_rows(snapshot: Snapshot, evidence: Evidence, errors: Mapping[Pair, str]) -> list[UnlabelledRow]:
    """Return a row for each model on each unlabelled dataset; `errors` are those of the last runs."""
    return [
        _row(snapshot, evidence, pair, run, errors.get(pair, ""))
        for pair, run in snapshot.runs.items()
        if not snapshot.datasets[pair[1]].labelled
    ]


def _row(snapshot: Snapshot, evidence: Evidence, pair: Pair, run: RunState, error: str) -> UnlabelledRow:
    model, dataset = snapshot.models[pair[0]], snapshot.datasets[pair[1]]
    evaluation = run.evaluation
    result = None if evaluation is None else evaluation.unlabelled
    return UnlabelledRow(
        model=model,
        dataset=dataset.name,
        alerts=model.role == "production" and dataset.alerts,
        run=run,
        evaluation=evaluation,
        result=result,
        drift=None if result is None else drift_conclusion(result.drift),
        not_measured=0 if evaluation is None else sum(evaluation.not_measured.values()),
        age="" if run.evaluated_monotonic is None else age(time.monotonic() - run.evaluated_monotonic),
        run_error=error if run.last_run_successful is False else "",
        stored=evaluation is not None and is_stored(evidence, evaluation.id),
    )


def is_stored(evidence: Evidence, evaluation_id: str) -> bool:
    """Return whether the pages of an evaluation exist."""
    try:
        return evidence.find(evaluation_id) is not None
    except StorageError:
        # The pages report it.
        return False


def row_content(row: UnlabelledRow) -> dict[str, object]:
    """Return one row for JSON."""
    result = row.result
    return {
        "model": row.model.name,
        "role": row.model.role,
        "dataset": row.dataset,
        "alerts": row.alerts,
        "in_progress": row.run.in_progress,
        "run_error": row.run_error or None,
        "evaluation": None if row.evaluation is None else row.evaluation.id,
        "finished_at": None if row.evaluation is None else row.evaluation.finished_at,
        "images": None if result is None else result.images,
        "images_outside_window": None if result is None else result.images_outside_window,
        "not_measured": row.not_measured,
        "alarms": None if result is None else result.alarms,
        "drift_detected": None if result is None else result.drift.detected,
        "drift": None if row.drift is None else row.drift.text,
    }


def unlabelled_table(rows: list[UnlabelledRow]) -> Table:
    """Return the rows as a table."""
    return Table(
        (
            "model",
            "dataset",
            "evaluation",
            "images",
            "not_measured",
            "alarms",
            "measured_images",
            "alarm_ratio",
            "alarm_ratio_lower",
            "alarm_ratio_upper",
            "drift_detected",
        ),
        [
            (
                row.model.name,
                row.dataset,
                row.evaluation.id,
                row.result.images,
                row.not_measured,
                row.result.alarms.count,
                row.result.alarms.total,
                row.result.alarms.ratio,
                row.result.alarms.lower,
                row.result.alarms.upper,
                row.result.drift.detected,
            )
            for row in rows
            if row.evaluation is not None and row.result is not None
        ],
    )
