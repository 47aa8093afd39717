"""The Overview dashboard: health, alerts, rates with confidence intervals, and provenance of one model."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source import links
from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.health import FIRING_SINCE, HEALTH, HEALTH_STATES
from grafana.source.limits import HIGHLIGHT_ANY, STALE, STALE_INTERVALS
from grafana.source.panels import PanelInfo, Query, line_chart, stat_panel, state_timeline
from grafana.source.provisional import provisional_results
from grafana.source.queries import by, select
from grafana.source.result_columns import limit_column, result_column
from grafana.source.shared_panels import (
    P95,
    check_results,
    checks_over_time,
    detection_by_method,
    detection_over_time,
    false_positives_over_time,
    images_per_second,
    latency_over_time,
    throughput_over_time,
    value_with_result,
)
from grafana.source.style import BAD, BLUE, UNKNOWN, WARNING, reference_line
from grafana.source.tables import FALSE_POSITIVE_RATE_WIDTH, FALSE_POSITIVES_WIDTH, Column, table_panel
from starlight_exporter.publish.families import accuracy, checks, data, latency, runs

_AGE = f"time() - {by('dataset', select(runs.EVALUATION_TIMESTAMP), 'min')}"
_AGE_IN_INTERVALS = f"({_AGE}) / {by('dataset', select(runs.EVALUATION_INTERVAL), 'max')}"

_ALERTS = {0: ("no", UNKNOWN), 1: ("yes", BLUE)}

NO_ALERTS = "no alerts firing"


def overview_dashboard() -> DashboardBuilder:
    """Build the Overview dashboard."""
    builder = DashboardBuilder(
        "starlight-overview",
        "Starlight / Overview",
        "Health of the current model: firing alerts, rates with confidence intervals, latency, provenance, and "
        "history.",
    )
    builder.add(4, (4, _health()), (6, _false_positives()), (6, _lowest_detection_rate()), (4, _latency()), (4, _age()))
    # The alerts explain the health state above them, the checks explain the alerts.
    builder.add(10, (11, _alerts()), (13, check_results()))
    builder.add(5, (20, _false_positive_intervals()), (4, images_per_second()))
    builder.add(8, (15, detection_by_method()), (9, _quantiles()))
    builder.add(5, (24, _provenance()))
    builder.add(4, (24, provisional_results()))
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
    return value_with_result(
        PanelInfo(
            "False positive rate",
            "Clean images classified as stego, and the worst result of its checks against target and baseline. Orange "
            "or red: see the table below for the confidence interval and the images.",
            "percentunit",
            2,
        ),
        Query(by("dataset", select(accuracy.CLEAN.ratio), "max"), "{{dataset}}"),
        "fpr_.+",
    )


def _lowest_detection_rate() -> stat.Panel:
    return value_with_result(
        PanelInfo(
            "Lowest detection rate",
            "The method with the lowest detection rate, and the worst result of all methods. Orange or red: inspect "
            "the missed images in Detection by method.",
            "percentunit",
            1,
        ),
        Query(
            f"bottomk by (dataset) (1, {by('dataset method', select(accuracy.STEGO.ratio), 'min')})",
            "{{dataset}}: {{method}}",
        ),
        "detection_.+",
    )


def _latency() -> stat.Panel:
    return value_with_result(
        PanelInfo(
            "Latency p95",
            "From file to verdict, one image at a time, and the worst result of its checks against limit and baseline. "
            "Orange or red: see the ratio to the baseline on the dashboard Latency.",
            "s",
            1,
        ),
        Query(by("dataset", select(latency.LATENCY, quantile=P95), "max"), "{{dataset}}"),
        "latency_.+",
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
            "Counts, covers and exact 95% CI, with the baseline on the same images. Result: the worst of the checks "
            "against target and baseline. Click a rate for the images, a dataset for its evaluation.",
            "none",
        ),
        Column("dataset", link=links.EVALUATION),
        Column(
            "false positive rate",
            by("dataset", select(clean.ratio), "max"),
            "percentunit",
            2,
            width=FALSE_POSITIVE_RATE_WIDTH,
            link=links.FALSE_POSITIVES,
        ),
        Column("95% CI low", by("dataset", select(clean.lower), "max"), "percentunit", 3),
        Column("95% CI high", by("dataset", select(clean.upper), "max"), "percentunit", 2),
        Column("false positives", by("dataset", select(clean.count)), "none", 0, width=FALSE_POSITIVES_WIDTH),
        Column("images", by("dataset", select(clean.total)), "none", 0),
        Column("covers", by("dataset", select(clean.covers)), "none", 0),
        Column(
            "baseline", by("dataset", select(checks.BASELINE_FALSE_POSITIVES), "max"), "percentunit", 2, no_value="–"
        ),
        limit_column("dataset", "fpr_target", title="target"),
        result_column("dataset", "fpr_.+"),
    )


def _alerts() -> table.Panel:
    labels = "severity alertname method dataset"
    return table_panel(
        PanelInfo(
            "Firing alerts",
            "Alerts for this model or for the monitoring stack, critical first. Click a name for its runbook. Empty: "
            "no alerts are firing.",
            "none",
        ),
        Column("severity", width=68, text_colours={"critical": BAD, "warning": WARNING, "info": BLUE}),
        Column("alert", label="alertname", link=links.RUNBOOK),
        Column("method", width=62),
        Column("dataset", width=76),
        Column("since", f"{by(labels, FIRING_SINCE, 'min')} * 1000", "dateTimeFromNow", width=124),
        sort_by="severity",
        descending=False,
    ).no_value(NO_ALERTS)


def _quantiles() -> table.Panel:
    labels = "quantile dataset"
    return table_panel(
        PanelInfo(
            "Latency by quantile",
            "Exact quantiles of the last latency run with 95% CI, and those of the baseline in its own run; for the "
            "ratio in one run see the dashboard Latency. Not measured: the sample is too small for p99 or a bound.",
            "none",
        ),
        Column("quantile", width=66),
        Column("dataset"),
        Column("latency", by(labels, select(latency.LATENCY), "max"), "s", 1, width=70),
        Column("95% CI low", by(labels, select(latency.LATENCY_LOWER), "max"), "s", 1, width=90),
        Column("95% CI high", by(labels, select(latency.LATENCY_UPPER), "max"), "s", 1, width=98),
        Column("baseline", by(labels, select(checks.BASELINE_LATENCY), "max"), "s", 1, no_value="–", width=76),
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
            "different datasets are not comparable. Alerts: whether failed checks on the dataset alert. Images not "
            "measured are excluded from all rates; for the reasons see the dashboard Data.",
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
        Column(
            "alerts",
            by(
                labels,
                f"{info} * on (dataset) group_left () {by('dataset', select(data.DATASET_ALERTS), 'max')}",
                "max",
            ),
            "none",
            states=_ALERTS,
            width=75,
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
