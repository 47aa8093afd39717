"""The kinds of panel that the dashboards are made of, each with the defaults that are the same everywhere."""

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
from grafana.source.style import BLUE, Steps, fixed_colour, nothing_is, steps, words
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
# Okabe and Ito's colours in Grafana since 13.2; the SDK's list of modes is older.
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
class Link:
    """A page that a value leads to; dashboard variables and `${__data.fields.…}` in it are filled in."""

    title: str
    url: str


def line_chart(
    look: Look,
    *queries: Query,
    minimum: float | None = 0,
    maximum: float | None = None,
    soft_minimum: float | None = None,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
) -> timeseries.Panel:
    """Values over time; `colours` go by the last word of a series' name; others take Grafana's safe ones in turn.

    From `soft_minimum` on an axis is drawn where no value is below it.
    """
    panel = (
        described(timeseries.Panel(), look)
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
    return queried(panel, queries)


def single_value(
    look: Look,
    *queries: Query,
    thresholds: Steps = NEUTRAL,
    meanings: Mapping[int, tuple[str, str]] | None = None,
    named: bool = True,
    link: Link | None = None,
    nothing: str = NOT_MEASURED,
) -> stat.Panel:
    """The value of each series at this moment, large and coloured by its thresholds; no series, no number: `nothing`.

    Instant queries: the last value of a series that has ended would pass for one of now.
    """
    panel = (
        described(stat.Panel(), look)
        .thresholds(steps(*thresholds))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.BACKGROUND_SOLID if meanings else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if named else BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .orientation(VizOrientation.AUTO)
        # The name above the value, which then has the whole width: it is read from afar.
        .wide_layout(False)
        .mappings([*(words(meanings) if meanings else []), nothing_is(nothing)])
        .no_value(nothing)
    )
    if look.unit == "percentunit":
        panel = panel.min(0).max(1)
    if link is not None:
        panel = panel.data_links([data_link(link)])
    return queried(panel, queries, instant=True)


def bars(
    look: Look, *queries: Query, thresholds: Steps = NEUTRAL, minimum: float = 0, maximum: float | None = None
) -> bargauge.Panel:
    """One horizontal bar per series."""
    panel = (
        described(bargauge.Panel(), look)
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
    return queried(panel, queries, instant=True)


def state_history(look: Look, *queries: Query, meanings: Mapping[int, tuple[str, str]]) -> statetimeline.Panel:
    """States over time, one line per series; a gap is a time without a sample."""
    panel = (
        described(statetimeline.Panel(), look)
        .thresholds(steps(*NEUTRAL))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .mappings(words(meanings))
        .show_value(VisibilityMode.AUTO)
        .merge_values(True)
        .fill_opacity(85)
        .row_height(0.85)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.LIST))
    )
    return queried(panel, queries)


def histogram_over_time(look: Look, query: Query) -> heatmap.Panel:
    """A classic histogram's buckets over time; the query gives increases by `le`."""
    panel = (
        described(heatmap.Panel(), look)
        .calculate(False)
        .color(_heatmap_colours())
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .y_axis(heatmap.YAxisConfig().unit(look.unit).decimals(1).axis_placement(AxisPlacement.LEFT))
        .cell_gap(0)
        .exemplars_color(BLUE)
        .show_legend()
    )
    return panel.with_target(_target(0, query).format(PromQueryFormat.HEATMAP).range())


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
        .fill(BLUE)
    )


def data_link(link: Link) -> dashboard.DashboardLink:
    """A link that opens beside the dashboard."""
    return dashboard.DashboardLink(link.title).url(link.url).target_blank(True)


def described(panel: P, look: Look) -> P:
    """The panel with what it says of itself."""
    panel = panel.title(look.title).description(look.description).unit(look.unit).no_value(NOT_MEASURED)
    return panel if look.decimals is None else panel.decimals(look.decimals)


def queried(panel: P, queries: Sequence[Query], *, instant: bool = False) -> P:
    """The panel with its queries, lettered in order."""
    for place, query in enumerate(queries):
        target = _target(place, query)
        panel = panel.with_target(target.instant() if instant else target.range())
    return panel


def queried_as_tables(panel: P, expressions: Sequence[str]) -> P:
    """The panel with queries for the values of this moment, one row per series with a column for each label."""
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
    # Grafana names a series by its labels where there is no legend.
    return (
        prometheus.Dataquery()
        .ref_id(ascii_uppercase[place])
        .expr(query.expr)
        .datasource(DATASOURCE)
        .legend_format(query.legend or "__auto")
    )
