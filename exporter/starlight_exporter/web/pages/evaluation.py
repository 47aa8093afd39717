"""One evaluation: rates by slice, checks, baseline, precision, figures of merit, confusion matrix, provenance."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Final

from starlight_exporter.checks.latency_checks import contention
from starlight_exporter.checks.results import CheckResult, Conclusion
from starlight_exporter.checks.significance import significance_level
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.errors import QueryError
from starlight_exporter.evaluation.applied_rule import rule_text
from starlight_exporter.evaluation.results import Evaluation, LatencySummary
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.formatting import images_per_second, percent, size, utc
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION, LatencyRatio
from starlight_exporter.statistics.sample_sizes import Precision, precision
from starlight_exporter.web.pages import figures, links, slices
from starlight_exporter.web.pages.baseline_in_use import baseline_reference
from starlight_exporter.web.pages.check_groups import check_content, check_row, failed_checks, group_checks
from starlight_exporter.web.pages.inconclusive import inconclusive_text, sample_for_check
from starlight_exporter.web.pages.page import Page, Table
from starlight_exporter.web.pages.payload import payload_section, payload_tables
from starlight_exporter.web.pages.unlabelled import unlabelled_page

DEFAULT_PREVALENCE = 0.0001
EXAMPLE_IMAGES = 1_000_000
_ORDER: Final[dict[Conclusion, int]] = {
    "fail (significant)": 0,
    "fail (not significant)": 1,
    "not comparable": 2,
    "not measured": 3,
    "pass (inconclusive)": 4,
    "pass": 5,
}
LATENCY_STAGES = ("read", "decode", "features", "inference")


def parse_prevalence(text: str | None) -> float:
    """Parse the prevalence of stego images; QueryError unless it is between 0 and 1 (exclusive)."""
    if not text:
        return DEFAULT_PREVALENCE
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1.0:
        raise QueryError(f"prevalence: expected a number between 0 and 1 such as 0.0001, got {text[:40]!r}")
    return value


def evaluation_page(
    evidence: Evidence, entry: Entry, snapshot: Snapshot, prevalence: float, *, baseline_file: Path | None
) -> Page:
    """Return all results of one evaluation; `prevalence` is the assumed share of stego images at deployment."""
    evaluation, checks = evidence.evaluation(entry), evidence.checks(entry)
    if evaluation.unlabelled is not None:
        table = Table(("name", "value"), _provenance(evaluation))
        reference = evaluation.unlabelled.drift.reference_id
        compared = None if reference is None else evidence.find(reference)
        return unlabelled_page(evaluation, evaluation.unlabelled, entry, table, reference=compared)
    dataset = snapshot.datasets.get(entry.dataset)
    alerts = dataset is None or dataset.alerts
    found = slices.groups(evaluation, checks, alerts=alerts)
    baseline = baseline_reference(evaluation, snapshot, baseline_file)
    at_prevalence = precision(evaluation.clean, evaluation.stego, prevalence)
    others = [other for other in evidence.entries(dataset=entry.dataset) if other.id != entry.id]
    provenance = _provenance(evaluation)
    conclusions = Counter(check.conclusion for check in checks)
    return Page(
        template="evaluation.html",
        path=links.evaluation(entry.id),
        query={} if prevalence == DEFAULT_PREVALENCE else {"prevalence": f"{prevalence:g}"},
        values={
            "e": evaluation,
            "groups": found,
            "payload": payload_section(evaluation),
            "checks": [
                (check_row(entry.id, one, alerts=alerts), sample_for_check(evaluation, one))
                for one in sorted(checks, key=lambda one: _ORDER[one.conclusion])
            ],
            "conclusions": [(name, count) for name in _ORDER if (count := conclusions[name])],
            "open_checks": any(check.passed is False for check in checks),
            "alerts": alerts,
            "failed": group_checks(entry.id, failed_checks(checks), alerts=alerts),
            "inconclusive": inconclusive_text(evaluation, checks),
            "baseline": baseline,
            "contention": contention(evaluation),
            "busy_contention": BUSY_CONTENTION,
            "prevalence": prevalence,
            "deployment": _deployment(evaluation, at_prevalence, prevalence),
            "columns": (*METHODS, "clean"),
            "figures": figures.rows(evaluation.figures),
            "roc": figures.roc_chart(evaluation),
            "calibration": figures.calibration_chart(evaluation.figures),
            "stages": _stages(evaluation.latency),
            "provenance": provenance,
            "comparable": [other for other in others if not differences(other.spec, entry.spec, "images")],
            "previous": evidence.previous(entry),
        },
        content={
            "evaluation": json.loads(to_json(evaluation)),
            "slices": slices.content(found),
            "checks": [check_content(check) for check in checks],
            "baseline": {"reason": baseline} if isinstance(baseline, str) else baseline,
            "base_rate": {"prevalence": prevalence, "precision": at_prevalence},
        },
        tables={
            "slices": slices.table(found),
            **payload_tables(evaluation),
            "checks": _checks(checks),
            "confusion": _confusion(evaluation),
            "figures-of-merit": figures.table(evaluation.figures),
            "roc": figures.roc_table(evaluation.figures),
            "calibration": figures.calibration_table(evaluation.figures),
            "operating-points": _operating_points(evaluation),
            "latency": _latency(evaluation.latency),
            "latency-ratio": _latency_ratio(evaluation.latency_ratio),
            "provenance": Table(("name", "value"), provenance),
        },
    )


def _deployment(evaluation: Evaluation, at_prevalence: Precision | None, prevalence: float) -> dict[str, object] | None:
    """Return the precision and the expected counts among a million images; None if a rate is not measured."""
    if at_prevalence is None or evaluation.clean.ratio is None or evaluation.stego.ratio is None:
        return None
    stego = EXAMPLE_IMAGES * prevalence
    return {
        "precision": at_prevalence,
        "images": EXAMPLE_IMAGES,
        "stego": round(stego),
        "detected": round(stego * evaluation.stego.ratio),
        "false_positives": round((EXAMPLE_IMAGES - stego) * evaluation.clean.ratio),
    }


def _stages(latency: LatencySummary | None) -> list[dict[str, object]]:
    """Return the mean time of each stage, with its position in a stacked bar 100 units wide."""
    if latency is None:
        return []
    means = {stage: latency.stage_means.get(stage, 0.0) for stage in LATENCY_STAGES}  # type: ignore[call-overload]
    total = sum(means.values()) or 1.0
    parts: list[dict[str, object]] = []
    start = 0.0
    for number, (stage, seconds) in enumerate(means.items()):
        width = seconds / total * 100
        parts.append(
            {"stage": stage, "seconds": seconds, "x": round(start, 2), "width": round(width, 2), "number": number}
        )
        start += width
    return parts


def _level(evaluation: Evaluation) -> str:
    if evaluation.unlabelled is not None:
        return "not checked"
    level = percent(significance_level(after_provisional=evaluation.after_provisional))
    return f"{level}, after a provisional result" if evaluation.after_provisional else level


def _provenance(evaluation: Evaluation) -> list[tuple[str, str | int | float]]:
    provenance, facts = evaluation.provenance, evaluation.model_facts
    return [
        ("model SHA-256", provenance.model_sha256),
        ("model file", facts.file),
        ("model card", "none" if evaluation.origin is None else evaluation.origin.describe()),
        ("model size", size(facts.size_bytes)),
        ("model modified", utc(facts.modified_at)),
        ("inputs", ", ".join(facts.inputs)),
        ("outputs", ", ".join(facts.outputs)),
        ("dataset fingerprint", provenance.dataset_fingerprint),
        *([("dataset generator", provenance.dataset_generator)] if provenance.dataset_generator is not None else []),
        ("decision rule", rule_text(evaluation)),
        ("exporter", provenance.exporter_version),
        ("onnxruntime", provenance.onnxruntime_version),
        ("execution provider", provenance.execution_provider),
        ("numpy", provenance.numpy_version),
        ("Pillow", provenance.pillow_version),
        ("seed", provenance.seed),
        ("significance level of the checks", _level(evaluation)),
        ("trigger", evaluation.trigger),
        ("started", utc(evaluation.started_at)),
        ("duration", f"{evaluation.duration_seconds:.1f} s"),
        ("bulk throughput", images_per_second(evaluation.images_per_second)),
    ]


def _checks(checks: tuple[CheckResult, ...]) -> Table:
    return Table(
        (
            "check",
            "slice",
            "conclusion",
            "value",
            "limit",
            "adjusted_p_value",
            "passed",
            "conclusive",
            "significant",
            "severity",
            "paired",
            "unavailable",
            "detail",
        ),
        [
            (
                c.name,
                c.slice,
                c.conclusion,
                c.value,
                c.limit,
                c.p_value,
                c.passed,
                c.conclusive,
                c.significant,
                c.severity,
                c.paired,
                c.unavailable,
                c.detail,
            )
            for c in checks
        ],
    )


def _confusion(evaluation: Evaluation) -> Table:
    columns = (*METHODS, "clean")
    rows: list[list[str | int]] = [
        [actual, *(row.get(name, 0) for name in columns)] for actual, row in evaluation.confusion.items()
    ]
    return Table(("actual", *columns), rows)


def _operating_points(evaluation: Evaluation) -> Table:
    names = ("ratio", "lower", "upper", "count", "total")
    return Table(
        ("threshold", *(f"false_positives_{n}" for n in names), *(f"detections_{n}" for n in names)),
        [
            (
                p.threshold,
                *(getattr(p.false_positives, name) for name in names),
                *(getattr(p.detections, name) for name in names),
            )
            for p in evaluation.operating_points
        ],
    )


def _latency(latency: LatencySummary | None) -> Table:
    if latency is None:
        return Table(("metric", "seconds", "lower", "upper", "images"), [])
    rows: list[tuple[str, float, float | None, float | None, int]] = [
        (f"p{q.quantile * 100:g}", q.seconds, q.lower, q.upper, latency.images) for q in latency.quantiles
    ]
    rows += [(f"mean of {stage}", value, None, None, latency.images) for stage, value in latency.stage_means.items()]
    return Table(("metric", "seconds", "lower", "upper", "images"), rows)


def _latency_ratio(ratio: LatencyRatio | None) -> Table:
    columns = ("clock", "in_use", "ratio", "lower", "upper", "timings", "contention")
    if ratio is None:
        return Table(columns, [])
    return Table(
        columns,
        [
            (clock, clock == ratio.clock, value.value, value.lower, value.upper, ratio.timings, ratio.contention)
            for clock, value in (("wall", ratio.wall), ("cpu", ratio.cpu))
        ],
    )
