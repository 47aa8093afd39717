"""The Data dashboard: image counts, balance, duplicates, images not measured, unlabelled data, and changes."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries

from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.limits import ANY_IS_WARNING, BALANCE, HIGHLIGHT_ANY
from grafana.source.panels import PanelInfo, Query, bar_gauge, line_chart, stat_panel, state_timeline
from grafana.source.queries import by, select
from grafana.source.style import BLUE, CLASS_COLOURS, METHOD_COLOURS, REASON_COLOURS, reference_line
from grafana.source.tables import MODEL_WIDTH, Column, table_panel
from grafana.source.unlabelled import alarm_rate, drift, predicted_methods, results, unlabelled_images
from starlight_exporter.detector.contract import FORMATS
from starlight_exporter.publish.families import accuracy, data
from starlight_exporter.publish.families.family import Family

UNCHANGED = "no change"
"""Displayed if the exporter has not detected a change since it started."""
_FILES = select(data.DATASET_IMAGES, method="~.*")


def data_dashboard() -> DashboardBuilder:
    """Build the Data dashboard."""
    builder = DashboardBuilder(
        "starlight-data",
        "Starlight / Data",
        "Evaluation data: image counts, balance, duplicates, data-quality risks, images not measured, and changes.",
    )
    builder.add(4, (6, _images()), (5, _balance()), (5, _duplicates()), (4, _not_measured()), (4, _changed()))
    builder.row("Contents")
    builder.add(9, (12, _counts()), (6, _methods()), (6, _formats()))
    builder.row("Data-quality risks")
    builder.add(8, (14, _shortcuts()), (10, _training_leakage()))
    builder.row("Unlabelled data")
    builder.add(7, (17, results()), (7, predicted_methods()))
    builder.add(8, (8, alarm_rate()), (10, drift()), (6, unlabelled_images()))
    builder.row("Changes")
    builder.add(6, (12, _fingerprints()), (12, _classes_over_time()))
    builder.add(8, (8, _entropy()), (8, _shares_over_time()), (8, _reasons()))
    return builder


def _images() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Images",
            "Files in the dataset, measured or not. If the number drops, an alert fires: restore the missing files.",
            "none",
            0,
        ),
        Query(by("dataset", _FILES), "{{dataset}}"),
    )


def _balance() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Method balance",
            "Entropy of the method shares relative to its maximum. Orange: averages over methods are dominated by "
            "one method. Add files of the other methods.",
            "percentunit",
            1,
        ),
        Query(
            f"{by('dataset', select(data.DATASET_ENTROPY), 'min')}"
            f" / {by('dataset', select(data.DATASET_ENTROPY_MAX), 'max')}",
            "{{dataset}}",
        ),
        thresholds=BALANCE,
    )


def _duplicates() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Duplicates",
            "Files that are identical to another file and count twice in every rate. Remove them.",
            "none",
            0,
        ),
        Query(by("dataset", select(data.DATASET_DUPLICATES), "max"), "{{dataset}}"),
        thresholds=ANY_IS_WARNING,
    )


def _not_measured() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Not measured",
            "Images that could not be evaluated in the last evaluation and are excluded from all rates. Orange: see "
            "the reasons below.",
            "none",
            0,
        ),
        Query(by("dataset", select(accuracy.IMAGES_NOT_MEASURED)), "{{dataset}}"),
        thresholds=ANY_IS_WARNING,
    )


def _changed() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Last content change",
            "Time since the exporter last detected a change of the content. No change: none since the exporter "
            "started.",
            "s",
            0,
        ),
        Query(f"time() - {by('dataset', select(data.DATASET_CHANGED_TIMESTAMP), 'max')}", "{{dataset}}"),
        no_value=UNCHANGED,
    )


def _counts() -> table.Panel:
    labels = "class method dataset"
    return table_panel(
        PanelInfo(
            "Files by class, method and format",
            "Unlabelled files are excluded from all rates: add a method label. An empty cell means that the format "
            "is not monitored.",
            "none",
        ),
        Column("class", width=75),
        Column("method", width=70),
        Column("dataset", width=90),
        *(
            Column(
                name,
                by(labels, select(data.DATASET_IMAGES, method="~.*", format=name)),
                "none",
                0,
                no_value="–",
            )
            for name in FORMATS
        ),
        Column("all", by(labels, _FILES), "none", 0),
        sort_by="class",
        descending=False,
    )


def _methods() -> bargauge.Panel:
    return bar_gauge(
        PanelInfo(
            "Method shares",
            "Shares of the labelled stego files. Equal bars: every method has the same weight. For a short bar, add "
            "files of that method.",
            "percentunit",
            1,
        ),
        Query(by("method dataset", select(data.DATASET_METHOD_SHARE), "max"), "{{method}}, {{dataset}}"),
        maximum=1,
    )


def _formats() -> bargauge.Panel:
    return bar_gauge(
        PanelInfo(
            "Files by format",
            "Over all classes. A format with few files has a wide confidence interval: add files before relying on "
            "its rate.",
            "none",
            0,
        ),
        Query(by("format dataset", _FILES), "{{format}}, {{dataset}}"),
    )


def _shortcuts() -> table.Panel:
    labels = "method dataset fact"
    info = select(data.DATASET_SHORTCUT_INFO)

    def joined(family: Family) -> str:
        return by(
            labels,
            f"{info} * on (dataset, method) group_left () {by('dataset method', select(family), 'max')}",
            "max",
        )

    return table_panel(
        PanelInfo(
            "Shortcuts",
            "Share of the stego files of a method that one file property (size, format, metadata) separates from "
            "clean files of the same format without decoding a pixel, measured on held-out files. J is this share "
            "minus the share of clean files; p is adjusted for all properties and methods. If p is at most 0.01 and "
            "the lower limit of J at least 0.2, a detector may have learned how the data was generated: give clean "
            "files the same property.",
            "none",
        ),
        Column("method"),
        Column("dataset"),
        Column("file property", label="fact", width=190),
        Column("separable", joined(data.DATASET_SHORTCUT), "percentunit", 1),
        Column("FPR", joined(data.DATASET_SHORTCUT_FALSE_ALARMS), "percentunit", 1, width=75),
        Column("J", joined(data.DATASET_SHORTCUT_J), "none", 2, width=70),
        Column("95% CI low", joined(data.DATASET_SHORTCUT_J_LOWER), "none", 2),
        Column("p", joined(data.DATASET_SHORTCUT_P_VALUE), "none", 3, width=80),
        sort_by="J",
    )


def _training_leakage() -> table.Panel:
    # The second operand adds a row without a value for models that have no manifest.
    return table_panel(
        PanelInfo(
            "Training data leakage",
            "Files of the dataset that are identical to training files of the model. Orange: the model's rates on "
            "this dataset are too optimistic. Evaluate on other files. Not measured: there is no manifest of the "
            "training files.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset"),
        Column(
            "training images",
            by(
                "model dataset",
                f"{select(data.DATASET_LEAKED, model='~.+')} or 0 / (0 * {select(accuracy.CLEAN.total, model='~.+')})",
                "max",
            ),
            "none",
            0,
            HIGHLIGHT_ANY,
        ),
        sort_by="training images",
    )


def _fingerprints() -> statetimeline.Panel:
    return state_timeline(
        PanelInfo(
            "Fingerprints",
            "Hash over all paths, labels and file contents. Results before and after a change of the fingerprint are "
            "not comparable.",
            "none",
        ),
        Query(by("dataset fingerprint", select(data.DATASET_INFO), "max"), "{{dataset}} {{fingerprint}}"),
        states={1: ("in use", BLUE)},
    )


def _classes_over_time() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Images by class",
            "If a line drops, files were lost and an alert fires. Restore the files, or accept the new dataset.",
            "none",
            0,
        ),
        Query(by("dataset class", _FILES), "{{dataset}}, {{class}}"),
        colours=CLASS_COLOURS,
    )


def _entropy() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Entropy of the method shares",
            "In bits, with its maximum (grey): log2 of the number of methods. A falling line means that one method "
            "dominates.",
            "none",
            3,
        ),
        Query(by("dataset", select(data.DATASET_ENTROPY), "max"), "{{dataset}}"),
        Query(f"max({select(data.DATASET_ENTROPY_MAX)})", "maximum"),
    ).override_by_name("maximum", reference_line())


def _shares_over_time() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Method shares over time",
            "A step indicates a changed dataset. Rates before and after it are not comparable.",
            "percentunit",
            0,
        ),
        Query(by("dataset method", select(data.DATASET_METHOD_SHARE), "max"), "{{dataset}}, {{method}}"),
        colours=METHOD_COLOURS,
    )


def _reasons() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Images not measured by reason",
            "unreadable: damaged files. too_large: above a limit. timeout: too slow. model_error: the model failed. "
            "unlabelled: no method, or contradictory ones. unsupported: another format. crashed: ended the worker. "
            "Each reason raises an alert.",
            "none",
            0,
        ),
        Query(by("reason", select(accuracy.IMAGES_NOT_MEASURED)), "{{reason}}"),
        colours=REASON_COLOURS,
    )
