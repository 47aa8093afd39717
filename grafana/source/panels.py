"""The kinds of panel that the dashboards are made of, each with the defaults that are the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BarGaugeNamePlacement,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    ValueMap,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.source.style import METHOD_COLOURS, NOT_MEASURED, fixed_colour, plain, steps

DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")

Panel = (
    timeseries.Panel | stat.Panel | table.Panel | bargauge.Panel | heatmap.Panel | statetimeline.Panel | dashboard.Panel
)
Steps = Sequence[tuple[float | None, str]]
P = TypeVar("P", timeseries.Panel, stat.Panel, table.Panel, bargauge.Panel, heatmap.Panel, statetimeline.Panel)


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and what its series are called; `{{label}}` in `legend` is filled in."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What every panel says of itself: title, what it shows and what to do when it is red, and its unit."""

    title: str
    description: str
    unit: str
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. A value column has an expression; a label column has none."""

    title: str
    expr: str | None = None
    unit: str = ""
    decimals: int | None = None
    thresholds: Steps = ()
    mappings: Sequence[ValueMap] = ()
    width: int | None = None
    link: str = ""


def line_chart(
    look: Look, *queries: Query, minimum: float | None = 0, maximum: float | None = None
) -> timeseries.Panel:
    """Values over time, with a legend that shows the last one."""
    panel = _described(timeseries.Panel(), look)
    panel = (
        panel.line_width(2)
        .fill_opacity(0)
        .show_points(VisibilityMode.NEVER)
        .thresholds(plain())
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs(["lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if minimum is not None:
        panel = panel.min(minimum)
    if maximum is not None:
        panel = panel.max(maximum)
    return _queried(panel, queries)


def single_value(
    look: Look,
    *queries: Query,
    thresholds: Steps,
    mappings: Sequence[ValueMap] = (),
    named: bool = True,
    trend: bool = False,
) -> stat.Panel:
    """The newest value of each series, large; coloured by its thresholds."""
    panel = (
        _described(stat.Panel(), look)
        .thresholds(steps(*thresholds))
        .color_mode(BigValueColorMode.BACKGROUND if mappings else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA if trend else BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if named else BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .orientation(VizOrientation.AUTO)
    )
    if mappings:
        panel = panel.mappings(list(mappings))
    return _queried(panel, queries, instant=not trend)


def bars(look: Look, *queries: Query, thresholds: Steps, minimum: float, maximum: float | None) -> bargauge.Panel:
    """One horizontal bar per series."""
    panel = (
        _described(bargauge.Panel(), look)
        .thresholds(steps(*thresholds))
        .display_mode(BarGaugeDisplayMode.BASIC)
        .name_placement(BarGaugeNamePlacement.LEFT)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .min(minimum)
    )
    if maximum is not None:
        panel = panel.max(maximum)
    return _queried(panel, queries, instant=True)


def rows(look: Look, *columns: Column, sort_by: str = "", descending: bool = True) -> table.Panel:
    """A table with one row per combination of the label columns; value columns are joined over them."""
    values = [column for column in columns if column.expr is not None]
    panel = _described(table.Panel(), look).thresholds(plain()).show_header(True).min_width(60)
    for letter, column in zip(ascii_uppercase, values, strict=False):
        assert column.expr is not None
        panel = panel.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .expr(column.expr)
            .instant()
            .format(PromQueryFormat.TABLE)
            .datasource(DATASOURCE)
        )
    # A single frame calls its value "Value"; only several of them have letters.
    sources = {column.title: f"Value #{letter}" for letter, column in zip(ascii_uppercase, values, strict=False)}
    order = [sources.get(column.title, column.title) for column in columns]
    renamed = {source: title for title, source in sources.items()}
    if len(values) > 1:
        panel = panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    else:
        renamed["Value"] = values[0].title
        order = [*order, "Value"]
    panel = panel.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(order)},
                "renameByName": renamed,
            },
        )
    )
    for column in columns:
        properties = _column_properties(column)
        if properties:
            panel = panel.override_by_name(column.title, properties)
    if sort_by:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort_by).desc(descending)])
    return panel


def state_history(look: Look, *queries: Query, mappings: Sequence[ValueMap]) -> statetimeline.Panel:
    """States over time, one line per series."""
    panel = (
        _described(statetimeline.Panel(), look)
        .thresholds(plain())
        .mappings(list(mappings))
        .show_value(VisibilityMode.AUTO)
        .merge_values(True)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.LIST))
    )
    return _queried(panel, queries)


def histogram_over_time(look: Look, query: Query) -> heatmap.Panel:
    """A classic histogram's buckets over time; the query gives increases by `le`."""
    panel = (
        _described(heatmap.Panel(), look)
        .calculate(False)
        .color(_heatmap_colours())
        .y_axis(heatmap.YAxisConfig().unit(look.unit).decimals(1))
        .cell_gap(1)
        .show_legend()
    )
    return panel.with_target(
        prometheus.Dataquery()
        .ref_id("A")
        .expr(query.expr)
        .legend_format("{{le}}")
        .format(PromQueryFormat.HEATMAP)
        .range()
        .datasource(DATASOURCE)
    )


def _heatmap_colours() -> heatmap.HeatmapColorOptions:
    # Viridis: even steps in brightness, also without colour vision.
    return (
        heatmap.HeatmapColorOptions()
        .mode(HeatmapColorMode.SCHEME)
        .scheme("Viridis")
        .scale(HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
        .reverse(False)
    )


def alert_list(look: Look) -> dashboard.Panel:
    """Pending and firing alerts of the Prometheus data source, by its name in Grafana."""
    return (
        dashboard.Panel()
        .type("alertlist")
        .title(look.title)
        .description(look.description)
        .options(
            {
                "datasource": "Prometheus",
                "alertName": "Starlight",
                "viewMode": "list",
                "groupMode": "default",
                "groupBy": [],
                "maxItems": 30,
                "sortOrder": 3,
                "dashboardAlerts": False,
                "showInactiveAlerts": False,
                "stateFilter": {
                    "firing": True,
                    "pending": True,
                    "noData": False,
                    "normal": False,
                    "error": True,
                    "recovering": False,
                },
            }
        )
    )


def colour_methods(panel: timeseries.Panel) -> timeseries.Panel:
    """Each method in its own colour, on every dashboard the same; series have to be called by it."""
    for method, colour in METHOD_COLOURS.items():
        panel = panel.override_by_regexp(f"/^{method}( |$)/", [fixed_colour(colour)])
    return panel


def _described(panel: P, look: Look) -> P:
    panel = panel.title(look.title).description(look.description).unit(look.unit).no_value(NOT_MEASURED)
    return panel if look.decimals is None else panel.decimals(look.decimals)


def _queried(panel: P, queries: Sequence[Query], *, instant: bool = False) -> P:
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expr).datasource(DATASOURCE)
        # Grafana names a series by its labels where there is no legend.
        target = target.legend_format(query.legend or "__auto")
        panel = panel.with_target(target.instant() if instant else target.range())
    return panel


def _column_properties(column: Column) -> list[DynamicConfigValue]:
    found: Mapping[str, object] = {
        "unit": column.unit or None,
        "decimals": column.decimals,
        "mappings": [mapping.to_json() for mapping in column.mappings] or None,
        "custom.width": column.width,
        "links": [{"title": "Images behind it", "url": column.link}] if column.link else None,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in column.thresholds],
        }
        if column.thresholds
        else None,
        "custom.cellOptions": {"type": "color-text"} if column.thresholds or column.mappings else None,
    }
    return [DynamicConfigValue(id_val=name, value=value) for name, value in found.items() if value is not None]
