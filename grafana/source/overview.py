"""Is the current model healthy, what changed, since when, where is it worst, and is the answer certain."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source import evidence
from grafana.source.board import Board
from grafana.source.health import HEALTH, MEANINGS, WORST_FIRING
from grafana.source.limits import (
    DETECTIONS,
    FALSE_POSITIVES,
    FALSE_POSITIVES_CERTAIN,
    LATENCY,
    MARKED,
    STALE,
    STALE_INTERVALS,
)
from grafana.source.panels import Look, Query, line_chart, single_value, state_history
from grafana.source.queries import against, by, select
from grafana.source.shared import (
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
from grafana.source.tables import Column, rows
from starlight_exporter.checks import limits as check_limits
from starlight_exporter.publish import metrics

_AGE = f"time() - {by('dataset', select(metrics.EVALUATION_TIMESTAMP), 'min')}"
_AGE_IN_INTERVALS = f"({_AGE}) / {by('dataset', select(metrics.EVALUATION_INTERVAL), 'max')}"

NOTHING_FIRES = "nothing fires"


def overview() -> Board:
    """The dashboard for the wall."""
    board = Board(
        "starlight-overview",
        "Starlight / Overview",
        "Is the current model healthy, what changed, since when, where is it worst, and is the answer certain.",
    )
    board.add(4, (5, _health()), (5, _false_positives()), (5, _worst_method()), (5, _latency()), (4, _age()))
    # The reasons of the word above stand right below it.
    board.add(7, (12, _alerts()), (12, _certainty()))
    board.add(8, (12, detection_by_method()), (9, _quantiles()), (3, images_per_second()))
    board.add(5, (24, _provenance()))
    board.row("History")
    board.add(7, (12, _health_over_time()), (12, checks_over_time()))
    board.add(8, (12, false_positives_over_time()), (12, detection_over_time()))
    board.add(8, (8, latency_over_time()), (8, throughput_over_time()), (8, _age_over_time()))
    return board


def _health() -> stat.Panel:
    return single_value(
        Look(
            "Health of $model",
            "The worst alert that fires for this model or for the stack itself. Red: click the alert's name in Firing"
            " alerts for its runbook. Not measured: there is no evaluation; see the dashboard Exporter.",
            "none",
        ),
        Query(HEALTH, "health"),
        meanings=MEANINGS,
        named=False,
    )


def _false_positives() -> stat.Panel:
    return single_value(
        Look(
            "False positive rate",
            f"Clean images taken for stego. Orange from the target of {check_limits.FPR_TARGET:.2%} on: the table "
            "below says whether chance explains it, and leads to the images.",
            "percentunit",
            2,
        ),
        Query(by("dataset", select(metrics.CLEAN.ratio), "max"), "{{dataset}}"),
        thresholds=FALSE_POSITIVES,
    )


def _worst_method() -> stat.Panel:
    return single_value(
        Look(
            "Worst method",
            f"The method that is found least. Orange up to the target of {check_limits.DETECTION_TARGET:.0%}, red up "
            f"to the floor of {check_limits.DETECTION_FLOOR:.0%}: look at the missed images in Detection by method.",
            "percentunit",
            1,
        ),
        Query(
            f"bottomk by (dataset) (1, {by('dataset method', select(metrics.STEGO.ratio), 'min')})",
            "{{dataset}}: {{method}}",
        ),
        thresholds=DETECTIONS,
    )


def _latency() -> stat.Panel:
    return single_value(
        Look(
            "Latency p95",
            f"From file bytes to verdict, one image at a time. Red from {check_limits.LATENCY_LIMIT_SECONDS * 1000:g} "
            "ms on: see the dashboard Latency for the stage that grew.",
            "s",
            1,
        ),
        Query(by("dataset", select(metrics.LATENCY, quantile=P95), "max"), "{{dataset}}"),
        thresholds=LATENCY,
    )


def _age() -> stat.Panel:
    panel = single_value(
        Look(
            "Last evaluation",
            f"How old the oldest numbers here are, and in intervals of the schedule. Red above {STALE_INTERVALS:g} "
            "intervals: the dashboard Exporter shows which runs fail.",
            "s",
            0,
        ),
        Query(f"max({_AGE})", "ago"),
        Query(f"max({_AGE_IN_INTERVALS})", "intervals"),
    )
    return panel.override_by_name(
        "intervals", Column("", expr="", unit="none", decimals=1, thresholds=STALE).properties()
    )


def _certainty() -> table.Panel:
    clean = metrics.CLEAN
    return rows(
        Look(
            "False positives, and how certain that is",
            "Counts and the exact 95 % interval. A rate from the target on is orange; only where the lower end of "
            "the interval is red too does chance not explain it. Click a rate for the images, a dataset for its "
            "evaluation.",
            "none",
        ),
        Column("dataset", link=evidence.EVALUATION),
        Column(
            "rate",
            by("dataset", select(clean.ratio), "max"),
            "percentunit",
            2,
            FALSE_POSITIVES,
            link=evidence.FALSE_POSITIVES,
        ),
        Column("at least", by("dataset", select(clean.lower), "max"), "percentunit", 3, FALSE_POSITIVES_CERTAIN),
        Column("at most", by("dataset", select(clean.upper), "max"), "percentunit", 2),
        Column("wrong", by("dataset", select(clean.count)), "none", 0),
        Column("of images", by("dataset", select(clean.total)), "none", 0),
        Column("baseline", against(clean.total, metrics.BASELINE_FALSE_POSITIVES, "dataset"), "percentunit", 2),
        Column("target", f"0 * {by('dataset', select(clean.total))} + {check_limits.FPR_TARGET}", "percentunit", 2),
    )


def _alerts() -> table.Panel:
    labels = "severity alertname method dataset"
    since = f"ALERTS_FOR_STATE and ignoring (alertstate) {WORST_FIRING}"
    return rows(
        Look(
            "Firing alerts",
            "What fires now for this model or for the stack itself, critical first, with the method that it is about. "
            "Click a name for its runbook. Empty: nothing fires.",
            "none",
        ),
        Column("severity", width=75, named_colours={"critical": BAD, "warning": WARNING, "info": BLUE}),
        Column("alert", label="alertname", link=evidence.RUNBOOK),
        Column("method", width=70),
        Column("dataset", width=80),
        Column("since", f"{by(labels, since, 'min')} * 1000", "dateTimeFromNow", width=136),
        sort_by="severity",
        descending=False,
    ).no_value(NOTHING_FIRES)


def _quantiles() -> table.Panel:
    labels = "quantile dataset"
    return rows(
        Look(
            "Latency by quantile",
            "Exact quantiles of the last latency run with their 95 % intervals; alerts compare p95 with its "
            "baseline and its limit. An end of an interval, or a p99, that the sample is too small for is not "
            "measured.",
            "none",
        ),
        Column("quantile", width=72),
        Column("dataset", width=90),
        Column("time", by(labels, select(metrics.LATENCY), "max"), "s", 1),
        Column("at least", by(labels, select(metrics.LATENCY_LOWER), "max"), "s", 1),
        Column("at most", by(labels, select(metrics.LATENCY_UPPER), "max"), "s", 1),
        Column("baseline", against(metrics.LATENCY, metrics.BASELINE_LATENCY, labels), "s", 1),
        sort_by="quantile",
        descending=False,
    )


def _provenance() -> table.Panel:
    labels = "dataset model_sha256 dataset_fingerprint decision"
    info = select(metrics.EVALUATION_INFO)

    def beside(expr: str) -> str:
        return by(labels, f"{info} * on (model, dataset) group_left () {expr}", "max")

    return rows(
        Look(
            "Where these numbers come from",
            "Model file and data of the last complete evaluation, by their hashes, and the decision rule. Results "
            "on different data are not comparable. Images not measured are in no rate: their reasons stand in the "
            "dashboard Data.",
            "none",
        ),
        Column("dataset", width=110, link=evidence.EVALUATION),
        Column("model file", label="model_sha256", width=125),
        Column("data", label="dataset_fingerprint", width=125),
        Column("decision"),
        Column(
            "evaluated",
            beside(f"{by('model dataset', select(metrics.EVALUATION_TIMESTAMP), 'max')} * 1000"),
            "dateTimeFromNow",
            width=130,
        ),
        Column(
            "measured in", beside(by("model dataset", select(metrics.EVALUATION_DURATION), "max")), "s", 1, width=110
        ),
        Column(
            "not measured",
            beside(by("model dataset", select(metrics.NOT_MEASURED))),
            "none",
            0,
            MARKED,
            width=110,
        ),
    )


def _health_over_time() -> statetimeline.Panel:
    return state_history(
        Look(
            "Health over time",
            "The state above, over time. Where a red stretch begins, its cause does: a purple line just before it "
            "is a new model.",
            "none",
        ),
        Query(HEALTH, "health"),
        meanings=MEANINGS,
    )


def _age_over_time() -> timeseries.Panel:
    panel = line_chart(
        Look(
            "Age of the results",
            "Falls to zero at each evaluation. A line that keeps growing: runs fail; see the dashboard Exporter.",
            "s",
        ),
        Query(_AGE, "{{dataset}}"),
        Query(f"max({select(metrics.EVALUATION_INTERVAL)})", "interval"),
    )
    return panel.override_by_name("interval", reference_line())
