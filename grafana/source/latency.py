"""The Latency dashboard: distribution, quantiles, stages and throughput for one image at a time."""

from __future__ import annotations

from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries

from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.limits import LATENCY, NEUTRAL, fails_above
from grafana.source.panels import PanelInfo, Query, heatmap_panel, line_chart, stat_panel
from grafana.source.queries import baseline_for, by, select
from grafana.source.shared_panels import P95, images_per_second, latency_over_time, throughput_over_time
from grafana.source.style import BAD, QUANTILE_COLOURS, STAGE_COLOURS, YELLOW, reference_line
from grafana.source.tables import Column, table_panel
from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.evaluation.results import LATENCY_STAGES
from starlight_exporter.publish.families import checks, latency

# Recorded in prometheus/rules/recording.yml. A latency run takes seconds every few minutes, so shorter windows would be
# empty most of the time. `> 0` drops hours without a run.
_BUCKETS = 'model_stage_le:starlight_inference_duration_seconds_bucket:increase1h{model=~"$model",stage="total"}'
_HISTOGRAM_QUANTILE = 'model_stage:starlight_inference_duration_seconds:%s_%s{model=~"$model",stage="total"}'
_PARTS = "|".join(stage for stage in LATENCY_STAGES if stage != "total")


def latency_dashboard() -> DashboardBuilder:
    """Build the Latency dashboard."""
    builder = DashboardBuilder(
        "starlight-latency",
        "Starlight / Latency",
        "Latency of one image at a time, from file to verdict (read, decode, features, inference; files were read once "
        "before): distribution, quantiles, stages, throughput.",
    )
    builder.add(4, *((5, _quantile(name)) for name in QUANTILE_COLOURS), (5, images_per_second()), (4, _sample()))
    builder.add(9, (14, _latency_distribution()), (10, _against_baseline()))
    builder.row("Over time")
    builder.add(9, (12, latency_over_time()), (12, _p95()))
    builder.add(8, (8, _stages()), (8, throughput_over_time()), (8, _histogram_quantiles()))
    return builder


def _quantile(name: str) -> stat.Panel:
    quantile = f"{float(name[1:]) / 100:g}"
    limited = quantile == P95
    of_limit = f" Red from {DEFAULT_LIMITS.latency_limit * 1000:g} ms: check for other load, then the stages."
    return stat_panel(
        PanelInfo(
            f"Latency {name}",
            f"Exact quantile of the last latency run.{of_limit if limited else ' Only p95 has a limit.'}",
            "s",
            1,
        ),
        Query(by("dataset", select(latency.LATENCY, quantile=quantile), "max"), "{{dataset}}"),
        thresholds=LATENCY if limited else NEUTRAL,
    )


def _sample() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Sample size",
            "Images timed in the last latency run. Below about 300 images p99 cannot be measured.",
            "none",
            0,
        ),
        Query(by("dataset", select(latency.LATENCY_IMAGES), "max"), "{{dataset}}"),
    )


def _latency_distribution() -> heatmap.Panel:
    return heatmap_panel(
        PanelInfo(
            "Latency distribution",
            "Timings of the previous hour, all datasets. A second band indicates two kinds of images or other load "
            "on the machine. After a model change both models are visible for an hour.",
            "s",
        ),
        Query(by("le", _BUCKETS), "{{le}}"),
    )


def _against_baseline() -> table.Panel:
    labels = "quantile dataset"
    baseline = baseline_for(latency.LATENCY, checks.BASELINE_LATENCY, labels)
    return table_panel(
        PanelInfo(
            "Latency relative to the baseline",
            f"Last latency run with 95% CI and baseline. Red above {DEFAULT_LIMITS.latency_baseline:g} × the "
            "baseline; for p95 an alert fires. The baseline of another machine is not comparable: record one on this "
            "machine.",
            "none",
        ),
        Column("quantile", width=80),
        Column("dataset"),
        Column("latency", by(labels, select(latency.LATENCY), "max"), "s", 1),
        Column("95% CI low", by(labels, select(latency.LATENCY_LOWER), "max"), "s", 1),
        Column("95% CI high", by(labels, select(latency.LATENCY_UPPER), "max"), "s", 1),
        Column("baseline", baseline, "s", 1),
        Column(
            "× baseline",
            f"{by(labels, select(latency.LATENCY), 'max')} / {baseline}",
            "none",
            2,
            fails_above(DEFAULT_LIMITS.latency_baseline),
        ),
        sort_by="quantile",
        descending=False,
    )


def _p95() -> timeseries.Panel:
    baseline = by("model", select(checks.BASELINE_LATENCY, quantile=P95), "max")
    panel = line_chart(
        PanelInfo(
            "p95 by dataset",
            "Exact p95 of each run with 95% CI (grey), baseline limit (yellow) and limit (red). The result is "
            "statistically significant only if the whole interval is above a line.",
            "s",
        ),
        Query(by("dataset", select(latency.LATENCY, quantile=P95), "max"), "{{dataset}}"),
        Query(by("dataset", select(latency.LATENCY_LOWER, quantile=P95), "max"), "95% CI low, {{dataset}}"),
        Query(by("dataset", select(latency.LATENCY_UPPER, quantile=P95), "max"), "95% CI high, {{dataset}}"),
        Query(f"{baseline} * {DEFAULT_LIMITS.latency_baseline}", "baseline limit"),
        Query(f"vector({DEFAULT_LIMITS.latency_limit})", "limit"),
    )
    panel = panel.override_by_regexp("/^95% CI/", reference_line())
    panel = panel.override_by_name("baseline limit", reference_line(YELLOW))
    return panel.override_by_name("limit", reference_line(BAD))


def _stages() -> timeseries.Panel:
    def per_stage(suffix: str) -> str:
        return f"sum by (stage) (increase({select(latency.INFERENCE_DURATION, suffix, stage=f'~{_PARTS}')}[1h]))"

    return line_chart(
        PanelInfo(
            "Mean latency by stage",
            "Average over the previous hour. Read and decode depend on the images, inference on the model.",
            "s",
        ),
        Query(f"{per_stage('_sum')} / ({per_stage('_count')} > 0)", "{{stage}}"),
        colours=STAGE_COLOURS,
        stacked=True,
    )


def _histogram_quantiles() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Quantiles over 1 hour and 1 day",
            "From the histogram, over all datasets: less precise than the exact quantiles (buckets are 10% apart) "
            "and slower to change. The daily values (dashed) show drift that single runs do not.",
            "s",
        ),
        *(Query(_HISTOGRAM_QUANTILE % (name, "1h") + " > 0", name) for name in QUANTILE_COLOURS),
        *(Query(_HISTOGRAM_QUANTILE % (name, "1d") + " > 0", f"1d {name}") for name in QUANTILE_COLOURS),
        colours=QUANTILE_COLOURS,
    ).override_by_regexp("/^1d/", reference_line())
