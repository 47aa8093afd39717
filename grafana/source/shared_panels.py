"""Panels that are used on more than one dashboard."""

from __future__ import annotations

from string import ascii_uppercase

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source import links
from grafana.source.check_states import (
    CHECK_STATES,
    STATE_WIDTH,
    check_states,
    limit_in_use,
    worst_state,
)
from grafana.source.panels import PanelInfo, Query, line_chart, stat_panel, state_timeline
from grafana.source.queries import by, select
from grafana.source.result_columns import result_column
from grafana.source.style import METHOD_COLOURS, QUANTILE_COLOURS, WARNING, YELLOW, fixed_colour, reference_line
from grafana.source.tables import DETECTION_RATE_WIDTH, Column, table_panel
from starlight_exporter.checks.limits import LATENCY_QUANTILE
from starlight_exporter.publish.families import accuracy, checks, latency, runs

P95 = f"{LATENCY_QUANTILE:g}"


def value_with_result(info: PanelInfo, value: Query, checks_pattern: str) -> stat.Panel:
    """Return a stat panel with a value by dataset; name and colour are those of the worst result of its checks."""
    worst = worst_state("dataset", checks_pattern)
    # One query per result, because Grafana colours a value only by itself or by its query.
    by_state = [
        Query(f"({value.expr}) and on (dataset) ({worst} == {state})", f"{value.legend}: {text}")
        for state, (text, _) in CHECK_STATES.items()
    ]
    panel = stat_panel(info, *by_state, Query(f"({value.expr}) unless on (dataset) {worst}", value.legend))
    for letter, (_, colour) in zip(ascii_uppercase, CHECK_STATES.values(), strict=False):
        panel = panel.override_by_query(letter, [fixed_colour(colour)])
    return panel


def false_positives_over_time() -> timeseries.Panel:
    """Return the false positive rate with 95% CI, baseline and target."""
    panel = line_chart(
        PanelInfo(
            "False positive rate over time",
            "With exact 95% CI (grey), baseline on the same images (yellow) and target in use (orange). Above the "
            "target: open the images from the table above. A purple line marks a model change.",
            "percentunit",
            2,
        ),
        Query(by("dataset", select(accuracy.CLEAN.ratio), "max"), "{{dataset}}"),
        Query(by("dataset", select(accuracy.CLEAN.lower), "max"), "95% CI low, {{dataset}}"),
        Query(by("dataset", select(accuracy.CLEAN.upper), "max"), "95% CI high, {{dataset}}"),
        Query(by("dataset", select(checks.BASELINE_FALSE_POSITIVES), "max"), "baseline, {{dataset}}"),
        Query(limit_in_use("fpr_target"), "target"),
    )
    panel = panel.override_by_regexp("/^95% CI/", reference_line())
    panel = panel.override_by_regexp("/^baseline/", reference_line(YELLOW))
    return panel.override_by_name("target", reference_line(WARNING))


def detection_over_time() -> timeseries.Panel:
    """Return the lowest detection rate of each method over the selected datasets, with floor and target."""
    panel = line_chart(
        PanelInfo(
            "Detection rate over time",
            "Lowest rate of each method over the selected datasets, with target (grey) and floor (orange) in use. At "
            "or below the floor an alert fires: inspect the missed images.",
            "percentunit",
            1,
        ),
        Query(by("method", select(accuracy.STEGO.ratio), "min"), "{{method}}"),
        Query(limit_in_use("detection_floor"), "floor"),
        Query(limit_in_use("detection_target"), "target"),
        minimum=None,
        maximum=1,
        soft_minimum=0.9,
        colours=METHOD_COLOURS,
    )
    return panel.override_by_name("floor", reference_line(WARNING)).override_by_name("target", reference_line())


