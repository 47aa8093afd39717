"""Panels about unlabelled datasets: alarm rate, drift, and number of images."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, table, timeseries

from grafana.source.limits import DRIFT, HIGHLIGHT_ANY
from grafana.source.panels import PanelInfo, Query, bar_gauge, line_chart
from grafana.source.queries import by, select
from grafana.source.style import GOOD, WARNING
from grafana.source.tables import MODEL_WIDTH, Column, table_panel
from starlight_exporter.evaluation.drift import MAX_P_VALUE
from starlight_exporter.publish.families import unlabelled
from starlight_exporter.publish.families.family import Family


def results() -> table.Panel:
    """Return the current values of all models on all unlabelled datasets."""
    labels = "model dataset"

    def current(family: Family) -> str:
        return by(labels, select(family), "max")

    return table_panel(
        PanelInfo(
            "Unlabelled datasets",
            "Alarms among the measured images of the window, with the 95% confidence interval. Drift: the images no "
            "longer resemble the clean images of the drift reference. Not measured: too few images, or no comparable "
            "result on the reference; the page of the evaluation has the reason.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset"),
        Column("alarm rate", current(unlabelled.ALARM_RATIO), "percentunit", 2),
        Column("95% CI low", current(unlabelled.ALARM_RATIO_LOWER), "percentunit", 2),
        Column("95% CI high", current(unlabelled.ALARM_RATIO_UPPER), "percentunit", 2),
        Column("alarms", current(unlabelled.ALARMS), "none", 0, width=80),
        Column("images", current(unlabelled.IMAGES), "none", 0, width=80),
        Column("not measured", by(labels, select(unlabelled.NOT_MEASURED)), "none", 0, HIGHLIGHT_ANY),
        Column("outside window", current(unlabelled.OUTSIDE_WINDOW), "none", 0),
        Column(
            "drift", current(unlabelled.DRIFT_DETECTED), "none", states={0: ("no drift", GOOD), 1: ("drift", WARNING)}
        ),
        sort_by="alarm rate",
    )


def predicted_methods() -> bargauge.Panel:
    """Return the shares of the predicted methods among the alarms."""
    return bar_gauge(
        PanelInfo(
            "Predicted methods of the alarms",
            "Shares of the alarms on unlabelled datasets. A change without a change of the alarm rate is a change of "
            "the images as well.",
            "percentunit",
            1,
        ),
        Query(by("method dataset", select(unlabelled.METHOD_SHARE), "max"), "{{method}}, {{dataset}}"),
        maximum=1,
    )


def alarm_rate() -> timeseries.Panel:
    """Return the alarm rates of all unlabelled datasets over time."""
    return line_chart(
        PanelInfo(
            "Alarm rate",
            "Share of the measured images of an unlabelled dataset that are classified as stego. Without labels, an "
            "alarm is neither right nor wrong. If the rate more than doubles, an alert fires: look at the alarms.",
            "percentunit",
            2,
        ),
        Query(by("model dataset", select(unlabelled.ALARM_RATIO), "max"), "{{model}} on {{dataset}}"),
    )


def drift() -> table.Panel:
    """Return the facts of unlabelled images by their difference from the drift reference."""
    labels = "model dataset fact"
    return table_panel(
        PanelInfo(
            "Drift of unlabelled images",
            "Difference from the clean images of the drift reference: population stability index (PSI) and adjusted "
            f"p-value. Orange: drift, if p is below {MAX_P_VALUE:g} as well. The rates on the reference may not apply: "
            "label a sample of the new images.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset"),
        Column("fact", width=160),
        Column("PSI", by(labels, select(unlabelled.DRIFT_PSI), "max"), "none", 2, DRIFT, width=80),
        Column("p", by(labels, select(unlabelled.DRIFT_P_VALUE), "max"), "none", 3, width=80),
        sort_by="PSI",
    )


def unlabelled_images() -> timeseries.Panel:
    """Return the number of measured unlabelled images over time."""
    return line_chart(
        PanelInfo(
            "Unlabelled images",
            "Measured images in the window of each unlabelled dataset. If a line falls to 0, no image arrives, or none "
            "can be measured.",
            "none",
            0,
        ),
        Query(by("dataset", select(unlabelled.MEASURED), "max"), "{{dataset}}"),
    )
