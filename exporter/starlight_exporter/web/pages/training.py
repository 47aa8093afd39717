"""How the configured models were trained: loss and accuracy over epochs, and what the curves say."""

from __future__ import annotations

from collections.abc import Iterable

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.models.training_log import TrainingEpoch, TrainingHealth
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.web.pages import figures
from starlight_exporter.web.pages.charts import Axis, Chart, Series, line_chart
from starlight_exporter.web.pages.page import Page, Table


def training_page(snapshot: Snapshot, model: str | None) -> Page:
    """The curves of one configured model, or of all; ValueError for a name that is not configured."""
    if model is not None and model not in snapshot.models:
        raise ValueError(f"model: expected one of {', '.join(snapshot.models)}; got {model[:40]!r}")
    wanted = [name for name in snapshot.models if model in (None, name)]
    newest = {name: _newest(snapshot, name) for name in wanted}
    known = {name: None if one is None else one.training for name, one in newest.items()}
    origins = {name: None if one is None else one.origin for name, one in newest.items()}
    return Page(
        template="training.html",
        path="/training",
        query={} if model is None else {"model": model},
        values={
            "models": [
                (name, health, _loss(name, health), _accuracy(name, health), origins[name])
                for name, health in known.items()
            ],
            "one": model,
        },
        content={"models": known, "origins": origins},
        tables={"epochs": _table(known.items())},
    )


def _newest(snapshot: Snapshot, model: str) -> Evaluation | None:
    found = [run.evaluation for (name, _), run in snapshot.runs.items() if name == model and run.evaluation is not None]
    return max(found, key=lambda evaluation: evaluation.finished_at) if found else None


def _loss(name: str, health: TrainingHealth | None) -> Chart | None:
    epochs = () if health is None else health.epochs
    return line_chart(
        f"Loss of {name} over epochs",
        Axis("epoch", lambda value: f"{value:g}"),
        Axis("loss (nats)", lambda value: f"{value:g}", low=0.0),
        [
            Series("training", [(e.epoch, e.train_loss) for e in epochs]),
            Series("validation", [(e.epoch, e.validation_loss) for e in epochs]),
        ],
    )


def _accuracy(name: str, health: TrainingHealth | None) -> Chart | None:
    epochs = () if health is None else health.epochs
    return line_chart(
        f"Accuracy of {name} over epochs",
        Axis("epoch", lambda value: f"{value:g}"),
        Axis("accuracy", lambda value: figures.percent(value).replace(".00", ""), high=1.0),
        [
            Series("training", [(e.epoch, e.train_accuracy) for e in epochs]),
            Series("validation", [(e.epoch, e.validation_accuracy) for e in epochs]),
        ],
    )


def _table(models: Iterable[tuple[str, TrainingHealth | None]]) -> Table:
    columns = ("model", "epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy")

    def cells(name: str, e: TrainingEpoch) -> tuple[str | int | float | None, ...]:
        return name, e.epoch, e.train_loss, e.validation_loss, e.train_accuracy, e.validation_accuracy

    return Table(columns, [cells(name, e) for name, health in models if health is not None for e in health.epochs])
