"""What the numbers are measured on: counts, balance, duplicates, what could not be measured, and when it changed."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries

from grafana.source.board import Board
from grafana.source.limits import ANY_IS_WARNING, BALANCE, MARKED
from grafana.source.panels import Look, Query, bars, line_chart, single_value, state_history
from grafana.source.queries import by, select
from grafana.source.style import BLUE, CLASS_COLOURS, METHOD_COLOURS, REASON_COLOURS, reference_line
from grafana.source.tables import MODEL_WIDTH, Column, rows
from starlight_exporter.detector.contract import FORMATS
from starlight_exporter.publish import metrics
from starlight_exporter.publish.metrics import Family

UNCHANGED = "no change"
"""Stands where the exporter has seen none since it started."""
_FILES = select(metrics.DATASET_IMAGES, method="~.*")


def data() -> Board:
    """The datasets."""
    board = Board(
        "starlight-data",
        "Starlight / Data",
        "Counts by class, method and format, balance and entropy, duplicates, images not measured, changes.",
    )
    board.add(4, (6, _images()), (5, _balance()), (5, _duplicates()), (4, _not_measured()), (4, _changed()))
    board.row("What is in it")
    board.add(9, (12, _counts()), (6, _methods()), (6, _formats()))
    board.row("Is it a fair test")
    board.add(8, (14, _shortcuts()), (10, _leaked()))
    board.row("Changes")
    board.add(6, (12, _fingerprints()), (12, _classes_over_time()))
    board.add(8, (8, _entropy()), (8, _shares_over_time()), (8, _reasons()))
    return board


def _images() -> stat.Panel:
    return single_value(
        Look(
            "Images", "Files of the dataset, measured or not. A drop is an alert: restore the missing files.", "none", 0
        ),
        Query(by("dataset", _FILES), "{{dataset}}"),
    )


def _balance() -> stat.Panel:
    return single_value(
        Look(
            "Balance of methods",
            "Entropy of the method shares over the largest it can be. Orange: averages over methods are those of "
            "one method; add files of the others.",
            "percentunit",
            1,
        ),
        Query(
            f"{by('dataset', select(metrics.DATASET_ENTROPY), 'min')}"
            f" / {by('dataset', select(metrics.DATASET_ENTROPY_MAX), 'max')}",
            "{{dataset}}",
        ),
        thresholds=BALANCE,
    )


def _duplicates() -> stat.Panel:
    return single_value(
        Look(
            "Duplicates",
            "Files with the same bytes as another: they count twice in every rate. Remove them.",
            "none",
            0,
        ),
        Query(by("dataset", select(metrics.DATASET_DUPLICATES), "max"), "{{dataset}}"),
        thresholds=ANY_IS_WARNING,
    )


def _not_measured() -> stat.Panel:
    return single_value(
        Look(
            "Not measured",
            "Images that gave no verdict in the last evaluation and are in no rate. Orange: the reasons stand below.",
            "none",
            0,
        ),
        Query(by("dataset", select(metrics.NOT_MEASURED)), "{{dataset}}"),
        thresholds=ANY_IS_WARNING,
    )


def _changed() -> stat.Panel:
    return single_value(
        Look(
            "Content changed",
            "Time since the exporter last saw the content change. No change: it has seen none since it started.",
            "s",
            0,
        ),
        Query(f"time() - {by('dataset', select(metrics.DATASET_CHANGED_TIMESTAMP), 'max')}", "{{dataset}}"),
        nothing=UNCHANGED,
    )


def _counts() -> table.Panel:
    labels = "class method dataset"
    return rows(
        Look(
            "Files by class, method and format",
            "Unlabelled files are in no rate: name their method. An empty cell is a format that nobody watches.",
            "none",
        ),
        Column("class", width=75),
        Column("method", width=70),
        Column("dataset", width=90),
        *(
            Column(name, by(labels, select(metrics.DATASET_IMAGES, method="~.*", format=name)), "none", 0, nothing="–")
            for name in FORMATS
        ),
        Column("all", by(labels, _FILES), "none", 0),
        sort_by="class",
        descending=False,
    )


def _methods() -> bargauge.Panel:
    return bars(
        Look(
            "Shares of the methods",
            "Of the labelled stego files. Even bars: every method weighs the same. A short one: add files of that "
            "method.",
            "percentunit",
            1,
        ),
        Query(by("method dataset", select(metrics.DATASET_METHOD_SHARE), "max"), "{{method}}, {{dataset}}"),
        maximum=1,
    )


def _formats() -> bargauge.Panel:
    return bars(
        Look(
            "Files by format",
            "Over all classes. A format with few files has wide intervals: add files before trusting its rate.",
            "none",
            0,
        ),
        Query(by("format dataset", _FILES), "{{format}}, {{dataset}}"),
    )


def _shortcuts() -> table.Panel:
    labels = "method dataset fact"
    info = select(metrics.DATASET_SHORTCUT_INFO)

    def beside(family: Family) -> str:
        return by(
            labels, f"{info} * on (dataset, method) group_left () {by('dataset method', select(family), 'max')}", "max"
        )

    return rows(
        Look(
            "Shortcuts",
            "Share of a method's files that one fact of the file (size, format, metadata) tells from clean ones, "
            "without looking at a pixel, on files that the rule was not chosen on. A high share: a detector may "
            "have learnt the way that the data was made; give clean files the same trait.",
            "none",
        ),
        Column("method"),
        Column("dataset"),
        Column("fact", width=130),
        Column("told apart", beside(metrics.DATASET_SHORTCUT), "percentunit", 1),
        Column("at least", beside(metrics.DATASET_SHORTCUT_LOWER), "percentunit", 1),
        Column("at most", beside(metrics.DATASET_SHORTCUT_UPPER), "percentunit", 1),
        Column("false alarms", beside(metrics.DATASET_SHORTCUT_FALSE_ALARMS), "percentunit", 1),
        sort_by="told apart",
    )


def _leaked() -> table.Panel:
    # The second half has a row, without a number, for models that have no manifest.
    return rows(
        Look(
            "Trained on",
            "Files of the dataset that a model was trained on, byte for byte. Orange: its rates on this dataset say "
            "nothing; measure on other files. Not measured: no manifest of training files tells of it.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset"),
        Column(
            "leaked images",
            by(
                "model dataset",
                f"{select(metrics.DATASET_LEAKED, model='~.+')} or 0 / (0 * "
                f"{select(metrics.CLEAN.total, model='~.+')})",
                "max",
            ),
            "none",
            0,
            MARKED,
        ),
        sort_by="leaked images",
    )


def _fingerprints() -> statetimeline.Panel:
    return state_history(
        Look(
            "Fingerprints",
            "A hash over every path, label and content. Where a band ends and another begins, the data changed: "
            "numbers on both sides are not comparable.",
            "none",
        ),
        Query(by("dataset fingerprint", select(metrics.DATASET_INFO), "max"), "{{dataset}} {{fingerprint}}"),
        meanings={1: ("in use", BLUE)},
    )


def _classes_over_time() -> timeseries.Panel:
    return line_chart(
        Look(
            "Images by class", "A drop means lost files, and an alert: restore them or accept the new data.", "none", 0
        ),
        Query(by("dataset class", _FILES), "{{dataset}}, {{class}}"),
        colours=CLASS_COLOURS,
    )


def _entropy() -> timeseries.Panel:
    return line_chart(
        Look(
            "Entropy of the method shares",
            "In bits, with the most that it can be (grey): log2 of the number of methods. Falling: one method takes "
            "over.",
            "none",
            3,
        ),
        Query(by("dataset", select(metrics.DATASET_ENTROPY), "max"), "{{dataset}}"),
        Query(f"max({select(metrics.DATASET_ENTROPY_MAX)})", "maximum"),
    ).override_by_name("maximum", reference_line())


def _shares_over_time() -> timeseries.Panel:
    return line_chart(
        Look(
            "Shares of the methods over time",
            "A step is a changed dataset: rates before and after it are not alike.",
            "percentunit",
            0,
        ),
        Query(by("dataset method", select(metrics.DATASET_METHOD_SHARE), "max"), "{{dataset}}, {{method}}"),
        colours=METHOD_COLOURS,
    )


def _reasons() -> timeseries.Panel:
    return line_chart(
        Look(
            "Not measured by reason",
            "unreadable: damaged files; too_large: over the size limit; timeout: too slow; model_error: the model "
            "failed; unlabelled: a stego file without a method. Each is an alert.",
            "none",
            0,
        ),
        Query(by("reason", select(metrics.NOT_MEASURED)), "{{reason}}"),
        colours=REASON_COLOURS,
    )
