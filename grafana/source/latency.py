"""How long one image takes, in which stage, and whether that is still within baseline and limit."""

from __future__ import annotations

from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries

from grafana.source.board import Board
from grafana.source.limits import LATENCY, NEUTRAL, fails_above
from grafana.source.panels import Look, Query, histogram_over_time, line_chart, single_value
from grafana.source.queries import against, by, select
from grafana.source.shared import P95, images_per_second, latency_over_time, throughput_over_time
from grafana.source.style import BAD, QUANTILE_COLOURS, STAGE_COLOURS, YELLOW, reference_line
from grafana.source.tables import Column, rows
from starlight_exporter.checks import limits as check_limits
from starlight_exporter.evaluation.results import STAGES
from starlight_exporter.publish import metrics

# Recorded in prometheus/rules/recording.yml: a latency run lasts seconds and comes every few minutes, so that shorter
# windows would be empty most of the time. An hour without a run gives no number, which `> 0` leaves out.
_BUCKETS = 'model_stage_le:starlight_inference_duration_seconds_bucket:increase1h{model=~"$model",stage="total"}'
_POOLED = 'model_stage:starlight_inference_duration_seconds:%s_%s{model=~"$model",stage="total"}'
_PARTS = "|".join(stage for stage in STAGES if stage != "total")


def latency() -> Board:
    """Heatmap, quantiles, stages and throughput."""
    board = Board(
        "starlight-latency",
        "Starlight / Latency",
        "One image at a time, from file bytes to verdict: distribution, quantiles, stages, throughput.",
    )
    board.add(4, *((5, _quantile(name)) for name in QUANTILE_COLOURS), (5, images_per_second()), (4, _sample()))
    board.add(9, (14, _heat()), (10, _against_baseline()))
    board.row("Over time")
    board.add(9, (12, latency_over_time()), (12, _p95()))
    board.add(8, (8, _stages()), (8, throughput_over_time()), (8, _pooled()))
    return board


def _quantile(name: str) -> stat.Panel:
    quantile = f"{float(name[1:]) / 100:g}"
    limited = quantile == P95
    of_limit = (
        f" Red from the limit of {check_limits.LATENCY_LIMIT_SECONDS * 1000:g} ms on: what else ran, then the stages."
    )
    return single_value(
        Look(
            f"Latency {name}",
            f"Exact, of the last latency run.{of_limit if limited else ' Only p95 has a limit.'}",
            "s",
            1,
        ),
        Query(by("dataset", select(metrics.LATENCY, quantile=quantile), "max"), "{{dataset}}"),
        thresholds=LATENCY if limited else NEUTRAL,
    )


def _sample() -> stat.Panel:
    return single_value(
        Look(
            "Images timed",
            "Sample of the last latency run. Below about 300 there is no p99: it is not measured, not zero.",
            "none",
            0,
        ),
        Query(by("dataset", select(metrics.LATENCY_IMAGES), "max"), "{{dataset}}"),
    )


def _heat() -> heatmap.Panel:
    return histogram_over_time(
        Look(
            "Time per image",
            "Timings of the hour before each moment, all datasets. A second band: two kinds of images, or a "
            "disturbed machine; after a new model both bands show for an hour.",
            "s",
        ),
        Query(by("le", _BUCKETS), "{{le}}"),
    )


def _against_baseline() -> table.Panel:
    labels = "quantile dataset"
    baseline = against(metrics.LATENCY, metrics.BASELINE_LATENCY, labels)
    return rows(
        Look(
            "Against the baseline",
            "The last latency run, its 95 % interval and the baseline. Red above "
            f"{check_limits.LATENCY_BASELINE_FACTOR:g} times the baseline, which for p95 is an alert. A baseline of "
            "another machine says nothing: record one here.",
            "none",
        ),
        Column("quantile", width=80),
        Column("dataset"),
        Column("time", by(labels, select(metrics.LATENCY), "max"), "s", 1),
        Column("at least", by(labels, select(metrics.LATENCY_LOWER), "max"), "s", 1),
        Column("at most", by(labels, select(metrics.LATENCY_UPPER), "max"), "s", 1),
        Column("baseline", baseline, "s", 1),
        Column(
            "times",
            f"{by(labels, select(metrics.LATENCY), 'max')} / {baseline}",
            "none",
            2,
            fails_above(check_limits.LATENCY_BASELINE_FACTOR),
        ),
        sort_by="quantile",
        descending=False,
    )


def _p95() -> timeseries.Panel:
    promised = by("model", select(metrics.BASELINE_LATENCY, quantile=P95), "max")
    panel = line_chart(
        Look(
            "p95 by dataset",
            "Exact p95 of each run with its 95 % interval (grey), what the baseline allows (yellow) and the limit "
            "(red). Only an interval that is past a line as a whole is more than chance.",
            "s",
        ),
        Query(by("dataset", select(metrics.LATENCY, quantile=P95), "max"), "{{dataset}}"),
        Query(by("dataset", select(metrics.LATENCY_LOWER, quantile=P95), "max"), "at least, {{dataset}}"),
        Query(by("dataset", select(metrics.LATENCY_UPPER, quantile=P95), "max"), "at most, {{dataset}}"),
        Query(f"{promised} * {check_limits.LATENCY_BASELINE_FACTOR}", "allowed by the baseline"),
        Query(f"vector({check_limits.LATENCY_LIMIT_SECONDS})", "limit"),
    )
    panel = panel.override_by_regexp("/^at (least|most)/", reference_line())
    panel = panel.override_by_name("allowed by the baseline", reference_line(YELLOW))
    return panel.override_by_name("limit", reference_line(BAD))


def _stages() -> timeseries.Panel:
    def per_stage(suffix: str) -> str:
        return f"sum by (stage) (increase({select(metrics.INFERENCE_DURATION, suffix, stage=f'~{_PARTS}')}[1h]))"

    return line_chart(
        Look(
            "Mean time by stage",
            "Where the time goes, over the hour before. Read and decode grow with the images, inference with the "
            "model.",
            "s",
        ),
        Query(f"{per_stage('_sum')} / ({per_stage('_count')} > 0)", "{{stage}}"),
        colours=STAGE_COLOURS,
        stacked=True,
    )


def _pooled() -> timeseries.Panel:
    return line_chart(
        Look(
            "Quantiles of the last hour and day",
            "From the histogram, over all datasets: coarser than the exact ones (buckets are 10 % apart) and slower "
            "to move. The day (dashed) shows a drift that single runs hide.",
            "s",
        ),
        *(Query(_POOLED % (name, "1h") + " > 0", name) for name in QUANTILE_COLOURS),
        *(Query(_POOLED % (name, "1d") + " > 0", f"day, {name}") for name in QUANTILE_COLOURS),
        colours=QUANTILE_COLOURS,
    ).override_by_regexp("/^day/", reference_line())
