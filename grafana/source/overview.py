"""Is the current model healthy, what changed, since when, where is it worst, and is the answer certain."""

from __future__ import annotations

from exporter.evaluation import regression
from exporter.publish import metrics
from grafana.source.board import EVIDENCE, Board
from grafana.source.panels import (
    Column,
    Look,
    Query,
    alert_list,
    bars,
    colour_methods,
    line_chart,
    rows,
    single_value,
    state_history,
)
from grafana.source.queries import by, select
from grafana.source.style import (
    BAD,
    DETECTIONS,
    FALSE_POSITIVES,
    GOOD,
    GREY,
    LATENCY,
    WARNING,
    reference_line,
    states,
)

HEALTH_STATES = states(
    healthy=(0, "healthy", GOOD),
    warning=(1, "warning", WARNING),
    critical=(2, "critical", BAD),
    blind=(3, "no exporter", GREY),
)


def _firing(severity: str) -> str:
    return f'(count(ALERTS{{alertname=~"Starlight.+",alertstate="firing",severity="{severity}"}}) > bool 0)'


HEALTH = (
    f'2 * {_firing("critical")} or {_firing("warning")} or (vector(0) and on () up{{job="starlight-exporter"}} == 1)'
    " or vector(3)"
)


def overview() -> Board:
    """The dashboard for the wall."""
    board = Board(
        "starlight-overview",
        "Starlight / Overview",
        "The production models at a glance, and their history with model changes and firing alerts.",
        models=f'{metrics.MODEL_INFO.name}{{role="production"}}',
    )
    fpr, detected = metrics.CLEAN, metrics.STEGO
    board.add(
        5,
        (
            4,
            single_value(
                Look("Health", "The worst alert that fires. When it is red, the alert list says why.", "none"),
                Query(HEALTH, "health"),
                thresholds=((None, GREY),),
                mappings=HEALTH_STATES,
                named=False,
            ),
        ),
        (
            5,
            single_value(
                Look(
                    "False positive rate",
                    "Clean images called stego. When it is red, it misses its target: open the misclassified images.",
                    "percentunit",
                    3,
                ),
                Query(by("model dataset", select(fpr.ratio), "max"), "{{model}} on {{dataset}}"),
                thresholds=FALSE_POSITIVES,
                trend=True,
            ),
        ),
        (
            5,
            single_value(
                Look(
                    "Worst method",
                    "The method with the lowest detection rate. When it is red, it is below the floor: see Detection.",
                    "percentunit",
                    2,
                ),
                Query(f"bottomk by (model, dataset) (1, {select(detected.ratio)})", "{{method}}, {{dataset}}"),
                thresholds=DETECTIONS,
            ),
        ),
        (
            5,
            single_value(
                Look(
                    "Latency p95",
                    "File bytes to verdict, one image at a time. When it is red: see Latency.",
                    "s",
                    2,
                ),
                Query(by("model dataset", select(metrics.LATENCY, quantile="0.95"), "max"), "{{model}} on {{dataset}}"),
                thresholds=LATENCY,
                trend=True,
            ),
        ),
        (
            5,
            single_value(
                Look(
                    "Last evaluation",
                    "Time since the last complete evaluation. Older than twice its interval is stale: see Exporter.",
                    "s",
                    0,
                ),
                Query(
                    f"time() - {by('model dataset', select(metrics.EVALUATION_TIMESTAMP), 'max')}",
                    "{{model}} on {{dataset}}",
                ),
                thresholds=((None, GOOD),),
            ),
        ),
    )
    board.add(
        8,
        (
            9,
            bars(
                Look(
                    "Detection by method",
                    "Orange is below the target, red at or below the floor: look at the missed images.",
                    "percentunit",
                    2,
                ),
                Query(by("method", select(detected.ratio), "min"), "{{method}}"),
                thresholds=DETECTIONS,
                minimum=0,
                maximum=1,
            ),
        ),
        (8, alert_list(Look("Alerts", "Pending and firing alerts; each links to its runbook and evidence.", ""))),
        (
            7,
            rows(
                Look(
                    "Detection against baseline",
                    "Measured rate and what the baseline promises. Below 95 % of it, an alert fires.",
                    "percentunit",
                    2,
                ),
                Column("method"),
                Column("measured", by("method", select(detected.ratio), "min"), "percentunit", 2, DETECTIONS),
                Column("baseline", by("method", select(metrics.BASELINE_DETECTIONS), "max"), "percentunit", 2),
            ),
        ),
    )
    board.add(
        6,
        (
            24,
            rows(
                Look(
                    "Is the answer certain",
                    "Counts and the exact 95 % interval. The target is confirmed where the upper bound is below it;"
                    " it takes thousands of clean images to tell.",
                    "",
                ),
                Column("model"),
                Column("dataset"),
                Column("false positives", by("model dataset", select(fpr.count)), "none", 0, link=EVIDENCE),
                Column("clean images", by("model dataset", select(fpr.total)), "none", 0),
                Column("rate", by("model dataset", select(fpr.ratio)), "percentunit", 3, FALSE_POSITIVES),
                Column("lower", by("model dataset", select(fpr.lower)), "percentunit", 3),
                Column("upper", by("model dataset", select(fpr.upper)), "percentunit", 3),
                Column("throughput", by("model dataset", select(metrics.THROUGHPUT)), "none", 0),
                Column("not measured", by("model dataset", select(metrics.NOT_MEASURED)), "none", 0),
            ),
        ),
    )
    board.add(
        5,
        (
            24,
            rows(
                Look(
                    "Provenance",
                    "What every number here was measured with: hashes of model and data, and the rule.",
                    "",
                ),
                Column("model"),
                Column("dataset"),
                Column("model_sha256"),
                Column("dataset_fingerprint"),
                Column("decision"),
                Column(
                    "evaluated",
                    by(
                        "model dataset model_sha256 dataset_fingerprint decision",
                        f"{select(metrics.EVALUATION_INFO)} * on (model, dataset) group_left () "
                        f"{select(metrics.EVALUATION_TIMESTAMP)} * 1000",
                        "max",
                    ),
                    "dateTimeAsIso",
                ),
            ),
        ),
    )
    board.row("History")
    fpr_chart = line_chart(
        Look(
            "False positive rate",
            "The rate, its exact 95 % interval (dashed) and the target. Steps at a model change are the new model's.",
            "percentunit",
            3,
        ),
        Query(by("model dataset", select(fpr.ratio), "max"), "{{model}} on {{dataset}}"),
        Query(by("model dataset", select(fpr.lower), "max"), "lower, {{dataset}}"),
        Query(by("model dataset", select(fpr.upper), "max"), "upper, {{dataset}}"),
        Query(by("model", select(metrics.BASELINE_FALSE_POSITIVES), "max"), "baseline of {{model}}"),
        Query(f"vector({regression.FPR_TARGET})", "target"),
    )
    fpr_chart = fpr_chart.override_by_regexp("/^(lower|upper|baseline)/", reference_line())
    fpr_chart = fpr_chart.override_by_name("target", reference_line(BAD))
    detection_chart = colour_methods(
        line_chart(
            Look(
                "Detection by method",
                "Lowest rate of each method over the chosen models and datasets.",
                "percentunit",
                2,
            ),
            Query(by("method", select(detected.ratio), "min"), "{{method}}"),
            Query(f"vector({regression.DETECTION_FLOOR})", "floor"),
            Query(f"vector({regression.DETECTION_TARGET})", "target"),
            minimum=None,
            maximum=1,
        )
    )
    detection_chart = detection_chart.override_by_name("floor", reference_line(BAD))
    detection_chart = detection_chart.override_by_name("target", reference_line())
    board.add(9, (12, fpr_chart), (12, detection_chart))
    latency_chart = line_chart(
        Look("Latency", "Quantiles of the last latency run, and the limit of p95.", "s", 2),
        Query(by("quantile", select(metrics.LATENCY), "max"), "quantile {{quantile}}"),
        Query(f"vector({regression.LATENCY_LIMIT_SECONDS})", "limit"),
    ).override_by_name("limit", reference_line(BAD))
    board.add(
        8,
        (8, latency_chart),
        (
            8,
            line_chart(
                Look(
                    "Throughput", "Images per second, one at a time (latency run) and in bulk on all cores.", "none", 0
                ),
                Query(by("model dataset", select(metrics.THROUGHPUT), "max"), "one at a time, {{dataset}}"),
                Query(by("model dataset", select(metrics.EVALUATION_SPEED), "max"), "in bulk, {{dataset}}"),
            ),
        ),
        (
            8,
            state_history(
                Look("Health", "The worst firing alert over time.", "none"),
                Query(HEALTH, "health"),
                mappings=HEALTH_STATES,
            ),
        ),
    )
    return board
