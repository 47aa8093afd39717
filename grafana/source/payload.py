"""Panels of results by payload: detection by embedding rate, its thresholds over time, and slices of the images."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import table, timeseries

from grafana.source import links
from grafana.source.panels import Link, PanelInfo, Query, line_chart
from grafana.source.queries import by, select
from grafana.source.tables import (
    DETECTION_RATE_WIDTH,
    FALSE_POSITIVE_RATE_WIDTH,
    FALSE_POSITIVES_WIDTH,
    Column,
    table_panel,
)
from starlight_exporter.publish.families import payload
from starlight_exporter.publish.families.family import ProportionFamilies

PIXEL_METHODS: Final = "alpha|palette|lsb"
BYTE_METHODS: Final = "exif|eoi"


def detection_by_rate() -> table.Panel:
    """Return the detections of each method in bins of the embedding rate."""
    labels = "method embedding_rate dataset"
    return table_panel(
        PanelInfo(
            "Detection rate by embedding rate",
            "Embedding rates are in bits per pixel (alpha, lsb), bits per palette index (palette) or bytes (exif, "
            "eoi). A method that is missed at low rates only needs larger payloads in training. Click a rate for the "
            "missed images.",
            "none",
        ),
        Column("method"),
        Column("rate", label="embedding_rate"),
        Column("dataset"),
        Column("mean", by(labels, select(payload.MEAN_RATE), "max"), "none", 4),
        *_rate_columns(labels, payload.BINS, "detection rate", DETECTION_RATE_WIDTH, links.MISSED_BY_EMBEDDING_RATE),
        Column("detected", by(labels, select(payload.BINS.count)), "none", 0),
        sort_by="mean",
        descending=False,
    )


def thresholds() -> table.Panel:
    """Return the embedding rate at which detection reaches each level."""
    labels = "method detection dataset"
    reasons = f"{labels} reason"
    return table_panel(
        PanelInfo(
            "Embedding rate at 50% and 95% detection",
            "Smaller is better. A level that detection does not cross at the measured rates is not measured: its row "
            "has the reason.",
            "none",
        ),
        Column("method"),
        Column("detection"),
        Column("reason"),
        Column("dataset"),
        Column("reached at", by(labels, select(payload.THRESHOLD), "max"), "none", 4),
        Column("95% CI low", by(labels, select(payload.THRESHOLD_LOWER), "max"), "none", 4),
        Column("95% CI high", by(labels, select(payload.THRESHOLD_UPPER), "max"), "none", 4),
        Column("levels not measured", by(reasons, select(payload.NOT_MEASURED)), "none", 0, no_value="–"),
        sort_by="method",
        descending=False,
    )


def thresholds_over_time(unit: str, methods: str) -> timeseries.Panel:
    """Return the embedding rate at 50% and 95% detection over time; `methods` is a pattern of those with this unit."""
    expr = by("method detection", select(payload.THRESHOLD, method=f"~{methods}"), "max")
    return line_chart(
        PanelInfo(
            f"Embedding rate at 50% and 95% detection over time ({unit})",
            "Highest rate over the selected datasets. If it rises, the model misses payloads that it detected before.",
            "none",
        ),
        Query(expr, "{{method}} at {{detection}}"),
    )


def detection_by_property() -> table.Panel:
    """Return the detections by properties of the images."""
    labels = "property value dataset"
    return table_panel(
        PanelInfo(
            "Detection rate by property",
            "Stego images by size (pixels), position (whether the payload reaches the centre crop), bit order, source "
            "of the cover and format, over all methods. Click a rate for the missed images.",
            "none",
        ),
        Column("property"),
        Column("value"),
        Column("dataset"),
        *_rate_columns(
            labels, payload.SLICE_DETECTIONS, "detection rate", DETECTION_RATE_WIDTH, links.MISSED_BY_PROPERTY
        ),
        Column("detected", by(labels, select(payload.SLICE_DETECTIONS.count)), "none", 0),
        sort_by="property",
        descending=False,
    )


def false_positives_by_property() -> table.Panel:
    """Return the false positives by properties of the images."""
    labels = "property value dataset"
    return table_panel(
        PanelInfo(
            "False positive rate by property",
            "Clean images classified as stego, by size (pixels) and source of the image. Click a rate for the images.",
            "none",
        ),
        Column("property"),
        Column("value"),
        Column("dataset"),
        *_rate_columns(
            labels,
            payload.SLICE_FALSE_POSITIVES,
            "false positive rate",
            FALSE_POSITIVE_RATE_WIDTH,
            links.FALSE_POSITIVES_BY_PROPERTY,
        ),
        Column(
            "false positives",
            by(labels, select(payload.SLICE_FALSE_POSITIVES.count)),
            "none",
            0,
            width=FALSE_POSITIVES_WIDTH,
        ),
        sort_by="property",
        descending=False,
    )


def _rate_columns(labels: str, families: ProportionFamilies, title: str, width: int, link: Link) -> tuple[Column, ...]:
    return (
        Column(title, by(labels, select(families.ratio), "max"), "percentunit", 2, width=width, link=link),
        Column("95% CI low", by(labels, select(families.lower), "max"), "percentunit", 2),
        Column("95% CI high", by(labels, select(families.upper), "max"), "percentunit", 2),
        Column("images", by(labels, select(families.total)), "none", 0),
        Column("covers", by(labels, select(families.covers)), "none", 0),
    )
