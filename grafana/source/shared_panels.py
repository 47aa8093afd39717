"""Panels that are used on more than one dashboard."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source import links
from grafana.source.health import CHECK_STATES
from grafana.source.limits import DETECTIONS
from grafana.source.panels import PanelInfo, Query, line_chart, stat_panel, state_timeline
from grafana.source.queries import baseline_for, by, select
from grafana.source.style import BAD, METHOD_COLOURS, QUANTILE_COLOURS, YELLOW, reference_line
from grafana.source.tables import DETECTION_RATE_WIDTH, Column, table_panel
from starlight_exporter.checks.limits import CHECK_NAMES, DEFAULT_LIMITS, LATENCY_QUANTILE
from starlight_exporter.publish.families import accuracy, checks, latency, runs

P95 = f"{LATENCY_QUANTILE:g}"


def false_positives_over_time() -> timeseries.Panel:
    """Return the false positive rate with 95% CI, baseline and target."""
    panel = line_chart(
        PanelInfo(
            "False positive rate over time",
            f"With exact 95% CI (grey), baseline (yellow) and target of {DEFAULT_LIMITS.fpr_target:.2%} (red). Above the "
            "target: open the images from the table above. A purple line marks a model change.",
            "percentunit",
            2,
        ),
        Query(by("dataset", select(accuracy.CLEAN.ratio), "max"), "{{dataset}}"),
        Query(by("dataset", select(accuracy.CLEAN.lower), "max"), "95% CI low, {{dataset}}"),
        Query(by("dataset", select(accuracy.CLEAN.upper), "max"), "95% CI high, {{dataset}}"),
        Query(by("model", select(checks.BASELINE_FALSE_POSITIVES), "max"), "baseline"),
        Query(f"vector({DEFAULT_LIMITS.fpr_target})", "target"),
    )
    panel = panel.override_by_regexp("/^95% CI/", reference_line())
    panel = panel.override_by_name("baseline", reference_line(YELLOW))
    return panel.override_by_name("target", reference_line(BAD))


def detection_over_time() -> timeseries.Panel:
    """Return the lowest detection rate of each method over the selected datasets, with floor and target."""
    panel = line_chart(
        PanelInfo(
            "Detection rate over time",
            "Lowest rate of each method over the selected datasets. At or below the floor of "
            f"{DEFAULT_LIMITS.detection_floor:.0%} (red) an alert fires: inspect the missed images.",
            "percentunit",
            1,
        ),
        Query(by("method", select(accuracy.STEGO.ratio), "min"), "{{method}}"),
        Query(f"vector({DEFAULT_LIMITS.detection_floor})", "floor"),
        Query(f"vector({DEFAULT_LIMITS.detection_target})", "target"),
        minimum=None,
        maximum=1,
        soft_minimum=0.9,
        colours=METHOD_COLOURS,
    )
    return panel.override_by_name("floor", reference_line(BAD)).override_by_name("target", reference_line())


def latency_over_time() -> timeseries.Panel:
    """Return the exact latency quantiles, the highest over the selected datasets, with limit and baseline of p95."""
    panel = line_chart(
        PanelInfo(
            "Latency over time",
            f"p50, p95 and p99 of each latency run. The limit of {DEFAULT_LIMITS.latency_limit * 1000:g} ms "
            "(red) "
            "and the baseline (yellow) apply to p95. If p95 exceeds them, check for other load on the machine, then "
            "the model.",
            "s",
        ),
        *(
            Query(f"max({select(latency.LATENCY, quantile=f'{float(name[1:]) / 100:g}')})", name)
            for name in QUANTILE_COLOURS
        ),
        Query(by("model", select(checks.BASELINE_LATENCY, quantile=P95), "max"), "p95 baseline"),
        Query(f"vector({DEFAULT_LIMITS.latency_limit})", "p95 limit"),
        colours=QUANTILE_COLOURS,
    )
    panel = panel.override_by_name("p95 baseline", reference_line(YELLOW))
    return panel.override_by_name("p95 limit", reference_line(BAD))


def checks_over_time() -> statetimeline.Panel:
    """Return a state timeline with one band per regression check."""
    return state_timeline(
        PanelInfo(
            "Regression checks",
            "Based on measured values, over all slices and datasets: one failed slice is sufficient. Gaps were not "
            "measured. Failed: see the dashboards Detection or Latency for the slice, and the alert for details.",
            "none",
        ),
        *(
            Query(f"min({select(checks.REGRESSION_CHECK_PASSED, check=check)})", check.replace("_", " "))
            for check in CHECK_NAMES
        ),
        states=CHECK_STATES,
    )


def images_per_second() -> stat.Panel:
    """Return the throughput for one image at a time, by dataset."""
    return stat_panel(
        PanelInfo(
            "Images per second",
            "Throughput for one image at a time, in the last latency run. There is no alert for it: if it falls, "
            "latency has "
            "increased.",
            "none",
            0,
        ),
        Query(by("dataset", select(latency.THROUGHPUT), "max"), "{{dataset}}"),
    )


def throughput_over_time() -> timeseries.Panel:
    """Return the throughput for one image at a time and in bulk."""
    return line_chart(
        PanelInfo(
            "Throughput over time (images/s)",
            "One image at a time (latency run) and in bulk on all cores. There is no alert for it.",
            "none",
            0,
        ),
        Query(by("dataset", select(latency.THROUGHPUT), "max"), "{{dataset}}, one at a time"),
        Query(by("dataset", select(runs.EVALUATION_SPEED), "max"), "{{dataset}}, in bulk"),
        colours={"bulk": YELLOW},
    )


def detection_by_method() -> table.Panel:
    """Return a table of detection rates with 95% CI, counts and baseline, by method and dataset."""
    stego = accuracy.STEGO
    return table_panel(
        PanelInfo(
            "Detection by method",
            "Stego images detected, regardless of the predicted method. Orange up to "
            f"{DEFAULT_LIMITS.detection_target:.0%}, red up to {DEFAULT_LIMITS.detection_floor:.0%}; an alert also fires "
            f"below {DEFAULT_LIMITS.detection_baseline:g} × the baseline. Click a rate for the missed images.",
            "none",
        ),
        Column("method"),
        Column("dataset"),
        Column(
            "detection rate",
            by("method dataset", select(stego.ratio), "min"),
            "percentunit",
            1,
            DETECTIONS,
            width=DETECTION_RATE_WIDTH,
            link=links.MISSED_BY_METHOD,
        ),
        Column("95% CI low", by("method dataset", select(stego.lower), "min"), "percentunit", 1),
        Column("95% CI high", by("method dataset", select(stego.upper), "min"), "percentunit", 1),
        Column("images", by("method dataset", select(stego.total)), "none", 0),
        Column("covers", by("method dataset", select(stego.covers)), "none", 0),
        Column("baseline", baseline_for(stego.total, checks.BASELINE_DETECTIONS, "method dataset"), "percentunit", 1),
        Column(
            "target",
            f"0 * {by('method dataset', select(stego.total))} + {DEFAULT_LIMITS.detection_target}",
            "percentunit",
            0,
        ),
        sort_by="detection rate",
        descending=False,
    )
