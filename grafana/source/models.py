"""The Models dashboard: comparison of production, baseline and research models, and their training."""

from __future__ import annotations

from collections.abc import Callable

from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.source.check_states import limit_in_use
from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.limits import HIGHLIGHT_ANY, P_VALUE
from grafana.source.panels import PanelInfo, Query, line_chart
from grafana.source.queries import ALL_MODELS, by, select_all_models
from grafana.source.result_columns import result_column
from grafana.source.shared_panels import P95
from grafana.source.style import BAD, GOOD, WARNING, reference_line
from grafana.source.tables import (
    DETECTION_RATE_WIDTH,
    FALSE_POSITIVE_RATE_WIDTH,
    MODEL_WIDTH,
    SCORE_WIDTH,
    Column,
    table_panel,
)
from grafana.source.training import accuracy_curves, loss_curves, training_table
from starlight_exporter.checks.limits import CheckName
from starlight_exporter.models.roles import ROLES
from starlight_exporter.publish.families import accuracy, analyses, comparisons, latency, models, runs
from starlight_exporter.publish.families.family import Family

_LOADED = {1: ("loaded", GOOD), 0: ("not loadable", BAD)}


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
    builder.add(7, (24, training_table()))
    builder.add(8, *((12, panel) for panel in loss_curves()))
    builder.add(8, *((12, panel) for panel in accuracy_curves()))
    return builder


def _comparison() -> table.Panel:
    labels = "model dataset"
    detection_rate = (
        f"{by(labels, select_all_models(accuracy.STEGO.count))} / {by(labels, select_all_models(accuracy.STEGO.total))}"
    )
    return table_panel(
        PanelInfo(
            "Models",
            "One row per model and dataset; compare models on the same dataset. Checks: the worst result; only that of "
            "production alerts. See Paired comparison for the statistical significance of differences.",
            "none",
        ),
        Column("model"),
        Column("dataset", width=85),
        Column(
            "false positive rate",
            by(labels, select_all_models(accuracy.CLEAN.ratio), "max"),
            "percentunit",
            2,
            width=FALSE_POSITIVE_RATE_WIDTH,
        ),
        Column("95% CI high", by(labels, select_all_models(accuracy.CLEAN.upper), "max"), "percentunit", 2, width=90),
        Column("detection rate", detection_rate, "percentunit", 1, width=DETECTION_RATE_WIDTH),
        Column(
            "lowest by method",
            by(labels, select_all_models(accuracy.STEGO.ratio), "min"),
            "percentunit",
            1,
            width=SCORE_WIDTH,
        ),
        Column("ROC AUC", by(labels, select_all_models(accuracy.ROC_AUC), "min"), "none", 4, width=75),
        Column(
            "calibration error",
            by(labels, select_all_models(accuracy.CALIBRATION_ERROR), "max"),
            "none",
            4,
            width=SCORE_WIDTH,
        ),
        Column("p95", by(labels, select_all_models(latency.LATENCY, quantile=P95), "max"), "s", 1, width=65),
        result_column(labels, ".+", title="checks", model=ALL_MODELS),
        Column(
            "evaluated",
            by(labels, f"{select_all_models(runs.EVALUATION_TIMESTAMP)} * 1000", "max"),
            "dateTimeFromNow",
            width=136,
        ),
        sort_by="dataset",
        descending=False,
    )


def _files() -> table.Panel:
    labels = "model role sha256 decision"
    info = select_all_models(models.MODEL_INFO)

    def joined(family: Family, factor: str = "") -> str:
        return by(
            labels, f"{info} * on (model) group_left () {by('model', select_all_models(family), 'max')}{factor}", "max"
        )

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
        sort_by="model",
        descending=False,
    )


def _false_positives() -> timeseries.Panel:
    return _by_role(
        PanelInfo(
            "False positive rate",
            "All models; production is the thick line, and the target in use is dashed. Above it, open the "
            "dashboard Detection for that model.",
            "percentunit",
            2,
        ),
        lambda role: by("model dataset", _with_role(select_all_models(accuracy.CLEAN.ratio), role), "max"),
        "target",
        "fpr_target",
    )


