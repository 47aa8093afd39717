"""One evaluation as a terminal table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.markup import escape
from rich.table import Table

from starlight_exporter.checks.results import CONCLUSIONS, CheckResult, Severity
from starlight_exporter.evaluation.applied_rule import rule_text
from starlight_exporter.evaluation.results import Evaluation, LatencyQuantile
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.formatting import (
    NOT_MEASURED,
    decimal,
    embedding_rate,
    embedding_rate_range,
    fraction,
    images_per_second,
    integer,
    milliseconds,
    milliseconds_range,
    percent,
    percent_range,
    utc,
    words,
)
from starlight_exporter.publish.figure_texts import TITLES, interval_text, reason_text, value_text
from starlight_exporter.statistics.intervals import Proportion

_STYLES: Mapping[Severity, str] = {"info": "cyan", "warning": "yellow", "critical": "bold red"}


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One metric as text: its value, its 95% confidence interval (may be empty) and the number of images."""

    section: str
    name: str
    value: str
    interval: str
    images: str


def report_rows(evaluation: Evaluation) -> tuple[ReportRow, ...]:
    """Return every metric of an evaluation."""
    clean = _proportion("False positive rate", "clean images", evaluation.clean)
    detections = [_proportion("Detection rate", method, p) for method, p in evaluation.detections.items()]
    detections.append(_proportion("Detection rate", "all methods", evaluation.stego))
    formats = [_proportion("False positive rate", f"clean {name}", p) for name, p in evaluation.clean_by_format.items()]
    negatives = [_proportion("False positive rate", f"negative {name}", p) for name, p in evaluation.negatives.items()]
    scored = evaluation.clean.total + evaluation.stego.total
    scores = [
        ReportRow("Scores", name, decimal(value), "", integer(scored))
        for name, value in (
            ("ROC AUC", evaluation.roc_auc),
            ("log loss", evaluation.log_loss),
            ("expected calibration error", evaluation.expected_calibration_error),
        )
    ]
    missing = [
        ReportRow("Not measured", words(reason), integer(count), "", integer(evaluation.images))
        for reason, count in evaluation.not_measured.items()
    ]
    rest = (
        *scores,
        *_figures(evaluation),
        *_payload(evaluation),
        *_embeddings(evaluation),
        *_speed(evaluation),
        *_training(evaluation),
        *missing,
    )
    return (clean, *formats, *negatives, *detections, *rest)


def metrics_table(evaluation: Evaluation) -> Table:
    """Return the metrics for a terminal."""
    table = Table(title=escape(f"{evaluation.model} on {evaluation.dataset}"), caption=escape(_provenance(evaluation)))
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95% CI", justify="right")
    table.add_column("n", justify="right")
    section = ""
    for row in report_rows(evaluation):
        if row.section != section:
            section = row.section
            table.add_section()
            table.add_row(f"[bold]{section}[/bold]")
        table.add_row(escape(f"  {row.name}"), row.value, row.interval, row.images)
    return table


def failed_checks_table(checks: Sequence[CheckResult]) -> Table:
    """Return the failed checks for a terminal, with the number of checks by conclusion."""
    conclusions = Counter(check.conclusion for check in checks)
    counts = ", ".join(f"{conclusions[one]} {one}" for one in CONCLUSIONS if conclusions[one])
    table = Table(title="Failed checks", caption=counts)
    for column in ("check", "slice", "result", "severity", "detail"):
        table.add_column(column)
    for check in checks:
        if check.passed is False:
            severity = check.severity or "warning"
            style = _STYLES[severity]
            table.add_row(
                check.name,
                escape(check.slice),
                check.conclusion,
                f"[{style}]{severity}[/{style}]",
                escape(check.detail),
            )
    return table


def metrics_json(evaluation: Evaluation, checks: Sequence[CheckResult]) -> str:
    """Return the evaluation as history stores it, with the checks as `regression_checks`."""
    content = json.loads(to_json(evaluation))
    content["regression_checks"] = [{**asdict(check), "conclusion": check.conclusion} for check in checks]
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _proportion(section: str, name: str, value: Proportion) -> ReportRow:
    interval = percent_range(value.lower, value.upper) if value.total else ""
    return ReportRow(section, name, percent(value.ratio), interval, fraction(value))


