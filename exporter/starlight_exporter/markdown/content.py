"""Collect the content of the document from Prometheus and Alertmanager, or from one evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.errors import ConfigError, MonitoringError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import utc
from starlight_exporter.http_client_config import Endpoint
from starlight_exporter.markdown.alerts import Episode, recent_episodes, with_silences
from starlight_exporter.markdown.dashboard import build_dashboard
from starlight_exporter.markdown.exporters import Exporters, exporters_of
from starlight_exporter.markdown.prometheus import Prometheus
from starlight_exporter.markdown.samples import Samples, samples_of
from starlight_exporter.markdown.trends import DAY, WINDOWS, Trends, query_trends
from starlight_exporter.markdown.unlabelled import QUERIED as UNLABELLED_FAMILIES
from starlight_exporter.markdown.values import Dashboard
from starlight_exporter.publish.families import accuracy, checks, data, exporter, latency, models, runs
from starlight_exporter.publish.families.family import Family, ProportionFamilies
from starlight_exporter.publish.snapshot import snapshot_of

_PROPORTIONS: tuple[ProportionFamilies, ...] = (
    accuracy.CLEAN,
    accuracy.CLEAN_BY_FORMAT,
    accuracy.NEGATIVES,
    accuracy.STEGO,
)
QUERIED_FAMILIES: tuple[Family, ...] = (
    exporter.BUILD_INFO,
    models.MODEL_INFO,
    models.MODEL_FILE_INFO,
    runs.EVALUATION_IN_PROGRESS,
    runs.EVALUATION_INFO,
    runs.EVALUATION_INTERVAL,
    runs.EVALUATION_SPEED,
    runs.EVALUATION_TIMESTAMP,
    checks.CHECK_LIMIT,
    checks.REGRESSION_CHECK_PASSED,
    checks.REGRESSION_CHECK_CONCLUSIVE,
    checks.REGRESSION_CHECK_SIGNIFICANT,
    checks.REGRESSION_CHECK_P_VALUE,
    checks.REGRESSION_CHECK_UNAVAILABLE,
    checks.REGRESSION_CHECK_PAIRED,
    checks.CHECK_ALERTS,
    checks.BASELINE_FALSE_POSITIVES,
    checks.BASELINE_FORMAT_FALSE_POSITIVES,
    checks.BASELINE_DETECTIONS,
    checks.BASELINE_LATENCY,
    accuracy.IMAGES_NOT_MEASURED,
    *(family for one in _PROPORTIONS for family in (one.total, one.covers, one.count, one.ratio, one.lower, one.upper)),
    latency.LATENCY,
    latency.LATENCY_LOWER,
    latency.LATENCY_UPPER,
    latency.LATENCY_IMAGES,
    latency.THROUGHPUT,
    latency.BASELINE_RATIO,
    latency.BASELINE_RATIO_LOWER,
    latency.CONTENTION,
    data.DATASET_ALERTS,
    data.DATASET_INFO,
    data.DATASET_LABELLED,
    data.DATASET_IMAGES,
    data.DATASET_METHOD_SHARE,
    data.DATASET_ENTROPY,
    data.DATASET_ENTROPY_MAX,
    data.DATASET_DUPLICATES,
    *UNLABELLED_FAMILIES,
)
"""The families of the current values."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of the document. `alerts` is None without Prometheus; `warnings` report unavailable data."""

    source: str
    dashboard: Dashboard
    alerts: tuple[Episode, ...] | None
    trends: tuple[Trends, ...]
    exporters: Exporters
    warnings: tuple[str, ...]


def query_content(server: Endpoint, alertmanager: Endpoint | None, *, now: float) -> Content:
    """Query Prometheus and Alertmanager. MonitoringError without Prometheus; a warning without Alertmanager."""
    prometheus = Prometheus(server.url, server.client())
    names = "|".join(family.name for family in QUERIED_FAMILIES)
    samples = Samples(prometheus.instant(f'{{__name__=~"{names}"}}', at=now))
    dashboard = build_dashboard(samples, now=now)
    alerts = recent_episodes(prometheus, now=now)
    warnings = []
    if alertmanager is not None:
        try:
            alerts = with_silences(alerts, alertmanager)
        except MonitoringError:
            warnings.append("Alertmanager is unavailable: silenced and inhibited alerts are not marked.")
        except ConfigError as error:
            warnings.append(f"Silenced and inhibited alerts are not marked: {error}.")
    shown: list[tuple[Mapping[str, str], float | None]] = [
        (entry.labels, None if entry.overdue_since is not None else entry.evaluated_at)
        for entry in dashboard.production
    ]
    if not shown:
        warnings.append("Prometheus has no current value of a production model. Check that the exporter is scraped.")
        for labels, at in _last_evaluations(prometheus, now):
            name = f"`{labels['model']}` on `{labels['dataset']}`"
            warnings.append(f"The last evaluation of {name} in Prometheus ended {utc(at)}.")
            shown.append((labels, None))
    trends = (query_trends(prometheus, labels, current_until=until, now=now) for labels, until in shown)
    return Content(
        source="Prometheus",
        dashboard=dashboard,
        alerts=alerts,
        trends=tuple(one for one in trends if one is not None),
        exporters=exporters_of(samples),
        warnings=tuple(warnings),
    )


def evaluation_content(
    evaluation: Evaluation, checks: tuple[CheckResult, ...], basis: CheckBasis | None = None
) -> Content:
    """Return the content for a single evaluation without Prometheus; `basis` has the values of the baseline."""
    samples = samples_of(snapshot_of(evaluation, checks, basis))
    return Content(
        source="a single evaluation",
        dashboard=build_dashboard(samples, now=evaluation.finished_at, role=evaluation.role),
        alerts=None,
        trends=(),
        exporters=Exporters(),
        warnings=(),
    )


def _last_evaluations(prometheus: Prometheus, now: float) -> list[tuple[dict[str, str], float]]:
    """Return labels and time of the last evaluation of each model on each dataset within the longest window."""
    newest = f"max_over_time({runs.EVALUATION_TIMESTAMP.name}[{WINDOWS[-1] / DAY:g}d])"
    found = prometheus.instant(newest, at=now)
    kept = ("job", "instance", "model", "dataset")
    return sorted(
        (({name: one.labels[name] for name in kept if name in one.labels}, one.value) for _, one in found),
        key=lambda pair: sorted(pair[0].items()),
    )
