"""Provisional results: rates, checks and misclassified images of the samples that are displayed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

from starlight_exporter.checks.provisional import CheckedSample
from starlight_exporter.checks.significance import PROVISIONAL_LEVEL
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.formatting import integer
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.web.pages.check_groups import CheckGroup, Level, check_content, group_checks
from starlight_exporter.web.pages.page import Page, SitePath, Table, url

MAX_SHOWN: Final = 200
"""Misclassified images per result in HTML and JSON; the CSV table has all."""

PATH: Final = "/provisional"


@dataclass(frozen=True, slots=True)
class ProvisionalRow:
    """One provisional result as displayed. `alerts` is whether significant failures alert."""

    checked: CheckedSample
    alerts: bool
    level: Level
    text: str
    failed: tuple[CheckGroup, ...]
    rates: tuple[tuple[str, Proportion], ...]
    misclassified: tuple[Prediction, ...]

    @property
    def link(self) -> SitePath:
        """The URL of the page with this result only."""
        return link(self.checked.result.model, self.checked.result.dataset)


def link(model: str, dataset: str) -> SitePath:
    """Return the URL of the provisional result of a model on a dataset."""
    return url(PATH, {"model": model, "dataset": dataset})


def provisional_rows(snapshot: Snapshot) -> dict[tuple[str, str], ProvisionalRow]:
    """Return the displayed provisional results by model and dataset."""
    found = {pair: snapshot.provisional(pair) for pair in snapshot.runs}
    return {pair: _row(snapshot, checked) for pair, checked in found.items() if checked is not None}


def provisional_page(snapshot: Snapshot, model: str | None, dataset: str | None) -> Page:
    """Return the provisional results of a model and a dataset (None: of all)."""
    rows = [
        row
        for (one, other), row in provisional_rows(snapshot).items()
        if model in (None, one) and dataset in (None, other)
    ]
    complete = None
    if not rows and model is not None and dataset is not None and (run := snapshot.runs.get((model, dataset))):
        complete = run.evaluation
    failures = [
        {"model": one, "dataset": other, "reason": run.provisional_failure}
        for (one, other), run in snapshot.runs.items()
        if model in (None, one) and dataset in (None, other) and run.provisional_failure
    ]
    query = {name: value for name, value in (("model", model), ("dataset", dataset)) if value is not None}
    return Page(
        template="provisional.html",
        path=PATH,
        query=query,
        values={
            "rows": rows,
            "failures": failures,
            "complete": complete,
            "max_shown": MAX_SHOWN,
            "level": PROVISIONAL_LEVEL,
        },
        content={"results": [_content(row) for row in rows], "failures": failures, "complete": _id(complete)},
        tables={"checks": _checks(rows), "misclassified": _misclassified(rows)},
    )


def _id(evaluation: Evaluation | None) -> str | None:
    return None if evaluation is None else evaluation.id


def _row(snapshot: Snapshot, checked: CheckedSample) -> ProvisionalRow:
    result, rates = checked.result, checked.rates
    alerts = snapshot.datasets[result.dataset].alerts
    critical = [check for check in checked.significant if check.severity == "critical"]
    sample = f"provisional: {integer(checked.images)} of {integer(result.dataset_images)} images"
    failing = "1 check fails" if len(critical) == 1 else f"{integer(len(critical)) if critical else 'no'} checks fail"
    return ProvisionalRow(
        checked=checked,
        alerts=alerts,
        level="bad" if critical and alerts else "quiet",
        text=f"{sample}, {failing} significantly",
        failed=group_checks("", critical, alerts=alerts),
        rates=(
            ("false positives", rates.clean),
            *((f"false positives, {name}", rate) for name, rate in rates.clean_by_format.items()),
            *((f"false positives, {name} (hard negatives)", rate) for name, rate in rates.negatives.items()),
            *((f"detections, {name}", rate) for name, rate in rates.detections.items() if rate.total),
        ),
        misclassified=checked.misclassified(),
    )


def _content(row: ProvisionalRow) -> dict[str, object]:
    result, rates = row.checked.result, row.checked.rates
    return {
        "model": result.model,
        "dataset": result.dataset,
        "spec": {name: value for name, value in asdict(result.spec).items() if value},
        "seed": result.seed,
        "sample_size": result.sample_size,
        "baseline": _baseline(row.checked),
        "finished_at": result.finished_at,
        "images": row.checked.images,
        "dataset_images": result.dataset_images,
        "significance_level": PROVISIONAL_LEVEL,
        "false_positives": rates.clean,
        "false_positives_by_format": rates.clean_by_format,
        "negatives": rates.negatives,
        "detections": rates.detections,
        "not_measured": rates.not_measured,
        "checks": [check_content(check) for check in row.checked.checks],
        "misclassified": [
            {"path": one.path, "class": one.file_class, "probability": one.probability, "verdict": one.verdict}
            for one in row.misclassified[:MAX_SHOWN]
        ],
    }


def _baseline(checked: CheckedSample) -> dict[str, object] | None:
    """Return the baseline model that a sample is compared with."""
    known = checked.result.baseline
    if checked.baseline is None or known is None:
        return None
    return {"model": checked.baseline, "model_sha256": known.spec.model_sha256, "decision": known.spec.decision}


def _checks(rows: Iterable[ProvisionalRow]) -> Table:
    return Table(
        ("model", "dataset", "check", "slice", "conclusion", "value", "limit", "adjusted_p_value", "detail"),
        [
            (
                row.checked.result.model,
                row.checked.result.dataset,
                check.name,
                check.slice,
                check.conclusion,
                check.value,
                check.limit,
                check.p_value,
                check.detail,
            )
            for row in rows
            for check in row.checked.checks
        ],
    )


def _misclassified(rows: Iterable[ProvisionalRow]) -> Table:
    return Table(
        ("model", "dataset", "path", "class", "method", "category", "format", "probability", "verdict", "sha256"),
        [
            (
                row.checked.result.model,
                row.checked.result.dataset,
                one.path,
                one.file_class,
                one.method,
                one.category,
                one.image_format,
                one.probability,
                one.verdict,
                one.sha256,
            )
            for row in rows
            for one in row.misclassified
        ],
    )
