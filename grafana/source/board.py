"""A dashboard around its panels: variables, links, annotations, and where each panel stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from exporter.publish import metrics
from grafana.source.panels import DATASOURCE, Panel
from grafana.source.style import ORANGE, RED

TAG: Final = "starlight"
COLUMNS: Final = 24
EXPORTER_URL: Final = "http://127.0.0.1:9877"
EVIDENCE: Final = (
    "${exporter}/evaluations/latest/misclassified?model=${__data.fields.model}&dataset=${__data.fields.dataset}"
)
"""Data link of a table row: the images behind its counts."""

_ALL: Final = VariableOption(selected=True, text="All", value="$__all")


@dataclass(slots=True)
class Board:
    """A dashboard under construction; panels are placed row by row, from left to right."""

    uid: str
    title: str
    description: str
    models: str = metrics.MODEL_INFO.name
    """The selector whose `model` values the dashboard offers."""
    hours: int = 6
    _parts: list[Any] = field(default_factory=list)
    _y: int = 0

    def row(self, title: str) -> None:
        """Begin a titled row."""
        self._parts.append(dashboard.Row(title).id(self._next_id()).grid_pos(GridPos(x=0, y=self._y, w=COLUMNS, h=1)))
        self._y += 1

    def add(self, height: int, *panels: tuple[int, Panel]) -> None:
        """One line of panels, each with its width; the widths fill the 24 columns."""
        if sum(width for width, _ in panels) != COLUMNS:
            raise ValueError(f"{self.title}: a line of panels is {COLUMNS} columns wide")
        x = 0
        for width, panel in panels:
            placed = panel.id(self._next_id()).grid_pos(GridPos(x=x, y=self._y, w=width, h=height))
            self._parts.append(placed.datasource(DATASOURCE))
            x += width
        self._y += height

    def json(self) -> str:
        """The dashboard as Grafana's file provisioning takes it."""
        builder = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .timezone("utc")
            .time(f"now-{self.hours}h", "now")
            .refresh("15s")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .readonly()
            .link(
                dashboard.DashboardLink("Starlight")
                .type(DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .keep_time(True)
                .include_vars(True)
            )
        )
        for variable in (*_variables(self.models), _exporter_url()):
            builder = builder.with_variable(variable)
        for annotation in _annotations():
            builder = builder.annotation(annotation)
        for part in self._parts:
            builder = builder.with_row(part) if isinstance(part, dashboard.Row) else builder.with_panel(part)
        content = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
        # The SDK moves both into the controls menu; links and events are there to be seen.
        for shown in (*content["links"], *content["annotations"]["list"]):
            shown.pop("placement", None)
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def _next_id(self) -> int:
        return len(self._parts) + 1


def _variables(models: str) -> Sequence[Any]:
    def of_label(name: str, label: str, query: str) -> dashboard.QueryVariable:
        return (
            dashboard.QueryVariable(name)
            .label(label)
            .datasource(DATASOURCE)
            .query(f"label_values({query}, {name})")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(_ALL)
        )

    source = (
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(VariableOption(selected=True, text="Prometheus", value="prometheus"))
    )
    return (
        source,
        of_label("model", "Model", models),
        of_label("dataset", "Dataset", metrics.EVALUATION_IN_PROGRESS.name),
        of_label("method", "Method", metrics.STEGO.total.name),
    )


def _exporter_url() -> dashboard.TextBoxVariable:
    return (
        dashboard.TextBoxVariable("exporter")
        .label("Exporter")
        .default_value(EXPORTER_URL)
        .current(VariableOption(selected=True, text=EXPORTER_URL, value=EXPORTER_URL))
        .hide(VariableHide.HIDE_VARIABLE)
    )


def _annotations() -> Sequence[dashboard.AnnotationQuery]:
    info = f'{metrics.MODEL_INFO.name}{{model=~"$model",sha256!=""}}'
    now, before = (f"max by (model, sha256) ({selector})" for selector in (info, f"{info} offset 1m"))
    # A file is new where its hash was not there a minute ago, though the exporter was.
    changed = f"({now} unless {before}) and on () count({metrics.MODEL_INFO.name} offset 1m)"
    firing = 'max by (alertname, severity, model, dataset) (ALERTS{alertname=~"Starlight.+",alertstate="firing"})'
    shared = dashboard.AnnotationQuery
    return (
        shared()
        .name("Model changes")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(ORANGE)
        .expr(changed)
        .step("15s")
        .title_format("{{model}} changed")
        .text_format("now {{sha256}}"),
        shared()
        .name("Firing alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(RED)
        .expr(firing)
        .step("15s")
        .title_format("{{alertname}}")
        .text_format("{{severity}} {{model}} {{dataset}}"),
    )
