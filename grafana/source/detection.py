"""The Detection dashboard: detection and false positive rates by slice, over time and by dataset."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, table, timeseries, xychart

from grafana.source import embeddings, links, payload
from grafana.source.check_states import limit_in_use
from grafana.source.curves import xy_chart
from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.limits import P_VALUE
from grafana.source.panels import PanelInfo, Query, bar_gauge, line_chart
from grafana.source.queries import by, select
from grafana.source.result_columns import limit_column, result_column
from grafana.source.shared_panels import detection_by_method, detection_over_time
from grafana.source.style import FORMAT_COLOURS, WARNING, reference_line
from grafana.source.tables import (
    DETECTION_RATE_WIDTH,
    FALSE_POSITIVE_RATE_WIDTH,
    FALSE_POSITIVES_WIDTH,
    SCORE_WIDTH,
    Column,
    matrix_panel,
    table_panel,
)
from starlight_exporter.publish.families import accuracy, checks, data, figures

_DETECTION_RATE = f"{by('dataset', select(accuracy.STEGO.count))} / {by('dataset', select(accuracy.STEGO.total))}"

_OPERATING_POINT_FALSE_POSITIVE_RATE = by("threshold", select(accuracy.OPERATING_POINT_FALSE_POSITIVES), "max")
_OPERATING_POINT_DETECTION_RATE = by("threshold", select(accuracy.OPERATING_POINT_DETECTIONS), "min")


def detection_dashboard() -> DashboardBuilder:
    """Build the Detection dashboard."""
    builder = DashboardBuilder(
        "starlight-detection",
        "Starlight / Detection",
        "Detection rate by method, false positive rate by format and category, confusion matrix, figures of merit, "
        "operating points, calibration, embeddings.",
    )
    builder.row("Datasets")
    builder.add(5, (24, _datasets()))
    builder.row("Methods")
    builder.add(9, (15, detection_by_method()), (9, detection_over_time()))
    builder.add(8, (15, _confusion()), (9, _detection_bars()))
    builder.row("Payload")
    builder.add(8, (14, payload.detection_by_rate()), (10, payload.thresholds()))
    builder.add(
        8,
        (12, payload.thresholds_over_time("bits per pixel or index", payload.PIXEL_METHODS)),
        (12, payload.thresholds_over_time("bytes", payload.BYTE_METHODS)),
    )
    builder.add(8, (12, payload.detection_by_property()), (12, payload.false_positives_by_property()))
    builder.row("Formats and hard negatives")
    builder.add(8, (24, _formats()))
    builder.add(8, (24, _negatives()))
    builder.add(8, (12, _formats_over_time()), (12, _negatives_over_time()))
    builder.add(8, (24, _source_differences()))
    builder.row("Figures of merit, operating points and calibration")
    builder.add(8, (24, _figures()))
    builder.add(12, (12, _operating_curve()), (12, _operating_points()))
    builder.add(8, (12, _calibration()), (12, _roc_auc()))
    builder.row("Embeddings")
    builder.add(6, (24, embeddings.separation_by_dataset()))
    builder.add(8, (15, embeddings.separation_by_class()), (9, embeddings.recall_over_time()))
    return builder


def _datasets() -> table.Panel:
    clean = accuracy.CLEAN
    return table_panel(
        PanelInfo(
            "Results by dataset",
            "The same model on each dataset. A difference between rows means that one dataset is more difficult, not "
            "that the model has changed. Results: the worst of the checks; click the dataset to open its evaluation.",
            "none",
        ),
        Column("dataset", link=links.EVALUATION),
        Column(
            "false positive rate",
            by("dataset", select(clean.ratio), "max"),
            "percentunit",
            2,
            width=FALSE_POSITIVE_RATE_WIDTH,
            link=links.FALSE_POSITIVES,
        ),
        Column("95% CI low", by("dataset", select(clean.lower), "max"), "percentunit", 2),
        Column("95% CI high", by("dataset", select(clean.upper), "max"), "percentunit", 2),
        result_column("dataset", "fpr_.+|format_.+|negatives", title="FPR checks"),
        Column("detection rate", _DETECTION_RATE, "percentunit", 1, width=DETECTION_RATE_WIDTH),
        Column(
            "lowest by method", by("dataset", select(accuracy.STEGO.ratio), "min"), "percentunit", 1, width=SCORE_WIDTH
        ),
        result_column("dataset", "detection_.+", title="detection checks"),
        Column("ROC AUC", by("dataset", select(accuracy.ROC_AUC), "min"), "none", 4),
        Column("log loss", by("dataset", select(accuracy.LOG_LOSS), "max"), "none", 4),
        Column(
            "calibration error", by("dataset", select(accuracy.CALIBRATION_ERROR), "max"), "none", 4, width=SCORE_WIDTH
        ),
    )


def _confusion() -> table.Panel:
    predictions = select(accuracy.METHOD_PREDICTIONS)
    return matrix_panel(
        PanelInfo(
            "Confusion matrix",
            "Share of the images of each actual class (rows) that was predicted as each class (columns). The column "
            "clean contains missed images. If it is dark for a method, inspect the missed images of that method.",
            "percentunit",
            1,
        ),
        f"{by('actual predicted', predictions)} / on (actual) group_left () ({by('actual', predictions)} > 0)",
        across="predicted",
        down="actual",
    )


def _detection_bars() -> bargauge.Panel:
    return bar_gauge(
        PanelInfo(
            "Lowest detection rate by method",
            "Lowest rate over the selected datasets. The table above contains counts and results of the checks.",
            "percentunit",
            1,
        ),
        Query(by("method", select(accuracy.STEGO.ratio), "min"), "{{method}}"),
        maximum=1,
    )


def _formats() -> table.Panel:
    clean, labels = accuracy.CLEAN_BY_FORMAT, "format dataset"
    return table_panel(
        PanelInfo(
            "False positive rate by format",
            "Clean images classified as stego, with the exact 95% CI. The limit in use is the baseline of the format "
            "plus a margin, or a default without a baseline. Click a rate for the images.",
            "none",
        ),
        Column("format"),
        Column("dataset"),
        Column(
            "false positive rate",
            by(labels, select(clean.ratio), "max"),
            "percentunit",
            2,
            width=FALSE_POSITIVE_RATE_WIDTH,
            link=links.FALSE_POSITIVES_BY_FORMAT,
        ),
        Column("95% CI low", by(labels, select(clean.lower), "max"), "percentunit", 2),
        Column("95% CI high", by(labels, select(clean.upper), "max"), "percentunit", 1),
        Column("false positives", by(labels, select(clean.count)), "none", 0, width=FALSE_POSITIVES_WIDTH),
        Column("images", by(labels, select(clean.total)), "none", 0),
        Column("covers", by(labels, select(clean.covers)), "none", 0),
        Column(
            "baseline",
            by(labels, select(checks.BASELINE_FORMAT_FALSE_POSITIVES), "max"),
            "percentunit",
            2,
            no_value="–",
        ),
        limit_column(labels, "format_consistency", slices="format"),
        result_column(labels, "format_consistency", slices="format"),
        sort_by="false positive rate",
    )


def _formats_over_time() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "False positive rate by format over time",
            "Highest rate over the selected datasets, and the highest limit in use (dashed). The table contains the "
            "limit of each format.",
            "percentunit",
            2,
        ),
        Query(by("format", select(accuracy.CLEAN_BY_FORMAT.ratio), "max"), "{{format}}"),
        Query(limit_in_use("format_consistency"), "highest limit"),
        colours=FORMAT_COLOURS,
    ).override_by_name("highest limit", reference_line(WARNING))


def _negatives() -> table.Panel:
    negatives, labels = accuracy.NEGATIVES, "category dataset"
    return table_panel(
        PanelInfo(
            "False positive rate by hard-negative category",
            "Clean images designed to look suspicious and classified as stego, with the exact 95% CI and the limit in "
            "use. Click a rate for the images.",
            "none",
        ),
        Column("category"),
        Column("dataset"),
        Column(
            "false positive rate",
            by(labels, select(negatives.ratio), "max"),
            "percentunit",
            2,
            width=FALSE_POSITIVE_RATE_WIDTH,
            link=links.FALSE_POSITIVES_BY_CATEGORY,
        ),
        Column("95% CI low", by(labels, select(negatives.lower), "max"), "percentunit", 2),
        Column("95% CI high", by(labels, select(negatives.upper), "max"), "percentunit", 1),
        Column("false positives", by(labels, select(negatives.count)), "none", 0, width=FALSE_POSITIVES_WIDTH),
        Column("images", by(labels, select(negatives.total)), "none", 0),
        Column("covers", by(labels, select(negatives.covers)), "none", 0),
        limit_column(labels, "negatives", slices="category"),
        result_column(labels, "negatives", slices="category"),
        sort_by="false positive rate",
    )


def _negatives_over_time() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "False positive rate on hard negatives over time",
            "Highest rate of each category over the selected datasets. The check fails at the dashed line.",
            "percentunit",
            2,
        ),
        Query(by("category", select(accuracy.NEGATIVES.ratio), "max"), "{{category}}"),
        Query(limit_in_use("negatives"), "limit"),
    ).override_by_name("limit", reference_line(WARNING))


def _source_differences() -> table.Panel:
    labels = "rate format dataset"
    return table_panel(
        PanelInfo(
            "Differences between sources",
            "Rate on one format minus the same rate on the other formats of the dataset; without a format, on one "
            "dataset minus the other datasets. Blue p-value: the difference is statistically significant. Inspect "
            "the images of that slice.",
            "none",
        ),
        Column("rate"),
        Column("format"),
        Column("dataset"),
        Column("difference", by(labels, select(data.SOURCE_GAP), "max"), "percentunit", 2),
        Column("95% CI low", by(labels, select(data.SOURCE_GAP_LOWER), "max"), "percentunit", 2),
        Column("95% CI high", by(labels, select(data.SOURCE_GAP_UPPER), "max"), "percentunit", 2),
        Column("p-value", by(labels, select(data.SOURCE_GAP_P_VALUE), "min"), "none", 4, P_VALUE, smallest=0.0001),
        sort_by="p-value",
        descending=False,
    )


def _figures() -> table.Panel:
    labels = "figure dataset"
    missing = figures.NOT_MEASURED
    return table_panel(
        PanelInfo(
            "Figures of merit",
            "Of the stego probability, independent of the decision rule, with the 95% CI (bootstrap over covers). "
            "p_e: minimum over thresholds of the mean of false positive and missed detection rate. The reason states "
            "why a figure is not measured; few_clean_images: it requires 2 / rate clean images.",
            "none",
        ),
        Column("figure"),
        Column("dataset"),
        Column("value", by(labels, select(figures.VALUE), "max"), "none", 4),
        Column("95% CI low", by(labels, select(figures.LOWER), "max"), "none", 4, no_value="–"),
        Column("95% CI high", by(labels, select(figures.UPPER), "max"), "none", 4, no_value="–"),
        Column("not measured", by(f"{labels} reason", select(missing), "max"), "none", 0, no_value="–"),
        Column("reason"),
        sort_by="figure",
        descending=False,
    )


def _operating_curve() -> xychart.Panel:
    return xy_chart(
        PanelInfo(
            "Operating curve",
            "Detection rate against false positive rate. Each point is one threshold of the table Operating points, "
            "with the worst value over the selected datasets. The upper left is better. If a new model moves the "
            "curve away from it, no threshold compensates for that.",
            "percentunit",
            2,
        ),
        Query(_OPERATING_POINT_FALSE_POSITIVE_RATE, "false positive rate"),
        Query(_OPERATING_POINT_DETECTION_RATE, "detection rate"),
        points="threshold",
    )


def _operating_points() -> table.Panel:
    return table_panel(
        PanelInfo(
            "Operating points",
            "Rates for one threshold for all methods, with the worst value over the selected datasets. Choose a "
            "threshold by the acceptable false positive rate. The model's decision rule can have one threshold per "
            "method.",
            "none",
        ),
        Column("threshold"),
        Column("false positive rate", _OPERATING_POINT_FALSE_POSITIVE_RATE, "percentunit", 2),
        Column("detection rate", _OPERATING_POINT_DETECTION_RATE, "percentunit", 1),
        sort_by="false positive rate",
    )


def _calibration() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Calibration error and log loss",
            "Difference between predicted probabilities and observed frequencies. If only these values increase, "
            "choose new thresholds.",
            "none",
        ),
        Query(by("dataset", select(accuracy.CALIBRATION_ERROR), "max"), "calibration error, {{dataset}}"),
        Query(by("dataset", select(accuracy.LOG_LOSS), "max"), "log loss, {{dataset}}"),
    )


def _roc_auc() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "ROC AUC",
            "Separation of clean and stego images, independent of the threshold; 1 is perfect. If it falls, the "
            "model itself is worse.",
            "none",
            4,
        ),
        Query(by("dataset", select(accuracy.ROC_AUC), "min"), "{{dataset}}"),
        minimum=None,
        maximum=1,
        soft_minimum=0.98,
    )
