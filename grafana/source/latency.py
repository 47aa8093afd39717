"""The Latency dashboard: distribution, quantiles, stages and throughput for one image at a time."""

from __future__ import annotations

from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries

from grafana.source.check_states import CHECK_STATES, STATE_WIDTH, limit_in_use, worst_state
from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.limits import BUSY
from grafana.source.panels import PanelInfo, Query, heatmap_panel, line_chart, stat_panel
from grafana.source.queries import EXPORTER, by, select
from grafana.source.shared_panels import (
    P95,
    images_per_second,
    latency_over_time,
    throughput_over_time,
    value_with_result,
)
from grafana.source.style import QUANTILE_COLOURS, STAGE_COLOURS, WARNING, YELLOW, reference_line
from grafana.source.tables import Column, table_panel
from starlight_exporter.evaluation.results import LATENCY_STAGES
from starlight_exporter.publish.families import checks, latency

# Recorded in prometheus/rules/recording.yml. A latency run takes seconds every few minutes, so shorter windows would be
# empty most of the time. `> 0` drops hours without a run.
_OF = f'{{{EXPORTER},model=~"$model",stage="total"}}'
_HISTOGRAM_QUANTILE = f"model_stage:starlight_inference_duration_seconds:%s_%s{_OF}"
_PARTS = "|".join(stage for stage in LATENCY_STAGES if stage != "total")


def latency_dashboard() -> DashboardBuilder:
    """Build the Latency dashboard."""
    builder = DashboardBuilder(
        "starlight-latency",
        "Starlight / Latency",
        "Latency of one image at a time, from file to verdict (read, decode, features, inference; files were read once "
        "before): distribution, quantiles, stages, throughput.",
    )
    builder.add(
        4,
        *((5 if name == "p95" else 4, _quantile(name)) for name in QUANTILE_COLOURS),
        (4, _contention()),
        (4, images_per_second()),
        (3, _sample()),
    )
    builder.add(9, (9, _latency_distribution()), (15, _against_baseline()))
    builder.row("Over time")
    builder.add(9, (8, latency_over_time()), (8, _p95()), (8, _ratio_over_time()))
    builder.add(8, (8, _stages()), (8, throughput_over_time()), (8, _histogram_quantiles()))
    return builder


def _quantile(name: str) -> stat.Panel:
    quantile = f"{float(name[1:]) / 100:g}"
    value = Query(by("dataset", select(latency.LATENCY, quantile=quantile), "max"), "{{dataset}}")
    if quantile == P95:
        return value_with_result(
            PanelInfo(
                f"Latency {name}",
                "Exact quantile of the last latency run, and the worst result of its checks against limit and "
                "baseline. Orange or red: see the ratio to the baseline, then the stages.",
                "s",
                1,
            ),
            value,
            "latency_.+",
        )
    return stat_panel(
        PanelInfo(f"Latency {name}", "Exact quantile of the last latency run. Only p95 has a limit.", "s", 1), value
    )


def _contention() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Contention",
            "Share of the wall time of the last latency run that the timed thread did not run. Orange: the machine was "
            "busy, so that the ratio to the baseline is one of CPU time and the absolute limit is not checked.",
            "percentunit",
            1,
        ),
        Query(by("dataset", select(latency.CONTENTION), "max"), "{{dataset}}"),
        thresholds=BUSY,
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
            "on the machine. After a model change both models are visible for an hour. Points are slow images: click "
            "one for its page.",
            "s",
        ),
        # Not the recorded increase, because only the metric itself has exemplars.
        Query(
            by("le", f"increase({select(latency.INFERENCE_DURATION, '_bucket', stage='total')}[1h])"),
            "{{le}}",
            exemplars=True,
        ),
    )


def _against_baseline() -> table.Panel:
    labels = "quantile dataset"

    def of_p95(expr: str) -> str:
        return by(labels, f'label_replace({expr}, "quantile", "{P95}", "", "")', "max")

    return table_panel(
        PanelInfo(
            "Latency relative to the baseline",
            "Last latency run with 95% CI. Ratio: p95 divided by that of the baseline model, timed alternately in one "
            "run, with its one-sided 99.5% bound. A failure is significant only in two consecutive evaluations.",
            "none",
        ),
        Column("quantile", width=66),
        Column("dataset", width=80),
        Column("latency", by(labels, select(latency.LATENCY), "max"), "s", 1),
        Column("95% CI low", by(labels, select(latency.LATENCY_LOWER), "max"), "s", 1),
        Column("95% CI high", by(labels, select(latency.LATENCY_UPPER), "max"), "s", 1, width=98),
        Column("baseline", by(labels, select(checks.BASELINE_LATENCY), "max"), "s", 1, no_value="–"),
        Column("ratio", of_p95(select(latency.BASELINE_RATIO)), "none", 2, no_value="–", width=60),
        Column("bound", of_p95(select(latency.BASELINE_RATIO_LOWER)), "none", 2, no_value="–", width=65),
        Column(
            "result",
            of_p95(worst_state("dataset", "latency_baseline")),
            "none",
            states=CHECK_STATES,
            no_value="–",
            width=STATE_WIDTH,
        ),
        sort_by="quantile",
        descending=False,
    )


def _p95() -> timeseries.Panel:
    panel = line_chart(
        PanelInfo(
            "p95 by dataset",
            "Exact p95 of each run with 95% CI (grey), that of the baseline in its own run (yellow) and the limit in "
            "use (orange). Runs at different times differ by the load of the machine: see the ratio to the baseline.",
            "s",
        ),
        Query(by("dataset", select(latency.LATENCY, quantile=P95), "max"), "{{dataset}}"),
        Query(by("dataset", select(latency.LATENCY_LOWER, quantile=P95), "max"), "95% CI low, {{dataset}}"),
        Query(by("dataset", select(latency.LATENCY_UPPER, quantile=P95), "max"), "95% CI high, {{dataset}}"),
        Query(by("dataset", select(checks.BASELINE_LATENCY, quantile=P95), "max"), "baseline, {{dataset}}"),
        Query(limit_in_use("latency_limit"), "limit"),
    )
    panel = panel.override_by_regexp("/^95% CI/", reference_line())
    panel = panel.override_by_regexp("/^baseline/", reference_line(YELLOW))
    return panel.override_by_name("limit", reference_line(WARNING))


def _ratio_over_time() -> timeseries.Panel:
    panel = line_chart(
        PanelInfo(
            "p95 relative to the baseline",
            "p95 divided by that of the baseline model in the same run, with its one-sided 99.5% bound (grey) and the "
            "limit in use (orange). If the bound is above the limit in two consecutive runs, the model is slower.",
            "none",
            2,
        ),
        Query(by("dataset", select(latency.BASELINE_RATIO), "max"), "{{dataset}}"),
        Query(by("dataset", select(latency.BASELINE_RATIO_LOWER), "max"), "bound, {{dataset}}"),
        Query(limit_in_use("latency_baseline"), "limit"),
    )
    panel = panel.override_by_regexp("/^bound/", reference_line())
    return panel.override_by_name("limit", reference_line(WARNING))


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