def _lowest_detection_rate() -> timeseries.Panel:
    return _by_role(
        PanelInfo(
            "Lowest detection rate",
            "Lowest detection rate of any method by model. For production an alert fires at or below the dashed floor.",
            "percentunit",
            1,
        ),
        lambda role: by("model dataset", _with_role(select_all_models(accuracy.STEGO.ratio), role), "min"),
        "floor",
        "detection_floor",
        minimum=None,
        maximum=1,
        soft_minimum=0.9,
    )


def _p95() -> timeseries.Panel:
    return _by_role(
        PanelInfo(
            "Latency p95",
            "By model, with the limit in use (dashed). Runs at different times differ by the load of the machine: "
            "compare models by the ratio on the dashboard Latency.",
            "s",
        ),
        lambda role: by("model dataset", _with_role(select_all_models(latency.LATENCY, quantile=P95), role), "max"),
        "limit",
        "latency_limit",
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
        Column("fixed", by(labels, select_all_models(comparisons.COMPARISON_FLIPS, direction="fixed")), "none", 0),
        Column(
            "broken",
            by(labels, select_all_models(comparisons.COMPARISON_FLIPS, direction="broken")),
            "none",
            0,
            HIGHLIGHT_ANY,
        ),
        Column("images", by(labels, select_all_models(comparisons.COMPARISON_IMAGES)), "none", 0),
        Column(
            "p-value",
            by(labels, select_all_models(comparisons.COMPARISON_P_VALUE), "max"),
            "none",
            4,
            P_VALUE,
            no_value="no flips",
            smallest=0.0001,
        ),
        sort_by="broken",
    )


def _broken_images() -> timeseries.Panel:
    broken = select_all_models(comparisons.COMPARISON_FLIPS, direction="broken", **{"class": "~clean|stego"})
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
        return by(labels, select_all_models(analyses.ABLATION_P_VALUE, **{"class": kind}), "min")

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
        Column("importance", by(labels, select_all_models(analyses.ABLATION_LOSS), "max"), "none", 4),
        Column("95% CI low", by(labels, select_all_models(analyses.ABLATION_LOSS_LOWER), "max"), "none", 4),
        Column("95% CI high", by(labels, select_all_models(analyses.ABLATION_LOSS_UPPER), "max"), "none", 4),
        Column(
            "false positive rate",
            by(labels, select_all_models(analyses.ABLATION_FALSE_POSITIVES), "max"),
            "percentunit",
            2,
            width=FALSE_POSITIVE_RATE_WIDTH,
        ),
        Column("clean images", by(labels, select_all_models(analyses.ABLATION_CLEAN)), "none", 0),
        Column(
            "p-value (clean)", p_value("clean"), "none", 4, P_VALUE, no_value="no flips", smallest=0.0001, width=116
        ),
        Column("detection rate", by(labels, select_all_models(analyses.ABLATION_DETECTIONS), "min"), "percentunit", 1),
        Column("stego images", by(labels, select_all_models(analyses.ABLATION_STEGO)), "none", 0),
        Column(
            "p-value (stego)", p_value("stego"), "none", 4, P_VALUE, no_value="no flips", smallest=0.0001, width=116
        ),
        Column(
            "images changed",
            by(labels, select_all_models(analyses.ABLATION_CHANGED), "max"),
            "percentunit",
            0,
            width=126,
        ),
        sort_by="importance",
    )


def _with_role(selector: str, role: str) -> str:
    return f"{selector} and on (model) {select_all_models(models.MODEL_INFO, role=role)}"


def _by_role(
    info: PanelInfo,
    of_role: Callable[[str], str],
    limit_name: str,
    check: CheckName,
    *,
    minimum: float | None = 0,
    maximum: float | None = None,
    soft_minimum: float | None = None,
) -> timeseries.Panel:
    """Return a chart with one query per role, because model names are unknown here. Production has a thick line."""
    queries = [Query(of_role(role), "{{model}}, {{dataset}}") for role in ROLES]
    queries.append(Query(limit_in_use(check, model=ALL_MODELS), limit_name))
    panel = line_chart(info, *queries, minimum=minimum, maximum=maximum, soft_minimum=soft_minimum)
    panel = panel.override_by_query("A", [DynamicConfigValue(id_val="custom.lineWidth", value=4)])
    return panel.override_by_name(limit_name, reference_line(WARNING))
