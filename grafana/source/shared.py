"""Panels that stand on more than one dashboard."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source import evidence
from grafana.source.health import PASSED
from grafana.source.limits import DETECTIONS
from grafana.source.panels import Look, Query, line_chart, single_value, state_history
from grafana.source.queries import against, by, select
from grafana.source.style import BAD, METHOD_COLOURS, QUANTILE_COLOURS, YELLOW, reference_line
from grafana.source.tables import Column, rows
from starlight_exporter.checks import limits as check_limits
from starlight_exporter.publish import metrics

P95 = f"{check_limits.LATENCY_QUANTILE:g}"


def false_positives_over_time() -> timeseries.Panel:
    """Rate, interval, baseline, target."""
    panel = line_chart(
        Look(
            "False positive rate over time",
            "With its exact 95 % interval (grey), its baseline (yellow) and the target of "
            f"{check_limits.FPR_TARGET:.2%} (red). Past the target: open the images from the table above. A step at a "
            "purple line came with a new model.",
            "percentunit",
            2,
        ),
        Query(by("dataset", select(metrics.CLEAN.ratio), "max"), "{{dataset}}"),
        Query(by("dataset", select(metrics.CLEAN.lower), "max"), "at least, {{dataset}}"),
        Query(by("dataset", select(metrics.CLEAN.upper), "max"), "at most, {{dataset}}"),
        Query(by("model", select(metrics.BASELINE_FALSE_POSITIVES), "max"), "baseline"),
        Query(f"vector({check_limits.FPR_TARGET})", "target"),
    )
    panel = panel.override_by_regexp("/^at (least|most)/", reference_line())
    panel = panel.override_by_name("baseline", reference_line(YELLOW))
    return panel.override_by_name("target", reference_line(BAD))


def detection_over_time() -> timeseries.Panel:
    """Each method's lowest rate over the chosen datasets, with floor and target."""
    panel = line_chart(
        Look(
            "Detection over time",
            f"The lowest rate of each method over the chosen datasets. At or below the floor of"
            f" {check_limits.DETECTION_FLOOR:.0%} (red) an alert fires: look at the missed images.",
            "percentunit",
            1,
        ),
        Query(by("method", select(metrics.STEGO.ratio), "min"), "{{method}}"),
        Query(f"vector({check_limits.DETECTION_FLOOR})", "floor"),
        Query(f"vector({check_limits.DETECTION_TARGET})", "target"),
        minimum=None,
        maximum=1,
        soft_minimum=0.9,
        colours=METHOD_COLOURS,
    )
    return panel.override_by_name("floor", reference_line(BAD)).override_by_name("target", reference_line())


def latency_over_time() -> timeseries.Panel:
    """The exact quantiles of each run, the highest over the chosen datasets, with the limit and baseline of p95."""
    panel = line_chart(
        Look(
            "Latency over time",
            f"p50, p95 and p99 of each latency run. The limit of {check_limits.LATENCY_LIMIT_SECONDS * 1000:g} ms "
            "(red) and the baseline (yellow) are for p95. Above: what else ran on that machine, then the model.",
            "s",
        ),
        *(
            Query(f"max({select(metrics.LATENCY, quantile=f'{float(name[1:]) / 100:g}')})", name)
            for name in QUANTILE_COLOURS
        ),
        Query(by("model", select(metrics.BASELINE_LATENCY, quantile=P95), "max"), "baseline of p95"),
        Query(f"vector({check_limits.LATENCY_LIMIT_SECONDS})", "limit of p95"),
        colours=QUANTILE_COLOURS,
    )
    panel = panel.override_by_name("baseline of p95", reference_line(YELLOW))
    return panel.override_by_name("limit of p95", reference_line(BAD))


def checks_over_time() -> statetimeline.Panel:
    """One band for each regression check."""
    return state_history(
        Look(
            "Regression checks",
            "By point value, over all slices and datasets: one that fails is enough. A gap was not measured. "
            "Failed: the slice stands in Detection or Latency, the reasons in the alert.",
            "none",
        ),
        *(
            Query(f"min({select(metrics.REGRESSION_CHECK_PASSED, check=check)})", check.replace("_", " "))
            for check in check_limits.CHECK_NAMES
        ),
        meanings=PASSED,
    )


def images_per_second() -> stat.Panel:
    """One at a time, of each dataset."""
    return single_value(
        Look(
            "Images per second",
            "One image at a time, in the last latency run. Nothing alerts on it: where it falls, latency has grown.",
            "none",
            0,
        ),
        Query(by("dataset", select(metrics.THROUGHPUT), "max"), "{{dataset}}"),
    )


def throughput_over_time() -> timeseries.Panel:
    """One at a time and in bulk."""
    return line_chart(
        Look(
            "Throughput over time",
            "Images per second: one at a time, as in the latency run, and in bulk on all cores. Nothing alerts on it.",
            "none",
            0,
        ),
        Query(by("dataset", select(metrics.THROUGHPUT), "max"), "{{dataset}}, one at a time"),
        Query(by("dataset", select(metrics.EVALUATION_SPEED), "max"), "{{dataset}}, in bulk"),
        colours={"bulk": YELLOW},
    )


def detection_by_method() -> table.Panel:
    """Rate, interval, counts and baseline of each method on each dataset."""
    stego = metrics.STEGO
    return rows(
        Look(
            "Detection by method",
            f"Stego images found, whatever method was predicted. Orange up to {check_limits.DETECTION_TARGET:.0%}, red "
            f"up to {check_limits.DETECTION_FLOOR:.0%}; an alert also fires below "
            f"{check_limits.DETECTION_BASELINE_FACTOR:.0%} of the baseline. Click a rate for the missed images.",
            "none",
        ),
        Column("method"),
        Column("dataset"),
        Column(
            "found",
            by("method dataset", select(stego.ratio), "min"),
            "percentunit",
            1,
            DETECTIONS,
            link=evidence.MISSED_BY_METHOD,
        ),
        Column("at least", by("method dataset", select(stego.lower), "min"), "percentunit", 1),
        Column("at most", by("method dataset", select(stego.upper), "min"), "percentunit", 1),
        Column("of images", by("method dataset", select(stego.total)), "none", 0),
        Column("baseline", against(stego.total, metrics.BASELINE_DETECTIONS, "method dataset"), "percentunit", 1),
        Column(
            "target",
            f"0 * {by('method dataset', select(stego.total))} + {check_limits.DETECTION_TARGET}",
            "percentunit",
            0,
        ),
        sort_by="found",
        descending=False,
    )
