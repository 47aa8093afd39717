"""Panels of the embeddings of a model: linear probe and silhouettes by dataset and by class."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table, timeseries

from grafana.source import links
from grafana.source.panels import PanelInfo, Query, line_chart
from grafana.source.queries import by, select
from grafana.source.tables import Column, table_panel
from starlight_exporter.publish.families import embeddings


def separation_by_dataset() -> table.Panel:
    """Return accuracy of the probe and mean silhouette of each dataset."""
    probe, labels = embeddings.PROBE, "dataset"
    return table_panel(
        PanelInfo(
            "Embeddings by dataset",
            "Accuracy of a linear probe that predicts clean or the method from the embedding, out of sample. Constant: "
            "the share of the largest class, which a constant prediction reaches. Silhouette: near 1 if the classes "
            "are separate, near 0 if they are mixed. Click the accuracy for the projection.",
            "none",
        ),
        Column("dataset"),
        Column("accuracy", by(labels, select(probe.ratio), "max"), "percentunit", 2, link=links.EMBEDDINGS),
        Column("95% CI low", by(labels, select(probe.lower), "max"), "percentunit", 2),
        Column("95% CI high", by(labels, select(probe.upper), "max"), "percentunit", 2),
        Column("correct", by(labels, select(probe.count)), "none", 0),
        Column("images", by(labels, select(probe.total)), "none", 0),
        Column("covers", by(labels, select(probe.covers)), "none", 0),
        Column("constant", by(labels, select(embeddings.LARGEST_CLASS), "max"), "percentunit", 2),
        Column("balanced", by(labels, select(embeddings.BALANCED_ACCURACY), "max"), "percentunit", 2),
        Column("balanced low", by(labels, select(embeddings.BALANCED_ACCURACY_LOWER), "max"), "percentunit", 2),
        Column("balanced high", by(labels, select(embeddings.BALANCED_ACCURACY_UPPER), "max"), "percentunit", 2),
        Column("silhouette", by(labels, select(embeddings.SILHOUETTE), "max"), "none", 3),
        Column("sampled", by(labels, select(embeddings.SILHOUETTE_IMAGES)), "none", 0),
        Column("finite", by(labels, select(embeddings.IMAGES)), "none", 0),
        Column("not finite", by(labels, select(embeddings.NOT_FINITE)), "none", 0),
        sort_by="dataset",
        descending=False,
    )


def separation_by_class() -> table.Panel:
    """Return recall of the probe and silhouette of each class, or the reason why they are not measured."""
    recall, labels = embeddings.RECALL, "actual dataset"
    return table_panel(
        PanelInfo(
            "Embeddings by class",
            "Compare the recall with the detection rate of the method: a higher recall means that the embedding has "
            "the information and the last layer or the decision rule loses it. Rows with a reason are not measured; "
            "without a class, none is.",
            "none",
        ),
        Column("class", label="actual"),
        Column("dataset"),
        Column("recall", by(labels, select(recall.ratio), "max"), "percentunit", 2, link=links.EMBEDDINGS),
        Column("95% CI low", by(labels, select(recall.lower), "max"), "percentunit", 2),
        Column("95% CI high", by(labels, select(recall.upper), "max"), "percentunit", 2),
        Column("recalled", by(labels, select(recall.count)), "none", 0),
        Column("images", by(labels, select(recall.total)), "none", 0),
        Column("covers", by(labels, select(recall.covers)), "none", 0),
        Column("silhouette", by(labels, select(embeddings.CLASS_SILHOUETTE), "max"), "none", 3),
        Column("not measured", by(f"{labels} reason", select(embeddings.NOT_MEASURED), "max"), "none", 0, no_value="–"),
        Column("reason"),
        sort_by="recall",
        descending=False,
    )


def recall_over_time() -> timeseries.Panel:
    """Return the recall of each class by the probe over time."""
    return line_chart(
        PanelInfo(
            "Recall of the linear probe over time",
            "Lowest recall of each class over the selected datasets. If it falls with a new model, the embedding has "
            "lost information, which thresholds cannot restore.",
            "percentunit",
            1,
        ),
        Query(by("actual", select(embeddings.RECALL.ratio), "min"), "{{actual}}"),
    )
