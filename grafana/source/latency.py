"""How long one image takes, in which stage, and whether that is still within baseline and limit."""

from __future__ import annotations

from exporter.evaluation import regression
from exporter.publish import metrics
from grafana.source.board import Board
from grafana.source.panels import Column, Look, Query, histogram_over_time, line_chart, rows, single_value
from grafana.source.queries import by, select
from grafana.source.style import BAD, LATENCY, reference_line


def _per_stage(suffix: str) -> str:
    parts = select(metrics.INFERENCE_DURATION, suffix, stage="~read|decode|features|inference")
    return f"sum by (stage) (rate({parts}[1h]))"


def _quantile(quantile: float) -> str:
    buckets = select(metrics.INFERENCE_DURATION, "_bucket", stage="total")
    return f"histogram_quantile({quantile}, sum by (le, model) (increase({buckets}[1h])))"


def latency() -> Board:
    """Heatmap, quantiles, stages and throughput."""
    board = Board(
        "starlight-latency",
        "Starlight / Latency",
        "One image at a time, from file bytes to verdict: distribution, quantiles, stages, throughput.",
    )
    tiles = [
        single_value(
            Look(
                f"p{float(quantile) * 100:g}",
                "Of the last latency run. Only p95 has a limit; above it: what else ran there, then the model.",
                "s",
                2,
            ),
            Query(by("model dataset", select(metrics.LATENCY, quantile=quantile), "max"), "{{model}} on {{dataset}}"),
            thresholds=LATENCY if quantile == "0.95" else ((None, "text"),),
            trend=True,
        )
        for quantile in ("0.5", "0.95", "0.99")
    ]
    images = single_value(
        Look(
            "Images timed",
            "Sample of the last latency run. Below about 300 there is no p99: it is not measured, not zero.",
            "none",
            0,
        ),
        Query(by("model dataset", select(metrics.LATENCY_IMAGES), "max"), "{{model}} on {{dataset}}"),
        thresholds=((None, "text"),),
    )
    board.add(5, *((6, tile) for tile in (*tiles, images)))
    heat = histogram_over_time(
        Look(
            "Time per image",
            "All latency runs as they come in; a second band means two kinds of images or a disturbed machine.",
            "s",
        ),
        Query(
            f"sum by (le) (increase({select(metrics.INFERENCE_DURATION, '_bucket', stage='total')}[$__rate_interval]))"
        ),
    )
    board.add(10, (24, heat))
    promised = by("model", select(metrics.BASELINE_LATENCY, quantile="0.95"), "max")
    exact = line_chart(
        Look("p95 against baseline and limit", "Exact p95 of each run with its 95 % interval (dashed).", "s", 2),
        Query(by("model dataset", select(metrics.LATENCY, quantile="0.95"), "max"), "{{model}} on {{dataset}}"),
        Query(
            by("model dataset", select(metrics.LATENCY_LOWER, quantile="0.95"), "max"),
            "lower, {{model}} on {{dataset}}",
        ),
        Query(
            by("model dataset", select(metrics.LATENCY_UPPER, quantile="0.95"), "max"),
            "upper, {{model}} on {{dataset}}",
        ),
        Query(
            f"{promised} * {regression.LATENCY_BASELINE_FACTOR}",
            "allowed by the baseline of {{model}}",
        ),
        Query(f"vector({regression.LATENCY_LIMIT_SECONDS})", "limit"),
    )
    exact = exact.override_by_regexp("/^(lower|upper|allowed)/", reference_line())
    exact = exact.override_by_name("limit", reference_line(BAD))
    pooled = line_chart(
        Look(
            "Quantiles of the last hour",
            "From the histogram, over all datasets of a model: coarser than the exact ones, but they add up.",
            "s",
            2,
        ),
        *(Query(_quantile(quantile), f"p{quantile * 100:g} {{{{model}}}}") for quantile in (0.5, 0.95, 0.99)),
    )
    board.add(9, (12, exact), (12, pooled))
    stages = line_chart(
        Look(
            "Mean time by stage",
            "Where the time goes. Decode and read rise with larger images, inference with the model.",
            "s",
            2,
        ),
        Query(f"{_per_stage('_sum')} / {_per_stage('_count')}", "{{stage}}"),
    )
    throughput = line_chart(
        Look("Throughput", "Images per second: one at a time, and in bulk on all cores.", "none", 0),
        Query(by("model dataset", select(metrics.THROUGHPUT), "max"), "one at a time, {{model}} on {{dataset}}"),
        Query(by("model dataset", select(metrics.EVALUATION_SPEED), "max"), "in bulk, {{model}} on {{dataset}}"),
    )
    table = rows(
        Look("Against the baseline", "Exact quantiles beside what the baseline file promises.", ""),
        Column("model"),
        Column("quantile"),
        Column("measured", by("model quantile", select(metrics.LATENCY), "max"), "s", 2),
        Column("baseline", by("model quantile", select(metrics.BASELINE_LATENCY), "max"), "s", 2),
    )
    board.add(9, (9, stages), (8, throughput), (7, table))
    return board
