"""How well each method is found and each format is spared, over time and over several datasets."""

from __future__ import annotations

from exporter.evaluation import regression
from exporter.publish import metrics
from grafana.source.board import EVIDENCE, Board
from grafana.source.panels import Column, Look, Query, bars, colour_methods, line_chart, rows
from grafana.source.queries import by, select
from grafana.source.style import BAD, DETECTIONS, FALSE_POSITIVES, NEGATIVES, reference_line

_FORMAT_LIMIT = regression.FORMAT_DEFAULT_BASELINE + regression.FORMAT_MARGIN


def detection() -> Board:
    """Rates by slice, confusion, operating points, negatives, calibration."""
    board = Board(
        "starlight-detection",
        "Starlight / Detection",
        "Detection per method, false positives per format and category, confusion, operating points, calibration.",
    )
    board.row("Methods")
    found = colour_methods(
        line_chart(
            Look(
                "Detection by method",
                "Lowest over the chosen models and datasets. At or below the floor: look at the missed images.",
                "percentunit",
                2,
            ),
            Query(by("method", select(metrics.STEGO.ratio), "min"), "{{method}}"),
            Query(f"vector({regression.DETECTION_FLOOR})", "floor"),
            minimum=None,
            maximum=1,
        )
    ).override_by_name("floor", reference_line(BAD))
    interval = rows(
        Look(
            "Detection and its certainty",
            "Counts and the exact 95 % interval. Red is at or below the floor; the count opens the missed images.",
            "",
        ),
        Column("model"),
        Column("dataset"),
        Column("method"),
        Column(
            "found",
            by("model dataset method", select(metrics.STEGO.count)),
            "none",
            0,
            link=EVIDENCE + "&class=stego&method=${__data.fields.method}",
        ),
        Column("of", by("model dataset method", select(metrics.STEGO.total)), "none", 0),
        Column("rate", by("model dataset method", select(metrics.STEGO.ratio)), "percentunit", 2, DETECTIONS),
        Column("lower", by("model dataset method", select(metrics.STEGO.lower)), "percentunit", 2),
        Column("upper", by("model dataset method", select(metrics.STEGO.upper)), "percentunit", 2),
        sort_by="rate",
        descending=False,
    )
    board.add(9, (10, found), (14, interval))
    confusion = rows(
        Look(
            "Confusion of methods",
            "What the images are, and what the model called them. Off the diagonal: mix-ups; in `clean`: misses.",
            "",
        ),
        Column("actual"),
        *(
            Column(name, by("actual", select(metrics.METHOD_PREDICTIONS, predicted=name)), "none", 0)
            for name in ("alpha", "palette", "lsb", "exif", "eoi", "clean")
        ),
    )
    across = rows(
        Look(
            "Datasets side by side",
            "The same model over several datasets. A gap between them means that one is easier than the other, not that"
            " the model changed.",
            "",
        ),
        Column("model"),
        Column("dataset"),
        Column(
            "false positive rate", by("model dataset", select(metrics.CLEAN.ratio)), "percentunit", 3, FALSE_POSITIVES
        ),
        Column(
            "detection",
            f"{by('model dataset', select(metrics.STEGO.count))} / {by('model dataset', select(metrics.STEGO.total))}",
            "percentunit",
            2,
            DETECTIONS,
        ),
        Column("ROC AUC", by("model dataset", select(metrics.ROC_AUC)), "none", 5),
        Column("log loss", by("model dataset", select(metrics.LOG_LOSS)), "none", 4),
        Column("calibration error", by("model dataset", select(metrics.CALIBRATION_ERROR)), "none", 4),
    )
    board.add(8, (11, confusion), (13, across))
    board.row("Formats and negatives")
    by_format = line_chart(
        Look(
            "False positives by format",
            "Highest over the chosen models and datasets. At the dashed line a format without a baseline fails.",
            "percentunit",
            3,
        ),
        Query(by("format", select(metrics.CLEAN_BY_FORMAT.ratio), "max"), "{{format}}"),
        Query(f"vector({_FORMAT_LIMIT:g})", "limit without a baseline"),
    ).override_by_name("limit without a baseline", reference_line(BAD))
    formats = rows(
        Look(
            "False positives by format",
            "Counts, interval and what the baseline promises; the count opens the images.",
            "",
        ),
        Column("model"),
        Column("dataset"),
        Column("format"),
        Column(
            "wrong",
            by("model dataset format", select(metrics.CLEAN_BY_FORMAT.count)),
            "none",
            0,
            link=EVIDENCE + "&class=clean&format=${__data.fields.format}",
        ),
        Column("of", by("model dataset format", select(metrics.CLEAN_BY_FORMAT.total)), "none", 0),
        Column(
            "rate",
            by("model dataset format", select(metrics.CLEAN_BY_FORMAT.ratio)),
            "percentunit",
            3,
            ((None, "text"), (_FORMAT_LIMIT, BAD)),
        ),
        Column("upper", by("model dataset format", select(metrics.CLEAN_BY_FORMAT.upper)), "percentunit", 3),
        sort_by="rate",
    )
    negatives = bars(
        Look(
            "False positives among negatives",
            "Clean images made to look suspicious, by category. Red fails the check: see which ones.",
            "percentunit",
            2,
        ),
        Query(by("category", select(metrics.NEGATIVES.ratio), "max"), "{{category}}"),
        thresholds=NEGATIVES,
        minimum=0,
        maximum=4 * regression.NEGATIVES_LIMIT,
    )
    board.add(9, (8, by_format), (10, formats), (6, negatives))
    board.row("Thresholds and probabilities")
    points = rows(
        Look(
            "Operating points",
            "What one threshold for all methods would give: pick by the false positives that can be borne.",
            "",
        ),
        Column("model"),
        Column("dataset"),
        Column("threshold"),
        Column(
            "false positive rate",
            by("model dataset threshold", select(metrics.OPERATING_POINT_FALSE_POSITIVES)),
            "percentunit",
            3,
            FALSE_POSITIVES,
        ),
        Column(
            "detection",
            by("model dataset threshold", select(metrics.OPERATING_POINT_DETECTIONS)),
            "percentunit",
            2,
            DETECTIONS,
        ),
        sort_by="threshold",
    )
    calibration = line_chart(
        Look(
            "Calibration error and log loss",
            "How far stated probabilities are from the truth. A jump here alone: look at the thresholds again.",
            "none",
            4,
        ),
        Query(
            by("model dataset", select(metrics.CALIBRATION_ERROR), "max"), "calibration error, {{model}} on {{dataset}}"
        ),
        Query(by("model dataset", select(metrics.LOG_LOSS), "max"), "log loss, {{model}} on {{dataset}}"),
    )
    auc = line_chart(
        Look("ROC AUC", "How well clean and stego are told apart, whatever the threshold.", "none", 5),
        Query(by("model dataset", select(metrics.ROC_AUC), "min"), "{{model}} on {{dataset}}"),
        minimum=None,
        maximum=1,
    )
    board.add(9, (10, points), (7, calibration), (7, auc))
    return board
