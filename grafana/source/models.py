"""The Models dashboard: comparison of production, baseline and research models, and their training."""

from __future__ import annotations

from collections.abc import Callable

from grafana_foundation_sdk.builders import table, timeseries, trend
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.source import links
from grafana.source.curves import trend_chart
from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.limits import DETECTIONS, FALSE_POSITIVES, GAP, HIGHLIGHT_ANY, LATENCY, P_VALUE
from grafana.source.panels import PanelInfo, Query, line_chart
from grafana.source.queries import by, select
from grafana.source.shared_panels import P95
from grafana.source.style import BAD, GOOD, reference_line
from grafana.source.tables import FALSE_POSITIVE_RATE_WIDTH, MODEL_WIDTH, Column, table_panel
from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.models.roles import ROLES
from starlight_exporter.publish.families import accuracy, analyses, comparisons, latency, models, runs, training
from starlight_exporter.publish.families.family import Family

_ALL_MODELS = "~.+"
_LOADED = {1: ("loaded", GOOD), 0: ("not loadable", BAD)}
_DIVERGED = {0: ("no", GOOD), 1: ("diverged", BAD)}


def models_dashboard() -> DashboardBuilder:
    """Build the Models dashboard."""
    builder = DashboardBuilder(
        "starlight-models",
        "Starlight / Models",
        "Comparison of production, baseline and research models, paired tests, stream ablation, and training.",
        one_model=False,
    )
    builder.row("Comparison")
    builder.add(8, (24, _comparison()))
    builder.add(8, (24, _files()))
    builder.row("Over time")
    builder.add(8, (8, _false_positives()), (8, _lowest_detection_rate()), (8, _p95()))
    builder.row("Paired comparison")
    builder.add(10, (16, _flips()), (8, _broken_images()))
    builder.row("Stream ablation")
    builder.add(9, (24, _stream_ablation()))
    builder.row("Training")
    builder.add(7, (24, _training()))
    builder.add(8, *((12, panel) for panel in _losses()))
    builder.add(8, *((12, panel) for panel in _accuracies()))
    return builder


def _comparison() -> table.Panel:
    labels = "model dataset"
    detection_rate = (
        f"{by(labels, _select_all(accuracy.STEGO.count))} / {by(labels, _select_all(accuracy.STEGO.total))}"
    )
    return table_panel(
        PanelInfo(
            "Models",
            "One row per model and dataset; compare models on the same dataset. Colours use the limits of the "
            "alerts. See Paired comparison for the statistical significance of differences.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset", width=95),
        Column(
            "false positive rate",
            by(labels, _select_all(accuracy.CLEAN.ratio), "max"),
            "percentunit",
            2,
            FALSE_POSITIVES,
        ),
        Column("95% CI high", by(labels, _select_all(accuracy.CLEAN.upper), "max"), "percentunit", 2),
        Column("detection rate", detection_rate, "percentunit", 1, DETECTIONS),
        Column("lowest by method", by(labels, _select_all(accuracy.STEGO.ratio), "min"), "percentunit", 1, DETECTIONS),
        Column("ROC AUC", by(labels, _select_all(accuracy.ROC_AUC), "min"), "none", 4),
        Column("calibration error", by(labels, _select_all(accuracy.CALIBRATION_ERROR), "max"), "none", 4),
        Column("p95", by(labels, _select_all(latency.LATENCY, quantile=P95), "max"), "s", 1, LATENCY),
        Column("images/s", by(labels, _select_all(latency.THROUGHPUT), "max"), "none", 0),
        Column(
            "evaluated",
            by(labels, f"{_select_all(runs.EVALUATION_TIMESTAMP)} * 1000", "max"),
            "dateTimeFromNow",
        ),
        sort_by="dataset",
        descending=False,
    )


