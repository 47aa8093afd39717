"""Panel builders with the defaults shared by all dashboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final, TypeVar, cast

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
    trend,
    xychart,
)
from grafana_foundation_sdk.models.common import (
    AxisPlacement,
    BarGaugeDisplayMode,
    BarGaugeNamePlacement,
    BarGaugeValueMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import FieldColorModeId
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.source.limits import NEUTRAL
from grafana.source.style import BLUE, Steps, fixed_colour, null_mapping, state_mappings, steps
from starlight_exporter.formatting import NOT_MEASURED

DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")

Panel = (
    timeseries.Panel
    | stat.Panel
    | table.Panel
    | bargauge.Panel
    | heatmap.Panel
    | statetimeline.Panel
    | trend.Panel
    | xychart.Panel
)
# Okabe and Ito's colours, available since Grafana 13.2; the SDK does not list this mode yet.
COLOUR_BLIND_SAFE: Final = cast(FieldColorModeId, "palette-colorblind")

P = TypeVar(
    "P",
    timeseries.Panel,
    stat.Panel,
    table.Panel,
    bargauge.Panel,
    heatmap.Panel,
    statetimeline.Panel,
    trend.Panel,
    xychart.Panel,
)


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and the legend of its series, with `{{label}}` placeholders; with or without exemplars."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class PanelInfo:
    """Title, description (content, and what to do if it is red), unit and decimals of a panel."""

    title: str
    description: str
    unit: str
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a value to a page; Grafana expands dashboard variables and `${__data.fields.…}` in the URL."""

    title: str
    url: str


def line_chart(
    info: PanelInfo,
    *queries: Query,
    minimum: float | None = 0,
    maximum: float | None = None,
    soft_minimum: float | None = None,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
) -> timeseries.Panel:
    """Return a time series panel. `colours` maps the last word of a series name to a colour.

    The axis starts at `soft_minimum` unless a value is below it.
    """
    panel = (
        with_info(timeseries.Panel(), info)
        .color_scheme(dashboard.FieldColor().mode(COLOUR_BLIND_SAFE))
        .line_width(2)
        .fill_opacity(40 if stacked else 0)
        .show_points(VisibilityMode.NEVER)
        .thresholds(steps(*NEUTRAL))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if minimum is not None:
        panel = panel.min(minimum)
    if maximum is not None:
        panel = panel.max(maximum)
    if soft_minimum is not None:
        panel = panel.axis_soft_min(soft_minimum)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for name, colour in (colours or {}).items():
        panel = panel.override_by_regexp(f"/(^|\\W){name}$/", [fixed_colour(colour)])
    return with_queries(panel, queries)


def stat_panel(
    info: PanelInfo,
    *queries: Query,
    thresholds: Steps = NEUTRAL,
    states: Mapping[int, tuple[str, str]] | None = None,
    show_name: bool = True,
    no_value: str = NOT_MEASURED,
) -> stat.Panel:
    """Return a stat panel with the current value of each series, coloured by thresholds; `no_value` if there is none.

    Uses instant queries, because a range query would show the last value of an ended series as current.
    """
    panel = (
        with_info(stat.Panel(), info)
        .thresholds(steps(*thresholds))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.BACKGROUND_SOLID if states else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if show_name else BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .orientation(VizOrientation.AUTO)
        # With the name above it, the value uses the full width and is readable from a distance.
        .wide_layout(False)
        .mappings([*(state_mappings(states) if states else []), null_mapping(no_value)])
        .no_value(no_value)
    )
    if info.unit == "percentunit":
        panel = panel.min(0).max(1)
    return with_queries(panel, queries, instant=True)


def bar_gauge(
    info: PanelInfo, *queries: Query, thresholds: Steps = NEUTRAL, minimum: float = 0, maximum: float | None = None
) -> bargauge.Panel:
    """Return a bar gauge with one horizontal bar per series."""
    panel = (
        with_info(bargauge.Panel(), info)
        .thresholds(steps(*thresholds))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .display_mode(BarGaugeDisplayMode.BASIC)
        .value_mode(BarGaugeValueMode.TEXT)
        .name_placement(BarGaugeNamePlacement.LEFT)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .legend(common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.LIST))
        .text(common.VizTextDisplayOptions().title_size(12).value_size(16))
        .min(minimum)
    )
    if maximum is not None:
        panel = panel.max(maximum)
    return with_queries(panel, queries, instant=True)


def state_timeline(info: PanelInfo, *queries: Query, states: Mapping[int, tuple[str, str]]) -> statetimeline.Panel:
    """Return a state timeline with one band per series; gaps are times without samples."""
    panel = (
        with_info(statetimeline.Panel(), info)
        .thresholds(steps(*NEUTRAL))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .mappings(state_mappings(states))
        .show_value(VisibilityMode.AUTO)
        .merge_values(True)
        .fill_opacity(85)
        .row_height(0.85)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.LIST))
    )
    return with_queries(panel, queries)


def heatmap_panel(info: PanelInfo, query: Query) -> heatmap.Panel:
    """Return a heatmap of a classic histogram; the query must return increases by `le`."""
    panel = (
        with_info(heatmap.Panel(), info)
        .calculate(False)
        .color(_heatmap_colours())
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .y_axis(heatmap.YAxisConfig().unit(info.unit).decimals(1).axis_placement(AxisPlacement.LEFT))
        .cell_gap(0)
        .exemplars_color(BLUE)
        .show_legend()
    )
    return panel.with_target(_target(0, query).format(PromQueryFormat.HEATMAP).range())


def _heatmap_colours() -> heatmap.HeatmapColorOptions:
    # Viridis is perceptually uniform, also for colour-blind readers.
    return (
        heatmap.HeatmapColorOptions()
        .mode(HeatmapColorMode.SCHEME)
        .scheme("Viridis")
        .scale(HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
        .reverse(False)
        .fill(BLUE)
    )


def data_link(link: Link) -> dashboard.DashboardLink:
    """Return a link that opens in a new tab."""
    return dashboard.DashboardLink(link.title).url(link.url).target_blank(True)


def with_info(panel: P, info: PanelInfo) -> P:
    """Set title, description, unit and decimals of a panel."""
    panel = panel.title(info.title).description(info.description).unit(info.unit).no_value(NOT_MEASURED)
    return panel if info.decimals is None else panel.decimals(info.decimals)


def with_queries(panel: P, queries: Sequence[Query], *, instant: bool = False) -> P:
    """Add queries with ref ids A, B, …"""
    for place, query in enumerate(queries):
        target = _target(place, query)
        panel = panel.with_target(target.instant() if instant else target.range())
    return panel


def with_table_queries(panel: P, expressions: Sequence[str]) -> P:
    """Add instant queries in table format: one row per series, one column per label."""
    for place, expr in enumerate(expressions):
        panel = panel.with_target(
            prometheus.Dataquery()
            .ref_id(ascii_uppercase[place])
            .expr(expr)
            .instant()
            .format(PromQueryFormat.TABLE)
            .datasource(DATASOURCE)
        )
    return panel


def _target(place: int, query: Query) -> prometheus.Dataquery:
    # Without a legend, Grafana names a series by its labels.
    target = (
        prometheus.Dataquery()
        .ref_id(ascii_uppercase[place])
        .expr(query.expr)
        .datasource(DATASOURCE)
        .legend_format(query.legend or "__auto")
    )
    return target.exemplar(True) if query.exemplars else target
