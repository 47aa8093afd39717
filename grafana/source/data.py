"""What the numbers are measured on: counts, balance, duplicates, what could not be measured, and when it changed."""

from __future__ import annotations

from exporter.publish import metrics
from grafana.source.board import Board
from grafana.source.panels import Column, Look, Query, bars, colour_methods, line_chart, rows, single_value
from grafana.source.queries import by, select
from grafana.source.style import ANY_IS_WARNING, BAD, GOOD, WARNING, reference_line


def data() -> Board:
    """The datasets."""
    board = Board(
        "starlight-data",
        "Starlight / Data",
        "Counts by class, method and format, balance and entropy, duplicates, images not measured, changes.",
    )
    balance = single_value(
        Look(
            "Balance of methods",
            "Entropy of the method shares over its maximum. Far below 1, an average is that of one method.",
            "percentunit",
            1,
        ),
        Query(f"{select(metrics.DATASET_ENTROPY)} / {select(metrics.DATASET_ENTROPY_MAX)}", "{{dataset}}"),
        thresholds=((None, BAD), (0.8, WARNING), (0.95, GOOD)),
    )
    total = single_value(
        Look("Images", "Files of the dataset, measured or not.", "none", 0),
        Query(by("dataset", select(metrics.DATASET_IMAGES)), "{{dataset}}"),
        thresholds=((None, "text"),),
    )
    duplicates = single_value(
        Look(
            "Duplicates",
            "Files with the same bytes as another: they count twice in every rate. Remove them.",
            "none",
            0,
        ),
        Query(by("dataset", select(metrics.DATASET_DUPLICATES), "max"), "{{dataset}}"),
        thresholds=ANY_IS_WARNING,
    )
    missing = single_value(
        Look(
            "Not measured",
            "Images that gave no verdict in the last evaluation: in no rate. The reasons stand below.",
            "none",
            0,
        ),
        Query(by("model dataset", select(metrics.NOT_MEASURED)), "{{model}} on {{dataset}}"),
        thresholds=ANY_IS_WARNING,
    )
    board.add(5, (6, total), (6, balance), (6, duplicates), (6, missing))
    counts = rows(
        Look("Counts", "By class, method and format; `unlabelled` files are in no rate.", ""),
        Column("dataset"),
        Column("class"),
        Column("method"),
        Column("format"),
        Column(
            "images", by("dataset class method format", select(metrics.DATASET_IMAGES, method="~.*"), "max"), "none", 0
        ),
        sort_by="images",
    )
    shares = bars(
        Look(
            "Method shares",
            "Shares of the labelled stego files. Even bars: every method weighs the same.",
            "percentunit",
            1,
        ),
        Query(by("dataset method", select(metrics.DATASET_METHOD_SHARE), "max"), "{{method}}, {{dataset}}"),
        thresholds=((None, "#56B4E9"),),
        minimum=0,
        maximum=1,
    )
    formats = bars(
        Look(
            "Formats",
            "Images by format over all classes. A format without images is one that nobody watches.",
            "none",
            0,
        ),
        Query(by("format dataset", select(metrics.DATASET_IMAGES, method="~.*")), "{{format}}, {{dataset}}"),
        thresholds=((None, "#56B4E9"),),
        minimum=0,
        maximum=None,
    )
    board.add(10, (10, counts), (7, shares), (7, formats))
    entropy = line_chart(
        Look(
            "Entropy of method shares",
            "In bits, with its true maximum (dashed): log2 of the number of methods.",
            "none",
            3,
        ),
        Query(by("dataset", select(metrics.DATASET_ENTROPY), "max"), "{{dataset}}"),
        Query(by("dataset", select(metrics.DATASET_ENTROPY_MAX), "max"), "maximum, {{dataset}}"),
    ).override_by_regexp("/^maximum/", reference_line())
    share = colour_methods(
        line_chart(
            Look(
                "Method shares over time",
                "A step is a changed dataset: rates before and after it are not alike.",
                "percentunit",
                1,
            ),
            Query(by("method dataset", select(metrics.DATASET_METHOD_SHARE), "max"), "{{method}} {{dataset}}"),
        )
    )
    reasons = line_chart(
        Look(
            "Not measured by reason",
            "unreadable: damaged files; model_error: the model failed; timeout: too slow; unlabelled: fix the dataset.",
            "none",
            0,
        ),
        Query(by("reason", select(metrics.NOT_MEASURED)), "{{reason}}"),
    )
    board.add(9, (8, entropy), (8, share), (8, reasons))
    fingerprints = rows(
        Look(
            "Fingerprints",
            "Hash over every path, label and content. Results of different ones are never compared.",
            "",
        ),
        Column("dataset"),
        Column("fingerprint", width=200),
        Column("in use", by("dataset fingerprint", select(metrics.DATASET_INFO), "max"), "none", 0),
    )
    changed = single_value(
        Look(
            "Seen to change",
            "Time since the exporter last saw the content change. `not measured`: it has not, since it watches.",
            "s",
            0,
        ),
        Query(f"time() - {by('dataset', select(metrics.DATASET_CHANGED_TIMESTAMP), 'max')}", "{{dataset}}"),
        thresholds=((None, "text"),),
    )
    size = line_chart(
        Look("Images by class", "A drop means lost files, and an alert.", "none", 0),
        Query(by("dataset class", select(metrics.DATASET_IMAGES, method="~.*")), "{{class}}, {{dataset}}"),
    )
    board.add(7, (9, fingerprints), (5, changed), (10, size))
    return board
