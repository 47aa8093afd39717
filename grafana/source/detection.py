"""How well each method is found and each format is spared, over time and over several datasets."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, table, timeseries, xychart

from grafana.source import evidence
from grafana.source.board import Board
from grafana.source.curves import value_against_value
from grafana.source.limits import DETECTIONS, FALSE_POSITIVES, FORMAT_LIMIT, NEGATIVES, P_VALUE, UNCOLOURED
from grafana.source.panels import Look, Query, bars, line_chart
from grafana.source.queries import against, by, select
from grafana.source.shared import detection_by_method, detection_over_time
from grafana.source.style import BAD, FORMAT_COLOURS, reference_line
from grafana.source.tables import Column, matrix, rows
from starlight_exporter.checks import limits as check_limits
from starlight_exporter.publish import metrics

_FOUND = f"{by('dataset', select(metrics.STEGO.count))} / {by('dataset', select(metrics.STEGO.total))}"

_AT_THRESHOLD_WRONG = by("threshold", select(metrics.OPERATING_POINT_FALSE_POSITIVES), "max")
_AT_THRESHOLD_FOUND = by("threshold", select(metrics.OPERATING_POINT_DETECTIONS), "min")


def detection() -> Board:
    """Rates by slice, confusion, operating points, negatives, calibration."""
    board = Board(
        "starlight-detection",
        "Starlight / Detection",
        "Detection per method, false positives per format and category, confusion, operating points, calibration.",
    )
    board.row("Datasets side by side")
    board.add(5, (24, _datasets()))
    board.row("Methods")
    board.add(9, (13, detection_by_method()), (11, detection_over_time()))
    board.add(8, (13, _confusion()), (11, _detection_bars()))
    board.row("Formats and hard negatives")
    board.add(9, (14, _formats()), (10, _formats_over_time()))
    board.add(8, (14, _negatives()), (10, _negatives_over_time()))
    board.add(8, (24, _gaps()))
    board.row("Thresholds and probabilities")
    board.add(12, (12, _operating_curve()), (12, _operating_points()))
    board.add(8, (12, _calibration()), (12, _separation()))
    return board


def _datasets() -> table.Panel:
    clean = metrics.CLEAN
    return rows(
        Look(
            "Datasets side by side",
            "The same model over each dataset. A difference between rows says that one dataset is harder, not that "
            "the model changed. Red: click the dataset for its evaluation.",
            "none",
        ),
        Column("dataset", link=evidence.EVALUATION),
        Column(
            "false positives",
            by("dataset", select(clean.ratio), "max"),
            "percentunit",
            2,
            FALSE_POSITIVES,
            link=evidence.FALSE_POSITIVES,
        ),
        Column("at least", by("dataset", select(clean.lower), "max"), "percentunit", 2),
        Column("at most", by("dataset", select(clean.upper), "max"), "percentunit", 2),
        Column("found", _FOUND, "percentunit", 1, DETECTIONS),
        Column("worst method", by("dataset", select(metrics.STEGO.ratio), "min"), "percentunit", 1, DETECTIONS),
        Column("ROC AUC", by("dataset", select(metrics.ROC_AUC), "min"), "none", 4),
        Column("log loss", by("dataset", select(metrics.LOG_LOSS), "max"), "none", 4),
        Column("calibration", by("dataset", select(metrics.CALIBRATION_ERROR), "max"), "none", 4),
    )


def _confusion() -> table.Panel:
    predictions = select(metrics.METHOD_PREDICTIONS)
    return matrix(
        Look(
            "Confusion of methods",
            "Of the images of each kind (rows), the share that the model called so (columns). Off the diagonal: "
            "mix-ups; in the column clean: missed. A dark column clean: look at the missed images of that method.",
            "percentunit",
            1,
        ),
        f"{by('actual predicted', predictions)} / on (actual) group_left () ({by('actual', predictions)} > 0)",
        across="predicted",
        down="actual",
    )


def _detection_bars() -> bargauge.Panel:
    return bars(
        Look(
            "Worst dataset of each method",
            f"The lowest rate over the chosen datasets. Orange up to {check_limits.DETECTION_TARGET:.0%}, red up to"
            f" {check_limits.DETECTION_FLOOR:.0%}: the table above has the counts.",
            "percentunit",
            1,
        ),
        Query(by("method", select(metrics.STEGO.ratio), "min"), "{{method}}"),
        thresholds=DETECTIONS,
        maximum=1,
    )


def _formats() -> table.Panel:
    clean, labels = metrics.CLEAN_BY_FORMAT, "format dataset"
    return rows(
        Look(
            "False positives by format",
            f"Clean images taken for stego, with the exact 95 % interval. Red from {FORMAT_LIMIT:.2%} on, the limit "
            "of a format without a baseline; the alert takes the baseline where there is one. Click a rate for the "
            "images.",
            "none",
        ),
        Column("format"),
        Column("dataset"),
        Column(
            "rate",
            by(labels, select(clean.ratio), "max"),
            "percentunit",
            2,
            ((None, UNCOLOURED), (FORMAT_LIMIT, BAD)),
            link=evidence.FALSE_POSITIVES_BY_FORMAT,
        ),
        Column("at least", by(labels, select(clean.lower), "max"), "percentunit", 2),
        Column("at most", by(labels, select(clean.upper), "max"), "percentunit", 1),
        Column("wrong", by(labels, select(clean.count)), "none", 0),
        Column("of images", by(labels, select(clean.total)), "none", 0),
        Column("baseline", against(clean.total, metrics.BASELINE_FORMAT_FALSE_POSITIVES, labels), "percentunit", 2),
        sort_by="rate",
    )


def _formats_over_time() -> timeseries.Panel:
    return line_chart(
        Look(
            "False positives by format over time",
            "The highest over the chosen datasets. From the dashed line on, a format without a baseline fails.",
            "percentunit",
            2,
        ),
        Query(by("format", select(metrics.CLEAN_BY_FORMAT.ratio), "max"), "{{format}}"),
        Query(f"vector({FORMAT_LIMIT:g})", "limit without a baseline"),
        colours=FORMAT_COLOURS,
    ).override_by_name("limit without a baseline", reference_line(BAD))


def _negatives() -> table.Panel:
    negatives, labels = metrics.NEGATIVES, "category dataset"
    return rows(
        Look(
            "Hard negatives by category",
            "Clean images made to look suspicious, and the share taken for stego, with the exact 95 % interval. Red "
            f"from {check_limits.NEGATIVES_LIMIT:.1%} on: click the rate for the images.",
            "none",
        ),
        Column("category"),
        Column("dataset"),
        Column(
            "rate",
            by(labels, select(negatives.ratio), "max"),
            "percentunit",
            2,
            NEGATIVES,
            link=evidence.FALSE_POSITIVES_BY_CATEGORY,
        ),
        Column("at least", by(labels, select(negatives.lower), "max"), "percentunit", 2),
        Column("at most", by(labels, select(negatives.upper), "max"), "percentunit", 1),
        Column("wrong", by(labels, select(negatives.count)), "none", 0),
        Column("of images", by(labels, select(negatives.total)), "none", 0),
        sort_by="rate",
    )


def _negatives_over_time() -> timeseries.Panel:
    return line_chart(
        Look(
            "Hard negatives over time",
            "The highest rate of each category over the chosen datasets. From the dashed line on, it fails.",
            "percentunit",
            2,
        ),
        Query(by("category", select(metrics.NEGATIVES.ratio), "max"), "{{category}}"),
        Query(f"vector({check_limits.NEGATIVES_LIMIT})", "limit"),
    ).override_by_name("limit", reference_line(BAD))


def _gaps() -> table.Panel:
    labels = "rate format dataset"
    return rows(
        Look(
            "Gaps between sources",
            "A rate on one format minus the same rate on the dataset's other formats; without a format, one dataset "
            "against the others. A p value in blue: the model does differ there by more than chance; look at the "
            "images of that slice.",
            "none",
        ),
        Column("rate"),
        Column("format"),
        Column("dataset"),
        Column("gap", by(labels, select(metrics.SOURCE_GAP), "max"), "percentunit", 2),
        Column("at least", by(labels, select(metrics.SOURCE_GAP_LOWER), "max"), "percentunit", 2),
        Column("at most", by(labels, select(metrics.SOURCE_GAP_UPPER), "max"), "percentunit", 2),
        Column("p value", by(labels, select(metrics.SOURCE_GAP_P_VALUE), "min"), "none", 4, P_VALUE),
        sort_by="p value",
        descending=False,
    )


def _operating_curve() -> xychart.Panel:
    return value_against_value(
        Look(
            "Operating points: found against false positives",
            "Each point is one threshold of the table beside it, the worst over the chosen datasets. Up and to the "
            "left is better. A curve that bends away from that corner after a new model: no threshold makes up for it.",
            "percentunit",
            2,
        ),
        Query(_AT_THRESHOLD_WRONG, "false positives"),
        Query(_AT_THRESHOLD_FOUND, "found"),
        points="threshold",
    )


def _operating_points() -> table.Panel:
    return rows(
        Look(
            "Operating points",
            "What one threshold for all methods would give, the worst over the chosen datasets: choose by the false "
            "positives that can be borne. The model's own rule may have a threshold for each method.",
            "none",
        ),
        Column("threshold"),
        Column("false positives", _AT_THRESHOLD_WRONG, "percentunit", 2, FALSE_POSITIVES),
        Column("found", _AT_THRESHOLD_FOUND, "percentunit", 1, DETECTIONS),
        sort_by="false positives",
    )


def _calibration() -> timeseries.Panel:
    return line_chart(
        Look(
            "Calibration error and log loss",
            "How far the stated probabilities are from what was observed. A jump here alone: choose the thresholds "
            "anew.",
            "none",
        ),
        Query(by("dataset", select(metrics.CALIBRATION_ERROR), "max"), "calibration error, {{dataset}}"),
        Query(by("dataset", select(metrics.LOG_LOSS), "max"), "log loss, {{dataset}}"),
    )


def _separation() -> timeseries.Panel:
    return line_chart(
        Look(
            "ROC AUC",
            "How well clean and stego are told apart, whatever the threshold; 1 is perfect. A fall: the model "
            "itself got worse.",
            "none",
            4,
        ),
        Query(by("dataset", select(metrics.ROC_AUC), "min"), "{{dataset}}"),
        minimum=None,
        maximum=1,
        soft_minimum=0.98,
    )
