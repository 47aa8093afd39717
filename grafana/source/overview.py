"""The Overview dashboard: health, alerts, rates with confidence intervals, and provenance of one model."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source import links
from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.health import HEALTH, HEALTH_STATES, WORST_FIRING
from grafana.source.limits import (
    DETECTIONS,
    FALSE_POSITIVES,
    FALSE_POSITIVES_SIGNIFICANT,
    HIGHLIGHT_ANY,
    LATENCY,
    STALE,
    STALE_INTERVALS,
)
from grafana.source.panels import PanelInfo, Query, line_chart, stat_panel, state_timeline
from grafana.source.queries import baseline_for, by, select
from grafana.source.shared_panels import (
    P95,
    checks_over_time,
    detection_by_method,
    detection_over_time,
    false_positives_over_time,
    images_per_second,
    latency_over_time,
    throughput_over_time,
)
from grafana.source.style import BAD, BLUE, WARNING, reference_line
from grafana.source.tables import FALSE_POSITIVE_RATE_WIDTH, FALSE_POSITIVES_WIDTH, Column, table_panel
from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.publish.families import accuracy, checks, latency, runs

_AGE = f"time() - {by('dataset', select(runs.EVALUATION_TIMESTAMP), 'min')}"
_AGE_IN_INTERVALS = f"({_AGE}) / {by('dataset', select(runs.EVALUATION_INTERVAL), 'max')}"

NO_ALERTS = "no alerts firing"


def overview_dashboard() -> DashboardBuilder:
    """Build the Overview dashboard."""
    builder = DashboardBuilder(
        "starlight-overview",
        "Starlight / Overview",
        "Health of the current model: firing alerts, rates with confidence intervals, latency, provenance, and "
        "history.",
    )
    builder.add(4, (5, _health()), (5, _false_positives()), (5, _lowest_detection_rate()), (5, _latency()), (4, _age()))
    # The alerts explain the health state above them.
    builder.add(7, (12, _alerts()), (12, _false_positive_intervals()))
    builder.add(8, (12, detection_by_method()), (9, _quantiles()), (3, images_per_second()))
    builder.add(5, (24, _provenance()))
    builder.row("History")
    builder.add(7, (12, _health_over_time()), (12, checks_over_time()))
    builder.add(8, (12, false_positives_over_time()), (12, detection_over_time()))
    builder.add(8, (8, latency_over_time()), (8, throughput_over_time()), (8, _age_over_time()))
    return builder


def _health() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Health of $model",
            "The most severe alert that fires for this model or for the monitoring stack. Red: click an alert in "
            "Firing alerts for its runbook. Not measured: there is no evaluation; see the dashboard Exporter.",
            "none",
        ),
        Query(HEALTH, "health"),
        states=HEALTH_STATES,
        show_name=False,
    )


def _false_positives() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "False positive rate",
            f"Clean images classified as stego. Orange from the target of {DEFAULT_LIMITS.fpr_target:.2%}: see the table "
            "below for the confidence interval and the images.",
            "percentunit",
            2,
        ),
        Query(by("dataset", select(accuracy.CLEAN.ratio), "max"), "{{dataset}}"),
        thresholds=FALSE_POSITIVES,
    )


def _lowest_detection_rate() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Lowest detection rate",
            "The method with the lowest detection rate. Orange up to the target of "
            f"{DEFAULT_LIMITS.detection_target:.0%}, red up to the floor of {DEFAULT_LIMITS.detection_floor:.0%}: inspect "
            "the "
            "missed images in Detection by method.",
            "percentunit",
            1,
        ),
        Query(
            f"bottomk by (dataset) (1, {by('dataset method', select(accuracy.STEGO.ratio), 'min')})",
            "{{dataset}}: {{method}}",
        ),
        thresholds=DETECTIONS,
    )


def _latency() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Latency p95",
            f"From file to verdict, one image at a time. Red from {DEFAULT_LIMITS.latency_limit * 1000:g} "
            "ms: see the stages on the dashboard Latency.",
            "s",
            1,
        ),
        Query(by("dataset", select(latency.LATENCY, quantile=P95), "max"), "{{dataset}}"),
        thresholds=LATENCY,
    )


def _age() -> stat.Panel:
    panel = stat_panel(
        PanelInfo(
            "Last evaluation",
            f"Age of the oldest results on this page, also in schedule intervals. Red above {STALE_INTERVALS:g} "
            "intervals: see the dashboard Exporter for failed evaluations.",
            "s",
            0,
        ),
        Query(f"max({_AGE})", "ago"),
        Query(f"max({_AGE_IN_INTERVALS})", "intervals"),
    )
    return panel.override_by_name(
        "intervals", Column("", expr="", unit="none", decimals=1, thresholds=STALE).properties()
    )


def _false_positive_intervals() -> table.Panel:
    clean = accuracy.CLEAN
    return table_panel(
        PanelInfo(
            "False positive rate with 95% CI",
            "Counts and exact 95% CI. Orange: the rate misses the target. Red lower bound: it is also statistically "
            "significant. Click a rate for the images, a dataset for its evaluation.",
            "none",
        ),
        Column("dataset", link=links.EVALUATION),
        Column(
            "false positive rate",
            by("dataset", select(clean.ratio), "max"),
            "percentunit",
            2,
            FALSE_POSITIVES,
            width=FALSE_POSITIVE_RATE_WIDTH,
            link=links.FALSE_POSITIVES,
        ),
        Column("95% CI low", by("dataset", select(clean.lower), "max"), "percentunit", 3, FALSE_POSITIVES_SIGNIFICANT),
        Column("95% CI high", by("dataset", select(clean.upper), "max"), "percentunit", 2),
        Column("false positives", by("dataset", select(clean.count)), "none", 0, width=FALSE_POSITIVES_WIDTH),
        Column("images", by("dataset", select(clean.total)), "none", 0),
        Column("covers", by("dataset", select(clean.covers)), "none", 0),
        Column("baseline", baseline_for(clean.total, checks.BASELINE_FALSE_POSITIVES, "dataset"), "percentunit", 2),
        Column(
            "target",
            f"0 * {by('dataset', select(clean.total))} + {DEFAULT_LIMITS.fpr_target}",
            "percentunit",
            2,
        ),
    )


def _alerts() -> table.Panel:
    labels = "severity alertname method dataset"
    since = f"ALERTS_FOR_STATE and ignoring (alertstate) {WORST_FIRING}"
    return table_panel(
        PanelInfo(
            "Firing alerts",
            "Alerts for this model or for the monitoring stack, critical first. Click a name for its runbook. Empty: "
            "no alerts are firing.",
            "none",
        ),
        Column("severity", width=75, text_colours={"critical": BAD, "warning": WARNING, "info": BLUE}),
        Column("alert", label="alertname", link=links.RUNBOOK),
        Column("method", width=70),
        Column("dataset", width=80),
        Column("since", f"{by(labels, since, 'min')} * 1000", "dateTimeFromNow", width=136),
        sort_by="severity",
        descending=False,
    ).no_value(NO_ALERTS)


def _quantiles() -> table.Panel:
    labels = "quantile dataset"
    return table_panel(
        PanelInfo(
            "Latency by quantile",
            "Exact quantiles of the last latency run with 95% CI; alerts compare p95 with its baseline and limit. "
            "Not measured: the sample is too small for p99 or a bound.",
            "none",
        ),
        Column("quantile", width=72),
        Column("dataset", width=90),
        Column("latency", by(labels, select(latency.LATENCY), "max"), "s", 1),
        Column("95% CI low", by(labels, select(latency.LATENCY_LOWER), "max"), "s", 1),
        Column("95% CI high", by(labels, select(latency.LATENCY_UPPER), "max"), "s", 1),
        Column("baseline", baseline_for(latency.LATENCY, checks.BASELINE_LATENCY, labels), "s", 1),
        sort_by="quantile",
        descending=False,
    )


def _provenance() -> table.Panel:
    labels = "dataset model_sha256 dataset_fingerprint decision"
    info = select(runs.EVALUATION_INFO)

    def joined(expr: str) -> str:
        return by(labels, f"{info} * on (model, dataset) group_left () {expr}", "max")

    return table_panel(
        PanelInfo(
            "Provenance",
            "Hashes of model file and dataset, and decision rule, of the last successful evaluation. Results on "
            "different datasets are not comparable. Images not measured are excluded from all rates; for the reasons "
            "see the dashboard Data.",
            "none",
        ),
        Column("dataset", width=110, link=links.EVALUATION),
        Column("model SHA-256", label="model_sha256", width=125),
        Column("dataset fingerprint", label="dataset_fingerprint", width=150),
        Column("decision"),
        Column(
            "evaluated",
            joined(f"{by('model dataset', select(runs.EVALUATION_TIMESTAMP), 'max')} * 1000"),
            "dateTimeFromNow",
            width=130,
        ),
        Column(
            "duration",
            joined(by("model dataset", select(runs.EVALUATION_DURATION), "max")),
            "s",
            1,
            width=110,
        ),
        Column(
            "not measured",
            joined(by("model dataset", select(accuracy.IMAGES_NOT_MEASURED))),
            "none",
            0,
            HIGHLIGHT_ANY,
            width=110,
        ),
    )


def _health_over_time() -> statetimeline.Panel:
    return state_timeline(
        PanelInfo(
            "Health over time",
            "History of the health state. A purple line marks a model change: if a red section begins right after "
            "one, the new model is the likely cause.",
            "none",
        ),
        Query(HEALTH, "health"),
        states=HEALTH_STATES,
    )


def _age_over_time() -> timeseries.Panel:
    panel = line_chart(
        PanelInfo(
            "Age of results",
            "Drops to zero at each evaluation. If a line keeps growing, evaluations fail; see the dashboard Exporter.",
            "s",
        ),
        Query(_AGE, "{{dataset}}"),
        Query(f"max({select(runs.EVALUATION_INTERVAL)})", "interval"),
    )
    return panel.override_by_name("interval", reference_line())
