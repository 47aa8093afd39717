"""Dashboard assembly: variables, links, annotations and panel positions."""

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

from grafana.source.health import alerts
from grafana.source.panels import DATASOURCE, Panel
from grafana.source.queries import ALL_MODELS, EXPORTER, select
from grafana.source.style import MODEL_CHANGE, RED
from starlight_exporter.publish.families import accuracy, exporter, models, runs
from starlight_exporter.publish.families.family import Family

TAG: Final = "starlight"
COLUMNS: Final = 24
_ALL: Final = VariableOption(selected=True, text="All", value="$__all")


@dataclass(slots=True)
class DashboardBuilder:
    """Builds one dashboard; panels are placed line by line from left to right."""

    uid: str
    title: str
    description: str
    one_model: bool = True
    """The dashboard has a variable for one model; otherwise it covers all models."""
    hours: int = 24
    _parts: list[Any] = field(default_factory=list)
    _y: int = 0

    def row(self, title: str) -> None:
        """Add a row heading."""
        self._parts.append(dashboard.Row(title).id(self._next_id()).grid_pos(GridPos(x=0, y=self._y, w=COLUMNS, h=1)))
        self._y += 1

    def add(self, height: int, *panels: tuple[int, Panel]) -> None:
        """Add a line of panels with their widths.

        Raises ValueError if the widths do not add up to 24 columns.
        """
        if sum(width for width, _ in panels) != COLUMNS:
            raise ValueError(f"{self.title}: a line of panels must be {COLUMNS} columns wide")
        x = 0
        for width, panel in panels:
            placed = panel.id(self._next_id()).grid_pos(GridPos(x=x, y=self._y, w=width, h=height))
            self._parts.append(placed.datasource(DATASOURCE))
            x += width
        self._y += height

    def json(self) -> str:
        """Return the dashboard as JSON for file provisioning."""
        builder = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .timezone("browser")
            .time(f"now-{self.hours}h", "now")
            .refresh("1m")
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
        for variable in _variables(one_model=self.one_model):
            builder = builder.with_variable(variable)
        for annotation in _annotations(one_model=self.one_model):
            builder = builder.annotation(annotation)
        for part in self._parts:
            builder = builder.with_row(part) if isinstance(part, dashboard.Row) else builder.with_panel(part)
        content = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
        # The SDK moves both into the controls menu, where they are not visible.
        for shown in (*content["links"], *content["annotations"]["list"]):
            shown.pop("placement", None)
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def _next_id(self) -> int:
        return len(self._parts) + 1


def _variables(*, one_model: bool) -> Sequence[Any]:
    source = (
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(VariableOption(selected=True, text="Prometheus", value="prometheus"))
    )
    model = (
        _of_label("model", "Model", _of_exporter(models.MODEL_INFO))
        .description("Model of all panels on this page. The dashboard Models compares all models.")
        .multi(False)
        .include_all(False)
        .current(VariableOption(selected=True, text="production", value="production"))
    )
    return (
        source,
        _one_of("job", "Job", exporter.BUILD_INFO.name),
        _one_of("instance", "Exporter", f'{exporter.BUILD_INFO.name}{{job="$job"}}'),
        *([model] if one_model else []),
        _all_of(_of_label("dataset", "Dataset", _of_exporter(runs.EVALUATION_IN_PROGRESS))),
        _all_of(_of_label("method", "Method", _of_exporter(accuracy.STEGO.total))),
        _exporter_url(),
    )


def _exporter_url() -> dashboard.QueryVariable:
    """Return the hidden variable `exporter`: the URL with which links to the selected exporter begin.

    Without `--web.external-url` it is the address that Prometheus scrapes, because a link needs some address.
    """
    info = exporter.BUILD_INFO.name
    known = f'{info}{{{EXPORTER},external_url!=""}}'
    scraped = f'label_replace({info}{{{EXPORTER},external_url=""}}, "external_url", "http://$1/", "instance", "(.+)")'
    return (
        _query_variable("exporter", "Exporter URL", f"query_result({known} or {scraped})")
        .regex('/external_url="([^"]+)"/')
        .hide(VariableHide.HIDE_VARIABLE)
    )


def _one_of(name: str, label: str, selector: str) -> dashboard.QueryVariable:
    return _of_label(name, label, selector).multi(False).include_all(False)


def _of_exporter(family: Family) -> str:
    return f"{family.name}{{{EXPORTER}}}"


def _of_label(name: str, label: str, selector: str) -> dashboard.QueryVariable:
    return _query_variable(name, label, f"label_values({selector}, {name})")


def _query_variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _all_of(variable: dashboard.QueryVariable) -> dashboard.QueryVariable:
    return variable.multi(True).include_all(True).all_value(".+").current(_ALL)


def _annotations(*, one_model: bool) -> Sequence[dashboard.AnnotationQuery]:
    info = select(models.MODEL_INFO, sha256="~.+", **({} if one_model else {"model": ALL_MODELS}))
    now = f"max by (model, sha256) ({info})"
    # A file is new if its hash did not exist two minutes ago. The longer window ignores exporter restarts.
    before = f"max by (model, sha256) (last_over_time({info}[15m] offset 2m))"
    # The first samples of a model are not a change.
    changed = f"({now} unless {before}) and on (model) {before}"
    firing = alerts('alertstate="firing"', 'severity!="info"', of_model=one_model)
    # Model changes last, so that they are rendered above the alerts that they cause.
    return (
        _annotation("Firing alerts", f"max by (alertname, severity) ({firing})", RED)
        .title_format("{{alertname}}")
        .text_format("{{severity}}"),
        _annotation("Model changes", changed, MODEL_CHANGE).title_format("{{model}} changed").text_format("{{sha256}}"),
    )


def _annotation(name: str, expr: str, colour: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(expr)
        .step("30s")
    )
