"""One look at Prometheus (and Alertmanager): everything that the document shows, as of one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlight_exporter.checks.checks import CheckResult
from starlight_exporter.errors import MonitoringError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import utc
from starlight_exporter.markdown.alerts import Episode, recent_episodes, with_silences
from starlight_exporter.markdown.dashboard import Dashboard, build_dashboard
from starlight_exporter.markdown.history import DAY, WINDOWS, History, read_history
from starlight_exporter.markdown.prometheus import Prometheus
from starlight_exporter.markdown.samples import Samples, samples_of
from starlight_exporter.publish import metrics
from starlight_exporter.publish.metrics import Family, ProportionFamilies
from starlight_exporter.publish.snapshot import snapshot_of

_PROPORTIONS: tuple[ProportionFamilies, ...] = (
    metrics.CLEAN,
    metrics.CLEAN_BY_FORMAT,
    metrics.NEGATIVES,
    metrics.STEGO,
)
READ: tuple[Family, ...] = (
    metrics.MODEL_INFO,
    metrics.MODEL_FILE_INFO,
    metrics.EVALUATION_IN_PROGRESS,
    metrics.EVALUATION_INFO,
    metrics.EVALUATION_INTERVAL,
    metrics.EVALUATION_SPEED,
    metrics.EVALUATION_TIMESTAMP,
    metrics.REGRESSION_CHECK_PASSED,
    metrics.NOT_MEASURED,
    *(family for one in _PROPORTIONS for family in (one.total, one.count, one.ratio, one.lower, one.upper)),
    metrics.LATENCY,
    metrics.LATENCY_LOWER,
    metrics.LATENCY_UPPER,
    metrics.LATENCY_IMAGES,
    metrics.THROUGHPUT,
    metrics.BASELINE_FORMAT_FALSE_POSITIVES,
    metrics.DATASET_INFO,
    metrics.DATASET_IMAGES,
    metrics.DATASET_METHOD_SHARE,
    metrics.DATASET_ENTROPY,
    metrics.DATASET_ENTROPY_MAX,
    metrics.DATASET_DUPLICATES,
)
"""The families that the current figures are made of."""


@dataclass(frozen=True, slots=True)
class Trends:
    """The past of one model on one dataset."""

    labels: Mapping[str, str]
    history: History


@dataclass(frozen=True, slots=True)
class Links:
    """Base addresses of the exporter's pages and of the runbooks; None where Prometheus' configuration has none."""

    exporter: str | None = None
    runbooks: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the document is made of. `alerts` is None where nobody was asked; `remarks` are lines on what is missing."""

    source: str
    dashboard: Dashboard
    alerts: tuple[Episode, ...] | None
    trends: tuple[Trends, ...]
    links: Links
    remarks: tuple[str, ...]


def read(prometheus_url: str, alertmanager_url: str | None, *, now: float) -> Reading:
    """Ask for everything; MonitoringError where Prometheus gives no answer. Alertmanager's silence is a remark."""
    prometheus = Prometheus(prometheus_url)
    names = "|".join(family.name for family in READ)
    dashboard = build_dashboard(Samples(prometheus.instant(f'{{__name__=~"{names}"}}', at=now)), now=now)
    alerts = recent_episodes(prometheus, now=now)
    remarks = []
    if alertmanager_url is not None:
        try:
            alerts = with_silences(alerts, alertmanager_url)
        except MonitoringError:
            remarks.append("Alertmanager gives no answer: whether an alert is silenced or inhibited is not known.")
    current: list[tuple[Mapping[str, str], float | None]] = [
        (entry.labels, None if entry.overdue_since is not None else entry.evaluated_at) for entry in dashboard.subjects
    ]
    if not current:
        remarks.append("Prometheus has no current value of a production model: is the exporter up, and scraped?")
        for known_labels, at in _last_known(prometheus, now):
            known = f"`{known_labels['model']}` on `{known_labels['dataset']}`"
            remarks.append(f"The last evaluation that it knows of {known} ended {utc(at)}.")
            current.append((known_labels, None))
    trends = []
    for labels, until in current:
        history = read_history(prometheus, labels, current_until=until, now=now)
        if history is not None:
            trends.append(Trends(labels, history))
    external = prometheus.external_labels()
    return Reading(
        source="Prometheus",
        dashboard=dashboard,
        alerts=alerts,
        trends=tuple(trends),
        links=Links(external.get("exporter_url"), external.get("runbook_base")),
        remarks=tuple(remarks),
    )


def of_one_evaluation(evaluation: Evaluation, checks: tuple[CheckResult, ...]) -> Reading:
    """The same reading where there is no Prometheus, but one evaluation made by hand."""
    samples = samples_of(snapshot_of(evaluation, checks))
    return Reading(
        source="one evaluation made by hand",
        dashboard=build_dashboard(samples, now=evaluation.finished_at, about=evaluation.role),
        alerts=None,
        trends=(),
        links=Links(),
        remarks=(),
    )


def _last_known(prometheus: Prometheus, now: float) -> list[tuple[dict[str, str], float]]:
    """Labels and time of the last evaluation of each model on each dataset within the longest window."""
    newest = f"max_over_time({metrics.EVALUATION_TIMESTAMP.name}[{WINDOWS[-1] / DAY:g}d])"
    found = prometheus.instant(newest, at=now)
    kept = ("instance", "model", "dataset")
    return sorted(
        (({name: one.labels[name] for name in kept if name in one.labels}, one.value) for _, one in found),
        key=lambda pair: sorted(pair[0].items()),
    )
