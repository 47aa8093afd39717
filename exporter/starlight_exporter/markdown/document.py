"""Render the document as markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlight_exporter.formatting import NOT_MEASURED, integer, percent, utc, words
from starlight_exporter.markdown.alerts import Episode
from starlight_exporter.markdown.content import Content
from starlight_exporter.markdown.escaping import cell, code
from starlight_exporter.markdown.exporters import Exporters, target
from starlight_exporter.markdown.metric_tables import (
    FAILED,
    PASSED,
    accuracy_table,
    check_counts,
    check_sentences,
    latency_table,
    linked,
    page_url,
    rate_text,
    table,
)
from starlight_exporter.markdown.trend_charts import detections_chart, false_positives_chart, latency_chart
from starlight_exporter.markdown.trends import Trends
from starlight_exporter.markdown.unlabelled import unlabelled_table
from starlight_exporter.markdown.values import Dashboard, DatasetSummary, ModelResult
from starlight_exporter.publish.charts import svg_file

UPDATED = "**Last update:** "
STALE = "> **Stale since "

_CHARTS = (
    ("false_positives", "False positive rate", false_positives_chart),
    ("detections", "Detection rate by method", detections_chart),
    ("latency", "Latency", latency_chart),
)


@dataclass(frozen=True, slots=True)
class Document:
    """The markdown text, and the SVG charts that it shows by file name."""

    text: str
    charts: Mapping[str, str]


def render_document(content: Content, *, stem: str, now: float) -> Document:
    """Return the document; the file names of its charts start with `stem`."""
    dashboard, exporters = content.dashboard, content.exporters

    def accuracy(one: ModelResult) -> list[str]:
        return accuracy_table(one, exporters.url(one.labels))

    charts, trends = _trends(content.trends, stem)
    lines = [
        "# Starlight performance dashboard",
        "",
        f"{UPDATED}{utc(now)}",
        "",
        f"Generated from {content.source}; do not edit. Rates have exact 95% confidence intervals (Clopper-Pearson), "
        "latencies have intervals of order statistics.",
        *_section("Status", [*_status(content), *(f"\n{warning}" for warning in content.warnings)]),
        *_section("Current metrics", _per_model(dashboard.production, exporters, accuracy)),
        *_section("Inference performance", _per_model(dashboard.production, exporters, latency_table)),
        *_section("Dataset quality", _datasets(dashboard.datasets, exporters)),
        *(
            _section("Unlabelled data", unlabelled_table(dashboard.unlabelled, exporters))
            if dashboard.unlabelled
            else ()
        ),
        *_section("Baseline and research models", _others(dashboard, exporters)),
        *_section("Alerts of the last 24 hours", _alerts(content.alerts, exporters)),
        *_section("Trends", trends),
    ]
    return Document("\n".join(lines) + "\n", charts)


def _section(title: str, body: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *body]


def _status(content: Content) -> list[str]:
    production, exporters = content.dashboard.production, content.exporters
    if not production:
        return [f"**{NOT_MEASURED.capitalize()}.**"]
    header = ("model", "file", "SHA-256", "dataset", "evaluated", "status")
    rows = [
        (
            linked(exporters.name(one.labels, "model"), page_url(exporters.url(one.labels), one, "")),
            code(one.file),
            code(one.sha256) if one.sha256 else NOT_MEASURED,
            f"{code(one.dataset)} {code(one.fingerprint)}" if one.fingerprint else code(one.dataset),
            NOT_MEASURED if one.evaluated_at is None else utc(one.evaluated_at),
            _model_status(one, content.alerts or (), exporters),
        )
        for one in production
    ]
    return [*table(header, rows), *(line for one in production for line in _details(one, exporters))]


def _model_status(one: ModelResult, alerts: Sequence[Episode], exporters: Exporters) -> str:
    firing = {
        alert.severity
        for alert in alerts
        if exporters.concerns(alert.labels, one.labels) and _is_firing_for(alert, one)
    }
    failed = [check for check in one.concluded(*FAILED) if check.severity != "info"]
    counts = check_counts(one)
    states = (
        (one.evaluated_at is None, f"⚪ {NOT_MEASURED}"),
        (one.overdue_since is not None, f"⚪ overdue since {utc(one.overdue_since or 0.0)}"),
        ("critical" in firing, "🔴 critical: an alert is firing"),
        ("warning" in firing, "🟡 warning: an alert is firing"),
        (not one.alerts, f"⚪ checks on this dataset do not alert: {counts}"),
        (bool(failed), f"🟡 {counts}"),
        (not one.concluded(*PASSED), f"⚪ checks {NOT_MEASURED}"),
        (True, f"🟢 healthy: {counts}"),
    )
    return next(text for holds, text in states if holds)


def _is_firing_for(alert: Episode, one: ModelResult) -> bool:
    """Return whether an alert fires for this model and dataset, or without these labels for all of them."""
    return (
        alert.ended is None
        and alert.state != "pending"
        and all(alert.labels.get(name, one.labels[name]) == one.labels[name] for name in ("model", "dataset"))
    )


def _details(one: ModelResult, exporters: Exporters) -> list[str]:
    model, pair = exporters.name(one.labels, "model"), exporters.name(one.labels, "model", "dataset")
    lines = []
    if one.newer_on_disk is not None:
        lines.append(
            f"- {model}: the model file on disk, {code(one.newer_on_disk)}, is not evaluated yet; all values "
            f"below are those of {code(one.sha256)}."
        )
    lines += check_sentences(one, pair)
    if one.not_measured:
        reasons = ", ".join(f"{integer(count)} {words(reason)}" for reason, count in one.not_measured.items())
        lines.append(f"- {pair}: images not measured and excluded from all rates: {cell(reasons)}.")
    lines.append(f"- {model}: decision rule: {cell(one.decision)}.")
    return ["", *lines]


def _per_model(
    entries: Sequence[ModelResult], exporters: Exporters, body: Callable[[ModelResult], list[str]]
) -> list[str]:
    if not entries:
        return [f"{NOT_MEASURED.capitalize()}."]
    if len(entries) == 1:
        return body(entries[0])
    lines: list[str] = []
    for one in entries:
        lines += [*([""] if lines else []), f"### {exporters.name(one.labels, 'model', 'dataset')}", "", *body(one)]
    return lines


def _datasets(datasets: Sequence[DatasetSummary], exporters: Exporters) -> list[str]:
    if not datasets:
        return [f"{NOT_MEASURED.capitalize()}."]
    header = ("dataset", "clean", "stego", "negative", "duplicates", "entropy of methods", "shares of methods")
    rows = [
        (
            " ".join((exporters.name(one.labels, "dataset"), *([code(one.fingerprint)] if one.fingerprint else ()))),
            *(
                integer(one.classes.get(name, 0)) if one.classes else NOT_MEASURED
                for name in ("clean", "stego", "negative")
            ),
            NOT_MEASURED if one.duplicates is None else integer(one.duplicates),
            _entropy(one),
            ", ".join(f"{cell(name)} {percent(share)}" for name, share in one.shares.items()) or NOT_MEASURED,
        )
        for one in datasets
    ]
    formats = [
        f"- {exporters.name(one.labels, 'dataset')} by format: {counts}."
        for one in datasets
        if (counts := ", ".join(f"{cell(name)} {integer(count)}" for name, count in one.formats.items()))
    ]
    return [*table(header, rows), "", *formats]


def _entropy(one: DatasetSummary) -> str:
    if one.entropy is None or one.entropy_max is None:
        return NOT_MEASURED
    return f"{one.entropy:.3f} of {one.entropy_max:.3f} bits"


def _others(dashboard: Dashboard, exporters: Exporters) -> list[str]:
    if not dashboard.others:
        return [f"{NOT_MEASURED.capitalize()}: no baseline or research model is configured."]
    header = ("model", "role", "SHA-256", "dataset", "false positive rate", "lowest detection rate", "p95", "checks")
    return table(header, [_other(one, exporters) for one in dashboard.others])


def _other(one: ModelResult, exporters: Exporters) -> tuple[str, ...]:
    measured = [metric for metric in one.detections if metric.value is not None]
    lowest = min(measured, key=lambda metric: metric.value or 0.0, default=None)
    p95 = next(metric for metric in one.latency if metric.name == "p95")
    checks = check_counts(one) if one.concluded(*PASSED, *FAILED) else NOT_MEASURED
    return (
        exporters.name(one.labels, "model"),
        cell(one.role),
        code(one.sha256) if one.sha256 else NOT_MEASURED,
        code(one.dataset),
        rate_text(one.false_positives),
        NOT_MEASURED if lowest is None else f"{cell(lowest.name)} {rate_text(lowest)}",
        p95.format(p95.value),
        checks,
    )


def _alerts(alerts: Sequence[Episode] | None, exporters: Exporters) -> list[str]:
    if alerts is None:
        return [f"{NOT_MEASURED.capitalize()}: written without Prometheus."]
    if not alerts:
        return ["None."]
    header = ("alert", "severity", "labels", "start", "end", "state")
    rows = [
        (
            linked(cell(one.name), exporters.runbook(one.name, one.labels)),
            cell(one.severity),
            cell(one.subject()),
            utc(one.started),
            "" if one.ended is None else utc(one.ended),
            cell(one.state),
        )
        for one in alerts
    ]
    return table(header, rows)


def _trends(trends: Sequence[Trends], stem: str) -> tuple[dict[str, str], list[str]]:
    """Return the charts by file name, and the lines of the document that show them."""
    charts: dict[str, str] = {}
    lines: list[str] = []
    for one in trends:
        names = [one.labels[name] for name in ("model", "dataset")]
        subject = " on ".join(names)
        if len({tuple(other.labels[name] for name in ("model", "dataset")) for other in trends}) < len(trends):
            names += target(one.labels)
            subject += f" ({' '.join(target(one.labels))})"
        for name, title, chart_of in _CHARTS:
            chart = chart_of(one, subject)
            if chart is None:
                lines += [f"{title} of {cell(subject)}: {NOT_MEASURED}.", ""]
                continue
            file = _file_name("_".join((stem, *names, name)))
            charts[file] = svg_file(chart)
            lines += [f"![{title} of {cell(subject)}]({file})", ""]
    return charts, lines[:-1] if lines else [f"{NOT_MEASURED.capitalize()}: Prometheus has no data."]


def _file_name(name: str) -> str:
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in name) + ".svg"
