"""Validation losses of several models in one chart with logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from starlight_exporter.models.training_log import TrainingHealth
from starlight_exporter.publish.charts import SERIES, Chart, Line, Panel, Point, inline_svg, log_scale
from starlight_exporter.web.pages.page import CHART_WIDTH

_DECADES: Final = 1e8
"""Range of the loss axis; smaller losses are at its lower end."""


@dataclass(frozen=True, slots=True)
class ComparedCurves:
    """A chart with numbered curves, and the names of the models of each: copies of a model have the same curve.

    `left_out` are the models beyond the number of colours.
    """

    chart: Markup
    names: tuple[str, ...]
    left_out: tuple[str, ...]


def compared_curves(models: Mapping[str, TrainingHealth | None]) -> ComparedCurves | None:
    """Return the curves of all models with a training log; None for fewer than two different curves.

    Epochs below 1 and losses of 0 have no place on logarithmic axes and are left out.
    """
    curves: dict[tuple[Point, ...], list[str]] = {}
    for name, health in models.items():
        points = tuple(
            (float(one.epoch), one.validation_loss)
            for one in (() if health is None else health.epochs)
            if one.epoch > 0 and one.validation_loss is not None and one.validation_loss > 0
        )
        if points and points[-1][0] > 1:
            curves.setdefault(points, []).append(name)
    if len(curves) < 2:
        return None
    names = tuple(", ".join(group) for group in curves.values())
    chart = _chart(list(curves)[:SERIES])
    return ComparedCurves(Markup(inline_svg(chart)), names[:SERIES], names[SERIES:])


def _chart(curves: Sequence[Sequence[Point]]) -> Chart:
    last = max(epoch for points in curves for epoch, _ in points)
    losses = [loss for points in curves for _, loss in points]
    # A loss that never changes has a scale of its own.
    highest = max(losses) if max(losses) > min(losses) else min(losses) * 10
    lowest = max(min(losses), highest / _DECADES)
    return Chart(
        title="Validation loss of all models",
        note="x: epoch; y: loss (nats); both logarithmic",
        x=log_scale(1.0, lambda value: f"{value:g}", high=last),
        panels=(
            Panel(
                y=log_scale(lowest, lambda value: f"{value:g}", high=highest),
                lines=tuple(Line(points, str(number)) for number, points in enumerate(curves, start=1)),
                height=260,
            ),
        ),
        width=CHART_WIDTH,
    )