def _files() -> table.Panel:
    labels = "model role sha256 decision"
    info = _select_all(models.MODEL_INFO)

    def joined(family: Family, factor: str = "") -> str:
        return by(labels, f"{info} * on (model) group_left () {by('model', _select_all(family), 'max')}{factor}", "max")

    return table_panel(
        PanelInfo(
            "Model files",
            "File in use for each model. Not loadable: the metrics are those of the last file that was loaded; see "
            "the exporter's log.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("role", width=90),
        Column("sha256", width=115),
        Column("decision"),
        Column("size", joined(models.MODEL_SIZE), "bytes", 0, width=75),
        Column("modified", joined(models.MODEL_MODIFIED_TIMESTAMP, " * 1000"), "dateTimeFromNow", width=136),
        Column("loaded", joined(models.MODEL_LOADED_TIMESTAMP, " * 1000"), "dateTimeFromNow", width=136),
        Column("last load", joined(models.MODEL_LAST_LOAD_SUCCESSFUL), "none", states=_LOADED, width=85),
    )


def _false_positives() -> timeseries.Panel:
    return _by_role(
        PanelInfo(
            "False positive rate",
            "All models; production is the thick line. The target is missed at the red line: open the dashboard "
            "Detection for that model.",
            "percentunit",
            2,
        ),
        lambda role: by("model dataset", _with_role(_select_all(accuracy.CLEAN.ratio), role), "max"),
        "target",
        DEFAULT_LIMITS.fpr_target,
    )


def _lowest_detection_rate() -> timeseries.Panel:
    return _by_role(
        PanelInfo(
            "Lowest detection rate",
            "Lowest detection rate of any method by model. For production an alert fires at or below the red line.",
            "percentunit",
            1,
        ),
        lambda role: by("model dataset", _with_role(_select_all(accuracy.STEGO.ratio), role), "min"),
        "floor",
        DEFAULT_LIMITS.detection_floor,
        minimum=None,
        maximum=1,
        soft_minimum=0.9,
    )


def _p95() -> timeseries.Panel:
    return _by_role(
        PanelInfo(
            "Latency p95",
            "By model. For production an alert fires at the red line: see the stages on the dashboard Latency.",
            "s",
        ),
        lambda role: by("model dataset", _with_role(_select_all(latency.LATENCY, quantile=P95), role), "max"),
        "limit",
        DEFAULT_LIMITS.latency_limit,
    )


def _flips() -> table.Panel:
    labels = "model against dataset class"
    return table_panel(
        PanelInfo(
            "Paired comparison",
            "Two models on the same images. Fixed: images that this model classifies correctly and the other does "
            "not. Broken: the reverse. Blue p-value: the difference is statistically significant. If more images are "
            "broken than fixed, inspect the broken images.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("compared with", label="against", width=110),
        Column("dataset", width=90),
        Column("class"),
        Column("fixed", by(labels, _select_all(comparisons.COMPARISON_FLIPS, direction="fixed")), "none", 0),
        Column(
            "broken",
            by(labels, _select_all(comparisons.COMPARISON_FLIPS, direction="broken")),
            "none",
            0,
            HIGHLIGHT_ANY,
        ),
        Column("images", by(labels, _select_all(comparisons.COMPARISON_IMAGES)), "none", 0),
        Column(
            "p-value",
            by(labels, _select_all(comparisons.COMPARISON_P_VALUE), "max"),
            "none",
            4,
            P_VALUE,
            no_value="no flips",
        ),
        sort_by="broken",
    )


def _broken_images() -> timeseries.Panel:
    broken = _select_all(comparisons.COMPARISON_FLIPS, direction="broken", **{"class": "~clean|stego"})
    return line_chart(
        PanelInfo(
            "Broken images",
            "Clean and stego images that the other model classifies correctly and this one does not. If the number "
            "rises after a model change, see the table for the classes.",
            "none",
            0,
        ),
        Query(by("model against dataset", broken), "{{model}} vs. {{against}}, {{dataset}}"),
    )


def _stream_ablation() -> table.Panel:
    labels = "model dataset stream"

    def p_value(kind: str) -> str:
        return by(labels, _select_all(analyses.ABLATION_P_VALUE, **{"class": kind}), "min")

    return table_panel(
        PanelInfo(
            "Ablation by stream",
            "Results on the same images with one stream ablated. Importance: increase in log loss (nats). If its 95% "
            "CI is above 0, the model needs the stream. Images changed: share of images whose input differed. Blue "
            "p-value: the change of the verdicts is statistically significant.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("stream", width=75),
        Column("dataset", width=90),
        Column("importance", by(labels, _select_all(analyses.ABLATION_LOSS), "max"), "none", 4),
        Column("95% CI low", by(labels, _select_all(analyses.ABLATION_LOSS_LOWER), "max"), "none", 4),
        Column("95% CI high", by(labels, _select_all(analyses.ABLATION_LOSS_UPPER), "max"), "none", 4),
        Column(
            "false positive rate",
            by(labels, _select_all(analyses.ABLATION_FALSE_POSITIVES), "max"),
            "percentunit",
            2,
            width=FALSE_POSITIVE_RATE_WIDTH,
        ),
        Column("clean images", by(labels, _select_all(analyses.ABLATION_CLEAN)), "none", 0),
        Column("p-value (clean)", p_value("clean"), "none", 4, P_VALUE, no_value="no flips", width=116),
        Column("detection rate", by(labels, _select_all(analyses.ABLATION_DETECTIONS), "min"), "percentunit", 1),
        Column("stego images", by(labels, _select_all(analyses.ABLATION_STEGO)), "none", 0),
        Column("p-value (stego)", p_value("stego"), "none", 4, P_VALUE, no_value="no flips", width=116),
        Column(
            "images changed", by(labels, _select_all(analyses.ABLATION_CHANGED), "max"), "percentunit", 0, width=126
        ),
        sort_by="importance",
    )


def _training() -> table.Panel:
    return table_panel(
        PanelInfo(
            "Training",
            "Last epoch and course of the training, from the model's training log. An orange generalization gap "
            "indicates overfitting. Low stability indicates oscillation. Convergence rate: relative decrease of the "
            "loss per epoch. Click a model for its training curves.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH, link=links.TRAINING),
        Column("epochs", by("model", _select_all(training.TRAINING_EPOCHS), "max"), "none", 0),
        Column("training loss", by("model", _select_all(training.TRAINING_LOSS, split="train"), "max"), "none", 4),
        Column(
            "validation loss", by("model", _select_all(training.TRAINING_LOSS, split="validation"), "max"), "none", 4
        ),
        Column(
            "generalization gap", by("model", _select_all(training.TRAINING_GENERALIZATION_GAP), "max"), "none", 4, GAP
        ),
        Column(
            "training accuracy",
            by("model", _select_all(training.TRAINING_ACCURACY, split="train"), "max"),
            "percentunit",
            2,
        ),
        Column(
            "validation accuracy",
            by("model", _select_all(training.TRAINING_ACCURACY, split="validation"), "max"),
            "percentunit",
            2,
        ),
        Column(
            "convergence rate", by("model", _select_all(training.TRAINING_CONVERGENCE_RATE), "max"), "percentunit", 1
        ),
        Column("stability", by("model", _select_all(training.TRAINING_STABILITY), "max"), "none", 2),
        Column("diverged", by("model", _select_all(training.TRAINING_DIVERGED), "max"), "none", states=_DIVERGED),
    )


def _losses() -> tuple[trend.Panel, trend.Panel]:
    def curve(split: str, title: str, description: str) -> trend.Panel:
        query = by("model epoch", _select_all(training.TRAINING_EPOCH_LOSS, split=split), "max")
        return trend_chart(
            PanelInfo(title, description, "none"), query, series="model", number="epoch", decimals=3, logarithmic=True
        )

    return (
        curve(
            "train",
            "Training loss by epoch",
            "From the model's training log. If the loss is still falling at the end, train for more epochs. An "
            "upward jump "
            "indicates that the learning rate is too high.",
        ),
        curve(
            "validation",
            "Validation loss by epoch",
            "On images outside the training set. If it rises while the training loss falls, the model overfits: stop "
            "the "
            "training there.",
        ),
    )


def _accuracies() -> tuple[trend.Panel, trend.Panel]:
    def curve(split: str, title: str, description: str) -> trend.Panel:
        query = by("model epoch", _select_all(training.TRAINING_EPOCH_ACCURACY, split=split), "max")
        info = PanelInfo(title, description, "percentunit")
        return trend_chart(info, query, series="model", number="epoch", decimals=1, soft_maximum=1)

    return (
        curve(
            "train",
            "Training accuracy by epoch",
            "Share of the training images that are classified correctly. If it is far from 100% at the end, the "
            "model is too "
            "small or labels are wrong.",
        ),
        curve(
            "validation",
            "Validation accuracy by epoch",
            "Accuracy on images outside the training set. If it is well below the training accuracy, the model is "
            "overfitted; see the generalization gap.",
        ),
    )


def _select_all(family: Family, **labels: str) -> str:
    return select(family, model=_ALL_MODELS, **labels)


def _with_role(selector: str, role: str) -> str:
    return f'{selector} and on (model) {models.MODEL_INFO.name}{{role="{role}"}}'


def _by_role(
    info: PanelInfo,
    of_role: Callable[[str], str],
    limit_name: str,
    limit: float,
    *,
    minimum: float | None = 0,
    maximum: float | None = None,
    soft_minimum: float | None = None,
) -> timeseries.Panel:
    """Return a chart with one query per role, because model names are unknown here. Production has a thick line."""
    queries = [Query(of_role(role), "{{model}}, {{dataset}}") for role in ROLES]
    queries.append(Query(f"vector({limit})", limit_name))
    panel = line_chart(info, *queries, minimum=minimum, maximum=maximum, soft_minimum=soft_minimum)
    panel = panel.override_by_query("A", [DynamicConfigValue(id_val="custom.lineWidth", value=4)])
    return panel.override_by_name(limit_name, reference_line(BAD))
