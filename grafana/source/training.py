"""Panels about the training of the models, from their training logs."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table, trend

from grafana.source import links
from grafana.source.curves import trend_chart
from grafana.source.limits import GAP
from grafana.source.panels import PanelInfo
from grafana.source.queries import by, select_all_models
from grafana.source.style import BAD, GOOD
from grafana.source.tables import MODEL_WIDTH, Column, table_panel
from starlight_exporter.publish.families import training

_DIVERGED = {0: ("no", GOOD), 1: ("diverged", BAD)}


def training_table() -> table.Panel:
    """Return a table with the last epoch and the course of the training of each model."""
    return table_panel(
        PanelInfo(
            "Training",
            "Last epoch and course of the training, from the model's training log. An orange generalization gap "
            "indicates overfitting. Low stability indicates oscillation. Convergence rate: relative decrease of the "
            "loss per epoch. Click a model for its training curves.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH, link=links.TRAINING),
        Column("epochs", by("model", select_all_models(training.TRAINING_EPOCHS), "max"), "none", 0),
        Column(
            "training loss", by("model", select_all_models(training.TRAINING_LOSS, split="train"), "max"), "none", 4
        ),
        Column(
            "validation loss",
            by("model", select_all_models(training.TRAINING_LOSS, split="validation"), "max"),
            "none",
            4,
        ),
        Column(
            "generalization gap",
            by("model", select_all_models(training.TRAINING_GENERALIZATION_GAP), "max"),
            "none",
            4,
            GAP,
        ),
        Column(
            "training accuracy",
            by("model", select_all_models(training.TRAINING_ACCURACY, split="train"), "max"),
            "percentunit",
            2,
        ),
        Column(
            "validation accuracy",
            by("model", select_all_models(training.TRAINING_ACCURACY, split="validation"), "max"),
            "percentunit",
            2,
        ),
        Column(
            "convergence rate",
            by("model", select_all_models(training.TRAINING_CONVERGENCE_RATE), "max"),
            "percentunit",
            1,
        ),
        Column("stability", by("model", select_all_models(training.TRAINING_STABILITY), "max"), "none", 2),
        Column("diverged", by("model", select_all_models(training.TRAINING_DIVERGED), "max"), "none", states=_DIVERGED),
    )


def loss_curves() -> tuple[trend.Panel, trend.Panel]:
    """Return the losses of the training set and of the validation set by epoch."""

    def curve(split: str, title: str, description: str) -> trend.Panel:
        query = by("model epoch", select_all_models(training.TRAINING_EPOCH_LOSS, split=split), "max")
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


def accuracy_curves() -> tuple[trend.Panel, trend.Panel]:
    """Return the accuracies on the training set and on the validation set by epoch."""

    def curve(split: str, title: str, description: str) -> trend.Panel:
        query = by("model epoch", select_all_models(training.TRAINING_EPOCH_ACCURACY, split=split), "max")
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