def latency_over_time() -> timeseries.Panel:
    """Return the exact latency quantiles, the highest over the selected datasets, with limit and baseline of p95."""
    panel = line_chart(
        PanelInfo(
            "Latency over time",
            "p50, p95 and p99 of each latency run, with the p95 limit in use (orange) and the p95 of the baseline "
            "(yellow). If p95 rises, check the contention on the dashboard Latency, then the ratio to the baseline.",
            "s",
        ),
        *(
            Query(f"max({select(latency.LATENCY, quantile=f'{float(name[1:]) / 100:g}')})", name)
            for name in QUANTILE_COLOURS
        ),
        Query(f"max({select(checks.BASELINE_LATENCY, quantile=P95)})", "p95 baseline"),
        Query(limit_in_use("latency_limit"), "p95 limit"),
        colours=QUANTILE_COLOURS,
    )
    panel = panel.override_by_name("p95 baseline", reference_line(YELLOW))
    return panel.override_by_name("p95 limit", reference_line(WARNING))


def checks_over_time() -> statetimeline.Panel:
    """Return a state timeline with one band per regression check."""
    return state_timeline(
        PanelInfo(
            "Regression checks over time",
            "Worst result of each check over all slices and datasets; for the slice see the table Checks. "
            "Inconclusive: the value passes, but its 95% CI includes the limit. Informational: no alert is configured.",
            "none",
        ),
        Query(worst_state("check", ".+"), "{{check}}"),
        states=CHECK_STATES,
    )


def check_results() -> table.Panel:
    """Return a table of all checks with result, limit in use, adjusted p-value, and why there is no result."""
    labels = "check slice dataset"
    return table_panel(
        PanelInfo(
            "Checks",
            "Result of every check, the worst first, as in pages, reports and alerts. The limit in use contains the "
            "value of the baseline if it depends on it. p: adjusted for all checks. Reason: why there is no result.",
            "none",
        ),
        Column("check", width=136),
        Column("slice", width=88),
        Column("dataset"),
        Column("result", by(f"{labels} reason", check_states(), "max"), "none", states=CHECK_STATES, width=STATE_WIDTH),
        Column("limit", by(labels, select(checks.CHECK_LIMIT), "max"), "none", 4, no_value="–", width=66),
        Column(
            "p",
            by(labels, select(checks.REGRESSION_CHECK_P_VALUE), "min"),
            "none",
            3,
            no_value="–",
            smallest=0.001,
            width=62,
        ),
        Column("reason", width=118),
        sort_by="result",
    )


def images_per_second() -> stat.Panel:
    """Return the throughput for one image at a time, by dataset."""
    return stat_panel(
        PanelInfo(
            "Images per second",
            "Throughput for one image at a time, in the last latency run. There is no alert for it: if it falls, "
            "latency has increased.",
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
    """Return a table of detection rates with 95% CI, counts, baseline and result, by method and dataset."""
    stego, labels = accuracy.STEGO, "method dataset"
    return table_panel(
        PanelInfo(
            "Detection by method",
            "Stego images detected, regardless of the predicted method. Result: the worst of the checks against "
            "target, floor and baseline. Click a rate for the missed images.",
            "none",
        ),
        Column("method", width=68),
        Column("dataset", width=80),
        Column(
            "detection rate",
            by(labels, select(stego.ratio), "min"),
            "percentunit",
            1,
            width=DETECTION_RATE_WIDTH,
            link=links.MISSED_BY_METHOD,
        ),
        Column("95% CI low", by(labels, select(stego.lower), "min"), "percentunit", 1),
        Column("95% CI high", by(labels, select(stego.upper), "min"), "percentunit", 1),
        Column("images", by(labels, select(stego.total)), "none", 0, width=60),
        Column("covers", by(labels, select(stego.covers)), "none", 0, width=60),
        Column("baseline", by(labels, select(checks.BASELINE_DETECTIONS), "max"), "percentunit", 1, no_value="–"),
        result_column(labels, "detection_.+", slices="method", slice="~$method"),
        sort_by="detection rate",
        descending=False,
    )
