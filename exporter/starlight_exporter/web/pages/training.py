"""Training curves of the configured models: loss and accuracy by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from starlight_exporter.errors import QueryError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import axis_percent
from starlight_exporter.models.training_log import TrainingEpoch, TrainingHealth
from starlight_exporter.publish.charts import Chart, Line, Panel, Point, inline_svg, linear_scale
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.web.pages.compared_curves import compared_curves
from starlight_exporter.web.pages.page import CHART_WIDTH, Page, Table


def training_page(snapshot: Snapshot, model: str | None) -> Page:
    """Return the curves of one configured model, or of all. QueryError if the model is not configured."""
    if model is not None and model not in snapshot.models:
        raise QueryError(f"model: expected one of {', '.join(snapshot.models)}; got {model[:40]!r}")
    names = [name for name in snapshot.models if model in (None, name)]
    newest = {name: _newest(snapshot, name) for name in names}
    health = {name: None if one is None else one.training for name, one in newest.items()}
    origins = {name: None if one is None else one.origin for name, one in newest.items()}
    return Page(
        template="training.html",
        path="/training",
        query={} if model is None else {"model": model},
        values={
            "models": [
                (name, health, _loss(name, epochs), _accuracy(name, epochs), origins[name])
                for name, health in health.items()
                for epochs in (() if health is None else health.epochs,)
            ],
            "model": model,
            "compared": compared_curves(health) if model is None else None,
        },
        content={"models": health, "origins": origins},
        tables={"epochs": _table(health.items())},
    )


def _newest(snapshot: Snapshot, model: str) -> Evaluation | None:
    found = [run.evaluation for (name, _), run in snapshot.runs.items() if name == model and run.evaluation is not None]
    return max(found, key=lambda evaluation: evaluation.finished_at) if found else None


def _loss(name: str, epochs: Sequence[TrainingEpoch]) -> Markup | None:
    training = _points((e.epoch, e.train_loss) for e in epochs)
    validation = _points((e.epoch, e.validation_loss) for e in epochs)
    return _chart(f"Loss of {name}", "loss (nats)", training, validation, lambda value: f"{value:g}", low=0.0)


def _accuracy(name: str, epochs: Sequence[TrainingEpoch]) -> Markup | None:
    training = _points((e.epoch, e.train_accuracy) for e in epochs)
    validation = _points((e.epoch, e.validation_accuracy) for e in epochs)
    return _chart(f"Accuracy of {name}", "accuracy", training, validation, axis_percent, high=1.0)


def _points(values: Iterable[tuple[int, float | None]]) -> list[Point]:
    return [(epoch, value) for epoch, value in values if value is not None]


def _chart(
    title: str,
    y_title: str,
    training: list[Point],
    validation: list[Point],
    text: Callable[[float], str],
    *,
    low: float | None = None,
    high: float | None = None,
) -> Markup | None:
    points = [*training, *validation]
    if not points:
        return None
    chart = Chart(
        title=title,
        note=f"x: epoch; y: {y_title}",
        x=linear_scale((epoch for epoch, _ in points), lambda value: f"{value:g}"),
        panels=(
            Panel(
                y=linear_scale((value for _, value in points), text, low=low, high=high),
                lines=(Line(training, "training"), Line(validation, "validation")),
            ),
        ),
        width=CHART_WIDTH,
    )
    return Markup(inline_svg(chart))


def _table(models: Iterable[tuple[str, TrainingHealth | None]]) -> Table:
    columns = ("model", "epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy")

    def cells(name: str, e: TrainingEpoch) -> tuple[str | int | float | None, ...]:
        return name, e.epoch, e.train_loss, e.validation_loss, e.train_accuracy, e.validation_accuracy

    return Table(columns, [cells(name, e) for name, health in models if health is not None for e in health.epochs])