def _payload(evaluation: Evaluation) -> Iterator[ReportRow]:
    """Yield the embedding rate at which the detection rate of each method reaches a level."""
    section, payload = "Payload", evaluation.payload
    if payload is None or payload.not_measured is not None:
        yield ReportRow(section, "embedding rate", NOT_MEASURED, "", "")
        return
    for method, result in payload.methods.items():
        for at in result.thresholds:
            value = at.reason or f"{embedding_rate(at.dose)} {result.unit}"
            interval = "" if (at.lower, at.upper) == (None, None) else embedding_rate_range(at.lower, at.upper)
            yield ReportRow(section, f"{at.level:.0%} {method} detected", value, interval, integer(result.images))


def _embeddings(evaluation: Evaluation) -> Iterator[ReportRow]:
    """Yield the separation of the classes in the embeddings, or why it is not measured."""
    section, result = "Embeddings", evaluation.embeddings
    if result is None or result.probe is None:
        yield ReportRow(section, "linear probe", NOT_MEASURED, "" if result is None else result.detail, "")
        return
    balanced, accuracy = result.probe.balanced_accuracy, result.probe.accuracy
    yield _proportion(section, "linear probe accuracy", accuracy)
    interval = percent_range(balanced.lower, balanced.upper)
    yield ReportRow(section, "balanced accuracy", percent(balanced.value), interval, integer(accuracy.total))
    for name, one in result.classes.items():
        if one.recall is not None:
            yield _proportion(section, f"recall of {name}", one.recall)
    yield ReportRow(section, "mean silhouette", decimal(result.silhouette), "", integer(result.silhouette_images))


def _figures(evaluation: Evaluation) -> list[ReportRow]:
    section, figures = "Figures of merit", evaluation.figures
    if figures is None:
        return [ReportRow(section, "all", NOT_MEASURED, "", "")]
    images = integer(figures.clean + figures.stego)
    return [
        ReportRow(section, TITLES[name], value_text(name, figure), interval_text(name, figure), images)
        if figure.not_measured is None
        else ReportRow(section, TITLES[name], NOT_MEASURED, reason_text(name, figure.not_measured), images)
        for name, figure in figures.figures.items()
    ]


def _speed(evaluation: Evaluation) -> list[ReportRow]:
    section, latency = "Speed", evaluation.latency
    measured = evaluation.images - sum(evaluation.not_measured.values())
    bulk = ReportRow(section, "bulk pass", images_per_second(evaluation.images_per_second), "", integer(measured))
    if latency is None:
        return [ReportRow(section, "latency", NOT_MEASURED, "", "0"), bulk]
    images = integer(latency.images)
    known = {entry.quantile: entry for entry in latency.quantiles}
    quantiles = [
        ReportRow(section, f"latency p{q * 100:g}", milliseconds(e.seconds if e else None), _bounds(e), images)
        for q in (0.5, 0.95, 0.99)
        for e in (known.get(q),)
    ]
    stages = [
        ReportRow(section, f"mean of {stage}", milliseconds(seconds), "", images)
        for stage, seconds in latency.stage_means.items()
    ]
    one_at_a_time = ReportRow(section, "one at a time", images_per_second(latency.throughput), "", images)
    return [*quantiles, *stages, one_at_a_time, bulk]


def _bounds(entry: LatencyQuantile | None) -> str:
    return "" if entry is None else milliseconds_range(entry.lower, entry.upper)


def _training(evaluation: Evaluation) -> list[ReportRow]:
    health = evaluation.training
    if health is None:
        return [ReportRow("Training", "training log", NOT_MEASURED, "", "")]
    epochs = str(len(health.epochs))
    values = (
        ("convergence rate", health.convergence_rate),
        ("stability ratio", health.stability_ratio),
        ("generalization gap", health.generalization_gap),
    )
    shown = [ReportRow("Training", name, decimal(value), "", f"{epochs} epochs") for name, value in values]
    return [*shown, ReportRow("Training", "diverged", "yes" if health.diverged else "no", "", f"{epochs} epochs")]


def _provenance(evaluation: Evaluation) -> str:
    provenance, origin = evaluation.provenance, evaluation.origin
    card = "" if origin is None else f" ({origin.describe()})"
    return (
        f"model {provenance.model_sha256[:12]}{card}, dataset {provenance.dataset_fingerprint[:12]}, "
        f"{rule_text(evaluation)}, {provenance.execution_provider}, "
        f"seed {provenance.seed}, {utc(evaluation.finished_at)}"
    )
